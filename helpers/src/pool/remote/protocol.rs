//! What a pool and its workers say to each other.
//!
//! A worker says [`Up`](Report::Up), is told its [`Welcome`](Order::Welcome) and, where there is
//! one, to call the initializer. Then it gets functions and tasks, and reports each task when it is
//! done. Orders are carried out in the order in which they come.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::code_ref::CodeRef;

/// From the pool to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// The first message. The worker's scoreboard is the file that comes with it, or the one of
    /// this name; if there is none, the pool cannot see what the worker writes down.
    Welcome {
        /// Where the scoreboard is, if its file cannot come along.
        scoreboard: Option<PathBuf>,
    },
    /// Makes a function known by its number.
    Function {
        /// The number.
        number: u32,
        /// Where its code is.
        code: CodeRef,
    },
    /// Calls a function once, before any task. The body is its argument.
    Initialize {
        /// The function's number.
        function: u32,
    },
    /// Keeps the body, a value that goes along with tasks, by its number.
    Value {
        /// The number.
        number: u32,
    },
    /// Forgets such a value.
    Forget {
        /// The number.
        number: u32,
    },
    /// Calls a function on each item of the body, unless the pool has taken the task back.
    Run {
        /// What is to be done.
        call: CallSpec,
        /// The pool's count of recalls when it sent the task; see [`Scoreboard`](super::scoreboard::Scoreboard).
        epoch: u32,
        /// The number of the task among those of this worker.
        sequence: u32,
    },
}

/// What a worker is asked to do with a body of items.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CallSpec {
    /// The function's number.
    pub function: u32,
    /// How many items there are.
    pub items: u32,
    /// Whether the items after one that fails are of no use to anybody.
    pub stop_at_failure: bool,
    /// Whether somebody wants to know since when the item in work is at work.
    pub timed: bool,
    /// The number of the value that goes along, if one does.
    pub value: Option<u32>,
}

/// From a worker to its pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// The worker listens to orders from now on.
    Up,
    /// The worker has read its welcome.
    Welcomed {
        /// Whether it writes on the scoreboard that the pool reads.
        shares_scoreboard: bool,
    },
    /// The initializer has done its work.
    Initialized,
    /// The worker cannot do what it was told, for this reason.
    Failed(String),
    /// A task is done. The body holds the results.
    Done {
        /// The task's number.
        sequence: u32,
        /// When it began, in nanoseconds on the clock of the worker's host.
        began: u64,
        /// When it ended.
        ended: u64,
        /// The processor time of the worker so far, in nanoseconds (user, system), where there is
        /// no shared scoreboard for it.
        cpu_time: Option<(u64, u64)>,
    },
}
