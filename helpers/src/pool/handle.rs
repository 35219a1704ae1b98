//! The result of a task, before it is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use std::{fmt, mem};

use super::PoolError;
use crate::notebook;

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

/// The pool's end: runs the task, unless somebody else did.
///
/// Dropped without running, it says that the pool is gone.
pub(crate) struct Runner<R> {
    shared: Arc<Shared<R>>,
}

/// What the task does. It catches its own panics.
type Job<R> = Box<dyn FnOnce() -> Result<R, PoolError> + Send>;

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    stage: Stage<R>,
    /// Whom to tell when the task is done, besides the threads that wait for `changed`.
    waker: Option<Waker>,
    watchers: Vec<Watcher>,
}

struct Watcher {
    /// Gone when nobody listens any more.
    listener: Weak<()>,
    tell: Box<dyn FnOnce() + Send>,
}

enum Stage<R> {
    Waiting { job: Job<R> },
    Running { on: ThreadId },
    Done { result: Result<R, PoolError> },
    Taken { failed: bool },
}

impl<R> Stage<R> {
    fn is_done(&self) -> bool {
        matches!(self, Stage::Done { .. } | Stage::Taken { .. })
    }

    fn has_failed(&self) -> bool {
        match self {
            Stage::Done { result } => result.is_err(),
            Stage::Taken { failed } => *failed,
            Stage::Waiting { .. } | Stage::Running { .. } => false,
        }
    }
}

/// Makes the two ends of a task.
pub(crate) fn task<R>(
    job: impl FnOnce() -> Result<R, PoolError> + Send + 'static,
) -> (Runner<R>, JoinHandle<R>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            stage: Stage::Waiting { job: Box::new(job) },
            waker: None,
            watchers: Vec::new(),
        }),
        changed: Condvar::new(),
    });
    let runner = Runner {
        shared: Arc::clone(&shared),
    };
    (runner, JoinHandle { shared })
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // No user code runs under the lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the job, if nobody has begun it, to run it on this thread.
    fn begin(&self) -> Option<Job<R>> {
        let mut state = self.lock();
        let running = Stage::Running {
            on: thread::current().id(),
        };
        match mem::replace(&mut state.stage, running) {
            Stage::Waiting { job } => Some(job),
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// Runs the task on this thread, if nobody has begun it; tells whether it did.
    fn run(&self) -> bool {
        let Some(job) = self.begin() else {
            return false;
        };
        self.finish(notebook::without_source(job));
        true
    }

    /// Takes the task back, if nobody has begun it; tells whether it did.
    fn cancel(&self, why: &'static str) -> bool {
        let Some(job) = self.begin() else {
            return false;
        };
        self.finish(Err(PoolError::cancelled(why)));
        drop(job);
        true
    }

    /// Moves on to `Done`, and tells everybody.
    fn finish(&self, result: Result<R, PoolError>) {
        let mut state = self.lock();
        state.stage = Stage::Done { result };
        let waker = state.waker.take();
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        for watcher in watchers {
            (watcher.tell)();
        }
    }
}

impl<R> Runner<R> {
    pub(crate) fn run(self) {
        self.shared.run();
    }
}

impl<R> Drop for Runner<R> {
    fn drop(&mut self) {
        self.shared.cancel("its pool was dropped");
    }
}

impl<R> JoinHandle<R> {
    /// Waits for the result.
    ///
    /// A task may wait for tasks that it submitted to its own pool, even to a pool of one worker:
    /// a worker that waits for a task which nobody has begun runs that task itself.
    ///
    /// # Errors
    /// The task panicked, was cancelled, or its result was taken before. Also if the wait could
    /// never end, because the awaited task was interrupted by the one that waits: this happens
    /// only to tasks that call `map` or rayon's functions on their own pool, which may run other
    /// tasks of the pool while they wait.
    pub fn join(self) -> Result<R, PoolError> {
        if is_worker() && !self.shared.run() && self.is_below() {
            return Err(PoolError::deadlock());
        }
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
        matches!(self.shared.lock().stage, Stage::Running { .. })
    }

    /// Takes the task back if no worker has begun it, and tells whether that was so.
    ///
    /// What has begun goes on to its end: a thread cannot be stopped from outside.
    pub fn cancel(&self) -> bool {
        self.shared.cancel("it was cancelled")
    }

    /// Whether the task is done and failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.lock().stage.has_failed()
    }

    /// Runs the task on this worker, if nobody has begun it; tells whether it did.
    pub(crate) fn run_here(&self) -> bool {
        self.shared.run()
    }

    /// Calls `tell` when the task is done, or at once if it already is; not if `listener` is gone.
    pub(crate) fn when_done(&self, listener: &Arc<()>, tell: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        if state.stage.is_done() {
            drop(state);
            tell();
        } else {
            // Or those who ask again and again would pile up.
            state.watchers.retain(|w| w.listener.strong_count() > 0);
            state.watchers.push(Watcher {
                listener: Arc::downgrade(listener),
                tell: Box::new(tell),
            });
        }
    }

    /// Whether the task runs on this very thread, below the one that asks.
    fn is_below(&self) -> bool {
        let me = thread::current().id();
        matches!(self.shared.lock().stage, Stage::Running { on } if on == me)
    }

    fn take(&self) -> Result<R, PoolError> {
        let mut state = self.shared.lock();
        let failed = state.stage.has_failed();
        match mem::replace(&mut state.stage, Stage::Taken { failed }) {
            Stage::Done { result } => result,
            _ => Err(PoolError::taken()),
        }
    }

    /// Waits until the task is done; false if `deadline` comes first.
    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.shared.lock();
        while !state.stage.is_done() {
            state = match deadline.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self
                    .shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.shared
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }
}

/// Whether this thread is a worker of a pool.
pub(crate) fn is_worker() -> bool {
    rayon::current_thread_index().is_some()
}

impl<R> Future for JoinHandle<R> {
    type Output = Result<R, PoolError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if is_worker() {
            self.shared.run();
        }
        // Cloned and dropped outside the lock: a waker is somebody else's code.
        let waker = context.waker().clone();
        let mut state = self.shared.lock();
        if !state.stage.is_done() {
            let former = state.waker.replace(waker);
            drop(state);
            drop(former);
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(self.take())
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.shared.lock().stage {
            Stage::Waiting { .. } => "waiting",
            Stage::Running { .. } => "running",
            Stage::Done { .. } => "finished",
            Stage::Taken { .. } => "joined",
        };
        write!(f, "JoinHandle({stage})")
    }
}
