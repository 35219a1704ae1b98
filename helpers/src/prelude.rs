//! What a lesson needs: `use helpers::prelude::*;`

pub use crate::check;
pub use crate::compare::{fastest, in_turns, speedups, times_of};
pub use crate::environment::environment;
pub use crate::input::input;
pub use crate::notebook::interrupts::sleep;
pub use crate::plot::{self, Figure, ShowResult as _};
pub use crate::pool::{
    JoinHandle, Pool, PoolError, ProcessPool, SharedArray, SharedSlice, SharedSliceMut, Until,
    as_completed, wait, worker_value,
};
pub use crate::progress::progress;
pub use crate::reduce::{map_reduce, par_sum};
pub use crate::show::{clear_output, display};
pub use crate::stats::Stats;
pub use crate::timeline::Timeline;
pub use crate::timing::{Timing, measure, measure_many};
pub use crate::{time, timeit};

// The libraries of the lessons, so that one `:dep` line brings them all.
pub use crate::{ndarray, ndarray_rand, plotters, rand, rayon, serde};
