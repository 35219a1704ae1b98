//! Who does what, and when: hands tasks to workers as they become free, and takes in results.
//!
//! There is no thread that must be woken for each result. Whoever waits for one does the work
//! meanwhile: receives, hands out, notices deaths. It is the *leader*; others who wait are told
//! when something has changed. Where tasks are under way and nobody waits, a thread in the
//! background leads. So a result wakes the one who wants it, and nobody else.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::code_ref;
use super::printer;
use super::scheduler::Scheduler;
use super::shared_value::Values;
use super::shm_buffer;
use super::task::{Completed, Task};
use super::transport::LIVENESS;
use super::waker::Waker;
use super::worker::Entry;
use crate::notebook::interrupts::Interrupts;
use crate::pool::PoolError;
use crate::pool::handle::{Remote, TIME_TO_FINISH};
use crate::pool::tally::Tally;
use crate::pool::waits::{self, Awaited, Begun, Place};

/// How long tasks go unattended before the background thread leads.
const GRACE: Duration = Duration::from_millis(2);
/// How long after its last use the background thread looks after a pool by itself.
const AFTERGLOW: Duration = Duration::from_millis(100);
/// How long a result waits for what its task has printed: somebody may hold the output's lock.
const TIME_TO_PRINT: Duration = Duration::from_millis(100);
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leader {
    Nobody,
    Caller,
    Background,
}

pub(crate) struct Engine {
    workers: usize,
    state: Mutex<State>,
    /// Tells those who wait while another one leads.
    changed: Condvar,
    /// Tells the background thread that it is needed.
    needed: Condvar,
    /// Calls the leader out of its sleep.
    waker: Arc<Waker>,
    delivery: Arc<Delivery>,
    tally: Arc<Tally>,
}

/// Where results are being handed over, which may call what users have written.
#[derive(Debug, Default)]
pub(crate) struct Delivery(Mutex<Vec<Place>>);

impl Delivery {
    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When all are handed over: whoever does that may be the one that leads.
impl Awaited for Delivery {
    fn places(&self) -> Vec<Place> {
        self.lock().clone()
    }
}

struct State {
    scheduler: Scheduler,
    number_of_entry: HashMap<usize, u32>,
    leader: Leader,
    /// How many wait while another one leads.
    followers: usize,
    /// Rises whenever results were handed over.
    deliveries: u64,
    /// Somebody wants to hear of results without waiting for them.
    attended: bool,
    background_sleeps: bool,
    last_led: Instant,
    /// When somebody has last looked at everything.
    last_look: Instant,
    closed: bool,
}

impl State {
    /// Whether the background thread should lead at once, not only after a while.
    fn needs_background(&self) -> bool {
        self.attended && self.scheduler.is_busy() && self.followers == 0
    }
}

impl Engine {
    /// Starts the workers and waits until all are ready.
    pub(crate) fn start(
        workers: usize,
        scheduler: impl FnOnce(Arc<Waker>) -> Result<Scheduler, PoolError>,
    ) -> Result<Arc<Engine>, PoolError> {
        let waker = Waker::new()
            .map(Arc::new)
            .map_err(|cause| PoolError::start(1, workers, cause.to_string()))?;
        let engine = Arc::new(Engine {
            workers,
            state: Mutex::new(State {
                scheduler: scheduler(Arc::clone(&waker))?,
                number_of_entry: HashMap::new(),
                leader: Leader::Nobody,
                followers: 0,
                deliveries: 0,
                attended: false,
                background_sleeps: false,
                last_led: Instant::now(),
                last_look: Instant::now(),
                closed: false,
            }),
            changed: Condvar::new(),
            needed: Condvar::new(),
            waker,
            delivery: Arc::default(),
            tally: Arc::default(),
        });
        let interrupts = Interrupts::here();
        engine.drive(
            &|| interrupts.came() || engine.lock().scheduler.is_up(),
            None,
        );
        if interrupts.came() {
            engine.close();
            interrupts.check();
        }
        let broken = engine.lock().scheduler.broken().cloned();
        match broken {
            Some(error) => {
                engine.close();
                Err(error)
            }
            None => Ok(engine),
        }
    }

    /// Runs the background thread's work; returns when the pool is closed.
    pub(crate) fn attend_in_background(&self) {
        let mut state = self.lock();
        while !state.closed {
            let unattended = state.last_led.elapsed() >= GRACE && state.scheduler.is_busy();
            if state.leader == Leader::Nobody
                && state.followers == 0
                && (unattended || state.needs_background())
            {
                state.leader = Leader::Background;
                drop(state);
                self.lead(&|| false, None, Leader::Background);
                state = self.lock();
            } else if state.scheduler.is_busy() || state.last_led.elapsed() < AFTERGLOW {
                let waited = self.needed.wait_timeout(state, GRACE);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                // Memory that is kept for the next messages is given back when none come.
                let limit = if shm_buffer::is_tidy() {
                    FOREVER
                } else {
                    shm_buffer::IDLE
                };
                state.background_sleeps = true;
                let (woken, waited) = self
                    .needed
                    .wait_timeout(state, limit)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.background_sleeps = false;
                // Whoever has submitted a task is likely to wait for it, too.
                state.last_led = Instant::now();
                if waited.timed_out() && !state.scheduler.is_busy() {
                    shm_buffer::tidy();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a function, by which tasks name it.
    pub(crate) fn function(&self, entry: Entry) -> Result<u32, PoolError> {
        let mut state = self.lock();
        if let Some(&number) = state.number_of_entry.get(&(entry as usize)) {
            return Ok(number);
        }
        let function = code_ref::of_address(entry as *const c_void).ok_or_else(|| {
            PoolError::invalid_input("the system cannot tell where this function is".to_owned())
        })?;
        let number = state.scheduler.learn(function);
        state.number_of_entry.insert(entry as usize, number);
        Ok(number)
    }

    /// Queues a task, and hands it out if a worker is free.
    pub(crate) fn submit(&self, task: Task) {
        let mut completed = Vec::new();
        let has_limit = task.time_limit.is_some();
        let mut state = self.lock();
        if let Some(error) = state.scheduler.broken().cloned() {
            completed.push((task.sink, task.index, Err(error)));
        } else {
            state.scheduler.enqueue(task);
            if state.scheduler.wants_more() {
                state.scheduler.hand_out(&mut completed);
            }
            // Whoever sleeps does not know of what has to be watched now.
            if state.leader != Leader::Nobody && (has_limit || !state.scheduler.is_flushed()) {
                self.waker.wake();
            }
            if state.background_sleeps {
                self.needed.notify_one();
            }
        }
        drop(state);
        self.hand_over(completed);
    }

    /// How many tasks wait for a worker.
    pub(crate) fn queued(&self) -> usize {
        self.lock().scheduler.queued()
    }

    /// Counts the tasks that are not done.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// The values that go along with tasks.
    pub(crate) fn values(&self) -> Arc<Values> {
        Arc::clone(self.lock().scheduler.values())
    }

    /// Has workers forget the values that nobody needs any more.
    pub(crate) fn tidy_values(&self) {
        if self.values().has_gone() {
            self.nudge();
        }
    }

    /// Waits until everything that was submitted is done.
    pub(crate) fn wait_all(&self, limit: Option<Duration>) -> Result<(), PoolError> {
        let interrupts = Interrupts::here();
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let is_over = || self.tally.open() == 0 || interrupts.came();
        let is_driven = self.drive(&is_over, deadline);
        interrupts.check();
        if !is_driven && deadline.is_none() {
            return Err(PoolError::deadlock());
        }
        self.tally.verdict(limit)
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// How many tasks a worker may have at once.
    pub(crate) fn depth(&self) -> usize {
        self.lock().scheduler.depth()
    }

    /// Where results are being handed over.
    pub(crate) fn delivery(&self) -> Arc<Delivery> {
        Arc::clone(&self.delivery)
    }

    fn lead(&self, done: &dyn Fn() -> bool, deadline: Option<Instant>, as_whom: Leader) -> bool {
        // Only a caller waits for a result, and gains from being awake when it comes.
        let looking = if as_whom == Leader::Caller {
            self.lock().scheduler.looking()
        } else {
            Duration::ZERO
        };
        let _leadership = Leadership(self);
        let mut now = Instant::now();
        let mut awake_until = now + looking;
        let mut has_slept = false;
        loop {
            let mut completed = Vec::new();
            let mut state = self.lock();
            // Results come from workers that are at work. All else can wait for a moment.
            let look_at_all = has_slept || now.duration_since(state.last_look) >= GRACE;
            if look_at_all {
                state.last_look = now;
            }
            state.scheduler.progress(look_at_all, &mut completed);
            state.attended &= state.scheduler.is_busy();
            let enough = as_whom == Leader::Background
                && (state.closed || state.followers > 0 || !state.scheduler.is_busy());
            drop(state);
            if !completed.is_empty() {
                awake_until = Instant::now() + looking;
            }
            self.hand_over(completed);
            if done() {
                return true;
            }
            now = Instant::now();
            if enough || deadline.is_some_and(|end| end <= now) {
                return false;
            }
            has_slept = now >= awake_until;
            if has_slept {
                self.sleep(deadline);
            } else {
                thread::yield_now();
            }
        }
    }

    /// Sleeps until a worker says something, or something else is to be done.
    fn sleep(&self, deadline: Option<Instant>) {
        let state = self.lock();
        if state.closed {
            return;
        }
        let mut longest = state.scheduler.patience();
        if let Some(end) = deadline {
            longest = longest.min(end.saturating_duration_since(Instant::now()));
        }
        longest = Interrupts::here().slice(longest);
        let watched = state.scheduler.watched();
        drop(state);
        let mut about: Vec<PollFd<'_>> = watched
            .iter()
            .map(|watched| PollFd::new(watched.file.as_fd(), watched.events))
            .collect();
        about.push(PollFd::new(self.waker.file().as_fd(), PollFlags::POLLIN));
        let millis = PollTimeout::try_from(longest.as_micros().div_ceil(1000) as u64);
        // An interrupted sleep is a short one.
        let _ = poll(&mut about, millis.unwrap_or(PollTimeout::MAX));
        self.waker.clear();
    }

    /// Hands results over, and tells those who wait.
    fn hand_over(&self, completed: Completed) {
        if completed.is_empty() {
            return;
        }
        // What a task has printed is seen before its result is.
        printer::catch_up(TIME_TO_PRINT);
        let begun = Begun::new();
        self.delivery.lock().push(begun.place());
        for (sink, index, result) in completed {
            // A result's end and a waker are the user's code. Panics report for themselves.
            let _ = catch_unwind(AssertUnwindSafe(move || sink.done(index, result)));
        }
        self.delivery.lock().retain(|&place| place != begun.place());
        drop(begun);
        let mut state = self.lock();
        state.deliveries += 1;
        if state.followers > 0 {
            self.changed.notify_all();
        }
    }

    /// Ends the tasks that nobody wants any more. Workers that are still at one after this time are
    /// replaced.
    pub(crate) fn stop_within(&self, time: Duration) {
        let mut completed = Vec::new();
        self.lock().scheduler.stop(time, &mut completed);
        self.hand_over(completed);
        self.nudge();
    }

    /// Ends all workers, and lets everything that is still to do fail.
    pub(crate) fn close(&self) {
        let mut completed = Vec::new();
        let mut state = self.lock();
        state.closed = true;
        state.scheduler.close(&mut completed);
        drop(state);
        self.hand_over(completed);
        shm_buffer::tidy();
        self.needed.notify_all();
        self.changed.notify_all();
    }
}

impl Remote for Engine {
    /// Does what is to be done meanwhile. A wait without a limit could never end where whoever leads
    /// hands a result over to somebody who waits for this thread, or is this thread itself.
    ///
    /// `done` is asked often enough to see whether the caller's cell is interrupted.
    fn drive(&self, done: &dyn Fn() -> bool, deadline: Option<Instant>) -> bool {
        loop {
            if done() {
                return true;
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            let mut state = self.lock();
            if state.leader == Leader::Nobody {
                state.leader = Leader::Caller;
                drop(state);
                return self.lead(done, deadline, Leader::Caller);
            }
            state.followers += 1;
            let deliveries = state.deliveries;
            if state.leader == Leader::Background {
                self.waker.wake();
            }
            drop(state);
            // Without a limit, whoever is inside a task must not wait for himself.
            let waiting = match deadline {
                Some(_) => None,
                None => Some(waits::wait_for(|| vec![self.delivery() as _])),
            };
            let is_stuck = matches!(waiting, Some(None));
            // Asked with the lock free, as `done` may take it.
            if !done() && !is_stuck {
                let state = self.lock();
                if state.leader != Leader::Nobody && state.deliveries == deliveries {
                    let wait = left.unwrap_or(LIVENESS).min(LIVENESS);
                    let wait = Interrupts::here().slice(wait);
                    drop(self.changed.wait_timeout(state, wait));
                }
            }
            self.lock().followers -= 1;
            if is_stuck && !done() {
                return false;
            }
        }
    }

    fn look(&self) {
        let mut completed = Vec::new();
        let mut state = self.lock();
        if state.leader == Leader::Nobody {
            state.scheduler.progress(true, &mut completed);
        }
        drop(state);
        self.hand_over(completed);
    }

    fn attend(&self) {
        let mut state = self.lock();
        state.attended = true;
        if state.needs_background() {
            self.needed.notify_one();
        }
    }

    fn recall(&self) {
        self.lock().scheduler.recall_all();
    }

    fn nudge(&self) {
        self.look();
        self.waker.wake();
    }

    fn stop(&self) {
        self.stop_within(TIME_TO_FINISH);
    }

    fn places(&self) -> Vec<Place> {
        self.delivery.places()
    }
}

/// Ends when it is dropped, and tells who may want to lead next.
struct Leadership<'e>(&'e Engine);

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.leader = Leader::Nobody;
        state.last_led = Instant::now();
        if state.followers > 0 {
            self.0.changed.notify_all();
        } else if state.needs_background() {
            self.0.needed.notify_one();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({} workers)", self.workers)
    }
}
