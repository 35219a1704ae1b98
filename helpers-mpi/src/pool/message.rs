//! What a pool and its ranks say to each other.

use std::path::PathBuf;

use helpers::internals::Place;
use serde::{Deserialize, Serialize};

use super::doorbell::Doorbell;

/// From the pool to a rank.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first message, from rank 0: where it is, so that it can be woken.
    Hello(Whereabouts),
    /// The first message from the pool: the file of the rank's board, if the rank is on the pool's
    /// own machine.
    Welcome { board: Option<PathBuf> },
    /// Makes a function known by its number.
    Function {
        number: u32,
        place: Place,
        /// The length of the library's file, so that another file of this name is not taken for it.
        length: Option<u64>,
    },
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
    /// The pool is gone.
    End,
}

impl Order {
    /// Whether the rank reports what came of it.
    pub(super) fn has_answer(&self) -> bool {
        !matches!(self, Order::Hello(_) | Order::Function { .. })
    }
}

/// From a rank to its pool.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The rank listens to orders from now on.
    Up(Whereabouts),
    /// The rank has read its welcome.
    Welcomed {
        /// Whether it writes on the board that the pool reads.
        shares_board: bool,
    },
    /// The initializer has done its work.
    Initialized,
    /// The rank cannot do what it was told, for this reason.
    Failed(String),
    /// A task is done. The body holds the results.
    Done {
        sequence: u32,
        /// When the task began and ended, in nanoseconds on the clock of the rank's host.
        began: u64,
        ended: u64,
        /// The processor time of the rank so far, in nanoseconds (user, system), where there is no
        /// shared board for it.
        cpu_time: Option<(u64, u64)>,
    },
    /// The rank goes back to what it did before the pool.
    Bye,
}

/// Where a rank runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    /// What the host calls itself.
    pub(super) host: String,
    /// Tells machines apart, whatever they call themselves.
    pub(super) machine: String,
    /// The number of its process on that machine.
    pub(super) process: u32,
    /// Whether a ring wakes it; see [`Doorbell`](super::doorbell::Doorbell).
    pub(super) can_be_rung: bool,
}

impl Whereabouts {
    /// Those of this process.
    pub(super) fn own(bell: &Doorbell) -> Whereabouts {
        Whereabouts {
            host: crate::rank::host(),
            machine: machine(),
            process: std::process::id(),
            can_be_rung: bell.can_be_rung(),
        }
    }

    /// Whether the other process sees the same files and processes.
    pub(super) fn is_near(&self, other: &Whereabouts) -> bool {
        self.is_on(&other.machine)
    }

    /// Whether it is the machine of this name.
    pub(super) fn is_on(&self, machine: &str) -> bool {
        !machine.is_empty() && self.machine == machine
    }
}

/// A name that no other running machine has; empty where the system gives none.
pub(super) fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Processes see each other by their numbers only in the same name space.
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() {
        return String::new();
    }
    format!("{} {}", boot.trim(), space.display())
}
