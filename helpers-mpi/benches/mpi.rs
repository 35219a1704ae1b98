//! `MpiPool`, and what it is held against: one measurement, named on the command line with its
//! workers and its size.
//!
//! `cargo xtask bench mpi` lets it take turns with mpi4py: `xtask/python/bench/peers/mpi.py`.
//!
//! What bounds the rows:
//! - A round trip passes three processes: the caller, rank 0 and a rank that works. Who waits looks
//!   for 50 µs before it sleeps, so that a pool with nothing to do costs nothing, and on few cores
//!   they take turns.
//! - A large array is packed into memory that rank 0 sees as well, and MPI copies it from there to
//!   the rank, which unpacks it.
//! - The start is that of the launcher, which an empty MPI program needs as well.

#[path = "../../helpers/benches/serve/mod.rs"]
mod serve;

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, iter};

use helpers_mpi::prelude::*;
use serve::{Given, Measure, Result, SetUp};

const MEASUREMENTS: &[(&str, SetUp<f64>)] = &[
    ("round-trip", round_trip),
    ("map-one", map_one),
    ("map-default", map_default),
    ("there-and-back", there_and_back),
    ("start", start),
    ("empty", empty),
    ("scatter-gather", scatter_gather),
];

/// How this program is told to do nothing but begin and end MPI.
const NOTHING: &str = "nothing";

fn main() -> ExitCode {
    if env::args()
        .nth(1)
        .is_some_and(|argument| argument == NOTHING)
    {
        drop(mpi::initialize());
        return ExitCode::SUCCESS;
    }
    helpers_mpi::init();
    serve::end(serve::run(MEASUREMENTS))
}

fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

fn round_trip(
    Given {
        workers,
        size: calls,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = MpiPool::new(workers)?;
    Ok(Box::new(move |_| {
        let start = Instant::now();
        for x in 0..calls {
            black_box(pool.submit(|x: usize| x + 1, x).join()?);
        }
        Ok(seconds_since(start) / calls as f64)
    }))
}

fn map_one(
    Given {
        workers,
        size: items,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = MpiPool::new(workers)?;
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let results = pool.chunk_size(1)?.map(|x: usize| x + 1, 0..items)?;
        let seconds = seconds_since(start);
        assert!(results.into_iter().eq(1..=items));
        Ok(seconds / items as f64)
    }))
}

fn map_default(
    Given {
        workers,
        size: items,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = MpiPool::new(workers)?;
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let results = pool.map(|x: usize| x + 1, 0..items)?;
        let seconds = seconds_since(start);
        assert!(results.into_iter().eq(1..=items));
        Ok(seconds / items as f64)
    }))
}

fn there_and_back(
    Given {
        workers,
        size: count,
    }: Given,
) -> Result<Measure<f64>> {
    let pool = MpiPool::new(workers)?;
    let numbers: Vec<f64> = (0..count).map(|n| n as f64).collect();
    Ok(Box::new(move |_| {
        let sent = numbers.clone();
        let start = Instant::now();
        let returned = pool.submit(|numbers: Vec<f64>| numbers, sent).join()?;
        let seconds = seconds_since(start);
        assert!(returned == numbers);
        Ok(seconds)
    }))
}

/// From no pool to the first result of each rank.
fn start(Given { workers, .. }: Given) -> Result<Measure<f64>> {
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let pool = MpiPool::new(workers)?;
        let results = pool.chunk_size(1)?.map(|x: usize| x + 1, 0..workers)?;
        let seconds = seconds_since(start);
        assert!(results.into_iter().eq(1..=workers));
        Ok(seconds)
    }))
}

/// A job of as many ranks that do nothing, from the start of the launcher to its end.
fn empty(Given { workers, .. }: Given) -> Result<Measure<f64>> {
    let program = env::current_exe()?;
    let told = Command::new("mpiexec").arg("--version").output()?;
    let is_open_mpi = String::from_utf8_lossy(&told.stdout).contains("Open MPI");
    Ok(Box::new(move |_| {
        let mut command = Command::new("mpiexec");
        command.args(["-n", &(workers + 1).to_string()]);
        if is_open_mpi {
            // As for the ranks of a pool on one host.
            command.args(["--oversubscribe", "--bind-to", "none"]);
            let variables = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];
            command.envs(iter::zip(variables, ["1"; 2]));
            command.env("OMPI_MCA_btl", "self,sm");
        }
        command.arg(&program).arg(NOTHING).stdin(Stdio::null());
        let start = Instant::now();
        let status = command.status()?;
        let seconds = seconds_since(start);
        assert!(status.success(), "{status}");
        Ok(seconds)
    }))
}

/// How many numbers are scattered.
const SCATTERED: usize = 1_250_000;
/// How often; the last time counts.
const TIMES: usize = 6;

/// An array scattered to all ranks of a job, and gathered again; the job's start is not in it.
fn scatter_gather(Given { workers, .. }: Given) -> Result<Measure<f64>> {
    Ok(Box::new(move |_| {
        let seconds = mpi_run(workers, |world| {
            let size = SCATTERED / world.size() as usize;
            let root = world.process_at_rank(0);
            let is_root = world.rank() == 0;
            let count = if is_root {
                size * world.size() as usize
            } else {
                0
            };
            let numbers: Vec<f64> = (0..count).map(|n| n as f64).collect();
            let (mut part, mut returned) = (vec![0.0; size], vec![0.0; count]);
            let mut seconds = 0.0;
            // Memory that is touched for the first time is slow, and so are the first messages.
            for _ in 0..TIMES {
                world.barrier();
                let start = Instant::now();
                if is_root {
                    root.scatter_into_root(&numbers[..], &mut part[..]);
                    root.gather_into_root(&part[..], &mut returned[..]);
                } else {
                    root.scatter_into(&mut part[..]);
                    root.gather_into(&part[..]);
                }
                seconds = seconds_since(start);
            }
            assert!(returned == numbers);
            seconds
        })?;
        Ok(seconds[0])
    }))
}
