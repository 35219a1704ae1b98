//! What a process does as a rank: it runs functions.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use helpers::internals::{CodeRef, caught};
use mpi::topology::SimpleCommunicator;
use nix::sys::signal::Signal;

use crate::control::RankMessage;
use crate::error::MpiError;
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
