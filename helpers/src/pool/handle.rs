//! The result of a task, before it is there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::PoolError;

/// A task that was submitted to a pool, and the way to its result.
///
/// Dropping a handle lets the task go on; only nobody will hear of its result.
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(2)?;
/// let handle = pool.submit(|x: u64| x * x, 12);
/// assert_eq!(handle.join()?, 144);
/// # Ok::<(), PoolError>(())
/// ```
#[must_use = "a handle is the only way to the task's result"]
pub struct JoinHandle<R> {
    shared: Arc<Shared<R>>,
}

/// The worker's end: where the result goes. Dropped without one, it says so.
pub(crate) struct Completer<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    stage: Stage<R>,
    /// Whom to tell when the task is done, besides the threads that wait for `changed`.
    waker: Option<Waker>,
    watchers: Vec<Box<dyn FnOnce() + Send>>,
}

enum Stage<R> {
    Waiting,
    Running,
    Done { result: Result<R, PoolError> },
    Taken { failed: bool },
}

impl<R> Stage<R> {
    fn is_done(&self) -> bool {
        matches!(self, Stage::Done { .. } | Stage::Taken { .. })
    }
}

/// Makes the two ends of a task that has not started.
pub(crate) fn task<R>() -> (Completer<R>, JoinHandle<R>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            stage: Stage::Waiting,
            waker: None,
            watchers: Vec::new(),
        }),
        changed: Condvar::new(),
    });
    let completer = Completer {
        shared: Arc::clone(&shared),
    };
    (completer, JoinHandle { shared })
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // No user code runs under the lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves to `Done` unless that happened before, and tells everybody.
    fn finish(&self, result: Result<R, PoolError>) {
        let mut state = self.lock();
        if state.stage.is_done() {
            return;
        }
        state.stage = Stage::Done { result };
        let waker = state.waker.take();
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        for tell in watchers {
            tell();
        }
    }

    fn cancel(&self, why: &'static str) -> bool {
        // The stage changes under one lock, so a worker cannot start the task in between.
        let waiting = {
            let mut state = self.lock();
            let waiting = matches!(state.stage, Stage::Waiting);
            if waiting {
                state.stage = Stage::Running;
            }
            waiting
        };
        if waiting {
            self.finish(Err(PoolError::cancelled(why)));
        }
        waiting
    }
}

impl<R> Completer<R> {
    /// Says that a worker begins the task; false if it was cancelled and must not run.
    pub(crate) fn start(&self) -> bool {
        let mut state = self.shared.lock();
        let waiting = matches!(state.stage, Stage::Waiting);
        if waiting {
            state.stage = Stage::Running;
        }
        waiting
    }

    pub(crate) fn finish(self, result: Result<R, PoolError>) {
        self.shared.finish(result);
    }
}

impl<R> Drop for Completer<R> {
    fn drop(&mut self) {
        self.shared
            .finish(Err(PoolError::cancelled("its pool was dropped")));
    }
}

impl<R> JoinHandle<R> {
    /// Waits for the result.
    ///
    /// On a worker of the same pool the wait is spent running other tasks, so a task may wait
    /// for tasks that it submitted itself, even on a pool of one worker.
    ///
    /// # Errors
    /// The task panicked, was cancelled, or its result was taken before.
    pub fn join(self) -> Result<R, PoolError> {
        self.wait_until(None);
        self.take()
    }

    /// Waits for the result, but no longer than `limit`.
    ///
    /// After a time-out the task goes on and the handle stays good: ask again, or cancel.
    ///
    /// # Errors
    /// No result in time, and as for [`join`](JoinHandle::join).
    pub fn join_timeout(&mut self, limit: Duration) -> Result<R, PoolError> {
        // A limit beyond what the clock can count is no limit.
        if self.wait_until(Instant::now().checked_add(limit)) {
            self.take()
        } else {
            Err(PoolError::timeout(limit))
        }
    }

    /// Whether the result is there (or an error, or that it was cancelled).
    pub fn is_finished(&self) -> bool {
        self.shared.lock().stage.is_done()
    }

    /// Whether a worker has begun the task and not finished it.
    pub fn is_running(&self) -> bool {
        matches!(self.shared.lock().stage, Stage::Running)
    }

    /// Takes the task back if no worker has begun it, and tells whether that was so.
    ///
    /// What has begun goes on to its end: a thread cannot be stopped from outside.
    pub fn cancel(&self) -> bool {
        self.shared.cancel("it was cancelled")
    }

    /// Whether the task is done and failed.
    pub(crate) fn has_failed(&self) -> bool {
        match &self.shared.lock().stage {
            Stage::Done { result } => result.is_err(),
            Stage::Taken { failed } => *failed,
            _ => false,
        }
    }

    /// Calls `tell` when the task is done; at once if it already is.
    pub(crate) fn when_done(&self, tell: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        if state.stage.is_done() {
            drop(state);
            tell();
        } else {
            state.watchers.push(Box::new(tell));
        }
    }

    fn take(&self) -> Result<R, PoolError> {
        let mut state = self.shared.lock();
        let failed = match &state.stage {
            Stage::Done { result } => result.is_err(),
            Stage::Taken { failed } => *failed,
            _ => false,
        };
        match std::mem::replace(&mut state.stage, Stage::Taken { failed }) {
            Stage::Done { result } => result,
            _ => Err(PoolError::taken()),
        }
    }

    /// Waits until the task is done; false if `deadline` comes first.
    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        wait_while_helping(deadline, |limit| {
            let state = self.shared.lock();
            let unfinished = |state: &mut State<R>| !state.stage.is_done();
            let changed = &self.shared.changed;
            let state = match limit {
                None => changed
                    .wait_while(state, unfinished)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    changed
                        .wait_timeout_while(state, limit, unfinished)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.stage.is_done().then_some(())
        })
        .is_some()
    }
}

/// How long a worker that waits, and finds no task to help with, sleeps before it looks again.
const NAP: Duration = Duration::from_micros(200);

/// Waits until `poll` gives a value or `deadline` comes; `poll` waits as long as it is told to.
///
/// A worker that waited idly for a task of its own pool would keep that task from running: with
/// all workers waiting, for ever. So a worker runs other tasks of its pool meanwhile.
pub(crate) fn wait_while_helping<T>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(Option<Duration>) -> Option<T>,
) -> Option<T> {
    let left = || deadline.map(|end| end.saturating_duration_since(Instant::now()));
    if rayon::current_thread_index().is_none() {
        return poll(left());
    }
    loop {
        if let Some(value) = poll(Some(Duration::ZERO)) {
            return Some(value);
        }
        if left() == Some(Duration::ZERO) {
            return None;
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            let nap = left().map_or(NAP, |left| left.min(NAP));
            if let Some(value) = poll(Some(nap)) {
                return Some(value);
            }
        }
    }
}

impl<R> Future for JoinHandle<R> {
    type Output = Result<R, PoolError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        if !state.stage.is_done() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(self.take())
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.shared.lock().stage {
            Stage::Waiting => "waiting",
            Stage::Running => "running",
            Stage::Done { .. } => "finished",
            Stage::Taken { .. } => "joined",
        };
        write!(f, "JoinHandle({stage})")
    }
}
