//! Timing, pools, sums and plots for learning parallel computing: in a notebook, and in programs.
//!
//! # Recipes
//! Time something once, or many times:
//! ```
//! use helpers::prelude::*;
//!
//! let sum = time!((1..=1000u64).sum::<u64>()); // prints CPU and wall time
//! let stats = timeit!((1..=1000u64).sum::<u64>()); // prints mean ± standard deviation
//! # assert_eq!(sum, 500_500);
//! # assert!(stats.min() > 0.0);
//! ```
//! Call a function on many items, on several workers, in order:
//! ```
//! use helpers::prelude::*;
//!
//! let pool = Pool::new(4)?;
//! assert_eq!(pool.map(|x| x * x, [1, 2, 3]), [1, 4, 9]);
//! # Ok::<(), PoolError>(())
//! ```
//! Start work now and fetch its result later:
//! ```
//! use helpers::prelude::*;
//!
//! let pool = Pool::new(4)?;
//! let handle = pool.submit(|name: &str| name.len(), "Ada");
//! assert_eq!(handle.join()?, 3);
//! # Ok::<(), PoolError>(())
//! ```
//! Sum, or reduce in any other way:
//! ```
//! use helpers::prelude::*;
//!
//! let values = vec![0.5; 100_000];
//! assert_eq!(par_sum(&values), 50_000.0);
//! let pool = Pool::new(2)?;
//! let count = map_reduce(&pool, &values, |part| part.len(), |a, b| a + b);
//! assert_eq!(count, Some(100_000));
//! # Ok::<(), PoolError>(())
//! ```
//!
//! # Modules
//! Each holds one concept and can be read in ten minutes: [`timing`] and [`stats`], [`pool`],
//! [`reduce`], [`plot`], [`environment`](mod@environment), [`progress`](mod@progress).
//!
//! # Limits
//! Threads cannot be stopped from outside: a task that never returns keeps its worker, and
//! dropping the pool waits for it. In a notebook, interrupting the kernel ends it.

pub mod environment;
mod notebook;
pub mod plot;
pub mod pool;
pub mod prelude;
pub mod progress;
pub mod reduce;
pub mod stats;
pub mod timing;

pub use environment::environment;
pub use plot::Figure;
pub use pool::{JoinHandle, Pool, PoolError, Until, as_completed, wait};
pub use progress::progress;
pub use reduce::{map_reduce, par_sum};
pub use stats::Stats;
pub use timing::{Timing, measure, measure_many};

// Named by the prelude; public so that a program can name the very versions that this crate uses.
pub use {ndarray, ndarray_rand, rand, rayon};
