//! The switch that turns recording on, and what the pools call.
//!
//! A pool makes itself a [`PoolTag`]. While [`is_on`], it [`add`]s each task that came to its end;
//! workers that are threads leave that to [`begin`]. Recordings share one list: each remembers
//! where in the list it began, and the list goes when the last of them ends.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

static ON: AtomicBool = AtomicBool::new(false);
static LOG: Mutex<Log> = Mutex::new(Log {
    recordings: 0,
    tasks: Vec::new(),
});

struct Log {
    /// How many recordings are going on.
    recordings: usize,
    tasks: Vec<Task>,
}

fn log() -> MutexGuard<'static, Log> {
    // Nothing but moves happens under the lock, so a poisoned one still holds a whole list.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether any recording is going on. While none is, this is all that recording costs a pool.
#[inline]
pub(crate) fn is_on() -> bool {
    // A recording that has just begun need not see a task of another thread that begins at the
    // same time, and its own tasks reach the workers through locks.
    ON.load(Ordering::Relaxed)
}

/// A pool, as a recording knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolTag {
    /// Rises from pool to pool.
    id: u64,
    pub(super) workers: usize,
}

impl PoolTag {
    /// Makes the tag of a new pool of `workers` workers.
    pub(crate) fn new(workers: usize) -> PoolTag {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        PoolTag {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            workers,
        }
    }
}

/// What a task works on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Items {
    /// A chunk of a list.
    Chunk { first: usize, count: usize },
    /// A call that was submitted, by its running number among those of its pool.
    Submitted { number: usize },
}

/// A task that came to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) pool: PoolTag,
    /// From 0 to the number of the pool's workers.
    pub(crate) worker: usize,
    pub(crate) items: Items,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// Hands `task` to the recordings that are going on, if any.
///
/// Whoever waits for the task must not hear of its end before: the recording may end then.
pub(crate) fn add(task: Task) {
    let mut log = log();
    if log.recordings > 0 {
        log.tasks.push(task);
    }
}

thread_local! {
    static WORKER: Cell<Option<(PoolTag, usize)>> = const { Cell::new(None) };
}

/// Makes this thread a worker of a pool, for [`begin`].
pub(crate) fn enter(pool: PoolTag, worker: usize) {
    WORKER.set(Some((pool, worker)));
}

/// Which worker of which pool this thread is, if it is one.
pub(crate) fn here() -> Option<(PoolTag, usize)> {
    WORKER.get()
}

/// Notes that this worker begins a task, which ends when the guard is dropped; `None` if nothing is
/// being recorded, or if this thread is no worker of a pool.
#[inline]
#[must_use = "the task ends when this is dropped"]
pub(crate) fn begin(items: impl FnOnce() -> Items) -> Option<Running> {
    if is_on() { start(items()) } else { None }
}

#[cold]
fn start(items: Items) -> Option<Running> {
    let (pool, worker) = WORKER.get()?;
    let start = Instant::now();
    Some(Running(Task {
        pool,
        worker,
        items,
        start,
        end: start,
    }))
}

/// A task of this thread that is being recorded.
pub(crate) struct Running(Task);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end = Instant::now();
        add(self.0);
    }
}

/// A recording that is going on; it ends when it is dropped.
pub(super) struct Recording {
    start: Instant,
    /// How many tasks the list held at the start.
    from: usize,
}

impl Recording {
    pub(super) fn begin() -> Recording {
        let mut log = log();
        log.recordings += 1;
        ON.store(true, Ordering::Relaxed);
        Recording {
            from: log.tasks.len(),
            start: Instant::now(),
        }
    }

    /// Ends the recording: when it began and ended, and the tasks that lie in between.
    pub(super) fn finish(self) -> (Instant, Instant, Vec<Task>) {
        let end = Instant::now();
        let inside = |task: &&Task| self.start <= task.start && task.end <= end;
        let tasks = log().tasks[self.from..]
            .iter()
            .filter(inside)
            .copied()
            .collect();
        (self.start, end, tasks)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut log = log();
        log.recordings -= 1;
        if log.recordings == 0 {
            ON.store(false, Ordering::Relaxed);
            log.tasks = Vec::new();
        }
    }
}
