//! What can go wrong with a pool.

use std::fmt;
use std::time::Duration;

/// What went wrong with a pool or a task, in words that name the value and the remedy.
///
/// Ask it what kind of trouble it is with [`is_panic`](PoolError::is_panic) and the like.
#[derive(Clone, PartialEq, Eq)]
pub struct PoolError(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    InvalidInput(String),
    Panic {
        worker: String,
        item: Option<usize>,
        message: String,
    },
    Cancelled(&'static str),
    Stopped(&'static str),
    Timeout(Duration),
    Deadline {
        limit: Duration,
        /// What was done when it came, and what becomes of the rest.
        state: String,
    },
    TimeLimit {
        worker: String,
        item: Option<usize>,
        limit: Duration,
        /// What becomes of the worker.
        then: &'static str,
    },
    WorkerLost {
        worker: String,
        item: Option<usize>,
        how: String,
        /// What the pool does next.
        then: &'static str,
    },
    NotSent {
        item: Option<usize>,
        cause: String,
    },
    Start {
        what: String,
        cause: String,
    },
    Taken,
    Deadlock,
}

/// What workers with memory of their own are.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// Processes of this host, each for itself.
    Process,
    /// Ranks of an MPI job.
    Rank,
}

impl PoolError {
    pub(crate) fn invalid_input(message: String) -> PoolError {
        PoolError(Kind::InvalidInput(message))
    }

    pub(crate) fn panic(worker: String, item: Option<usize>, message: String) -> PoolError {
        PoolError(Kind::Panic {
            worker,
            item,
            message,
        })
    }

    pub(crate) fn time_limit(
        kind: WorkerKind,
        worker: String,
        item: Option<usize>,
        limit: Duration,
    ) -> PoolError {
        PoolError(Kind::TimeLimit {
            worker,
            item,
            limit,
            then: match kind {
                WorkerKind::Process => "was stopped and replaced",
                // It cannot be stopped without its job.
                WorkerKind::Rank => "is given nothing else to do",
            },
        })
    }

    pub(crate) fn lost(
        kind: WorkerKind,
        worker: String,
        item: Option<usize>,
        how: String,
    ) -> PoolError {
        PoolError(Kind::WorkerLost {
            worker,
            item,
            how,
            then: match kind {
                WorkerKind::Process => "The pool goes on with a fresh worker",
                WorkerKind::Rank => {
                    "An MPI job ends with any of its ranks; the pool goes on with a fresh job"
                }
            },
        })
    }

    pub(crate) fn not_sent(item: Option<usize>, cause: String) -> PoolError {
        PoolError(Kind::NotSent { item, cause })
    }

    pub(crate) fn cancelled(why: &'static str) -> PoolError {
        PoolError(Kind::Cancelled(why))
    }

    pub(crate) fn stopped(why: &'static str) -> PoolError {
        PoolError(Kind::Stopped(why))
    }

    pub(crate) fn timeout(limit: Duration) -> PoolError {
        PoolError(Kind::Timeout(limit))
    }

    pub(crate) fn deadline(limit: Duration, state: String) -> PoolError {
        PoolError(Kind::Deadline { limit, state })
    }

    /// The same error, of the item with this index in the list.
    pub(crate) fn of_item(mut self, index: usize) -> PoolError {
        if let Kind::Panic { item, .. } = &mut self.0 {
            *item = Some(index);
        }
        self
    }

    pub(crate) fn start(worker: usize, of: usize, cause: String) -> PoolError {
        PoolError(Kind::Start {
            what: format!("worker {worker} of {of}"),
            cause,
        })
    }

    pub(crate) fn job(workers: usize, cause: String) -> PoolError {
        PoolError(Kind::Start {
            what: format!("the MPI job of a pool of {workers} workers"),
            cause,
        })
    }

    pub(crate) fn fresh_job(cause: String) -> PoolError {
        PoolError(Kind::Start {
            what: "a fresh MPI job".to_owned(),
            cause,
        })
    }

    pub(crate) fn taken() -> PoolError {
        PoolError(Kind::Taken)
    }

    pub(crate) fn deadlock() -> PoolError {
        PoolError(Kind::Deadlock)
    }

    /// Whether a value was given that the pool cannot work with, such as no workers.
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0, Kind::InvalidInput(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Kind::Panic { .. })
    }

    /// Whether the task did not come to its end because nobody wanted it any more: it was
    /// cancelled, or its pool was dropped. On worker processes, that stops tasks that run. (If its
    /// pool broke, the error is what broke it.)
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Kind::Cancelled(_) | Kind::Stopped(_))
    }

    /// Whether the result was not there in time.
    ///
    /// After [`join_timeout`](crate::JoinHandle::join_timeout) the task goes on: ask again later. A
    /// pool's [`time_limit`](crate::ProcessPool::time_limit) has ended the task, and a
    /// [`deadline`](crate::Pool::deadline) the whole call.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.0,
            Kind::Timeout(_) | Kind::Deadline { .. } | Kind::TimeLimit { .. }
        )
    }

    /// Whether the worker process ended while it was at the task.
    pub fn is_worker_lost(&self) -> bool {
        matches!(self.0, Kind::WorkerLost { .. })
    }

    /// Whether an argument or a result could not be sent to or from a worker process.
    pub fn is_not_sent(&self) -> bool {
        matches!(self.0, Kind::NotSent { .. })
    }

    /// The index in the list of the item that the error is about, counted from 0, where there is
    /// a list and the item is known.
    pub fn item(&self) -> Option<usize> {
        match self.0 {
            Kind::Panic { item, .. }
            | Kind::TimeLimit { item, .. }
            | Kind::WorkerLost { item, .. }
            | Kind::NotSent { item, .. } => item,
            _ => None,
        }
    }

    /// Whether the wait could never have ended; see [`join`](crate::JoinHandle::join).
    pub fn is_deadlock(&self) -> bool {
        matches!(self.0, Kind::Deadlock)
    }

    /// Whether a worker could not be started: the system refused, or the pool's initializer failed. If
    /// it is one that was to take the place of a lost one, all tasks of the pool end with this error.
    pub fn is_start(&self) -> bool {
        matches!(self.0, Kind::Start { .. })
    }

    /// How the worker process ended, where it was lost.
    pub(crate) fn how_worker_was_lost(&self) -> Option<&str> {
        match &self.0 {
            Kind::WorkerLost { how, .. } => Some(how),
            _ => None,
        }
    }

    /// The message of the panic, where the task panicked.
    pub fn panic_message(&self) -> Option<&str> {
        match &self.0 {
            Kind::Panic { message, .. } => Some(message),
            _ => None,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::InvalidInput(message) => f.write_str(message),
            Kind::Panic {
                worker,
                item,
                message,
            } => write!(f, "{} panicked in {worker}: {message}", Task(*item)),
            Kind::TimeLimit {
                worker,
                item,
                limit,
                then,
            } => write!(
                f,
                "{} took longer than its limit of {limit:?}; {worker} {then}",
                Task(*item)
            ),
            Kind::WorkerLost {
                worker,
                item,
                how,
                then,
            } => write!(
                f,
                "{worker} was lost while it was at {}: {how}. {then}",
                Task(*item)
            ),
            Kind::NotSent { item, cause } => write!(f, "{} {cause}", Task(*item)),
            Kind::Cancelled(why) => write!(f, "the task never ran: {why}"),
            Kind::Stopped(why) => write!(f, "the task was stopped: {why}"),
            Kind::Timeout(limit) => write!(
                f,
                "no result after {limit:?}; the task goes on, and you can ask again"
            ),
            Kind::Deadline { limit, state } => {
                write!(f, "the deadline of {limit:?} came when {state}")
            }
            Kind::Start { what, cause } => write!(f, "{what} could not be started: {cause}"),
            Kind::Taken => f.write_str("the result was already taken by an earlier call"),
            Kind::Deadlock => f.write_str(
                "this wait could never end: what is waited for waits in turn for the task that \
                 waits for it. Give the handle to one of them only, or wait outside of the pool",
            ),
        }
    }
}

impl std::error::Error for PoolError {}

/// The words of `Display`: a notebook shows a `Result` in this way.
impl fmt::Debug for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolError({self})")
    }
}

/// Names a task: by the index of its item in the list, where there is a list.
struct Task(Option<usize>);

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(item) => write!(f, "item {item}"),
            None => f.write_str("the task"),
        }
    }
}
