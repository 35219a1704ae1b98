//! Workers that are processes: each has memory of its own, and its end is nobody else's end.
//!
//! | module | holds |
//! | --- | --- |
//! | this one | [`ProcessPool`]: the calls that users make |
//! | `transport` | the workers of a pool, and how messages reach them |
//! | `process`, `worker` | one worker, seen from the pool and from inside |
//! | [`shared_array`] | arrays that stay where they are |
//! | [`program`] | what a program (not a notebook) calls first |
//!
//! What is not peculiar to processes is in [`remote`](super::remote).
//!
//! # How a function gets there
//! A worker runs the same program as the pool's owner; in a notebook, the same kernel program,
//! which then loads the libraries of the cells. A function that captures nothing is known by its
//! place in such a library, so cells written after the pool was made can be used as well.
//!
//! # How data gets there
//! Arguments and results go through [`serde`] into bytes. A few kilobytes go through a socket,
//! more through memory that changes hands. A [`SharedArray`] is not moved at all.

mod process;
pub mod program;
pub mod shared_array;
mod transport;
mod worker;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use self::transport::{Processes, Settings};
use super::chunk::checked_workers;
use super::remote::code_ref::CodeRef;
use super::remote::codec::{Body, Writer};
use super::remote::scheduler::Scheduler;
use super::remote::view::{PoolCore, initializer};
use super::remote::{RemoteImap, Timed, View, With};
use super::{JoinHandle, PoolError, Portable, StarFn};

#[doc(hidden)]
pub use self::process::thread_settings;
pub use self::shared_array::{SharedArray, SharedSlice, SharedSliceMut};

/// A pool of worker processes, with the vocabulary of Python's `multiprocessing.Pool`.
///
/// Each worker has memory of its own: arguments and results are copied, and a worker that crashes
/// takes nothing with it. Its task ends with an error that says what happened, and a fresh worker
/// takes its place. Threads ([`Pool`](crate::Pool)) are the faster choice for safe Rust code;
/// processes are for code that may crash, must be stopped, or uses what only one thread of a
/// process may use.
///
/// Functions are plain functions or closures that capture nothing; items, arguments and results
/// are types that [`serde`] can carry. Dropping the pool ends its workers at once, with what they
/// are doing, and waits for them: fetch the results that you want first.
///
/// All workers, those that take the place of lost ones too, work in the folder that is the caller's
/// own when the pool is made ([`std::env::current_dir`]): a file that it names without a folder is
/// found by its workers. Their stacks are as deep as that of the caller's main thread, on which a
/// notebook's cells run; one that overflows costs its worker, and the error says so.
///
/// In a notebook there is nothing to prepare. A program calls
/// [`init_process_pools`](crate::init_process_pools) first thing in `main`:
///
/// ```
/// use helpers::prelude::*;
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::new(2)?;
/// assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3])?, [1, 4, 9]);
/// assert_eq!(pool.starmap(|w: u32, h: u32| w * h, [(2, 3), (4, 5)])?, [6, 20]);
/// # Ok::<(), PoolError>(())
/// ```
///
/// What a closure captures stays in its own process, so capturing does not compile; a value that all
/// calls need goes along by [`with`](ProcessPool::with):
///
/// ```compile_fail,E0080
/// use helpers::prelude::*;
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::new(2).unwrap();
/// let factor = 3;
/// pool.map(|x: u64| x * factor, [1, 2, 3]);
/// ```
pub struct ProcessPool {
    core: PoolCore,
}

impl ProcessPool {
    /// Starts a pool of `workers` processes, from 1 to 1024, and waits until they are ready.
    ///
    /// # Errors
    /// The number is out of range, the system refuses to start so many processes, or this is a
    /// program that has not called [`init_process_pools`](crate::init_process_pools).
    pub fn new(workers: usize) -> Result<ProcessPool, PoolError> {
        ProcessPool::builder(workers).build()
    }

    /// A pool with settings of its own; see [`Builder`].
    pub fn builder(workers: usize) -> Builder {
        Builder {
            workers,
            environment: Vec::new(),
            tasks_per_worker: None,
            initializer: Ok(None),
        }
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.core.workers()
    }

    /// Calls `f` on each item and gives the results in the order of the items.
    ///
    /// Chunks of items start in order, and a free worker takes the next one. The chunk size is
    /// items / (4 × workers), rounded up, as in Python; see [`chunk_size`](ProcessPool::chunk_size).
    ///
    /// # Errors
    /// The first failure ends the call: an item whose function panicked or whose worker was lost,
    /// or a value that could not be sent. What was not begun is not done, and what runs is
    /// stopped if it does not end by itself within a tenth of a second. To keep the results of the
    /// other items use [`imap`](ProcessPool::imap).
    pub fn map<A, R, F>(
        &self,
        f: F,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Portable,
        R: Portable,
        F: Fn(A) -> R,
    {
        self.view().map(f, items)
    }

    /// Like [`map`](ProcessPool::map) for functions of several parameters: unpacks each tuple into
    /// them.
    ///
    /// # Errors
    /// As [`map`](ProcessPool::map).
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Portable>,
        F: StarFn<I::Item, Output: Portable>,
    {
        self.view().starmap(f, tuples)
    }

    /// Like [`map`](ProcessPool::map), but lazy: results come one by one, in the order of the
    /// items, and items are taken from the iterator only as workers need them, two for each
    /// worker ahead.
    ///
    /// Each result is a `Result`, so a failure costs one item only. With a larger chunk size, the
    /// loss of a worker and a time limit cost the items of the chunk.
    ///
    /// When the iterator is dropped, what nobody will ask for is stopped, unless it ends by itself
    /// within a tenth of a second. If `items` panics, the panic goes on behind the results of the
    /// items before.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> RemoteImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.view().imap(f, items)
    }

    /// Like [`imap`](ProcessPool::imap), but results come as soon as they are there, in any order.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> RemoteImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.view().imap_unordered(f, items)
    }

    /// Hands one call `f(arg)` to the pool and returns at once, with a handle to the result.
    ///
    /// A panic in `f`, the loss of its worker, and values that cannot be sent become the handle's
    /// error.
    pub fn submit<A, R, F>(&self, f: F, arg: A) -> JoinHandle<R>
    where
        A: Portable + 'static,
        R: Portable + Send + 'static,
        F: Fn(A) -> R,
    {
        self.view().submit(f, arg)
    }

    /// Like [`map`](ProcessPool::map), but returns at once, with a handle to the list of results.
    ///
    /// The handle can be joined, waited for beside others, looked at and cancelled; that ends the
    /// whole call, and stops what runs unless it ends by itself within a tenth of a second. The
    /// first failure does so as well, and becomes the handle's error. All items are made into bytes at
    /// once: of more than memory holds, take [`imap`](ProcessPool::imap).
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// helpers::init_process_pools();
    /// let pool = ProcessPool::new(2)?;
    /// let squares = pool.map_async(|x: u64| x * x, 1..4);
    /// assert_eq!(squares.join()?, [1, 4, 9]);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn map_async<I, R, F>(&self, f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.view().map_async(f, items)
    }

    /// Like [`map_async`](ProcessPool::map_async) for functions of several parameters: unpacks each tuple
    /// into them.
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        F: StarFn<I::Item, Output: Portable + Send + 'static>,
    {
        self.view().starmap_async(f, tuples)
    }

    /// Waits until everything that was submitted to the pool is done: what Python's `with` does at
    /// its end for an executor. A pool that is dropped stops what is not done.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// helpers::init_process_pools();
    /// let pool = ProcessPool::new(2)?;
    /// let handles: Vec<_> = (0..5).map(|x| pool.submit(|x: u64| x * x, x)).collect();
    /// pool.wait_all()?;
    /// assert!(handles.iter().all(|handle| handle.is_finished()));
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// # Errors
    /// The first failure of a task whose result nobody has asked for (told once; nobody misses a
    /// task that was cancelled).
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.view().wait_all()
    }

    /// A view of the pool whose functions get `&value` as their first argument.
    ///
    /// The value is sent to each worker once, and not with each item: what `functools.partial` does
    /// in Python, where a closure would capture. For what each worker is to make
    /// for itself there is [`initializer`](Builder::initializer).
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// helpers::init_process_pools();
    /// let pool = ProcessPool::new(2)?;
    /// let table = vec![1, 10, 100];
    /// assert_eq!(pool.with(table).map(|table: &Vec<u64>, x: usize| table[x], [2, 0])?, [100, 1]);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn with<V: Portable>(&self, value: V) -> With<'_, View<'_>, V> {
        self.view().with(value)
    }

    /// A view of the pool whose calls end after so much time, counted from the call: what is not
    /// done then is an error ([`is_timeout`](PoolError::is_timeout)) that says how much was.
    ///
    /// What runs is stopped with its worker, as past a
    /// [`time_limit`](ProcessPool::time_limit), if it does not end by itself within a tenth of a second. What `timeout=` is to Python's `Executor.map`.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// helpers::init_process_pools();
    /// let pool = ProcessPool::new(2)?;
    /// let nap = |ms| sleep(std::time::Duration::from_millis(ms));
    /// let timed = pool.deadline(std::time::Duration::from_millis(200))?;
    /// let error = timed.map(nap, [1, 60_000]).unwrap_err();
    /// assert!(error.is_timeout());
    /// println!("{error}"); // the deadline of 200ms came when 1 of 2 items were done; …
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(&self, limit: Duration) -> Result<Timed<'_>, PoolError> {
        self.view().deadline(limit)
    }

    /// A view of the pool whose workers take `size` items at a time.
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<View<'_>, PoolError> {
        self.view().chunk_size(size)
    }

    /// A view of the pool that allows each item so much time. An item that takes longer is a
    /// failure ([`is_timeout`](PoolError::is_timeout)); its worker is stopped and replaced.
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(&self, limit: Duration) -> Result<View<'_>, PoolError> {
        self.view().time_limit(limit)
    }

    fn view(&self) -> View<'_> {
        self.core.view()
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessPool({} workers)", self.workers())
    }
}

/// Settings of a pool that is yet to be made, from [`ProcessPool::builder`].
///
/// ```
/// use helpers::prelude::*;
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::builder(2)
///     .initializer(|path: String| format!("the model in {path}"), "model.bin".to_owned())
///     .env("LANG", "C")
///     .tasks_per_worker(100)
///     .build()?;
/// let answer = pool.submit(|()| worker_value::<String>().len(), ());
/// assert_eq!(answer.join()?, 22);
/// # Ok::<(), PoolError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Debug)]
pub struct Builder {
    workers: usize,
    environment: Vec<(OsString, OsString)>,
    tasks_per_worker: Option<usize>,
    initializer: Result<Option<(CodeRef, Body)>, PoolError>,
}

impl Builder {
    /// Has each worker call `f(arg)` once, before its first task. Tasks reach what it gave by
    /// [`worker_value`](crate::worker_value).
    ///
    /// Starting the worker and this call may take 30 seconds in all.
    pub fn initializer<A, V, F>(mut self, _f: F, arg: A) -> Builder
    where
        A: Portable + 'static,
        V: Send + Sync + 'static,
        F: Fn(A) -> V,
    {
        self.initializer = initializer::<F, A, V>(Writer::for_everybody(), &arg, "a worker");
        self
    }

    /// Sets a variable in the environment of the workers.
    ///
    /// Without it they see their owner's environment, and `OMP_NUM_THREADS`,
    /// `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS`, `RAYON_NUM_THREADS` and their like are set to
    /// cores / workers unless the owner has set them: so that libraries which start threads of
    /// their own do not start too many.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Replaces a worker by a fresh one after so many tasks (chunks of items), for code that
    /// leaks memory.
    pub fn tasks_per_worker(mut self, tasks: usize) -> Builder {
        self.tasks_per_worker = Some(tasks);
        self
    }

    /// Starts the workers and waits until they are ready.
    ///
    /// # Errors
    /// As [`ProcessPool::new`]; no tasks per worker; an initializer that panics, or whose argument
    /// cannot be sent.
    pub fn build(self) -> Result<ProcessPool, PoolError> {
        let workers = checked_workers(self.workers)?;
        if self.tasks_per_worker == Some(0) {
            return Err(PoolError::invalid_input(
                "0 tasks per worker were asked for; a worker does at least 1".to_owned(),
            ));
        }
        program::check()?;
        let mut environment = process::thread_settings(workers);
        environment.extend(self.environment);
        let settings = Settings {
            workers,
            environment,
            tasks_per_worker: self.tasks_per_worker,
            folder: std::env::current_dir().ok(),
        };
        let initializer = self.initializer?;
        let core = PoolCore::start(workers, |waker| {
            Scheduler::new(Box::new(Processes::start(settings)?), initializer, waker)
        })?;
        Ok(ProcessPool { core })
    }
}
