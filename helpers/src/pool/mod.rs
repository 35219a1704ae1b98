//! Pools of workers, and the vocabulary that they share.
//!
//! | module | holds |
//! | --- | --- |
//! | [`threads`] | [`Pool`]: workers that are threads and share the caller's memory |
//! | `crew`, `waits`, `stack` | its threads; who waits for whom; how deep a worker's stack is |
//! | [`processes`] | [`ProcessPool`]: workers that are processes, each with memory of its own |
//! | [`remote`] | what pools share whose workers have memory of their own |
//! | [`handle`] | [`JoinHandle`]: the result of a submitted task, before it is there |
//! | [`completion`] | [`as_completed`] and [`wait`]: many handles at once |
//! | [`imap`] | lazy iterators over results |
//! | `slots` | a list that threads take apart, and the places of its results |
//! | `batch`, `tally` | a map that is a handle; what is submitted and not done |
//! | `witness` | what a thread hands to pools, for checks of exercises |
//! | [`star`] | [`StarFn`]: unpacking a tuple into a function's arguments |
//! | [`portable`] | [`Portable`]: what can travel between processes |
//! | [`error`] | [`PoolError`] |
//!
//! Work is cut into chunks (`chunk`). Chunks start in order, and a free worker takes the next
//! one: items of 3, 5, 10, 15, 17 and 20 seconds take 25 seconds on 4 workers, every time.

pub(crate) mod batch;
pub(crate) mod chunk;
pub mod completion;
mod crew;
pub mod error;
pub mod handle;
pub mod imap;
pub(crate) mod panic;
pub mod portable;
pub mod processes;
pub mod remote;
pub(crate) mod slots;
mod stack;
pub mod star;
pub(crate) mod tally;
pub mod threads;
pub(crate) mod waits;
pub(crate) mod witness;

pub use completion::{AsCompleted, Until, Waited, as_completed, wait};
pub use error::PoolError;
pub use handle::JoinHandle;
pub use imap::Imap;
pub use portable::Portable;
pub use processes::{ProcessPool, SharedArray, SharedSlice, SharedSliceMut};
pub use remote::worker_value;
pub use star::StarFn;
pub use threads::{Chunked, Pool};
