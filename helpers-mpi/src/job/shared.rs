//! What the owner of a job and its supervisor both see.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use helpers::internals::Waker;

use crate::control::{OwnerMessage, RankMessage};
use crate::job::exit::JobExit;
use crate::job::output::OutputMux;

/// What both see, and how each wakes the other.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(crate) outputs: Mutex<OutputMux>,
    pub(super) for_supervisor: Waker,
    pub(super) for_owner: Waker,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The ranks that are up, each with its host.
    pub(crate) hosts: Vec<Option<String>>,
    /// What ranks have said and the owner has not heard.
    pub(crate) from_ranks: VecDeque<(usize, RankMessage)>,
    /// Rank 0's own connection to a pool.
    pub(crate) pool: Option<OwnedFd>,
    /// What the owner wants to be said, to one rank or to all.
    pub(crate) to_ranks: VecDeque<(Option<usize>, OwnerMessage)>,
    /// When the owner will end the job by force.
    pub(crate) deadline: Option<Instant>,
    /// What the launcher has said.
    pub(crate) words: String,
    pub(crate) end: Option<JobExit>,
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
        self.for_owner.wake();
    }
}
