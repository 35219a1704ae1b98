//! What ranks say to each other, around what the pool and its workers do.

use helpers::internals::{Order, Report};
use serde::{Deserialize, Serialize};

use super::doorbell::Doorbell;

/// From rank 0 to a rank that works.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToRank {
    /// The first message: where rank 0 is, so that it can be woken.
    Hello(Whereabouts),
    /// What the pool wants.
    Order(Order),
    /// The pool is gone.
    End,
}

impl ToRank {
    /// Whether the rank says something when it has carried this out.
    pub(super) fn has_answer(&self) -> bool {
        !matches!(
            self,
            ToRank::Hello(_)
                | ToRank::Order(
                    Order::Function { .. } | Order::Value { .. } | Order::Forget { .. }
                )
        )
    }
}

/// From a rank that works to rank 0, and on to the pool.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromRank {
    /// The rank listens from now on.
    Up(Whereabouts),
    /// What the pool is to know.
    Report(Report),
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
