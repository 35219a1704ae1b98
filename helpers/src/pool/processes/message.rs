//! What a pool and its workers say to each other.

use serde::{Deserialize, Serialize};

use crate::pool::remote::ship::Place;

/// From the pool to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first message. The board comes with it.
    Welcome,
    /// Makes a function known by its number.
    Function { number: u32, place: Place },
    /// Calls a function once, before any task. The body is its argument.
    Initialize { function: u32 },
    /// Calls a function on each item of the body.
    Run {
        function: u32,
        epoch: u32,
        sequence: u32,
        items: u32,
        stop_at_failure: bool,
        /// Whether the items have a time limit.
        timed: bool,
    },
}

/// From a worker to its pool.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The process runs, and listens to orders from now on.
    Up,
    /// All is set up for tasks.
    Ready,
    /// The worker cannot start, for this reason.
    Failed(String),
    /// A task is done. The body holds the results.
    Done {
        sequence: u32,
        /// When the task began and ended, in nanoseconds on the clock that processes share.
        began: u64,
        ended: u64,
    },
}
