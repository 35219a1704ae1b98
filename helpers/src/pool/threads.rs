//! Workers that are threads: they share the caller's memory, so nothing is copied or sent.

mod timed;
mod with;

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{self, Batch};
use super::chunk::{checked_chunk_size, checked_workers, default_chunk_size, list};
use super::crew::Crew;
use super::handle::{Job, Runner, failed_task, task};
use super::imap::Way;
use super::panic::panic_message;
use super::slots::Slots;
use super::stack;
use super::tally::Tally;
use super::waits::{self, Awaited, Place, UnderWay};
use super::{Imap, JoinHandle, PoolError, StarFn, witness};
use crate::notebook;
use crate::notebook::interrupts::{self, Interrupts};
use crate::timeline::recorder::{self, Items, PoolTag};

pub use self::timed::Timed;
pub use self::with::With;

/// A pool of worker threads, with the vocabulary of Python's `multiprocessing.Pool`.
///
/// The workers share the caller's memory: functions may borrow the caller's data, and large
/// arrays cost nothing to hand over. Dropping the pool ends its workers and waits for them:
/// tasks that run come to their end, tasks that wait are cancelled. (It does not wait if one of its
/// own tasks drops it, or if one waits for the task that drops it.)
///
/// A task that waits, for a `map` of its own pool or for a sum, takes up no other task meanwhile, so
/// it may hold a lock. A wait that could never end, as of two tasks that wait for each other, is an
/// error ([`PoolError::is_deadlock`]).
///
/// The stack of a worker is as deep as that of the main thread, on which a notebook's cells run. One
/// that overflows ends the program, as anywhere in Rust; its last words name the worker. What may
/// recurse without end belongs into a [`ProcessPool`](crate::ProcessPool).
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(4)?;
/// let squares = pool.map(|x| x * x, [1, 2, 3]);
/// assert_eq!(squares, [1, 4, 9]);
/// let areas = pool.starmap(|w: u32, h: u32| w * h, [(2, 3), (4, 5)]);
/// assert_eq!(areas, [6, 20]);
/// # Ok::<(), PoolError>(())
/// ```
pub struct Pool {
    crew: Arc<Crew>,
    joins: Vec<thread::JoinHandle<()>>,
    workers: usize,
    /// How many tasks were submitted: the number of the next one, for timelines.
    submitted: AtomicUsize,
    tag: PoolTag,
    tally: Arc<Tally>,
}

impl Pool {
    /// Starts a pool of `workers` threads, from 1 to 1024.
    ///
    /// Work that needs the processor gains nothing from more workers than
    /// [`environment().cores`](crate::environment()); work that waits (for disks, networks, sleep) does.
    ///
    /// # Errors
    /// The number is out of range, or the system refuses to start so many threads.
    pub fn new(workers: usize) -> Result<Pool, PoolError> {
        let workers = checked_workers(workers)?;
        let mut pool = Pool {
            crew: Arc::default(),
            joins: Vec::with_capacity(workers),
            workers,
            submitted: AtomicUsize::new(0),
            tag: PoolTag::new(workers),
            tally: Arc::default(),
        };
        let tag = pool.tag;
        for index in 0..workers {
            let crew = Arc::clone(&pool.crew);
            let thread = thread::Builder::new()
                .name(worker_name(index))
                .stack_size(stack::depth());
            let spawned = thread.spawn(move || {
                recorder::enter(tag, index);
                let _watch = stack::watch(&worker_name(index));
                notebook::let_others_wait();
                crew.work();
            });
            // Those that have started end when the pool is dropped.
            pool.joins.push(spawned.map_err(|cause| {
                PoolError::start(
                    index + 1,
                    workers,
                    format!("{cause}; ask for fewer workers"),
                )
            })?);
        }
        Ok(pool)
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Calls `f` on each item and gives the results in the order of the items.
    ///
    /// Chunks of items start in order, and a free worker takes the next chunk. The chunk size is
    /// items / (4 × workers), rounded up, as in Python; see [`chunk_size`](Pool::chunk_size).
    /// Items are anything that can be iterated: an array or `Vec` hands its items over, a
    /// reference to one lends them (`f` then gets `&item`).
    ///
    /// # Panics
    /// If `f` panics, no further chunk starts, and the panic goes on in the caller. The pool
    /// stays usable. Also if the items never end: see [`imap`](Pool::imap).
    pub fn map<T, R, F>(&self, f: F, items: impl IntoIterator<Item = T>) -> Vec<R>
    where
        T: Send,
        R: Send,
        F: Fn(T) -> R + Sync,
    {
        self.chunks(None).map(f, items)
    }

    /// Like [`map`](Pool::map) for functions of several parameters: unpacks each tuple into them.
    ///
    /// If the compiler asks for types, name those of a closure's parameters:
    /// `|word: &str, times: usize| word.repeat(times)`.
    ///
    /// # Panics
    /// As [`map`](Pool::map) does.
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Vec<F::Output>
    where
        I: IntoIterator<Item: Send>,
        F: StarFn<I::Item, Output: Send> + Sync,
    {
        self.chunks(None).starmap(f, tuples)
    }

    /// Like [`map`](Pool::map), but lazy: results come one by one, in the order of the items,
    /// and items are taken from the iterator only as workers need them, two for each worker ahead.
    ///
    /// Good for lists that are long or endless. Items, results and `f` must own what they hold
    /// (`'static`), since tasks may outlive the iterator. When it is dropped, items that have not
    /// begun never will.
    ///
    /// # Panics
    /// The call to `next` that would give a result panics if `f` did, with `f`'s message. If `items`
    /// panics, that goes on behind the results of the items before.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> ThreadImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        self.chunks(None).imap(f, items)
    }

    /// Like [`imap`](Pool::imap), but results come as soon as they are there, in any order.
    ///
    /// # Panics
    /// As [`imap`](Pool::imap) does.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> ThreadImap<'_, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        self.chunks(None).imap_unordered(f, items)
    }

    /// A view of the pool whose workers take `size` items at a time.
    ///
    /// Small chunks balance uneven work, large ones cost less for each item.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let lengths = pool.chunk_size(1)?.map(str::len, ["one", "three"]);
    /// assert_eq!(lengths, [3, 5]);
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<Chunked<'_>, PoolError> {
        checked_chunk_size(size).map(|size| self.chunks(Some(size)))
    }

    /// Hands one call `f(arg)` to the pool and returns at once, with a handle to the result.
    ///
    /// A panic in `f` becomes the handle's error.
    pub fn submit<A, R, F>(&self, f: F, arg: A) -> JoinHandle<R>
    where
        A: Send + 'static,
        R: Send + 'static,
        F: FnOnce(A) -> R + Send + 'static,
    {
        if let Err(error) = witness::task() {
            return failed_task(error, &self.tally);
        }
        self.hand_out(f, arg)
    }

    fn hand_out<A, R, F>(&self, f: F, arg: A) -> JoinHandle<R>
    where
        A: Send + 'static,
        R: Send + 'static,
        F: FnOnce(A) -> R + Send + 'static,
    {
        let (runner, handle) = task(&self.tally, |slot| {
            self.job(Box::new(move || slot.put(f(arg))))
        });
        self.start(runner);
        handle
    }

    /// Like [`map`](Pool::map), but returns at once, with a handle to the list of results.
    ///
    /// The handle can be joined, waited for beside others, looked at and cancelled; that ends the
    /// whole call, but for the items that workers are at. As tasks may outlive the caller, items,
    /// results and `f` must own what they hold (`'static`).
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let squares = pool.map_async(|x: u64| x * x, 1..4);
    /// let cubes = pool.map_async(|x: u64| x * x * x, 1..4);
    /// assert_eq!(cubes.join()?, [1, 8, 27]);
    /// assert_eq!(squares.join()?, [1, 4, 9]);
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// A panic in `f` becomes the handle's error, which names the item.
    pub fn map_async<I, R, F>(&self, f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        self.chunks(None).map_async(f, items)
    }

    /// Like [`map_async`](Pool::map_async) for functions of several parameters: unpacks each tuple
    /// into them.
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: StarFn<I::Item, Output: Send + 'static> + Send + Sync + 'static,
    {
        self.chunks(None).starmap_async(f, tuples)
    }

    /// Waits until everything that was submitted to the pool is done.
    ///
    /// That is what Python's `with` does at its end for a `ThreadPoolExecutor`. At the end of its
    /// life a `Pool` only waits for tasks that run.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let handles: Vec<_> = (0..5).map(|x: u64| pool.submit(|x| x * x, x)).collect();
    /// pool.wait_all()?;
    /// assert!(handles.iter().all(|handle| handle.is_finished()));
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// # Errors
    /// The first failure of a task whose result nobody has asked for (told once; nobody misses a
    /// task that was cancelled). Also if the wait could never end, as if a task of the pool asks,
    /// which would wait for itself.
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.wait_all_within(None)
    }

    fn wait_all_within(&self, limit: Option<Duration>) -> Result<(), PoolError> {
        let interrupts = Interrupts::here();
        // A limit beyond what the clock can count is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let waiting = match deadline {
            None if self.tally.open() > 0 => {
                let all = || vec![self.under_way()];
                Some(waits::wait_for(all).ok_or_else(PoolError::deadlock)?)
            }
            _ => None,
        };
        self.tally.wait(deadline, interrupts);
        drop(waiting);
        interrupts.check();
        self.tally.verdict(limit)
    }

    /// All that the pool is at.
    fn under_way(&self) -> Arc<dyn Awaited> {
        Arc::new(All(Arc::clone(&self.crew), Arc::clone(&self.tally)))
    }

    /// The pool, as recordings know it.
    pub(crate) fn tag(&self) -> PoolTag {
        self.tag
    }

    /// Whether this thread is one of the pool's workers.
    fn is_mine(&self) -> bool {
        let me = thread::current().id();
        self.joins.iter().any(|worker| worker.thread().id() == me)
    }

    /// What is done about any call: `call` makes it, and keeps what it gives.
    fn job(&self, call: Box<dyn FnOnce() + Send>) -> Job {
        let crew = Arc::clone(&self.crew);
        let number = self.submitted.fetch_add(1, Ordering::Relaxed);
        // Without the call its argument is dropped, which may panic as well.
        let run = move || {
            if crew.is_closing() {
                return Err(PoolError::cancelled("its pool was dropped"));
            }
            let _span = recorder::begin(|| Items::Submitted { number });
            call();
            Ok(())
        };
        Box::new(move || {
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
                let worker = thread::current().name().unwrap_or_default().to_owned();
                Err(PoolError::panic(worker, None, panic_message(&*payload)))
            })
        })
    }

    fn start(&self, runner: Runner) {
        self.crew.submit(runner);
    }

    fn chunks(&self, size: Option<NonZeroUsize>) -> Chunked<'_> {
        Chunked { pool: self, size }
    }
}

/// What a pool's own threads are at, and its tasks on others' threads.
struct All(Arc<Crew>, Arc<Tally>);

impl Awaited for All {
    fn places(&self) -> Vec<Place> {
        let mut places = self.0.places();
        places.extend(self.1.places());
        places
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.crew.close();
        if self.is_mine() {
            // The last reference was held by a task of this pool. A worker cannot wait for
            // itself, and the others do not end before its task does.
            return;
        }
        if interrupts::unwinds() {
            // Nobody is to wait any more. What the workers are at is their own, and they end after it.
            return;
        }
        let under_way = UnderWay::new(|| Arc::clone(&self.crew) as _);
        if !under_way.can_end() {
            // One of its tasks waits for the task that drops it, and would do so for ever.
            return;
        }
        for worker in self.joins.drain(..) {
            // A worker's panics are caught and reported where they belong.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} workers)", self.workers)
    }
}

/// A pool whose workers take a given number of items at a time, made by [`Pool::chunk_size`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a view of a pool does nothing by itself"]
pub struct Chunked<'p> {
    pool: &'p Pool,
    /// `None`: the default of the call.
    size: Option<NonZeroUsize>,
}

impl<'p> Chunked<'p> {
    /// See [`Pool::map`].
    ///
    /// # Panics
    /// If `f` does.
    pub fn map<T, R, F>(&self, f: F, items: impl IntoIterator<Item = T>) -> Vec<R>
    where
        T: Send,
        R: Send,
        F: Fn(T) -> R + Sync,
    {
        let items = list(items).unwrap_or_else(|error| panic!("{error}"));
        let items = witness::items(items);
        let numbers = witness::numbers(&items);
        let results = map_in_order(self.pool, self.size_for(items.len()), f, items);
        witness::results(&numbers, &results);
        results
    }

    /// How many items of so many workers take at a time where all are known.
    fn size_for(&self, items: usize) -> usize {
        match self.size {
            Some(size) => size.get(),
            None => default_chunk_size(items, self.pool.workers),
        }
    }

    /// See [`Pool::starmap`].
    ///
    /// # Panics
    /// If `f` does.
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Vec<F::Output>
    where
        I: IntoIterator<Item: Send>,
        F: StarFn<I::Item, Output: Send> + Sync,
    {
        self.map(|tuple| f.call_star(tuple), tuples)
    }

    /// See [`Pool::map_async`].
    pub fn map_async<I, R, F>(&self, f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        match witness::list_ahead(items) {
            Ok(items) => self.batch(None, f, items).1,
            Err(error) => failed_task(error, &self.pool.tally),
        }
    }

    /// See [`Pool::starmap_async`].
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: StarFn<I::Item, Output: Send + 'static> + Send + Sync + 'static,
    {
        self.map_async(move |tuple| f.call_star(tuple), tuples)
    }

    /// Starts a map that is a handle; no item begins after `deadline`.
    fn batch<T, R, F>(
        &self,
        deadline: Option<Instant>,
        f: F,
        items: Vec<T>,
    ) -> (Arc<Batch>, JoinHandle<Vec<R>>)
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(T) -> R + Send + Sync + 'static,
    {
        let pool = self.pool;
        let submit = |call: Box<dyn FnOnce() + Send>| pool.hand_out(move |()| call(), ());
        let settings = (self.size_for(items.len()), deadline);
        batch::start(&submit, &pool.tally, settings, f, items)
    }

    /// See [`Pool::imap`]; without a chunk size, workers take one item at a time.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> ThreadImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::ordered(items.into_iter(), self.way(f))
    }

    /// See [`Pool::imap_unordered`]; without a chunk size, workers take one item at a time.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> ThreadImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::unordered(items.into_iter(), self.way(f))
    }

    /// How items of an `imap` go through this pool: each on its own, so that a panic costs one.
    fn way<T, R, F>(&self, f: F) -> Way<'p, T, thread::Result<R>, R>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(T) -> R + Send + Sync + 'static,
    {
        let (pool, f) = (self.pool, Arc::new(f));
        // Goes with the iterator.
        let asks = Arc::new(());
        Way {
            submit: Box::new(move |_, chunk: Vec<T>| {
                let (f, asks) = (Arc::clone(&f), Arc::downgrade(&asks));
                let call = move |item| {
                    // Of a chunk for which nobody will ask, the rest is left.
                    let is_wanted = asks.strong_count() > 0;
                    is_wanted.then(|| catch_unwind(AssertUnwindSafe(|| f(item))))
                };
                pool.hand_out(
                    |chunk: Vec<T>| chunk.into_iter().map_while(call).collect(),
                    chunk,
                )
            }),
            // A panic was reported where it happened; here it only goes on.
            open: |result| {
                result.unwrap_or_else(|panic| {
                    notebook::wait_for_reports();
                    resume_unwind(panic)
                })
            },
            fail: |error| Err(Box::new(error.to_string())),
            chunk_size: self.size.map_or(1, NonZeroUsize::get),
            workers: pool.workers,
        }
    }
}

/// Results one by one, made by [`Pool::imap`] and [`Pool::imap_unordered`].
pub type ThreadImap<'p, I, R> = Imap<'p, I, thread::Result<R>, R>;

fn map_in_order<T, R, F>(pool: &Pool, size: usize, f: F, items: Vec<T>) -> Vec<R>
where
    T: Send,
    R: Send,
    F: Fn(T) -> R + Sync,
{
    let chunks = items.len().div_ceil(size);
    let slots = Slots::new(items, size);
    let stop = Stop {
        panicked: AtomicBool::new(false),
        interrupts: Interrupts::here(),
    };
    on_workers(pool, chunks.min(pool.workers), &stop, &|| {
        while !stop.is_wanted()
            && let Some(chunk) = slots.take()
        {
            let (first, count) = chunk.place();
            let _span = recorder::begin(|| Items::Chunk { first, count });
            // A chunk may take long, and a kernel ends the process of a cell that does not end.
            chunk.run(&f, || stop.interrupts.came());
        }
    });
    // Then results may be missing.
    stop.interrupts.check();
    let results = slots.into_results();
    results.unwrap_or_else(|| unreachable!("no worker panicked, and each took what there was"))
}

/// Does `work` so many times at once; wants them to stop as soon as one of them panics.
fn on_workers(pool: &Pool, times: usize, stop: &Stop, work: &(dyn Fn() + Sync)) {
    let result = pool.crew.share(times, &|| {
        let on_panic = StopOnPanic(&stop.panicked);
        stop.interrupts.lend(work);
        std::mem::forget(on_panic);
    });
    if let Err(panic) = result {
        // What a worker did for an interrupted cell may have ended by a panic that nobody was told of.
        stop.interrupts.check();
        notebook::wait_for_reports();
        resume_unwind(panic);
    }
}

/// Why no further chunk should begin, nor an item if it is an interrupt.
struct Stop {
    panicked: AtomicBool,
    /// Of the caller's cell.
    interrupts: Interrupts,
}

impl Stop {
    fn is_wanted(&self) -> bool {
        self.panicked.load(Ordering::Relaxed) || self.interrupts.came()
    }
}

/// Tells the other workers when it is dropped, which happens only if a panic goes by.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn worker_name(index: usize) -> String {
    format!("worker {index}")
}
