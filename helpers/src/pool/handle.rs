//! The result of a task, before it is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{fmt, mem};

use super::PoolError;
use super::tally::Tally;
use super::waits::{self, Awaited, Begun, Place};
use super::witness;
use crate::notebook;
use crate::notebook::interrupts::Interrupts;

/// How long tasks that nobody wants any more may go on, so that short ones need not cost their
/// workers' lives.
pub(crate) const TIME_TO_FINISH: Duration = Duration::from_millis(100);

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
    shared: Arc<SharedState>,
    slot: Slot<R>,
}

/// The pool's end: runs the task, unless somebody else did.
///
/// Dropped without running, it says that the pool is gone.
pub(crate) struct Runner {
    shared: Arc<SharedState>,
}

/// What the task does. It catches its own panics, and puts its result into the slot.
pub(crate) type Job = Box<dyn FnOnce() -> Result<(), PoolError> + Send>;

/// The end of a task that runs in another process: hears how it ends.
pub(crate) struct Completer {
    shared: Arc<SharedState>,
}

/// Where the result lies until somebody takes it.
///
/// Apart from the task's state, so that only this depends on the result's type: the less there
/// is to compile again for each type, the sooner a notebook's cell runs.
pub(crate) struct Slot<R>(Arc<Mutex<Option<R>>>);

impl<R> Slot<R> {
    fn new() -> Slot<R> {
        Slot(Arc::new(Mutex::new(None)))
    }

    fn share(&self) -> Slot<R> {
        Slot(Arc::clone(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, Option<R>> {
        // A value is only moved under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, value: R) {
        *self.lock() = Some(value);
    }
}

/// A pool whose results come from elsewhere, and only if somebody takes them in.
pub(crate) trait Remote: Send + Sync {
    /// Takes in results until `done`; false if `deadline` comes first, or if there is none and
    /// the wait could never end.
    fn drive(&self, done: &dyn Fn() -> bool, deadline: Option<Instant>) -> bool;

    /// Takes in what is there.
    fn look(&self);

    /// Sees to it that results are taken in though nobody waits.
    fn attend(&self);

    /// Takes back the tasks that were sent out and have not begun.
    fn recall(&self);

    /// Sees to it that those which were taken back go on.
    fn nudge(&self);

    /// Ends the tasks that nobody wants any more, those that run as well unless they end by
    /// themselves soon.
    fn stop(&self);

    /// Where results are being handed over: none comes before these are through.
    fn places(&self) -> Vec<Place>;
}

/// A task that is made of others, or of much that its pool does: a map that is a handle.
pub(crate) trait Whole: Send + Sync {
    /// The tasks that it is made of.
    fn parts(&self) -> &[Arc<SharedState>] {
        &[]
    }

    /// Sees to it that nothing further begins.
    fn stop(&self);
}

/// How far a task is, and who wants to know.
pub(crate) struct SharedState {
    state: Mutex<State>,
    changed: Condvar,
    /// Of the pool.
    tally: Arc<Tally>,
}

struct State {
    stage: Stage,
    /// Where the task is, if it is elsewhere and not done: what is done holds no pool.
    remote: Option<Arc<dyn Remote>>,
    /// What the task is made of, if it is more than one and not done.
    whole: Option<Arc<dyn Whole>>,
    /// Nobody will ask for the result.
    is_unwanted: bool,
    /// Whom to tell when the task is done, besides the threads that wait for `changed`.
    waker: Option<Waker>,
    watchers: Vec<Watcher>,
}

struct Watcher {
    /// Gone when nobody listens any more.
    listener: Weak<()>,
    tell: Box<dyn FnOnce() + Send>,
}

enum Stage {
    /// Without a job here, the task will run in another process.
    Waiting {
        job: Option<Job>,
    },
    Running {
        on: Option<Place>,
    },
    /// If all went well, the result is in the slot.
    Done {
        end: Result<(), PoolError>,
    },
    Taken {
        failure: Option<PoolError>,
    },
}

impl Stage {
    fn is_done(&self) -> bool {
        matches!(self, Stage::Done { .. } | Stage::Taken { .. })
    }

    fn has_failed(&self) -> bool {
        self.failure().is_some_and(|error| !error.is_cancelled())
    }

    /// Why there is no result, if that is so.
    fn failure(&self) -> Option<&PoolError> {
        match self {
            Stage::Done { end } => end.as_ref().err(),
            Stage::Taken { failure } => failure.as_ref(),
            Stage::Waiting { .. } | Stage::Running { .. } => None,
        }
    }
}

/// Makes the two ends of a task; `job` is told where to put the result.
pub(crate) fn task<R>(
    tally: &Arc<Tally>,
    job: impl FnOnce(Slot<R>) -> Job,
) -> (Runner, JoinHandle<R>) {
    let slot = Slot::new();
    let shared = SharedState::new(Some(job(slot.share())), None, None, tally);
    let runner = Runner {
        shared: Arc::clone(&shared),
    };
    (runner, JoinHandle { shared, slot })
}

/// Makes the two ends of a task that runs in another process, and the place for its result.
pub(crate) fn remote_task<R>(
    remote: Arc<dyn Remote>,
    tally: &Arc<Tally>,
) -> (Completer, Slot<R>, JoinHandle<R>) {
    ends_of(SharedState::new(None, Some(remote), None, tally))
}

/// The same for a task that is more than one.
pub(crate) fn remote_whole<R>(
    remote: Arc<dyn Remote>,
    whole: Arc<dyn Whole>,
    tally: &Arc<Tally>,
) -> (Completer, Slot<R>, JoinHandle<R>) {
    ends_of(SharedState::new(None, Some(remote), Some(whole), tally))
}

/// Makes the two ends of a task that is made of others, and the place for its result.
pub(crate) fn whole_task<R>(
    whole: Arc<dyn Whole>,
    tally: &Arc<Tally>,
) -> (Completer, Slot<R>, JoinHandle<R>) {
    ends_of(SharedState::new(None, None, Some(whole), tally))
}

/// A task that was over before it was one.
pub(crate) fn failed_task<R>(error: PoolError, tally: &Arc<Tally>) -> JoinHandle<R> {
    let (completer, _, handle) = ends_of(SharedState::new(None, None, None, tally));
    completer.finish(Err(error));
    handle
}

/// A task that is done, with this result.
pub(crate) fn done_task<R>(result: R, tally: &Arc<Tally>) -> JoinHandle<R> {
    let (completer, slot, handle) = ends_of(SharedState::new(None, None, None, tally));
    slot.put(result);
    completer.finish(Ok(()));
    handle
}

fn ends_of<R>(shared: Arc<SharedState>) -> (Completer, Slot<R>, JoinHandle<R>) {
    let slot = Slot::new();
    let completer = Completer {
        shared: Arc::clone(&shared),
    };
    (completer, slot.share(), JoinHandle { shared, slot })
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let stage = match (&state.stage, state.stage.failure()) {
            (_, Some(error)) if error.is_cancelled() => "cancelled",
            (_, Some(error)) => return write!(f, "failed: {error}"),
            (Stage::Waiting { .. }, _) => "waiting",
            (Stage::Running { .. }, _) => "running",
            (Stage::Done { .. }, _) => "finished",
            (Stage::Taken { .. }, _) => "joined",
        };
        f.write_str(stage)
    }
}

impl SharedState {
    fn new(
        job: Option<Job>,
        remote: Option<Arc<dyn Remote>>,
        whole: Option<Arc<dyn Whole>>,
        tally: &Arc<Tally>,
    ) -> Arc<SharedState> {
        tally.begin();
        Arc::new(SharedState {
            state: Mutex::new(State {
                stage: Stage::Waiting { job },
                remote,
                whole,
                is_unwanted: false,
                waker: None,
                watchers: Vec::new(),
            }),
            changed: Condvar::new(),
            tally: Arc::clone(tally),
        })
    }

    fn whole(&self) -> Option<Arc<dyn Whole>> {
        self.lock().whole.clone()
    }

    /// The tasks that it is made of; none if it is done.
    fn parts(&self) -> Vec<Arc<SharedState>> {
        self.whole()
            .map_or(Vec::new(), |whole| whole.parts().to_vec())
    }

    /// What the tally knows the task by.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the job, if nobody has begun it, to run it at this place.
    fn begin(&self, at: Place) -> Option<Job> {
        let mut state = self.lock();
        let running = Stage::Running { on: Some(at) };
        match mem::replace(&mut state.stage, running) {
            Stage::Waiting { job: Some(job) } => Some(job),
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// Runs the task on this thread, who waits for it, if nobody has begun it, and what of its
    /// parts nobody has begun; tells whether it did.
    pub(super) fn run(&self) -> bool {
        if let Some(whole) = self.whole() {
            // All of them: nobody else may be there for the others.
            let parts = whole.parts().iter();
            return parts.filter(|part| !self.is_done() && part.run()).count() > 0;
        }
        let begun = Begun::new();
        let _guest = self.tally.host(begun.place());
        self.run_at(begun.place())
    }

    /// Runs the task at this place, if nobody has begun it; tells whether it did.
    fn run_at(&self, place: Place) -> bool {
        let Some(job) = self.begin(place) else {
            return false;
        };
        self.finish(notebook::without_source(job));
        true
    }

    /// Takes the task back, if nobody has begun it; tells whether it did.
    fn cancel(&self, why: &'static str) -> bool {
        let mut state = self.lock();
        let running = Stage::Running { on: None };
        match mem::replace(&mut state.stage, running) {
            Stage::Waiting { job } => {
                drop(state);
                self.finish(Err(PoolError::cancelled(why)));
                drop(job);
                true
            }
            other => {
                state.stage = other;
                false
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.lock().stage.is_done()
    }

    fn remote(&self) -> Option<Arc<dyn Remote>> {
        self.lock().remote.clone()
    }

    /// Sees to it that the end of the task is noticed though nobody waits.
    fn attend(&self) {
        if let Some(remote) = self.remote() {
            remote.attend();
        }
    }

    /// Moves on to `Done`, and tells everybody; false if it was there.
    fn finish(&self, end: Result<(), PoolError>) -> bool {
        let mut state = self.lock();
        if state.stage.is_done() {
            return false;
        }
        if let Err(error) = &end {
            self.tally.failed(self.key(), error);
        }
        state.stage = Stage::Done { end };
        let remote = state.remote.take();
        let whole = state.whole.take();
        let waker = state.waker.take();
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        // Whoever waits for a task elsewhere takes results in, and does not wait here.
        if remote.is_none() {
            self.changed.notify_all();
        }
        drop((remote, whole));
        if let Some(waker) = waker {
            waker.wake();
        }
        for watcher in watchers {
            (watcher.tell)();
        }
        self.tally.end();
        true
    }
}

impl Runner {
    pub(crate) fn run(self) {
        let begun = Begun::new();
        self.shared.run_at(begun.place());
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.shared.cancel("its pool was dropped");
    }
}

impl Completer {
    /// The task is about to be sent; `false` if it was cancelled.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.shared.lock();
        if let Stage::Waiting { .. } = state.stage {
            state.stage = Stage::Running { on: None };
        }
        !state.stage.is_done()
    }

    /// The task was sent, but not begun, and will be sent again.
    pub(crate) fn recalled(&self) {
        let mut state = self.shared.lock();
        if let Stage::Running { on: None } = state.stage {
            state.stage = Stage::Waiting { job: None };
        }
    }

    /// Whether somebody may ask for the result.
    pub(crate) fn is_wanted(&self) -> bool {
        self.shared.is_wanted()
    }

    /// The task is done; if all went well, its result is in the slot. False if it was done before.
    pub(crate) fn finish(&self, end: Result<(), PoolError>) -> bool {
        self.shared.finish(end)
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
    /// never end, because the awaited task waits for the one that waits, be it by way of others.
    /// One task of such a circle is told, and the others go on.
    pub fn join(self) -> Result<R, PoolError> {
        witness::waits();
        self.shared.wait_to_join()?;
        self.take()
    }

    /// Waits for the result, but no longer than `limit`.
    ///
    /// After a time-out the task goes on and the handle stays good: ask again, or cancel.
    ///
    /// # Errors
    /// No result in time, and as for [`join`](JoinHandle::join).
    pub fn join_timeout(&mut self, limit: Duration) -> Result<R, PoolError> {
        let interrupts = Interrupts::here();
        // A limit beyond what the clock can count is no limit.
        let deadline = Instant::now().checked_add(limit);
        let is_done = self.shared.wait_until(deadline, interrupts);
        interrupts.check();
        if is_done {
            self.take()
        } else {
            Err(PoolError::timeout(limit))
        }
    }

    /// Whether the result is there (or an error, or that it was cancelled).
    pub fn is_finished(&self) -> bool {
        self.shared.is_finished()
    }

    /// Whether a worker has begun the task and not finished it; on worker processes, whether the
    /// task was sent to one.
    pub fn is_running(&self) -> bool {
        matches!(self.shared.lock().stage, Stage::Running { .. })
    }

    /// Whether the task ended because nobody wanted it any more: it was cancelled, or its pool was
    /// dropped. What Python calls `cancelled()`.
    pub fn is_cancelled(&self) -> bool {
        self.error().is_some_and(|error| error.is_cancelled())
    }

    /// Why the task has no result, without taking anything: `None` if all went well, or as long as
    /// it is not finished. What Python calls `exception()`, but that waits.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(1)?;
    /// let handle = pool.submit(|x: u64| 10 / x, 0);
    /// pool.wait_all().unwrap_err();
    /// assert!(handle.error().is_some_and(|error| error.is_panic()));
    /// println!("{handle:?}"); // JoinHandle(failed: the task panicked in worker 0: …)
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn error(&self) -> Option<PoolError> {
        self.shared.is_finished();
        let state = self.shared.lock();
        state.stage.failure().cloned()
    }

    /// Takes the task back if no worker has begun it, and tells whether that was so.
    ///
    /// Of a map that is a handle (`map_async`), it ends the whole call unless that is finished:
    /// items that have not begun are not begun. On processes those that run are stopped.
    ///
    /// What has begun goes on to its end: a thread cannot be stopped from outside. A process can:
    /// a [`ProcessPool`](crate::ProcessPool) ends tasks that take longer than its
    /// [`time_limit`](crate::ProcessPool::time_limit), and all when it is dropped.
    pub fn cancel(&self) -> bool {
        self.shared.cancel_anywhere()
    }

    /// How far the task is.
    pub(super) fn shared(&self) -> &Arc<SharedState> {
        &self.shared
    }

    fn take(&self) -> Result<R, PoolError> {
        self.shared
            .take()
            .inspect_err(|_| notebook::wait_for_reports())?;
        self.slot.lock().take().ok_or_else(PoolError::taken)
    }

    /// Waits until `deadline` for a call that nobody wants any longer; `late` says what is told then.
    pub(crate) fn join_by(
        self,
        deadline: Option<Instant>,
        late: impl FnOnce() -> PoolError,
    ) -> Result<R, PoolError> {
        if deadline.is_none() {
            return self.join();
        }
        if !self.wait_by(deadline) {
            let late = late();
            if self.shared.cancel_anywhere() {
                return Err(late);
            }
        }
        self.take()
    }

    /// Waits until `deadline`, and tells whether the task is done.
    ///
    /// # Panics
    /// On an interrupt, when the task is cancelled.
    pub(super) fn wait_by(&self, deadline: Option<Instant>) -> bool {
        if waits::is_worker() {
            self.shared.run();
        }
        let interrupts = Interrupts::here();
        let is_done = self.shared.wait_until(deadline, interrupts);
        if interrupts.came() {
            self.shared.cancel_anywhere();
            interrupts.check();
        }
        is_done
    }
}

impl SharedState {
    /// Waits as `join` does.
    fn wait_to_join(self: &Arc<Self>) -> Result<(), PoolError> {
        if waits::is_worker() {
            self.run();
        }
        let interrupts = Interrupts::here();
        let has_ended = self.wait_until(None, interrupts);
        if interrupts.came() {
            // The handle goes, so nobody will want the result.
            self.cancel_anywhere();
            interrupts.check();
        }
        has_ended.then_some(()).ok_or_else(PoolError::deadlock)
    }

    pub(super) fn is_finished(&self) -> bool {
        if let Some(remote) = self.remote() {
            remote.look();
        }
        self.is_done()
    }

    /// Takes the task back, here or from the process that has not begun it.
    pub(super) fn cancel_anywhere(&self) -> bool {
        let why = "it was cancelled";
        if let Some(whole) = self.whole() {
            let cancelled = self.finish(Err(PoolError::stopped(why)));
            whole.stop();
            return cancelled;
        }
        let Some(remote) = self.remote() else {
            return self.cancel(why);
        };
        // It may have been sent to a worker who is at something else. While it is taken back it
        // may be sent again, but hardly twice.
        let cancelled = (0..3).any(|_| {
            remote.recall();
            self.cancel(why)
        });
        remote.nudge();
        cancelled
    }

    /// Whether the task is done and failed. One that was cancelled did not.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().stage.has_failed()
    }

    /// Whether somebody may ask for the result of what is still done for it.
    fn is_wanted(&self) -> bool {
        let state = self.lock();
        !state.is_unwanted && !state.stage.is_done()
    }

    /// Ends a task of this process that nobody wants, unless it has begun.
    fn give_up(&self, why: &'static str) {
        match self.whole() {
            Some(whole) => {
                self.finish(Err(PoolError::cancelled(why)));
                whole.stop();
            }
            None => drop(self.cancel(why)),
        }
    }

    /// Calls `tell` when the task is done, or at once if it already is; not if `listener` is gone.
    pub(super) fn when_done(&self, listener: &Arc<()>, tell: Box<dyn FnOnce() + Send>) {
        let mut state = self.lock();
        if state.stage.is_done() {
            drop(state);
            tell();
        } else {
            // Or those who ask again and again would pile up.
            state.watchers.retain(|w| w.listener.strong_count() > 0);
            state.watchers.push(Watcher {
                listener: Arc::downgrade(listener),
                tell,
            });
            drop(state);
            self.attend();
        }
    }

    /// Whether the task can never end as long as this thread is at what it is at.
    fn is_below(&self) -> bool {
        let me = waits::thread();
        matches!(self.lock().stage, Stage::Running { on: Some(at) } if at.is_on(me))
            || self.parts().iter().any(|part| part.is_below())
    }

    /// Hands the end of the task out, once.
    pub(super) fn take(&self) -> Result<(), PoolError> {
        let mut state = self.lock();
        let failure = state.stage.failure().cloned();
        if failure.is_some() {
            self.tally.heard(self.key());
        }
        match mem::replace(&mut state.stage, Stage::Taken { failure }) {
            Stage::Done { end } => end,
            _ => Err(PoolError::taken()),
        }
    }

    /// Waits until the task is done; false if `deadline` comes first, or would never come: without
    /// one, if the wait could never end. An interrupt ends it as well.
    fn wait_until(self: &Arc<Self>, deadline: Option<Instant>, interrupts: Interrupts) -> bool {
        if let Some(remote) = self.remote() {
            return remote.drive(&|| self.is_done() || interrupts.came(), deadline);
        }
        if self.is_done() {
            return true;
        }
        let waiting = match deadline {
            Some(_) => None,
            None => Some(waits::wait_for(|| vec![Arc::clone(self) as _])),
        };
        if let Some(None) = waiting {
            return false;
        }
        let mut state = self.lock();
        while !state.stage.is_done() && !interrupts.came() {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            state = match interrupts.slice_of(left) {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        true
    }

    /// As a future: whether the task is done. If not, the waker will be told.
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if waits::is_worker() {
            self.run();
        }
        // Cloned and dropped outside the lock: a waker is somebody else's code.
        let waker = context.waker().clone();
        let mut state = self.lock();
        if state.stage.is_done() {
            return Poll::Ready(());
        }
        let former = state.waker.replace(waker);
        drop(state);
        drop(former);
        self.attend();
        Poll::Pending
    }
}

/// Gives up tasks whose handles go, since nobody will ask for their results: those that have not
/// begun never will, and those that run elsewhere are stopped, unless they end by themselves soon.
pub(super) fn abandon<'s>(tasks: impl Iterator<Item = &'s Arc<SharedState>>) {
    let left: Vec<&Arc<SharedState>> = tasks.filter(|task| !task.is_done()).collect();
    for task in &left {
        task.lock().is_unwanted = true;
    }
    let mut remotes: Vec<Arc<dyn Remote>> = Vec::new();
    for task in left {
        match task.remote() {
            None => task.give_up("nobody waits for it"),
            // All of one pool at once.
            Some(remote) if remotes.iter().any(|other| Arc::ptr_eq(other, &remote)) => {}
            Some(remote) => remotes.push(remote),
        }
    }
    for remote in remotes {
        remote.stop();
    }
}

impl Awaited for SharedState {
    fn places(&self) -> Vec<Place> {
        let state = self.lock();
        match (&state.stage, state.remote.clone()) {
            (_, Some(remote)) => {
                // Its pool has locks of its own, under which it asks for this one.
                drop(state);
                remote.places()
            }
            (Stage::Running { on: Some(place) }, None) => vec![*place],
            (Stage::Done { .. } | Stage::Taken { .. }, None) => Vec::new(),
            _ => {
                drop(state);
                let parts = self.parts();
                parts.iter().flat_map(|part| part.places()).collect()
            }
        }
    }
}

impl<R> Future for JoinHandle<R> {
    type Output = Result<R, PoolError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.shared.is_below() {
            return Poll::Ready(Err(PoolError::deadlock()));
        }
        self.shared.poll(context).map(|()| self.take())
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.is_finished();
        write!(f, "JoinHandle({:?})", self.shared)
    }
}
