//! The last words of a job that does not come to its good end.

use std::ffi::c_int;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use super::lease::SLEEP;
use crate::pmpi;
use crate::rank;

/// How long other ranks may take to say what they are doing.
const TIME_TO_ANSWER: Duration = Duration::from_millis(300);

/// How long the launcher may take to read the last words of a job.
const TIME_TO_READ: Duration = Duration::from_secs(1);

/// Ends the job, and says why.
pub(super) fn fail(world: &SimpleCommunicator, why: &str) -> ! {
    tell(&format!("rank {} on {} {why}", world.rank(), rank::host()));
    world.abort(1)
}

/// Prints words that must be read before the job ends: a launcher that is to abort a job drops
/// what waits for it in a pipe.
pub(super) fn tell(words: &str) {
    eprintln!("{words}");
    let start = Instant::now();
    while unread() > 0 && start.elapsed() < TIME_TO_READ {
        thread::sleep(SLEEP);
    }
}

/// How many bytes wait in the pipe that is this process's stderr; none in what is no pipe.
fn unread() -> c_int {
    let mut bytes = 0;
    // SAFETY: writes the number of bytes, or fails and writes nothing.
    unsafe { nix::libc::ioctl(nix::libc::STDERR_FILENO, nix::libc::FIONREAD, &mut bytes) };
    bytes
}

/// Ends the job when a function takes too long, and says where each rank is.
pub(super) struct Watchdog {
    /// Dropped when the function has returned.
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    pub(super) fn start(limit: Duration, rank: c_int) -> Watchdog {
        let (done, is_done) = mpsc::channel();
        let host = rank::host();
        let watch = move || {
            if is_done.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            tell(&format!("rank {rank} on {host} {}", pmpi::activity().text));
            if rank == 0 {
                thread::sleep(TIME_TO_ANSWER);
                tell(&format!(
                    "the job took longer than its limit of {limit:?}, and was stopped"
                ));
                stop_at_once()
            }
        };
        // Without a thread there is no limit, which the batch system has as well.
        let _ = thread::Builder::new().name("watch".to_owned()).spawn(watch);
        Watchdog { _done: done }
    }
}

/// Ends this process, not by MPI: another thread may be in it. The launcher ends the other ranks.
pub(super) fn stop_at_once() -> ! {
    // SAFETY: ends the process, and touches nothing of it.
    unsafe { nix::libc::_exit(1) }
}
