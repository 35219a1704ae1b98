//! How many times faster 1, 2, 3, … workers are at work for the processor: prints JSON.
//!
//! `cargo bench -p helpers --bench scaling` measures here. The program needs nothing beside itself,
//! so a copy of it measures on any machine of the same kind: `./scaling > my-machine.json`. A file
//! like that in `assets/scaling/` gets a place in BENCHMARKS.md. With `--quick` it takes a second.
//!
//! All take turns. The file holds every measurement, in the order of the turns.

mod mandelbrot;

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use mandelbrot::{LIMIT, height, row};
use rayon::prelude::*;
use serde_json::{Value, json};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The turns, unless there is no time for so many; never fewer than the least.
const TURNS: usize = 21;
const LEAST_TURNS: usize = 5;
const LONGEST: Duration = Duration::from_secs(60);
/// Up to so many cores, each number of workers is measured; beyond, only its doubles.
const ALL_UP_TO: usize = 16;

/// One kind of pool with some workers: gives the seconds for a picture of some width.
type Measure = fn(workers: usize, width: usize) -> Result<(f64, Vec<Vec<u16>>)>;

const KINDS: [(&str, Measure); 3] = [
    ("Pool", |workers, width| {
        let pool = Pool::new(workers)?;
        warm_and_timed(|items| Ok(pool.map(|y| row(y, width), 0..items)), width)
    }),
    ("rayon", |workers, width| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
        let pool = builder.build()?;
        warm_and_timed(
            |items| {
                let rows = (0..items).into_par_iter();
                Ok(pool.install(|| rows.map(|y| row(y, width)).collect()))
            },
            width,
        )
    }),
    ("ProcessPool", |workers, width| {
        let pool = ProcessPool::new(workers)?;
        warm_and_timed(
            |items| Ok(pool.starmap(row, (0..items).map(|y| (y, width)))?),
            width,
        )
    }),
];

/// Lets the workers start with a few rows, then measures the whole picture.
fn warm_and_timed(
    draw: impl Fn(usize) -> Result<Vec<Vec<u16>>>,
    width: usize,
) -> Result<(f64, Vec<Vec<u16>>)> {
    draw(height(width) / 20)?;
    let start = Instant::now();
    let rows = draw(black_box(height(width)))?;
    Ok((start.elapsed().as_secs_f64(), rows))
}

fn main() -> ExitCode {
    helpers::init_process_pools();
    let quick = env::args().any(|argument| argument == "--quick");
    match run(quick) {
        Ok(results) => {
            println!("{results:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(quick: bool) -> Result<Value> {
    let (width, most_turns) = if quick { (90, 1) } else { (900, TURNS) };
    let machine = environment();
    let teams = teams(machine.cores);
    let expected: Vec<Vec<u16>> = (0..height(width)).map(|y| row(y, width)).collect();
    let mut serial = Vec::new();
    let mut seconds = vec![vec![Vec::new(); teams.len()]; KINDS.len()];
    let start = Instant::now();
    for turn in 0..most_turns {
        if turn >= LEAST_TURNS && start.elapsed() > LONGEST {
            break;
        }
        let alone = Instant::now();
        let rows: Vec<_> = (0..height(black_box(width)))
            .map(|y| row(y, width))
            .collect();
        serial.push(alone.elapsed().as_secs_f64());
        black_box(rows);
        for (i, &workers) in teams.iter().enumerate() {
            for ((name, measure), seconds) in KINDS.iter().zip(&mut seconds) {
                let (time, rows) = measure(workers, width)?;
                if rows != expected {
                    return Err(format!("{workers} workers of {name} draw another picture").into());
                }
                seconds[i].push(time);
            }
        }
        eprintln!("turn {} of {most_turns}", turn + 1);
    }
    let pools: Vec<Value> = KINDS
        .iter()
        .zip(&seconds)
        .flat_map(|((name, _), seconds)| {
            let row = |(workers, seconds)| json!({ "name": name, "workers": workers, "seconds": seconds });
            teams.iter().zip(seconds).map(row).collect::<Vec<_>>()
        })
        .collect();
    Ok(json!({
        "machine": {
            "processor": machine.cpu,
            "cores": machine.cores,
            "logical_cores": machine.logical_cores,
            "memory": machine.memory,
            "system": env::consts::OS,
            "optimised": !machine.debug_assertions,
        },
        "work": { "points": width * height(width), "limit": LIMIT },
        "serial": serial,
        "pools": pools,
    }))
}

/// The numbers of workers to measure.
fn teams(cores: usize) -> Vec<usize> {
    if cores <= ALL_UP_TO {
        return (1..=cores).collect();
    }
    let mut teams: Vec<usize> = (0..).map(|i| 1 << i).take_while(|&n| n < cores).collect();
    teams.push(cores);
    teams
}
