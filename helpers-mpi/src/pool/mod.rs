//! A pool whose workers are ranks of an MPI job.
//!
//! | module | holds |
//! | --- | --- |
//! | this one | [`MpiPool`]: the calls that users make |
//! | `transport` | the ranks, and how messages reach them: through rank 0, or by being it |
//! | `hub` | what a rank does: rank 0 passes messages on, the others work |
//! | `messenger` | messages between ranks |
//! | `doorbell` | how ranks of one host wake each other |
//!
//! All else is the engine that worker processes have as well: see [`helpers::pool`].

mod doorbell;
mod hub;
mod messenger;
mod transport;

use std::fmt;
use std::time::Duration;

use helpers::internals::{
    Body, CodeRef, PoolCore, Scheduler, Writer, checked_workers, error, initializer,
};
use helpers::pool::remote::{RemoteImap, Timed, View, With};
use helpers::pool::{Portable, StarFn};
use helpers::{JoinHandle, PoolError};

pub(crate) use self::hub::serve;
use self::transport::Ranks;
use crate::settings::{Settings, settings_methods};

/// A pool whose workers are ranks of an MPI job, on this host or on many.
///
/// It has the vocabulary of the other pools, as Python's `mpi4py.futures.MPIPoolExecutor` has that
/// of its executors. `MpiPool::new(4)` starts a job of 5 ranks: rank 0 hands the tasks out, and
/// ranks 1 to 4 are the workers. The process that owns the pool takes no part in MPI, so whatever
/// happens to the job does not happen to it.
///
/// Functions are plain functions or closures that capture nothing; items, arguments and results
/// are types that [`serde`] can carry. Dropping the pool ends its job at once, with
/// what its ranks are doing: fetch the results that you want first.
///
/// All ranks, those of a fresh job too, work in the folder that is the caller's own when the pool is
/// made ([`std::env::current_dir`]), if their host has it.
///
/// An MPI job ends with any of its ranks. When one is killed, calls `MPI_Abort` or is at an item
/// for longer than its [time limit](MpiPool::time_limit), what the ranks are doing fails, with an
/// error that names the rank and the cause. The pool goes on with a fresh job, which also gets the
/// tasks that no rank had begun.
///
/// In a notebook there is nothing to prepare. A program calls [`init`](crate::init) first thing in
/// `main`. If such a program is itself started by `mpiexec`, its rank 0 owns the pool and the
/// other ranks are the workers, of one pool at a time. They cannot be stopped or replaced then: a
/// rank that is at an item past its time limit gets nothing else to do until that item ends, and
/// when all are, the pool gives up. Dropping the pool waits two seconds at most for what ranks
/// are doing, and the program's end stops those that are still at it, with an error.
///
/// ```no_run
/// use helpers::prelude::*;
/// use helpers_mpi::prelude::*;
///
/// fn main() -> Result<(), PoolError> {
///     helpers_mpi::init();
///     let pool = MpiPool::new(2)?;
///     assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3])?, [1, 4, 9]);
///     assert_eq!(pool.starmap(|w: u32, h: u32| w * h, [(2, 3), (4, 5)])?, [6, 20]);
///     Ok(())
/// }
/// ```
///
/// What a closure captures stays in its own process, so capturing does not compile; a value that all
/// calls need goes along by [`with`](MpiPool::with):
///
/// ```compile_fail,E0080
/// use helpers::prelude::*;
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let pool = MpiPool::new(2).unwrap();
/// let factor = 3;
/// pool.map(|x: u64| x * factor, [1, 2, 3]);
/// ```
pub struct MpiPool {
    core: PoolCore,
}

impl MpiPool {
    /// Starts a job of `workers` + 1 ranks, and waits until they are ready.
    ///
    /// # Errors
    /// The number is not from 1 to 1024, there is no `mpiexec`, or the ranks cannot be started; in a
    /// program that `mpiexec` has started, a function or another pool has the ranks.
    pub fn new(workers: usize) -> Result<MpiPool, PoolError> {
        MpiPool::builder(workers).build()
    }

    /// A pool with settings of its own; see [`MpiPoolBuilder`].
    pub fn builder(workers: usize) -> MpiPoolBuilder {
        MpiPoolBuilder {
            workers,
            settings: Settings::new(workers.saturating_add(1)),
            initializer: Ok(None),
        }
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.core.workers()
    }

    /// Calls `f` on each item and gives the results in the order of the items.
    ///
    /// Chunks of items start in order, and a free rank takes the next one. The chunk size is
    /// items / (4 × workers), rounded up; see [`chunk_size`](MpiPool::chunk_size).
    ///
    /// # Errors
    /// The first failure ends the call: an item whose function panicked or whose rank was lost,
    /// or a value that could not be sent. What was not begun is not done. To keep the results of
    /// the other items use [`imap`](MpiPool::imap).
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
        self.core.view().map(f, items)
    }

    /// Like [`map`](MpiPool::map) for functions of several parameters: unpacks each tuple into
    /// them.
    ///
    /// # Errors
    /// As [`map`](MpiPool::map).
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Portable>,
        F: StarFn<I::Item, Output: Portable>,
    {
        self.core.view().starmap(f, tuples)
    }

    /// Like [`map`](MpiPool::map), but lazy: results come one by one, in the order of the items,
    /// and items are taken from the iterator only as ranks need them, two for each rank ahead.
    ///
    /// Each result is a `Result`, so a panic costs one item only. The loss of a rank costs what
    /// all ranks are at.
    ///
    /// When the iterator is dropped, what nobody will ask for is stopped, unless it ends by itself
    /// within a tenth of a second: with the job, once no rank is at work for others. If `items`
    /// panics, the panic goes on behind the results of the items before.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> RemoteImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.core.view().imap(f, items)
    }

    /// Like [`imap`](MpiPool::imap), but results come as soon as they are there, in any order.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> RemoteImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.core.view().imap_unordered(f, items)
    }

    /// Hands one call `f(arg)` to the pool and returns at once, with a handle to the result.
    ///
    /// A panic in `f`, the loss of its rank, and values that cannot be sent become the handle's
    /// error.
    pub fn submit<A, R, F>(&self, f: F, arg: A) -> JoinHandle<R>
    where
        A: Portable + 'static,
        R: Portable + Send + 'static,
        F: Fn(A) -> R,
    {
        self.core.view().submit(f, arg)
    }

    /// Like [`map`](MpiPool::map), but returns at once, with a handle to the list of results.
    ///
    /// The handle can be joined, waited for beside others, looked at and cancelled; that ends the
    /// whole call, and stops what runs. The first failure becomes the handle's error.
    pub fn map_async<I, R, F>(&self, f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.core.view().map_async(f, items)
    }

    /// Like [`map_async`](MpiPool::map_async) for functions of several parameters: unpacks each tuple
    /// into them.
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        F: StarFn<I::Item, Output: Portable + Send + 'static>,
    {
        self.core.view().starmap_async(f, tuples)
    }

    /// Waits until everything that was submitted to the pool is done: what Python's `with` does at
    /// its end for an executor. A pool that is dropped stops what is not done.
    ///
    /// # Errors
    /// The first failure of a task whose result nobody has asked for (told once; nobody misses a
    /// task that was cancelled).
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.core.view().wait_all()
    }

    /// A view of the pool whose functions get `&value` as their first argument.
    ///
    /// The value is sent to each rank once, and not with each item: what `functools.partial` does
    /// in Python, where a closure would capture. For what each rank is to make for
    /// itself there is [`initializer`](MpiPoolBuilder::initializer).
    pub fn with<V: Portable>(&self, value: V) -> With<'_, View<'_>, V> {
        self.core.view().with(value)
    }

    /// A view of the pool whose calls end after so much time, counted from the call: what is not
    /// done then is an error ([`is_timeout`](PoolError::is_timeout)) that says how much was.
    ///
    /// What ranks are at is stopped as past a [`time_limit`](MpiPool::time_limit). What `timeout=` is to Python's `Executor.map`.
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(&self, limit: Duration) -> Result<Timed<'_>, PoolError> {
        self.core.view().deadline(limit)
    }

    /// A view of the pool whose ranks take `size` items at a time.
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<View<'_>, PoolError> {
        self.core.view().chunk_size(size)
    }

    /// A view of the pool that allows each item so much time. An item that takes longer is a
    /// failure ([`is_timeout`](PoolError::is_timeout)). Its rank is stopped, and the job with it,
    /// as soon as no other rank is at work.
    ///
    /// Of ranks on other hosts only the time of a whole chunk can be seen.
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(&self, limit: Duration) -> Result<View<'_>, PoolError> {
        self.core.view().time_limit(limit)
    }
}

impl fmt::Debug for MpiPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MpiPool({} workers)", self.workers())
    }
}

/// Settings of a pool that is yet to be made, from [`MpiPool::builder`].
///
/// ```no_run
/// use helpers::prelude::*;
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let pool = MpiPool::builder(16)
///     .hosts(["node1:8", "node2:9"])
///     .initializer(|path: String| format!("the model in {path}"), "model.bin".to_owned())
///     .build()?;
/// let answer = pool.submit(|()| worker_value::<String>().len(), ());
/// assert_eq!(answer.join()?, 22);
/// # Ok::<(), PoolError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Debug)]
pub struct MpiPoolBuilder {
    workers: usize,
    settings: Settings,
    initializer: Result<Option<(CodeRef, Body)>, PoolError>,
}

impl MpiPoolBuilder {
    settings_methods!();

    /// Has each rank that works call `f(arg)` once, before its first task. Tasks reach what it
    /// gave by [`worker_value`](helpers::worker_value).
    pub fn initializer<A, V, F>(mut self, _f: F, arg: A) -> MpiPoolBuilder
    where
        A: Portable + 'static,
        V: Send + Sync + 'static,
        F: Fn(A) -> V,
    {
        self.initializer = initializer::<F, A, V>(Writer::default(), &arg, "a rank");
        self
    }

    /// Starts the job and waits until its ranks are ready.
    ///
    /// # Errors
    /// As [`MpiPool::new`]; settings that no job can have; an initializer that panics, or whose
    /// argument cannot be sent.
    pub fn build(self) -> Result<MpiPool, PoolError> {
        let workers = checked_workers(self.workers)?;
        let mut settings = self.settings;
        settings.folder = std::env::current_dir().ok();
        settings
            .check()
            .map_err(|error| error::invalid_input(error.to_string()))?;
        let initializer = self.initializer?;
        let core = PoolCore::start(workers, |waker| {
            Scheduler::new(Box::new(Ranks::start(settings)?), initializer, waker)
        })?;
        Ok(MpiPool { core })
    }
}
