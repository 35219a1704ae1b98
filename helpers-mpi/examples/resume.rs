//! Counts prime numbers, and goes on where an earlier run has stopped.
//!
//! Each result goes into the file `primes.txt` as it comes, one on a line. A run that is cut off, by
//! its time limit or with its node, has lost only what it was at: the next one reads the file, and
//! does what is not in it. `resume.sbatch` has Slurm start it until all is done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::process::ExitCode;

use helpers_mpi::prelude::*;

const BLOCKS: u32 = 100;

fn is_prime(n: u32) -> bool {
    n > 1
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// A block, and how many primes are in it.
fn count(block: u32) -> (u32, usize) {
    const SIZE: u32 = 25_000;
    let numbers = block * SIZE..(block + 1) * SIZE;
    (block, numbers.filter(|&n| is_prime(n)).count())
}

/// What is in the lines that earlier runs have written.
fn read(lines: &str) -> BTreeMap<u32, usize> {
    let line = |line: &str| {
        let (block, primes) = line.split_once(' ')?;
        Some((block.parse().ok()?, primes.parse().ok()?))
    };
    lines.lines().filter_map(line).collect()
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    helpers_mpi::init();

    // A line without an end was cut off: its block is done again.
    let text = fs::read_to_string("primes.txt").unwrap_or_default();
    let lines = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut done = read(lines);
    let mut file = File::options()
        .append(true)
        .create(true)
        .open("primes.txt")?;
    file.set_len(lines.len() as u64)?;

    let ranks = helpers_mpi::ranks().unwrap_or(5);
    let pool = MpiPool::new(ranks - 1)?;
    let missing: Vec<u32> = (0..BLOCKS).filter(|b| !done.contains_key(b)).collect();
    println!("{} of {BLOCKS} blocks are to be done", missing.len());
    // When time is up, no further block is begun; those that were are finished.
    let blocks = missing
        .into_iter()
        .take_while(|_| !helpers_mpi::time_is_up());
    for result in pool.imap_unordered(count, blocks) {
        let (block, primes) = result?;
        // As a whole: a line is there, or it is not.
        file.write_all(format!("{block} {primes}\n").as_bytes())?;
        done.insert(block, primes);
    }
    if done.len() < BLOCKS as usize {
        println!("the time is up, and {} blocks are done", done.len());
        return Ok(ExitCode::FAILURE);
    }
    println!("{} primes", done.values().sum::<usize>());
    Ok(ExitCode::SUCCESS)
}
