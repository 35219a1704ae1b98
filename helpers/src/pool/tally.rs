//! What was submitted to a pool and is not done yet, and what has failed unheard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::PoolError;
use super::waits::{Awaited, Place};
use crate::notebook::interrupts::Interrupts;

/// More failures than this are not kept for who asks: the first one is told.
const MOST_KEPT: usize = 100;

/// Counts the tasks of a pool that are not done, for [`wait_all`](crate::Pool::wait_all).
#[derive(Debug, Default)]
pub(crate) struct Tally {
    open: AtomicUsize,
    /// How many wait here until none is open.
    waiting: AtomicUsize,
    /// Failures whose results nobody has asked for, each with what its task is known by.
    unheard: Mutex<Vec<(usize, PoolError)>>,
    changed: Condvar,
    /// Where tasks run that others took up, who wait for them.
    hosts: Mutex<Vec<Place>>,
}

/// A task on the thread of somebody who waits for it, until it is dropped.
pub(super) struct Guest<'t>(&'t Tally, Place);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.hosts().retain(|&place| place != self.1);
    }
}

impl Awaited for Tally {
    fn places(&self) -> Vec<Place> {
        self.hosts().clone()
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Vec<(usize, PoolError)>> {
        // Nothing but moves happens under the lock.
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Place>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits for a task begins it at this place, if it has not begun.
    pub(super) fn host(&self, place: Place) -> Guest<'_> {
        self.hosts().push(place);
        Guest(self, place)
    }

    /// A task was submitted.
    pub(super) fn begin(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// A task is done.
    pub(super) fn end(&self) {
        // Whoever waits counts itself before it looks, so one of the two sees the other.
        if self.open.fetch_sub(1, Ordering::SeqCst) == 1 && self.waiting.load(Ordering::SeqCst) > 0
        {
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    /// A task will end with this error; `key` is its own until somebody has heard.
    pub(super) fn failed(&self, key: usize, error: &PoolError) {
        let mut unheard = self.lock();
        if !error.is_cancelled() && unheard.len() < MOST_KEPT {
            unheard.push((key, error.clone()));
        }
    }

    /// Somebody has got the error of the task.
    pub(super) fn heard(&self, key: usize) {
        let mut unheard = self.lock();
        // An earlier one of the same key is a task that is gone.
        if let Some(at) = unheard.iter().rposition(|(known, _)| *known == key) {
            unheard.remove(at);
        }
    }

    /// How many tasks are not done.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until no task is open; an interrupt and the deadline end it as well.
    pub(crate) fn wait(&self, deadline: Option<Instant>, interrupts: Interrupts) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut unheard = self.lock();
        while self.open() > 0 && !interrupts.came() {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            unheard = match interrupts.slice_of(left) {
                None => self
                    .changed
                    .wait(unheard)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.changed
                        .wait_timeout(unheard, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        drop(unheard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// What a wait for all tasks has come to, with the limit that it had. Failures are told once.
    pub(crate) fn verdict(&self, limit: Option<Duration>) -> Result<(), PoolError> {
        if let (Some(limit), open @ 1..) = (limit, self.open()) {
            let are = if open == 1 { "task was" } else { "tasks were" };
            let state = format!("{open} {are} not done; what runs goes on, and you can wait again");
            return Err(PoolError::deadline(limit, state));
        }
        match self.lock().drain(..).next() {
            Some((_, first)) => Err(first),
            None => Ok(()),
        }
    }
}
