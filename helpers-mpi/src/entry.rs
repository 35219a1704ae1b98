//! Where a program, or a notebook's process, becomes a rank; and what a program calls first.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::{env, fs, process};

use helpers::internals::{is_notebook, prepare};
use mpi::traits::*;

use crate::control::{Channel, JOB, JobSpec, RankMessage, Role};
use crate::initialized;
use crate::job::exit::CANNOT_BEGIN;
use crate::launched;
use crate::owner;
use crate::pool;
use crate::program::{self, RANK};
use crate::rank::{self, host};
use crate::time_up;

/// Makes jobs and pools of MPI ranks possible in a program, and pools of worker processes: call
/// it first thing in `main`.
///
/// In a process that [`mpi_run`](crate::mpi_run) or a pool has started as a rank, this does
/// the work of a rank and never returns. In a program that `mpiexec` or `srun` has started on
/// several ranks it returns on rank 0 only, which may then use the other ranks; see
/// [the crate's page](crate#on-a-cluster). In any other process it returns at once. A notebook
/// does not need it.
///
/// ```no_run
/// use helpers_mpi::prelude::*;
///
/// fn main() -> Result<(), MpiError> {
///     helpers_mpi::init();
///     let ranks = mpi_run(4, |world| world.rank())?;
///     assert_eq!(ranks, [0, 1, 2, 3]);
///     Ok(())
/// }
/// ```
pub fn init() {
    // First: in a worker of a process pool, whose tasks may start ranks, the other never returns.
    program::prepare();
    helpers::init_process_pools();
    if is_notebook() {
        return;
    }
    time_up::listen();
    if env::args_os().nth(1).is_some_and(|arg| arg == RANK) && env::var_os(JOB).is_some() {
        serve();
    }
    launched::join();
}

/// Makes jobs of ranks possible in a test program, whose `main` is not yours to write.
///
/// Write it once in each test program, outside of any function.
///
/// ```
/// helpers_mpi::init_in_tests!();
/// ```
#[macro_export]
macro_rules! init_in_tests {
    () => {
        $crate::__before_main!($crate::init);
    };
}

/// Where a rank of a notebook begins. The argument is the kernel's store of variables, of which
/// a rank has none.
// SAFETY: its name is `program::NOTEBOOK_ENTRY`, and no other crate defines a function of this name.
#[unsafe(no_mangle)]
extern "C" fn helpers_mpi_rank(_variables: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
    serve()
}

/// Turns this process into a rank of the job that its environment names.
fn serve() -> ! {
    match be_rank() {
        Ok(()) => process::exit(0),
        Err(error) => {
            // The launcher passes it on.
            eprintln!("{CANNOT_BEGIN}{error}");
            process::exit(1)
        }
    }
}

fn be_rank() -> io::Result<()> {
    rank::is_rank();
    let spec = env::var(JOB)
        .ok()
        .and_then(|text| JobSpec::from_text(&text));
    let spec = spec.ok_or_else(|| io::Error::other(format!("{JOB} is not set as it must be")))?;
    let mpi = initialized::initialize()?;
    let world = mpi.world();
    let rank = world.rank() as usize;
    // Or `top` calls it as the program's file. Where there is no such file, it does as it likes.
    let _ = fs::write("/proc/self/comm", format!("helpers-rank {rank}"));
    let to_run = owner::start(spec.connect(rank, Channel::Control)?)?;
    let outputs = Outputs::redirect(&spec, rank)?;
    owner::tell(&RankMessage::Up {
        host: host(),
        size: world.size() as u32,
        library: library_name(),
    })?;
    owner::tell_of_exit();
    match spec.role {
        Role::Run => {
            // The error will tell of a panic, so it is not reported here.
            prepare();
            // Without an owner the thread that listens ends this process.
            let function = to_run.recv().map_err(io::Error::other)?;
            owner::tell(&rank::run(&function, &world))?;
        }
        Role::Pool => {
            let caller = match rank {
                0 => Some(spec.connect(rank, Channel::Pool)?),
                _ => None,
            };
            pool::serve(world, caller)?;
        }
    }
    outputs.give_back();
    owner::tell(&RankMessage::Done)?;
    drop(mpi);
    Ok(())
}

/// What the MPI library calls itself, in a few words.
fn library_name() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(',').next().unwrap_or_default();
    first
        .trim_end_matches('\0')
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// This process's own output and errors, while the owner gets what it prints.
#[derive(Debug)]
struct Outputs {
    output: OwnedFd,
    errors: OwnedFd,
}

impl Outputs {
    /// Has the owner get what this process prints from now on.
    fn redirect(spec: &JobSpec, rank: usize) -> io::Result<Outputs> {
        let outputs = Outputs {
            output: io::stdout().as_fd().try_clone_to_owned()?,
            errors: io::stderr().as_fd().try_clone_to_owned()?,
        };
        nix::unistd::dup2_stdout(spec.connect(rank, Channel::Output)?)?;
        nix::unistd::dup2_stderr(spec.connect(rank, Channel::Errors)?)?;
        Ok(outputs)
    }

    /// Ends that: the owner then knows that it has got everything.
    fn give_back(self) {
        let _ = io::stdout().flush();
        // SAFETY: flushes all of C's streams, which code in other languages may have used.
        unsafe { nix::libc::fflush(std::ptr::null_mut()) };
        // What the launcher says about this process is all that could get lost.
        let _ = nix::unistd::dup2_stdout(&self.output);
        let _ = nix::unistd::dup2_stderr(&self.errors);
    }
}
