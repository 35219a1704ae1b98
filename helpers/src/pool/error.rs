//! What can go wrong with a pool.

use std::fmt;
use std::time::Duration;

/// What went wrong with a pool or a task, in words that name the value and the remedy.
///
/// Ask it what kind of trouble it is with [`is_panic`](PoolError::is_panic) and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolError(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    InvalidInput(String),
    Panic {
        worker: String,
        message: String,
    },
    Cancelled(&'static str),
    Timeout(Duration),
    Start {
        worker: usize,
        of: usize,
        cause: String,
    },
    Taken,
    Deadlock,
}

impl PoolError {
    pub(crate) fn invalid_input(message: String) -> PoolError {
        PoolError(Kind::InvalidInput(message))
    }

    pub(crate) fn panic(worker: String, message: String) -> PoolError {
        PoolError(Kind::Panic { worker, message })
    }

    pub(crate) fn cancelled(why: &'static str) -> PoolError {
        PoolError(Kind::Cancelled(why))
    }

    pub(crate) fn timeout(limit: Duration) -> PoolError {
        PoolError(Kind::Timeout(limit))
    }

    pub(crate) fn start(worker: usize, of: usize, cause: String) -> PoolError {
        PoolError(Kind::Start { worker, of, cause })
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

    /// Whether the task never ran: it was cancelled, or its pool was dropped before.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Kind::Cancelled(_))
    }

    /// Whether the result was not there in time. The task goes on; ask again later.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::Timeout(_))
    }

    /// Whether the wait could never have ended; see [`join`](crate::JoinHandle::join).
    pub fn is_deadlock(&self) -> bool {
        matches!(self.0, Kind::Deadlock)
    }

    /// Whether the system refused to start a worker.
    pub fn is_start(&self) -> bool {
        matches!(self.0, Kind::Start { .. })
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
            Kind::Panic { worker, message } => {
                write!(f, "the task panicked in {worker}: {message}")
            }
            Kind::Cancelled(why) => write!(f, "the task never ran: {why}"),
            Kind::Timeout(limit) => write!(
                f,
                "no result after {limit:?}; the task goes on, and you can ask again"
            ),
            Kind::Start { worker, of, cause } => write!(
                f,
                "worker {worker} of {of} could not be started: {cause}; ask for fewer workers"
            ),
            Kind::Taken => f.write_str("the result was already taken by an earlier call"),
            Kind::Deadlock => f.write_str(
                "this task waits for one that it interrupted, which would take for ever; \
                 wait for it outside the pool, or in a pool of its own",
            ),
        }
    }
}

impl std::error::Error for PoolError {}
