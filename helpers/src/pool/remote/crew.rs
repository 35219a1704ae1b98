//! What an engine asks of the workers of a pool, whatever they are.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::board::now;
use super::codec::Body;
use super::ship::Place;
use crate::pool::PoolError;
use crate::timeline::recorder::{self, Items, PoolTag};

/// How often workers are looked at, since not every death closes a connection.
pub const LIVENESS: Duration = Duration::from_millis(300);

/// A chunk of items for a worker, and whom its results go to.
pub struct Task {
    /// The number of its function, from [`Crew::learn`].
    pub function: u32,
    /// The items, one behind the other.
    pub body: Body,
    /// How many they are.
    pub items: usize,
    /// The place of the first item in the caller's list, where there is a list.
    pub first_item: Option<usize>,
    /// Whether the items after one that fails are of no use to anybody.
    pub stop_at_failure: bool,
    /// For each item.
    pub time_limit: Option<Duration>,
    /// Where its results go.
    pub sink: Arc<dyn Sink>,
    /// The place among all tasks of the pool; the queue sets it.
    pub order: u64,
    /// What the sink knows the task by.
    pub place: usize,
}

impl Task {
    /// The task's end, on its way to whoever wants it.
    pub fn end(self, result: Result<Finished, PoolError>) -> End {
        (self.sink, self.place, result)
    }

    /// Whether its results go to `sink`.
    pub fn is_for(&self, sink: &Arc<dyn Sink>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.sink), Arc::as_ptr(sink))
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
    fn begin(&self, place: usize) -> bool;

    /// The task was taken back from its worker, who had not begun it.
    fn recalled(&self, _place: usize) {}

    /// The task is done, or never will be.
    fn done(&self, place: usize, result: Result<Finished, PoolError>);
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

/// A file that a sleeping leader watches, and for what. It stays open as long as this.
#[derive(Debug)]
pub struct Watched {
    /// The file.
    pub file: Arc<OwnedFd>,
    /// What it is watched for.
    pub events: PollFlags,
}

impl Watched {
    /// A file to be read from.
    pub fn to_read(file: Arc<OwnedFd>) -> Watched {
        let events = PollFlags::POLLIN;
        Watched { file, events }
    }
}

/// The workers of a pool and the tasks that wait for them: who is free, who has died, who gets
/// what.
///
/// An engine calls it under its lock, so nothing here may wait for long.
pub trait Crew: Send {
    /// Whether all workers are ready, or never will be.
    fn is_up(&self) -> bool;

    /// Why nothing goes on: every task ends with this error.
    fn broken(&self) -> Option<&PoolError>;

    /// Whether any task waits or is with a worker.
    fn is_busy(&self) -> bool;

    /// How many tasks wait for a worker.
    fn queued(&self) -> usize;

    /// How many tasks a worker may have at once.
    fn depth(&self) -> usize;

    /// Whether some worker has little to do. Others get their next tasks with their next results,
    /// several at a time.
    fn wants_more(&self) -> bool;

    /// Whether all messages have gone.
    fn is_flushed(&self) -> bool;

    /// The longest time until something is to be done though no worker says anything.
    fn patience(&self) -> Duration;

    /// For how long whoever waits for a result stays awake after the last one.
    fn looking(&self) -> Duration;

    /// What says that there is something to be done.
    fn watched(&self) -> Vec<Watched>;

    /// The number of the function at `place`, which is a new one.
    fn learn(&mut self, place: Place) -> u32;

    /// Puts a task at the end of the queue.
    fn enqueue(&mut self, task: Task);

    /// Gives free workers the next tasks, the first in the queue first.
    fn hand_out(&mut self, completed: &mut Completed);

    /// Takes in all that workers have said, and gives them what they may do next. A look at
    /// workers that are not expected to say anything is only taken if `all`.
    fn progress(&mut self, all: bool, completed: &mut Completed);

    /// Takes back all that no worker has begun.
    fn recall_all(&mut self);

    /// Ends the tasks of `sink`, those that run as well.
    fn stop(&mut self, sink: &Arc<dyn Sink>, completed: &mut Completed);

    /// Lets everything that is still to do fail with `error`, now and in future, and ends all
    /// workers with what they are doing.
    fn give_up(&mut self, error: PoolError, completed: &mut Completed);
}

/// Writes down which worker did which task from when to when, while somebody records that.
#[derive(Debug)]
pub struct Diary {
    tag: PoolTag,
    /// Calls without a list that were recorded.
    calls: usize,
}

impl Diary {
    /// The diary of a new pool of `workers` workers.
    pub fn new(workers: usize) -> Diary {
        Diary {
            tag: PoolTag::new(workers),
            calls: 0,
        }
    }

    /// Notes a task that ended at `ended`, in nanoseconds on the clock that processes share, and
    /// took so long.
    pub fn note(&mut self, task: &Task, worker: usize, took: Duration, ended: u64) {
        if !recorder::is_on() {
            return;
        }
        let ago = now().saturating_sub(Duration::from_nanos(ended));
        let end = Instant::now() - ago;
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
