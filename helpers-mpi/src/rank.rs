//! What a process does as a rank: initialises MPI, and runs functions.

use std::env;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use helpers::internals::{CodeRef, caught};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use nix::sys::signal::{SigSet, Signal};

use crate::control::RankMessage;
use crate::error::MpiError;
use crate::folder::Folder;
use crate::function;

/// The signal by which ranks of a pool wake each other.
///
/// Blocked in all threads of a rank, so that it only wakes who listens.
pub(crate) const RING: Signal = Signal::SIGUSR2;

/// Whether this process is a rank that runs functions.
static IS_RANK: AtomicBool = AtomicBool::new(false);

/// Notes that this process is a rank that runs functions.
pub(crate) fn is_rank() {
    IS_RANK.store(true, Ordering::Relaxed);
}

/// Fails in a rank: its functions cannot start ranks of their own.
pub(crate) fn check_is_none() -> Result<(), MpiError> {
    if IS_RANK.load(Ordering::Relaxed) {
        return Err(MpiError::invalid_input(
            "this is a rank, which cannot start ranks of its own: start them where the rank's job \
             was started",
        ));
    }
    Ok(())
}

/// Initialises MPI, which tells this process its rank.
pub(crate) fn initialize() -> io::Result<Universe> {
    // Pools wake a rank that sleeps by it, and it must not end the rank. Threads inherit this.
    let mut signals = SigSet::empty();
    signals.add(RING);
    signals.thread_block()?;
    let tidies_up = must_tidy_up();
    let folder = tidies_up.then(keep_files_together).flatten();
    let initialized = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, _) =
        initialized.ok_or_else(|| io::Error::other("MPI is initialised already"))?;
    if tidies_up {
        // Each rank opens the files of all others when it initialises MPI.
        universe.world().barrier();
        drop(folder);
    }
    Ok(universe)
}

/// The places of files by which Open MPI's ranks of one host exchange messages, in version 5 and 4.
const PLACES: &[&str] = &[
    "OMPI_MCA_btl_sm_backing_directory",
    "OMPI_MCA_btl_vader_backing_directory",
];

/// Whether no launcher cares for those files: ranks that are killed would leave them behind.
fn must_tidy_up() -> bool {
    let library = mpi::environment::library_version();
    library.is_ok_and(|library| library.contains("Open MPI"))
        && PLACES.iter().all(|name| env::var_os(name).is_none())
}

/// Has those files be where they can be deleted as soon as all ranks have opened them.
fn keep_files_together() -> Option<Folder> {
    // Where no folder can be made, the library finds a place of its own.
    let folder = Folder::for_a_moment(1).ok()?;
    for name in PLACES {
        // SAFETY: this process has only begun, and no other thread of it reads variables.
        unsafe { env::set_var(name, folder.path()) };
    }
    Some(folder)
}

pub(crate) fn host() -> String {
    mpi::environment::processor_name().unwrap_or_else(|_| "?".to_owned())
}

/// Runs the function; gives what its owner is to know.
pub(crate) fn run(function: &CodeRef, world: &SimpleCommunicator) -> RankMessage {
    // SAFETY: the owner made it in a process of the same program: it has started this one.
    let entry = match unsafe { function::load(function) } {
        Ok(entry) => entry,
        Err(error) => return RankMessage::Failed(error.to_string()),
    };
    match panic::catch_unwind(AssertUnwindSafe(|| entry(world))) {
        Ok(Ok(value)) => RankMessage::Value(value),
        Ok(Err(cause)) => RankMessage::NotSent(cause),
        Err(payload) => RankMessage::Panicked(caught(&*payload)),
    }
}
