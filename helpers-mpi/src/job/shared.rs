//! What the owner of a job and the thread that attends to it both see.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::end::End;
use crate::error::MpiError;
use crate::link::{Order, Report};
use crate::output::OutputMux;

/// What the owner and the thread that attends to the job both see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(crate) outputs: Mutex<OutputMux>,
    /// Wakes the thread.
    pub(super) wake: PipeWriter,
    /// Wakes the owner.
    pub(super) ring: PipeWriter,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The ranks that are up, each with its host.
    pub(crate) hosts: Vec<Option<String>>,
    /// What ranks have said and the owner has not heard.
    pub(crate) reports: VecDeque<(usize, Report)>,
    /// Rank 0's own connection to a pool.
    pub(crate) pool: Option<OwnedFd>,
    /// What the owner wants to be said, to one rank or to all.
    pub(crate) orders: VecDeque<(Option<usize>, Order)>,
    /// When the owner will end the job by force.
    pub(crate) deadline: Option<Instant>,
    /// What the launcher has said.
    pub(crate) words: String,
    pub(crate) end: Option<End>,
    /// Whether nothing is left of it.
    pub(crate) is_over: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing but moves happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outputs(&self) -> MutexGuard<'_, OutputMux> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the owner that there is news.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
        // A full pipe rings as well.
        let _ = (&self.ring).write(&[1]);
    }

    pub(super) fn wake(&self) {
        let _ = (&self.wake).write(&[1]);
    }
}

/// A pipe that neither end waits for.
pub(super) fn pipe() -> Result<(PipeReader, PipeWriter), MpiError> {
    let make = || -> io::Result<_> {
        let (reader, writer) = io::pipe()?;
        set_nonblocking(&reader)?;
        set_nonblocking(&writer)?;
        Ok((reader, writer))
    };
    make().map_err(MpiError::start)
}

pub(crate) fn set_nonblocking(file: &impl AsFd) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
