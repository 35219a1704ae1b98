//! The threads of a pool, and how they are given something to do.
//!
//! They are threads of their own, and none of rayon's: one of those that waits takes up whatever
//! else waits for its pool, in the middle of what it is at. If that holds a lock which the other
//! wants, both wait for ever. A thread of a crew that waits does nothing else but what it waits
//! for.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{mem, thread};

use super::handle::Runner;
use super::waits::{self, Awaited, Begun, Place, UnderWay};

/// How often a thread that has nothing to do looks for something before it sleeps: waking it takes
/// longer than many a task.
const LOOKS: usize = 32;

thread_local! {
    /// The address of the crew whose thread this is.
    static CREW: Cell<usize> = const { Cell::new(0) };
}

/// What threads may do next, in the order in which it came.
#[derive(Default)]
pub(super) struct Crew {
    queue: Mutex<Queue>,
    /// Tells threads that sleep.
    some: Condvar,
    /// The length of the queue, for threads that look.
    waiting: AtomicUsize,
    /// The pool is being dropped.
    is_closing: AtomicBool,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    /// Threads that look for work, and threads that sleep.
    looking: usize,
    sleeping: usize,
    /// The places of the threads, below all that they do.
    threads: Vec<Place>,
}

enum Work {
    Task(Runner),
    /// A share of a `map`.
    Help(Arc<Help>),
}

impl Crew {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing but moves happens under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread of the crew does, until the pool is dropped.
    pub(super) fn work(&self) {
        CREW.set(std::ptr::from_ref(self).addr());
        let place = waits::become_worker();
        self.lock().threads.push(place);
        while let Some(work) = self.next() {
            // Tasks catch their panics. What is left is a value that panics when it is dropped:
            // that was reported where it happened, and need not end the program.
            let _ = catch_unwind(AssertUnwindSafe(|| match work {
                Work::Task(runner) => runner.run(),
                Work::Help(help) => help.work(),
            }));
        }
    }

    /// Waits for something to do; `None` if nothing more will come.
    fn next(&self) -> Option<Work> {
        let mut looks = 0;
        let mut queue = self.lock();
        loop {
            if let Some(work) = queue.work.pop_front() {
                self.waiting.store(queue.work.len(), Ordering::Relaxed);
                return Some(work);
            }
            if self.is_closing() {
                return None;
            }
            if looks < LOOKS {
                queue.looking += 1;
                drop(queue);
                while looks < LOOKS && self.waiting.load(Ordering::Relaxed) == 0 {
                    looks += 1;
                    thread::yield_now();
                }
                queue = self.lock();
                queue.looking -= 1;
            } else {
                queue.sleeping += 1;
                queue = self
                    .some
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                queue.sleeping -= 1;
            }
        }
    }

    /// Puts work at the end of the queue; tells whether a thread was free for it.
    fn push(&self, work: impl Iterator<Item = Work>) -> bool {
        let mut queue = self.lock();
        let before = queue.work.len();
        queue.work.extend(work);
        let waiting = queue.work.len();
        self.waiting.store(waiting, Ordering::Relaxed);
        let free = queue.looking + queue.sleeping > before;
        let wake = waiting.saturating_sub(queue.looking).min(queue.sleeping);
        drop(queue);
        for _ in 0..wake {
            self.some.notify_one();
        }
        free
    }

    /// Puts a task at the end of the queue.
    pub(super) fn submit(&self, runner: Runner) {
        self.push(std::iter::once(Work::Task(runner)));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Lets the threads end after what they are at. What waits is run here, by which it notices.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        self.is_closing.store(true, Ordering::Relaxed);
        let left = mem::take(&mut queue.work);
        self.waiting.store(0, Ordering::Relaxed);
        drop(queue);
        self.some.notify_all();
        for work in left {
            if let Work::Task(runner) = work {
                // As in `work`.
                let _ = catch_unwind(AssertUnwindSafe(|| runner.run()));
            }
        }
    }

    /// Has up to `times` threads do `work`, and waits for those that have begun. It is done as soon
    /// as one of them has come back from it. Gives the first panic.
    ///
    /// A thread of this crew takes part, as the others may all be busy.
    pub(super) fn share(&self, times: usize, work: &(dyn Fn() + Sync)) -> thread::Result<()> {
        if times == 0 {
            return Ok(());
        }
        // SAFETY: only the lifetime changes. `Ended` waits, before this function returns or
        // unwinds, until nobody is at the work and nobody can begin it any more.
        let work: Call = unsafe { mem::transmute::<&(dyn Fn() + Sync), Call>(work) };
        let help = Arc::new(Help {
            call: work,
            state: Mutex::new(Shared {
                open: times,
                ..Shared::default()
            }),
            changed: Condvar::new(),
        });
        let ended = Ended(&help);
        let _under_way = UnderWay::new(|| Arc::clone(&help) as _);
        let mut takes_part = self.is_here();
        let others = times - usize::from(takes_part);
        let asked = std::iter::repeat_with(|| Work::Help(Arc::clone(&help)));
        let is_taken = others > 0 && self.push(asked.take(others));
        // Nor may a worker of another pool wait for these, who may wait for it.
        takes_part |= waits::is_worker() && !is_taken;
        if takes_part {
            help.work();
        }
        drop(ended);
        let mut state = help.lock();
        let panic = state.panic.take();
        let came = state.came - usize::from(takes_part);
        drop(state);
        if came < others {
            // Those that nobody has begun are of no use, and would pile up behind a long task.
            self.take_back(&help);
        }
        panic.map_or(Ok(()), Err)
    }

    /// Whether this thread is one of them.
    fn is_here(&self) -> bool {
        CREW.get() == std::ptr::from_ref(self).addr()
    }

    fn take_back(&self, help: &Arc<Help>) {
        let is_meant = |work: &Work| matches!(work, Work::Help(other) if Arc::ptr_eq(other, help));
        let mut queue = self.lock();
        queue.work.retain(|work| !is_meant(work));
        self.waiting.store(queue.work.len(), Ordering::Relaxed);
    }
}

/// When all of its threads are at the end of what they do.
impl Awaited for Crew {
    fn places(&self) -> Vec<Place> {
        self.lock().threads.clone()
    }
}

type Call = &'static (dyn Fn() + Sync);

/// Work that several threads share.
struct Help {
    /// Borrowed from whoever shares it: to be called only by a thread that is among `at_work`.
    call: Call,
    state: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Default)]
struct Shared {
    /// How many more threads may begin.
    open: usize,
    /// How many have come to take part.
    came: usize,
    at_work: Vec<Place>,
    /// One has come back.
    is_done: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl Help {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing but moves happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part, if there still is something to do.
    fn work(&self) {
        let begun = Begun::new();
        let mut state = self.lock();
        state.came += 1;
        if state.open == 0 {
            return;
        }
        state.open -= 1;
        state.at_work.push(begun.place());
        drop(state);
        let result = catch_unwind(AssertUnwindSafe(self.call));
        let mut state = self.lock();
        state.at_work.retain(|&place| place != begun.place());
        state.is_done = true;
        state.open = 0;
        if let Err(panic) = result {
            match state.panic {
                None => state.panic = Some(panic),
                // It was reported, and may panic once more when it is dropped.
                Some(_) => mem::forget(panic),
            }
        }
        if state.at_work.is_empty() {
            self.changed.notify_all();
        }
    }
}

impl Awaited for Help {
    fn places(&self) -> Vec<Place> {
        self.lock().at_work.clone()
    }
}

/// Waits, when it is dropped, until one thread has come back and none is at work.
struct Ended<'h>(&'h Help);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        while !(state.is_done && state.at_work.is_empty()) {
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
