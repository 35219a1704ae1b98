//! Counts prime numbers on the ranks of an MPI job.
//!
//! Started by `mpiexec -n 8 primes`, or by Slurm with `primes.sbatch`, its rank 0 hands out the
//! work to the others. Started by itself, it starts four ranks that work.

use helpers::prelude::*;
use helpers_mpi::prelude::*;

fn is_prime(n: u32) -> bool {
    n > 1
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// How many primes are in a block.
fn primes_in(block: u32) -> usize {
    const SIZE: u32 = 25_000;
    (block * SIZE..(block + 1) * SIZE)
        .filter(|&n| is_prime(n))
        .count()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    helpers_mpi::init();

    let ranks = helpers_mpi::ranks().unwrap_or(5);
    let pool = MpiPool::new(ranks - 1)?;
    let (primes, timing) = measure(|| pool.map(primes_in, 0..40));
    let primes: usize = primes?.iter().sum();
    println!(
        "{primes} primes, found by {} ranks\n{timing}",
        pool.workers()
    );
    Ok(())
}
