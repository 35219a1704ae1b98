//! A program that the user has started on several ranks, as by `mpiexec -n 8 program`.
//!
//! Rank 0 is the program. The others wait for what it wants of them: to run a function, or to be
//! workers of a pool. When rank 0 comes to its end, so do they.

mod abort;
pub(crate) mod lease;

use std::ffi::c_int;
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use helpers::internals::{CodeRef, from_bytes};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::de::DeserializeOwned;

use self::abort::{Watchdog, fail, stop_at_once, tell};
use self::lease::{ANSWER, DUTY, Duty, LaunchedJob, Lease, SIZE, SLEEP, send};
use crate::control::{JOB, RankMessage};
use crate::error::{MpiError, Who};
use crate::initialized::{self, Initialized};
use crate::pmpi;
use crate::program::SIGNALS;
use crate::rank;

/// Set by launchers in each rank: by Open MPI's, by Hydra, and by any that speaks PMIx.
const STARTED: &[&str] = &["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// How long a rank looks for its next duty before it sleeps between looks.
const LOOKING: Duration = Duration::from_millis(1);

/// The values of all ranks, as bytes.
type Values = Vec<(Who, Vec<u8>)>;

/// Makes this process a part of the job that it was started in, if it was. Returns on rank 0
/// only.
pub(crate) fn join() {
    if env::var_os(JOB).is_some() {
        return;
    }
    let is_started = STARTED.iter().any(|name| env::var_os(name).is_some());
    if !is_started {
        if let Some(tasks) = unknown_tasks() {
            refuse(tasks);
        }
        return;
    }
    // SAFETY: this is the first thing that the program does, so no other thread reads variables.
    // A program that a rank starts inherits this one, and does not take itself for a rank.
    unsafe { env::set_var(JOB, "launched") };
    if env::var_os(SIGNALS).is_none() {
        // SAFETY: as before.
        unsafe { env::set_var(SIGNALS, "") };
    }
    let mpi = match initialized::initialize() {
        Ok(mpi) => mpi,
        Err(error) => {
            eprintln!("a rank cannot begin: {error}");
            process::exit(1)
        }
    };
    let world = mpi.world();
    let is_alone = world.size() == 1 && env::var_os("OMPI_COMM_WORLD_SIZE").is_none();
    if let Some(tasks) = unknown_tasks().filter(|_| is_alone) {
        // Its files go as well.
        mpi.finalize();
        refuse(tasks);
    }
    let _ = SIZE.set(world.size() as usize);
    let duties = world.duplicate();
    if world.rank() > 0 {
        follow(&duties, mpi);
    }
    *lease::lock() = Lease::Free(LaunchedJob { duties, mpi });
    extern "C" fn at_exit() {
        end();
    }
    // SAFETY: the function takes no argument and does not unwind.
    unsafe { nix::libc::atexit(at_exit) };
}

/// As how many tasks `srun` has started this program, where they are several.
fn unknown_tasks() -> Option<usize> {
    number_of("SLURM_STEP_NUM_TASKS").filter(|&tasks| tasks > 1)
}

fn number_of(variable: &str) -> Option<usize> {
    env::var(variable).ok()?.parse().ok()
}

/// Ends a program whose tasks do not know of each other: each would take itself for the only one.
fn refuse(tasks: usize) -> ! {
    if number_of("SLURM_PROCID") == Some(0) {
        eprintln!(
            "srun has started this program {tasks} times, but the MPI library was not told that \
             they belong together. Start it by `srun --mpi=pmix` (`srun --mpi=list` shows what \
             there is), or by mpiexec. If each is to work alone, unset SLURM_STEP_NUM_TASKS"
        );
    }
    process::exit(1)
}

/// What ranks other than 0 do until rank 0 has come to its end.
fn follow(duties: &SimpleCommunicator, mpi: Initialized) -> ! {
    rank::is_rank();
    let world = mpi.world();
    loop {
        match receive(duties, 0, DUTY) {
            Ok(Duty::Run { function, limit }) => {
                let report = run(&function, limit, &world);
                send(duties, 0, ANSWER, &report);
            }
            Ok(Duty::Pool) => {
                if let Err(error) = crate::pool::serve(duties.duplicate(), None) {
                    fail(&world, &format!("cannot serve the pool: {error}"));
                }
                send(duties, 0, ANSWER, &RankMessage::Done);
            }
            Ok(Duty::End) => break,
            Err(error) => fail(&world, &format!("got an order that is none: {error}")),
        }
    }
    mpi.finalize();
    process::exit(0)
}

/// Lets the other ranks come to their end. If they are at work, which may last for ever, the job
/// is stopped.
fn end() {
    let lease = lease::lock_at_end().map(|mut lease| {
        lease.let_come_back();
        std::mem::replace(&mut *lease, Lease::Gone)
    });
    let why = match lease {
        Some(Lease::Gone) => return,
        Some(Lease::Free(LaunchedJob { duties, mpi })) => {
            for rank in 1..duties.size() {
                send(&duties, rank, DUTY, &Duty::End);
            }
            // Communicators go before MPI does.
            drop(duties);
            mpi.finalize();
            return;
        }
        Some(lease) => {
            let why = lease.why_not();
            // Or MPI would be finalised, which waits for all ranks.
            std::mem::forget(lease);
            why
        }
        None => lease::TOLD.to_owned(),
    };
    tell(&format!(
        "the program ended on rank 0 before the other ranks were free, so they were stopped. {why}"
    ));
    stop_at_once()
}

/// On how many ranks this program was started, as by `mpiexec -n 8 program`; `None` if it was
/// started by itself.
///
/// A program that runs either way asks for it after [`init`](crate::init):
///
/// ```no_run
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let ranks = helpers_mpi::ranks().unwrap_or(4);
/// let sizes = mpi_run(ranks, |world| world.size())?;
/// # Ok::<(), MpiError>(())
/// ```
pub fn ranks() -> Option<usize> {
    SIZE.get().copied()
}

/// On rank 0 of such a job: runs the function on all ranks, and gives their values.
pub(crate) fn run_on_all(
    function: &CodeRef,
    ranks: usize,
    limit: Option<Duration>,
) -> Result<Option<Values>, MpiError> {
    let mut lease = lease::lock();
    let Some(job) = lease.take()? else {
        return Ok(None);
    };
    let world = job.mpi.world();
    let size = world.size() as usize;
    if ranks != size {
        *lease = Lease::Free(job);
        return Err(MpiError::invalid_input(format!(
            "{ranks} ranks were asked for, but this program was started on {size}: start it with \
             `mpiexec -n {ranks}`, or ask for as many as there are"
        )));
    }
    *lease = Lease::Function;
    drop(lease);
    for rank in 1..world.size() {
        let function = function.clone();
        send(&job.duties, rank, DUTY, &Duty::Run { function, limit });
    }
    let mut values = Vec::new();
    let mut report = run(function, limit, &world);
    for rank in 0..size {
        if rank > 0 {
            report = match receive(&job.duties, rank as c_int, ANSWER) {
                Ok(report) => report,
                Err(error) => fail(&world, &format!("got an answer that is none: {error}")),
            };
        }
        if let RankMessage::Value(value) = report {
            let host = format!("rank {rank} of {size}");
            values.push((Who { rank, host }, value));
        }
        report = RankMessage::Done;
    }
    *lease::lock() = Lease::Free(job);
    Ok(Some(values))
}

/// Runs the function on this rank. What fails ends the whole job: other ranks may wait for this
/// one for ever.
fn run(function: &CodeRef, limit: Option<Duration>, world: &SimpleCommunicator) -> RankMessage {
    let watchdog = limit.map(|limit| Watchdog::start(limit, world.rank()));
    pmpi::begin();
    let report = rank::run(function, world);
    drop(watchdog);
    match &report {
        RankMessage::Panicked(message) => fail(world, &format!("panicked: {message}")),
        RankMessage::NotSent(cause) => {
            fail(world, &format!("has a value that cannot be sent: {cause}"))
        }
        RankMessage::Failed(why) => fail(world, &format!("cannot run the function: {why}")),
        _ => report,
    }
}

/// Waits for a message, mostly asleep: the core may be another rank's.
fn receive<M: DeserializeOwned>(
    duties: &SimpleCommunicator,
    rank: c_int,
    tag: c_int,
) -> io::Result<M> {
    let process = duties.process_at_rank(rank);
    let start = Instant::now();
    let message = loop {
        if let Some(message) = process.immediate_matched_probe_with_tag(tag) {
            break message;
        }
        if start.elapsed() < LOOKING {
            thread::yield_now();
        } else {
            thread::sleep(SLEEP);
        }
    };
    let (bytes, _) = message.matched_receive_vec::<u8>();
    from_bytes(&bytes).map_err(io::Error::other)
}
