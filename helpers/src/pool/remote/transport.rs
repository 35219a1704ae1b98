//! What a kind of pool brings along: its workers, and how messages reach them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::PollFlags;

use super::code_ref::CodeRef;
use super::codec::Body;
use super::protocol::{Order, Report};
use super::scoreboard::Scoreboard;
use super::wire::{Arrival, Connection};
use crate::pool::PoolError;
use crate::pool::error::WorkerKind;

/// How long who waits for a message looks for it before sleeping. Waking a sleeping process costs
/// several microseconds; looking costs processor time.
pub const LOOKING: Duration = Duration::from_micros(50);

/// How often workers are looked at, since not every death closes a connection.
pub const LIVENESS: Duration = Duration::from_millis(300);

/// Carries messages between a pool and its workers, watches them and replaces them.
///
/// It decides nothing: who gets what, and what becomes of tasks whose worker is lost, is the
/// [`Scheduler`](super::scheduler::Scheduler)'s. Workers have an index, from 0. Those that can only
/// end together make up a *failure domain*: a worker process is one by itself, and the ranks of an
/// MPI job are one. The scheduler calls all of this under the engine's lock, so nothing here may
/// wait for long.
pub trait Transport: Send {
    /// What does not change, about the workers and the way to them.
    fn profile(&self) -> Profile;

    /// What errors call a worker.
    fn name(&self, worker: usize) -> String;

    /// The scoreboard of a worker that was just started.
    fn scoreboard(&mut self, worker: usize) -> io::Result<Arc<Scoreboard>>;

    /// Puts a message on its way; [`flush`](Transport::flush) sends it. The body is copied, so
    /// that it can be sent again elsewhere.
    fn put(&mut self, worker: usize, order: &Order, body: &Body) -> io::Result<()>;

    /// Sends what is on its way, as much as goes without waiting.
    fn flush(&mut self, domain: usize) -> io::Result<()>;

    /// Whether all messages have gone.
    fn is_flushed(&self) -> bool;

    /// Takes in what is there from the workers of a domain.
    fn receive(&mut self, domain: usize) -> io::Result<Arrival>;

    /// The next report that is there as a whole, and the worker that it is from.
    fn take(&mut self, domain: usize) -> io::Result<Option<(usize, Report, Body)>>;

    /// Has what the workers of a domain have printed be seen before their results are; with `all`
    /// also the last line that has no end yet.
    fn show_output(&mut self, domain: usize, all: bool);

    /// What says that there is something to be received.
    fn watched(&self) -> Vec<Watched>;

    /// Sees to a domain of which nothing is expected; tells whether it has ended.
    fn look_after(&mut self, domain: usize) -> bool;

    /// Ends a domain, which may take so long to end by itself, and tells how it did.
    fn end(&mut self, domain: usize, patience: Duration) -> Ended;

    /// Starts fresh workers in the place of a domain that has ended, or will now.
    fn replace(&mut self, domain: usize) -> Result<(), PoolError>;

    /// Ends all workers for good, with what they are doing. If they `are_idle`, they hear of it as soon
    /// as they get a core.
    fn shut_down(&mut self, are_idle: bool);
}

/// A worker's way to its pool.
pub trait PoolLink {
    /// Takes the next order, if one has come.
    fn take(&mut self) -> io::Result<Option<(Order, Body)>>;

    /// Waits until an order may have come; false if the pool is gone.
    fn wait(&mut self) -> io::Result<bool>;

    /// Says something to the pool, and sees to it that it goes.
    fn report(&mut self, report: &Report, body: Body) -> io::Result<()>;

    /// Where on this host the function is.
    fn find(&mut self, function: &CodeRef) -> io::Result<CodeRef> {
        Ok(function.clone())
    }

    /// The library of a function that was found elsewhere than it was said to be is loaded, or
    /// cannot be.
    fn loaded(&mut self, _function: &CodeRef) {}
}

/// What does not change about a pool's workers.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// What the workers are.
    pub kind: WorkerKind,
    /// How many there are.
    pub workers: usize,
    /// So many, one behind the other, make up a failure domain.
    pub together: usize,
    /// Whether a domain that has ended can be replaced.
    pub can_replace: bool,
    /// Why no files can be sent along with a task, where they cannot.
    pub refuses_files: Option<&'static str>,
    /// Tasks that take less than this are sent ahead, so that a worker need not wait for the next.
    pub short_task: Duration,
    /// Work that may lie ahead of a worker.
    pub work_ahead: Duration,
    /// Tasks that were sent ahead are taken back for a free worker after their worker has been at
    /// another task for so long.
    pub patience: Duration,
    /// Workers that are not ready after this time are stopped.
    pub time_to_start: Duration,
    /// How long a domain that has hung up may take to end by itself, so that its own account of its
    /// end is known.
    pub time_to_end: Duration,
    /// For how long whoever waits for a result stays awake after the last one.
    pub looking: Duration,
    /// How long nobody needs to look for messages while workers are busy, since they wake who
    /// sleeps.
    pub busy_sleep: Duration,
    /// After so many tasks a worker is replaced.
    pub tasks_per_worker: Option<usize>,
}

/// How a domain ended.
#[derive(Debug)]
pub struct Ended {
    /// The worker that ended first, where it was one.
    pub worker: Option<usize>,
    /// What ended first, where it was no worker and is known.
    pub other: Option<String>,
    /// In words that follow "worker 2 was lost: ".
    pub how: String,
}

/// A file that a sleeping leader watches, and for what. It stays open as long as this.
#[derive(Debug)]
pub struct Watched {
    /// The file.
    pub file: Arc<OwnedFd>,
    /// What it is watched for.
    pub events: PollFlags,
}

impl Watched {
    /// A connection, to be read from and, while messages wait, to be written to.
    pub fn connection(connection: &Connection) -> Watched {
        Watched {
            file: connection.socket(),
            events: connection.events(),
        }
    }

    /// A file to be read from.
    pub fn to_read(file: Arc<OwnedFd>) -> Watched {
        let events = PollFlags::POLLIN;
        Watched { file, events }
    }
}
