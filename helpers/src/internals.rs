//! For the crate `helpers-mpi` alone, whose ranks are workers of the same engine, and for tests: what
//! it is made of. Nothing here is meant for users, and all of it may change.

pub use crate::interrupts::Interrupts;
pub use crate::notebook::{is_notebook, is_stock_kernel};
pub use crate::pool::chunk::checked_workers;
pub use crate::pool::processes::thread_settings;
pub use crate::pool::remote::attended::Attended;
pub use crate::pool::remote::bell::Bell;
pub use crate::pool::remote::board::{Board, now};
pub use crate::pool::remote::chunk_run::caught;
pub use crate::pool::remote::codec::{Body, Bytes, Writer};
pub use crate::pool::remote::crew::{
    Completed, Crew, Diary, Finished, LIVENESS, Sink, Task, Watched,
};
pub use crate::pool::remote::desk::{Desk, Errand};
pub use crate::pool::remote::engine::LOOKING;
pub use crate::pool::remote::pace::Pace;
pub use crate::pool::remote::parcel::{Parcel, is_tidy as parcels_are_tidy, tidy as tidy_parcels};
pub use crate::pool::remote::queue::Queue;
pub use crate::pool::remote::ship::{
    Place, address_at, initializer_entry, place as place_of_entry, place_of,
};
pub use crate::pool::remote::wire::{Arrival, Connection};
pub use crate::runner::{Runner, pretend as pretend_to_run_cells};
pub use crate::timing::cpu_time;

/// What workers print, on its way to who reads it.
pub mod output {
    pub use crate::pool::remote::output::harmless;
    pub use crate::pool::remote::printer::{Stream, catch_up, is_full, print};
}

/// Makes errors, which users cannot.
pub mod error {
    use std::time::Duration;

    use crate::PoolError;

    /// A value that the pool cannot work with.
    pub fn invalid_input(message: String) -> PoolError {
        PoolError::invalid_input(message)
    }

    /// The job of a pool of so many workers could not be started.
    pub fn job(workers: usize, cause: String) -> PoolError {
        PoolError::job(workers, cause)
    }

    /// A rank that ended at work, and its job with it.
    pub fn rank_lost(rank: String, item: Option<usize>, how: String) -> PoolError {
        PoolError::rank_lost(rank, item, how)
    }

    /// An item that took longer than it may, on a rank.
    pub fn time_limit(rank: String, item: Option<usize>, limit: Duration) -> PoolError {
        PoolError::time_limit_of_rank(rank, item, limit)
    }

    /// An argument or a result that could not be sent.
    pub fn not_sent(item: Option<usize>, cause: String) -> PoolError {
        PoolError::not_sent(item, cause)
    }

    /// A task that never ran.
    pub fn cancelled(why: &'static str) -> PoolError {
        PoolError::cancelled(why)
    }

    /// A task that ran, and was ended since nobody wants it.
    pub fn stopped(why: &'static str) -> PoolError {
        PoolError::stopped(why)
    }
}
