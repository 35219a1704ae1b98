//! Wakes a rank of the same host that sleeps: MPI has no way to sleep until a message comes.
//!
//! A rank that waits looks for messages for a moment, then sleeps. Who sends it one rings: with a
//! signal, which a sleeper can listen to beside other things. A rank of another host cannot be
//! rung, so it looks for messages every now and then; how often, says [`Nap`].

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigSet, kill};
use nix::unistd::Pid;

use crate::rank::RING;

/// What this process listens to while it sleeps.
#[derive(Debug)]
pub(super) struct Doorbell {
    #[cfg(target_os = "linux")]
    ear: Option<nix::sys::signalfd::SignalFd>,
}

impl Doorbell {
    /// Listens to rings; also to those that came before.
    pub(super) fn new() -> Doorbell {
        let mut ring = SigSet::empty();
        ring.add(RING);
        // Where it cannot be blocked, nobody must ring: see `can_be_rung`.
        let blocked = ring.thread_block().is_ok();
        #[cfg(target_os = "linux")]
        {
            use nix::sys::signalfd::{SfdFlags, SignalFd};
            let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
            let ear = SignalFd::with_flags(&ring, flags).ok();
            Doorbell {
                ear: ear.filter(|_| blocked),
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = blocked;
            Doorbell {}
        }
    }

    /// Whether a ring wakes this process.
    pub(super) fn can_be_rung(&self) -> bool {
        self.ear().is_some()
    }

    fn ear(&self) -> Option<BorrowedFd<'_>> {
        #[cfg(target_os = "linux")]
        {
            self.ear.as_ref().map(AsFd::as_fd)
        }
        #[cfg(not(target_os = "linux"))]
        {
            None
        }
    }

    /// Sleeps until the bell is rung, one of the files is ready, or the time is over; tells whether
    /// it was rung.
    pub(super) fn sleep(&self, files: &[(BorrowedFd<'_>, PollFlags)], limit: Duration) -> bool {
        let mut about: Vec<PollFd<'_>> = files
            .iter()
            .map(|&(file, events)| PollFd::new(file, events))
            .collect();
        about.extend(self.ear().map(|ear| PollFd::new(ear, PollFlags::POLLIN)));
        sleep_at_most(&mut about, limit);
        let mut was_rung = false;
        #[cfg(target_os = "linux")]
        if let Some(ear) = &self.ear {
            while let Ok(Some(_)) = ear.read_signal() {
                was_rung = true;
            }
        }
        was_rung
    }
}

/// Waits for files; an interrupted sleep is a short one.
#[cfg(target_os = "linux")]
fn sleep_at_most(about: &mut [PollFd<'_>], limit: Duration) {
    let limit = nix::sys::time::TimeSpec::from(limit);
    let _ = nix::poll::ppoll(about, Some(limit), None);
}

#[cfg(not(target_os = "linux"))]
fn sleep_at_most(about: &mut [PollFd<'_>], limit: Duration) {
    use nix::poll::{PollTimeout, poll};
    let millis = PollTimeout::try_from(limit.as_micros().div_ceil(1000) as u64);
    let _ = poll(about, millis.unwrap_or(PollTimeout::MAX));
}

/// Wakes the process of that number.
pub(super) fn ring(process: u32) {
    // One that has ended needs no waking.
    let _ = kill(Pid::from_raw(process as i32), RING);
}

/// How long to sleep where nobody rings: longer and longer, so that who has nothing to do costs
/// next to nothing.
#[derive(Debug)]
pub(super) struct Nap(Duration);

impl Nap {
    const SHORTEST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(1);

    /// Something has just happened.
    pub(super) fn new() -> Nap {
        Nap(Nap::SHORTEST)
    }

    /// The next nap.
    pub(super) fn next(&mut self) -> Duration {
        let nap = self.0;
        self.0 = (nap * 2).min(Nap::LONGEST);
        nap
    }
}

/// Where the sleep of this process ends by itself, should a ring be lost.
pub(super) const LONG_SLEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;
    use std::time::Instant;

    #[test]
    fn a_ring_wakes_a_sleeper_and_one_before_the_sleep_does_too() {
        let bell = Doorbell::new();
        assert!(bell.can_be_rung());
        // To this thread alone: others of this program would be ended by it.
        raise(RING).unwrap();
        let start = Instant::now();
        bell.sleep(&[], Duration::from_secs(20));
        assert!(start.elapsed() < Duration::from_secs(10));
        let start = Instant::now();
        bell.sleep(&[], Duration::from_millis(20));
        assert!(
            start.elapsed() >= Duration::from_millis(20),
            "one ring wakes once"
        );
    }

    #[test]
    fn naps_grow_to_a_limit() {
        let mut nap = Nap::new();
        assert_eq!(nap.next(), Nap::SHORTEST);
        assert_eq!(nap.next(), 2 * Nap::SHORTEST);
        assert_eq!((0..20).map(|_| nap.next()).last(), Some(Nap::LONGEST));
    }
}
