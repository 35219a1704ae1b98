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
//! Do the same in worker processes, whose end is not the end of the program:
//! ```
//! use helpers::prelude::*;
//!
//! helpers::init_process_pools(); // a program's first line; a notebook does not need it
//! let pool = ProcessPool::new(2)?;
//! assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3])?, [1, 4, 9]);
//! let lost = pool.submit(|code: i32| -> () { std::process::exit(code) }, 3);
//! assert!(lost.join().is_err_and(|error| error.is_worker_lost()));
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
//! See which worker ran which task, and when:
//! ```
//! use helpers::prelude::*;
//!
//! let pool = Pool::new(2)?;
//! let (_, timeline) = Timeline::record(|| pool.map(|x: u64| x * x, 0..6));
//! println!("{timeline}"); // a table: how busy each worker was
//! let figure = plot::timeline("Six tasks on two workers", &timeline)?; // a row for each worker
//! # assert!(figure.alt().contains("6 tasks on 2 workers"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Show how far a loop is, and its figures as they come:
//! ```
//! use helpers::prelude::*;
//!
//! for workers in progress([1, 2, 4]) {
//!     let figure = plot::bars("Wall time", "s", &[("serial", 8), ("workers", 8 / workers)])?;
//!     display(&figure); // a cell's last expression shows itself without it
//! }
//! # Ok::<(), plot::PlotError>(())
//! ```
//! Compare numbers of workers, in turns:
//! ```
//! use helpers::prelude::*;
//!
//! let times = times_of(|pool| pool.map(|x: u64| x * x, 0..1000), &[1, 2])?;
//! let figure = plot::lines("Squares", "workers", "speedup", &[("measured", &speedups(&times))])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ask the reader:
//! ```no_run
//! use helpers::prelude::*;
//!
//! let workers: usize = input("How many workers? ")?.trim().parse()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Check the answer to an exercise, whatever it does:
//! ```
//! use helpers::prelude::*;
//!
//! fn answer(numbers: &[u32]) -> u32 {
//!     numbers[0] // what if there are none?
//! }
//!
//! helpers::init_process_pools();
//! let verdict = check!(|check| {
//!     check.on("answer(&[])").equal(0, || answer(&[]));
//! });
//! assert!(verdict.to_string().contains("a panic: index out of bounds"));
//! ```
//!
//! # Modules
//! Each holds one concept and can be read in ten minutes: [`timing`] and [`stats`], [`compare`], [`pool`],
//! [`reduce`], [`timeline`], [`plot`], [`environment`](mod@environment), [`progress`](mod@progress),
//! [`show`], [`input`](mod@input), and [`check`](mod@check) for exercises.
//!
//! # Limits
//! Threads cannot be stopped from outside: a task that never returns keeps its worker, and
//! dropping the pool waits for it. Worker processes can be stopped: see [`ProcessPool::time_limit`].
//! They run on Linux (with the GNU C library) and macOS.
//!
//! # When a notebook is interrupted
//! In the course's own kernel, whatever waits in a cell for a pool, a handle, a rank, the next item of
//! [`progress`](progress()) or the end of a [`sleep`] ends with a panic that says `interrupted`.
//! Variables are kept and pools stay usable. [`Pool::map`] begins no further item, but must finish those
//! that have begun, unless they [`sleep`]. Where that, or anything else, takes longer than 0.8 seconds,
//! the kernel ends the process and variables are lost, as they always are in a stock kernel.

pub mod check;
pub mod compare;
pub mod environment;
pub mod input;
#[doc(hidden)]
pub mod internals;
mod notebook;
pub mod plot;
pub mod pool;
pub mod prelude;
pub mod progress;
pub mod reduce;
pub mod show;
pub mod stats;
pub mod timeline;
pub mod timing;

pub use compare::{fastest, in_turns, speedups, times_of};
pub use environment::environment;
pub use input::input;
pub use notebook::interrupts::sleep;
pub use plot::Figure;
pub use pool::processes::program::init_process_pools;
pub use pool::{
    JoinHandle, Pool, PoolError, ProcessPool, SharedArray, SharedSlice, SharedSliceMut, Until,
    as_completed, wait, worker_value,
};
pub use progress::progress;
pub use reduce::{map_reduce, par_sum};
pub use show::{Show, clear_output, display};
pub use stats::Stats;
pub use timeline::Timeline;
pub use timing::{Timing, measure, measure_many};

// Named by the prelude; public so that a program can name the very versions that this crate uses.
pub use {ndarray, ndarray_rand, plotters, rand, rayon, serde};

/// The examples of the book's page are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../book/python_and_rust.md")]
pub struct BookPage;
