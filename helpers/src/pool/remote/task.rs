//! A task on its way to a worker, where its results go, and who writes down when it was done.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::Body;
use super::scoreboard::now;
use super::shared_value::SharedValue;
use crate::pool::PoolError;
use crate::timeline::recorder::{self, Items, PoolTag};

/// A chunk of items for a worker, and whom its results go to.
pub struct Task {
    /// The number of its function, from [`Scheduler::learn`](super::scheduler::Scheduler::learn).
    pub function: u32,
    /// The items, one behind the other.
    pub body: Body,
    /// How many they are.
    pub items: usize,
    /// The index of the first item in the caller's list, where there is a list.
    pub first_item: Option<usize>,
    /// Whether the items after one that fails are of no use to anybody.
    pub stop_at_failure: bool,
    /// What goes along with each item.
    pub value: Option<Arc<SharedValue>>,
    /// For each item.
    pub time_limit: Option<Duration>,
    /// Where its results go.
    pub sink: Arc<dyn Sink>,
    /// The index among all tasks of the pool; the queue sets it.
    pub order: u64,
    /// What the sink knows the task by.
    pub index: usize,
}

impl Task {
    /// The task's end, on its way to whoever wants it.
    pub fn end(self, result: Result<Finished, PoolError>) -> End {
        (self.sink, self.index, result)
    }

    /// Whether somebody may ask for its results.
    pub fn is_wanted(&self) -> bool {
        self.sink.is_wanted()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({} items from {:?})", self.items, self.first_item)
    }
}

/// Where results go.
pub trait Sink: Send + Sync {
    /// A worker is about to get the task. `false` if nobody wants it any more: it is dropped
    /// then, without a call of `done`.
    fn begin(&self, index: usize) -> bool;

    /// The task was taken back from its worker, who had not begun it.
    fn recalled(&self, _index: usize) {}

    /// Whether somebody may ask for what comes.
    fn is_wanted(&self) -> bool;

    /// The task is done, or never will be.
    fn done(&self, index: usize, result: Result<Finished, PoolError>);
}

/// What a worker sent back.
#[derive(Debug)]
pub struct Finished {
    /// The results, one behind the other.
    pub body: Body,
    /// What errors call the worker.
    pub worker: Arc<str>,
}

/// The end of a task: where it goes, what it is known by there, and what came of it.
pub type End = (Arc<dyn Sink>, usize, Result<Finished, PoolError>);

/// Results to be handed over once the lock is free.
pub type Completed = Vec<End>;

/// Writes down which worker did which task from when to when, while somebody records that.
#[derive(Debug)]
pub struct TaskRecorder {
    tag: PoolTag,
    /// Calls without a list that were recorded.
    calls: usize,
}

impl TaskRecorder {
    /// A recorder for a new pool of `workers` workers.
    pub fn new(workers: usize) -> TaskRecorder {
        TaskRecorder {
            tag: PoolTag::new(workers),
            calls: 0,
        }
    }

    /// Notes a task that took so long and ended at `ended`, in nanoseconds on the clock that
    /// processes share, or just now.
    pub fn note(&mut self, task: &Task, worker: usize, took: Duration, ended: Option<u64>) {
        if !recorder::is_on() {
            return;
        }
        let ago = ended.map(|ended| now().saturating_sub(Duration::from_nanos(ended)));
        let end = Instant::now() - ago.unwrap_or_default();
        let items = match task.first_item {
            Some(first) => Items::Chunk {
                first,
                count: task.items,
            },
            None => {
                self.calls += 1;
                Items::Submitted {
                    number: self.calls - 1,
                }
            }
        };
        recorder::add(recorder::Task {
            pool: self.tag,
            worker,
            items,
            start: end - took,
            end,
        });
    }
}
