//! A signal before the end: a batch system can send one when a job's time is nearly over.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Nobody else uses it here; a pool's ranks wake each other by the other one.
const SIGNAL: Signal = Signal::SIGUSR1;

static IS_UP: AtomicBool = AtomicBool::new(false);

/// Whether the signal has come that says that this job's time is nearly over: `SIGUSR1`.
///
/// Slurm sends it to all ranks that `srun` has started, a minute before a job's time limit, if the
/// batch script has `#SBATCH --signal=USR1@60`. A program that asks between two pieces of its work
/// can stop in order, and leave what it has done to the next run. See `examples/resume.rs`.
///
/// From [`init`](crate::init) on, the signal does nothing else: it would have ended the process.
///
/// ```no_run
/// use helpers::prelude::*;
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let pool = MpiPool::new(4)?;
/// let items = (0..1_000_000).take_while(|_| !helpers_mpi::time_is_up());
/// for result in pool.imap_unordered(|x: u64| (x, x * x), items) {
///     let (x, square) = result?;
///     println!("{x} {square}");
/// }
/// # Ok::<(), PoolError>(())
/// ```
pub fn time_is_up() -> bool {
    IS_UP.load(Ordering::Relaxed)
}

extern "C" fn note(_: nix::libc::c_int) {
    IS_UP.store(true, Ordering::Relaxed);
}

/// Has the signal be noted, unless the program has a use for it already.
pub(crate) fn listen() {
    let action = SigAction::new(
        SigHandler::Handler(note),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the function does nothing but store a flag.
    let before = unsafe { sigaction(SIGNAL, &action) };
    if let Ok(before) = before
        && !matches!(before.handler(), SigHandler::SigDfl)
    {
        // SAFETY: as it was.
        let _ = unsafe { sigaction(SIGNAL, &before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn the_signal_is_noted_and_ends_nothing() {
        listen();
        assert!(!time_is_up());
        raise(SIGNAL).unwrap();
        assert!(time_is_up());
    }
}
