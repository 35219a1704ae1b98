//! The vocabulary of a pool whose workers have memory of their own, and what such a pool owns.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, thread};

use super::call::{self, Bounds, Called};
use super::code_ref::{self, Entry};
use super::engine::Engine;
use super::scheduler::Scheduler;
use super::waker::Waker;
use crate::pool::chunk::{checked_chunk_size, default_chunk_size, list};
use crate::pool::handle::{done_task, failed_task};
use crate::pool::imap::Way;
use crate::pool::waits::UnderWay;
use crate::pool::{Imap, JoinHandle, PoolError, Portable, StarFn, witness};

/// A pool with a chunk size or a time limit, made by `chunk_size` and `time_limit` of a pool.
#[derive(Clone, Copy, Debug)]
#[must_use = "a view of a pool does nothing by itself"]
pub struct View<'p> {
    pub(super) engine: &'p Arc<Engine>,
    /// `None`: the default of the call.
    size: Option<NonZeroUsize>,
    limit: Option<Duration>,
}

/// Results one by one, made by `imap` and `imap_unordered` of a pool.
pub type RemoteImap<'p, I, R> = Imap<'p, I, Result<R, PoolError>, Result<R, PoolError>>;

impl<'p> View<'p> {
    /// The view without any settings.
    pub(crate) fn new(engine: &'p Arc<Engine>) -> View<'p> {
        View {
            engine,
            size: None,
            limit: None,
        }
    }

    /// See [`ProcessPool::chunk_size`](crate::ProcessPool::chunk_size).
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(self, size: usize) -> Result<View<'p>, PoolError> {
        let size = Some(checked_chunk_size(size)?);
        Ok(View { size, ..self })
    }

    /// See [`ProcessPool::time_limit`](crate::ProcessPool::time_limit).
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(self, limit: Duration) -> Result<View<'p>, PoolError> {
        if limit.is_zero() {
            return Err(PoolError::invalid_input(
                "a time limit of 0 was asked for; no item can be done in no time".to_owned(),
            ));
        }
        let limit = Some(limit);
        Ok(View { limit, ..self })
    }

    /// See [`ProcessPool::map`](crate::ProcessPool::map).
    ///
    /// # Errors
    /// As there.
    pub fn map<A, R, F>(
        &self,
        _f: F,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Portable,
        R: Portable,
        F: Fn(A) -> R,
    {
        self.map_called(&self.called::<F, A, R>(), None, items)
    }

    /// See [`ProcessPool::starmap`](crate::ProcessPool::starmap).
    ///
    /// # Errors
    /// As there.
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Portable>,
        F: StarFn<I::Item, Output: Portable>,
    {
        self.map(move |tuple| f.call_star(tuple), tuples)
    }

    /// See [`ProcessPool::map_async`](crate::ProcessPool::map_async).
    pub fn map_async<I, R, F>(&self, _f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.map_async_called(self.called::<F, I::Item, R>(), items)
    }

    /// See [`ProcessPool::starmap_async`](crate::ProcessPool::starmap_async).
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        F: StarFn<I::Item, Output: Portable + Send + 'static>,
    {
        self.map_async(move |tuple| f.call_star(tuple), tuples)
    }

    /// See [`ProcessPool::imap`](crate::ProcessPool::imap); without a chunk size, workers take one item at a time.
    pub fn imap<I, R, F>(&self, _f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        Imap::ordered(
            items.into_iter(),
            self.way(Ok(self.called::<F, I::Item, R>())),
        )
    }

    /// See [`ProcessPool::imap_unordered`](crate::ProcessPool::imap_unordered); without a chunk size, workers take one item at a time.
    pub fn imap_unordered<I, R, F>(&self, _f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        Imap::unordered(
            items.into_iter(),
            self.way(Ok(self.called::<F, I::Item, R>())),
        )
    }

    /// See [`ProcessPool::submit`](crate::ProcessPool::submit).
    pub fn submit<A, R, F>(&self, _f: F, arg: A) -> JoinHandle<R>
    where
        A: Portable + 'static,
        R: Portable + Send + 'static,
        F: Fn(A) -> R,
    {
        call::submit(self.engine, &self.called::<F, A, R>(), arg)
    }

    /// See [`ProcessPool::wait_all`](crate::ProcessPool::wait_all).
    ///
    /// # Errors
    /// As there.
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.engine.wait_all(None)
    }

    pub(super) fn called<F, A, R>(&self) -> Called
    where
        F: Fn(A) -> R,
        A: Portable,
        R: Portable,
    {
        self.called_at(code_ref::entry::<F, A, R>())
    }

    /// The code there, with the settings of this view.
    pub(super) fn called_at(&self, entry: Entry) -> Called {
        Called {
            entry,
            time_limit: self.limit,
            value: None,
        }
    }

    /// `limit` is for the whole call.
    pub(super) fn map_called<A: Portable, R: Portable>(
        &self,
        called: &Called,
        limit: Option<Duration>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError> {
        let bounds = limit.map_or(Bounds::default(), Bounds::within);
        if witness::fails() {
            return Err(PoolError::cancelled(witness::LEFT_OUT));
        }
        let items = witness::items(list(items)?);
        let numbers = witness::numbers(&items);
        let size = self.size_for(items.len());
        let results = call::map(self.engine, called, size, bounds, items)?;
        witness::results(&numbers, &results);
        Ok(results)
    }

    pub(super) fn map_async_called<A, R>(
        &self,
        called: Called,
        items: impl IntoIterator<Item = A>,
    ) -> JoinHandle<Vec<R>>
    where
        A: Portable + Send + 'static,
        R: Portable + Send + 'static,
    {
        match list(items) {
            Ok(items) => {
                let items = witness::items_ahead(items);
                let size = self.size_for(items.len());
                call::map_async(self.engine, &called, size, items)
            }
            Err(error) => self.failed(error),
        }
    }

    /// A handle of what cannot be done.
    pub(super) fn failed<R>(&self, error: PoolError) -> JoinHandle<R> {
        failed_task(error, self.engine.tally())
    }

    /// How many items of so many workers take at a time where all are known.
    fn size_for(&self, items: usize) -> usize {
        match self.size {
            Some(size) => size.get(),
            None => default_chunk_size(items, self.engine.workers()),
        }
    }

    /// How items of an `imap` go through this pool, or why they cannot.
    pub(super) fn way<A, R>(
        &self,
        called: Result<Called, PoolError>,
    ) -> Way<'p, A, Result<R, PoolError>, Result<R, PoolError>>
    where
        A: Portable + 'static,
        R: Portable + Send + 'static,
    {
        let engine = self.engine;
        Way {
            submit: Box::new(move |first, chunk: Vec<A>| match &called {
                Ok(called) => call::submit_chunk(engine, called, first, chunk),
                Err(error) => {
                    let errors = chunk.iter().map(|_| Err(error.clone())).collect();
                    done_task(errors, engine.tally())
                }
            }),
            open: |result| result,
            fail: Err,
            chunk_size: self.size.map_or(1, NonZeroUsize::get),
            workers: self.engine.workers(),
        }
    }
}

/// What a pool owns, behind a table of functions: what must be done to drop an engine is
/// compiled once, and not again in each cell of a notebook that has a pool.
pub struct PoolCore(Box<dyn Core + Send + Sync>);

trait Core {
    fn engine(&self) -> &Arc<Engine>;
}

/// The engine of a pool, and the thread that sees to it while nobody else does.
struct Running {
    engine: Arc<Engine>,
    background: Option<thread::JoinHandle<()>>,
}

impl PoolCore {
    /// Starts the workers and waits until all are ready.
    ///
    /// # Errors
    /// Those of `scheduler`, which starts them; or they do not become ready.
    pub fn start(
        workers: usize,
        scheduler: impl FnOnce(Arc<Waker>) -> Result<Scheduler, PoolError>,
    ) -> Result<PoolCore, PoolError> {
        let engine = Engine::start(workers, scheduler)?;
        let kept = Arc::clone(&engine);
        let background = thread::Builder::new()
            .name("process pool".to_owned())
            .spawn(move || kept.attend_in_background());
        match background {
            Ok(background) => Ok(PoolCore(Box::new(Running {
                engine,
                background: Some(background),
            }))),
            Err(cause) => {
                engine.close();
                Err(PoolError::start(workers, workers, cause.to_string()))
            }
        }
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.0.engine().workers()
    }

    /// The calls that users make.
    pub fn view(&self) -> View<'_> {
        View::new(self.0.engine())
    }
}

impl Core for Running {
    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.close();
        // It may hand a result over to somebody who waits for the task that drops the pool.
        let under_way = UnderWay::new(|| self.engine.delivery() as _);
        if let Some(background) = self.background.take()
            && under_way.can_end()
            && background.thread().id() != thread::current().id()
        {
            // It runs no code that could panic but wakers, which report for themselves.
            let _ = background.join();
        }
    }
}

impl fmt::Debug for PoolCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolCore({:?})", self.0.engine())
    }
}
