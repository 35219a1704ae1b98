//! For the crate `helpers-mpi` alone, whose ranks are workers of the same engine, and for tests: what
//! it is made of. Nothing here is meant for users, and all of it may change.

pub use crate::notebook::evcxr::{Kernel, RUNNING_IN_A_CELL, SMALL_START, load_and_run};
pub use crate::notebook::interrupts::Interrupts;
pub use crate::notebook::runner::{Runner, pretend as pretend_to_run_cells};
pub use crate::notebook::{is_notebook, is_stock_kernel};
pub use crate::pool::chunk::checked_workers;
pub use crate::pool::error::WorkerKind;
pub use crate::pool::processes::thread_settings;
pub use crate::pool::remote::code_ref::{CodeRef, captures_nothing, conjure, load, of_address};
pub use crate::pool::remote::codec::{Body, Bytes, Writer, append, from_bytes, to_bytes};
pub use crate::pool::remote::exit_words::by_signal as ended_by_signal;
pub use crate::pool::remote::prepare::{caught, prepare};
pub use crate::pool::remote::protocol::{Order, Report};
pub use crate::pool::remote::scheduler::Scheduler;
pub use crate::pool::remote::scoreboard::Scoreboard;
pub use crate::pool::remote::shm_buffer::{
    ShmBuffer, is_tidy as buffers_are_tidy, tidy as tidy_buffers,
};
pub use crate::pool::remote::transport::{
    Ended, LIVENESS, LOOKING, PoolLink, Profile, Transport, Watched,
};
pub use crate::pool::remote::view::{PoolCore, initializer};
pub use crate::pool::remote::waker::Waker;
pub use crate::pool::remote::wire::{Arrival, Connection};
pub use crate::pool::remote::worker::work;

/// What workers print, on its way to who reads it.
pub mod output {
    pub use crate::pool::remote::output::{LineBuffer, read_available, set_nonblocking};
    pub use crate::pool::remote::printer::{Stream, catch_up, is_full, print};
}

/// Makes errors, which users cannot.
pub mod error {
    use crate::PoolError;

    /// A value that the pool cannot work with.
    pub fn invalid_input(message: String) -> PoolError {
        PoolError::invalid_input(message)
    }

    /// The job of a pool of so many workers could not be started.
    pub fn job(workers: usize, cause: String) -> PoolError {
        PoolError::job(workers, cause)
    }
}
