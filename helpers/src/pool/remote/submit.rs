//! Calls that return at once: their results go to handles, and to the iterators made of those.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::codec::{Body, Writer};
use super::engine::Engine;
use super::map::{Bounds, Called, List, Pack, Results, pack};
use super::task::{Finished, Sink, Task};
use super::view::{RemoteImap, View};
use crate::pool::handle::{Completer, Remote, Whole, done_task, remote_task, remote_whole};
use crate::pool::imap::Way;
use crate::pool::panic::panic_message;
use crate::pool::{Imap, JoinHandle, PoolError, Portable, StarFn, witness};

impl<'p> View<'p> {
    /// See [`ProcessPool::submit`](crate::ProcessPool::submit).
    pub fn submit<A, R, F>(&self, _f: F, arg: A) -> JoinHandle<R>
    where
        A: Portable + 'static,
        R: Portable + Send + 'static,
        F: Fn(A) -> R,
    {
        self.submit_called(&self.called::<F, A, R>(), arg)
    }

    /// See [`ProcessPool::map_async`](crate::ProcessPool::map_async).
    pub fn map_async<I, R, F>(&self, _f: F, items: I) -> JoinHandle<Vec<R>>
    where
        I: IntoIterator<Item: Portable + Send + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.map_async_called(&self.called::<F, I::Item, R>(), items)
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

    /// Calls a function on one argument.
    pub(super) fn submit_called<A, R>(&self, called: &Called, argument: A) -> JoinHandle<R>
    where
        A: Portable,
        R: Portable + Send + 'static,
    {
        let engine = self.engine;
        if let Err(error) = witness::task() {
            return self.failed(error);
        }
        let mut body = Writer::for_arguments();
        let body = pack(&mut body, &argument, None).map(|()| body.finish());
        let (completer, slot, handle) = remote_task(remote(engine), engine.tally());
        let keep: Keep = Box::new(move |result| {
            slot.put(Results::new(result?).next::<R>(None)?);
            Ok(())
        });
        let single = Single { completer, keep };
        submit_bytes(engine, called, (None, 1), body, single);
        handle
    }

    /// As [`map_called`](View::map_called), but returns at once: all items are made into bytes now,
    /// and their results go to the handle.
    pub(super) fn map_async_called<A, R>(
        &self,
        called: &Called,
        items: impl IntoIterator<Item = A>,
    ) -> JoinHandle<Vec<R>>
    where
        A: Portable + Send + 'static,
        R: Portable + Send + 'static,
    {
        let engine = self.engine;
        let items = match witness::list_ahead(items) {
            Ok(items) => items,
            Err(error) => return self.failed(error),
        };
        let rest = Arc::new(Rest(Arc::downgrade(engine)));
        let (completer, slot, handle) =
            remote_whole(remote(engine), Arc::clone(&rest) as _, engine.tally());
        let list = List {
            called,
            items: items.len(),
            chunk_size: self.size_for(items.len()),
            bounds: Bounds::default(),
        };
        let indices = (0..list.chunks()).map(|chunk| list.indices(chunk));
        let indices: Vec<_> = indices.collect();
        let mut all: Vec<Vec<R>> = Vec::new();
        all.resize_with(list.chunks(), Vec::new);
        let all = Mutex::new(all);
        let gather = Gather {
            completer,
            rest,
            missing: AtomicUsize::new(list.chunks()),
            keep: Box::new(move |results| {
                // Values are only moved under the lock.
                let lock = || all.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((chunk, results)) = results else {
                    slot.put(lock().iter_mut().flat_map(std::mem::take).collect());
                    return Ok(());
                };
                let indices = indices[chunk].clone();
                let made: Result<Vec<R>, _> =
                    indices.map(|index| results.next(Some(index))).collect();
                lock()[chunk] = made?;
                Ok(())
            }),
        };
        submit_chunks(engine, &list, Arc::new(gather), &|body, index| {
            pack(body, &items[index], Some(index))
        });
        handle
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
        let view = *self;
        Way {
            submit: Box::new(move |first, chunk: Vec<A>| match &called {
                Ok(called) => view.submit_chunk(called, first, chunk),
                Err(error) => {
                    let errors = chunk.iter().map(|_| Err(error.clone())).collect();
                    done_task(errors, view.engine.tally())
                }
            }),
            open: |result| result,
            fail: Err,
            chunk_size: self.size.map_or(1, NonZeroUsize::get),
            workers: self.engine.workers(),
        }
    }

    /// Calls a function on each item of a chunk whose first item has the index `first` in the list.
    /// Each item has a result, if need be the error of the whole chunk.
    fn submit_chunk<A, R>(
        &self,
        called: &Called,
        first: usize,
        items: Vec<A>,
    ) -> JoinHandle<Vec<Result<R, PoolError>>>
    where
        A: Portable,
        R: Portable + Send + 'static,
    {
        let engine = self.engine;
        if let Err(error) = witness::may_go() {
            return self.failed(error);
        }
        let mut body = Writer::for_arguments();
        // For each item whether it goes along, or why not.
        let mut sent: Vec<Result<(), PoolError>> = Vec::with_capacity(items.len());
        for (index, item) in (first..).zip(&items) {
            sent.push(pack(&mut body, item, Some(index)));
        }
        let count = sent.iter().flatten().count();
        let (completer, slot, handle) = remote_task(remote(engine), engine.tally());
        let keep: Keep = Box::new(move |result| {
            let mut results = result.map(Results::new);
            let mut list = Vec::with_capacity(sent.len());
            for (index, sent) in (first..).zip(&sent) {
                list.push(match (sent, &mut results) {
                    (Err(error), _) => Err(error.clone()),
                    (Ok(()), Err(error)) => Err(error.clone()),
                    (Ok(()), Ok(results)) => results.next::<R>(Some(index)),
                });
            }
            slot.put(list);
            Ok(())
        });
        let single = Single { completer, keep };
        let about = (Some(first), count);
        submit_bytes(engine, called, about, Ok(body.finish()), single);
        handle
    }
}

/// A task whose result goes to a handle; `keep` puts it into the handle's slot.
struct Single {
    completer: Completer,
    keep: Keep,
}

/// Takes in what came back of a task.
type Keep = Box<dyn Fn(Result<Finished, PoolError>) -> Result<(), PoolError> + Send + Sync>;

impl Sink for Single {
    fn begin(&self, _index: usize) -> bool {
        self.completer.begin()
    }

    fn recalled(&self, _index: usize) {
        self.completer.recalled();
    }

    fn is_wanted(&self) -> bool {
        self.completer.is_wanted()
    }

    fn done(&self, _index: usize, result: Result<Finished, PoolError>) {
        self.completer.finish((self.keep)(result));
    }
}

/// Submits items that are bytes already as one task: the index of the first in its list, where
/// there is one, and how many they are.
fn submit_bytes(
    engine: &Engine,
    called: &Called,
    (first_item, items): (Option<usize>, usize),
    body: Result<Body, PoolError>,
    single: Single,
) {
    let function = engine.function(called.entry);
    match body.and_then(|body| Ok((function?, body))) {
        Ok((function, body)) => engine.submit(Task {
            function,
            body,
            items,
            first_item,
            stop_at_failure: false,
            value: called.value.clone(),
            time_limit: called.time_limit,
            order: 0,
            sink: Arc::new(single),
            index: 0,
        }),
        Err(error) => single.done(0, Err(error)),
    }
}

/// What is left of a map that is a handle, and over.
struct Rest(Weak<Engine>);

impl Whole for Rest {
    fn stop(&self) {
        if let Some(engine) = self.0.upgrade() {
            engine.stop();
        }
    }
}

/// A map whose results go to a handle.
struct Gather {
    completer: Completer,
    rest: Arc<Rest>,
    /// Chunks that are not done.
    missing: AtomicUsize,
    keep: KeepChunk,
}

/// Takes in the results of the chunk of this number; without one, all are there.
type KeepChunk = Box<dyn Fn(Option<(usize, &mut Results)>) -> Result<(), PoolError> + Send + Sync>;

impl Gather {
    /// The call is over: it has failed, or nothing is missing.
    fn end(&self, end: Result<(), PoolError>) {
        let end = end.and_then(|()| (self.keep)(None));
        let has_failed = end.is_err();
        if self.completer.finish(end) && has_failed {
            self.rest.stop();
        }
    }
}

impl Sink for Gather {
    fn begin(&self, _index: usize) -> bool {
        self.completer.begin()
    }

    fn is_wanted(&self) -> bool {
        self.completer.is_wanted()
    }

    fn done(&self, chunk: usize, result: Result<Finished, PoolError>) {
        // Or it is over.
        if self.completer.begin() {
            let kept =
                result.and_then(|finished| (self.keep)(Some((chunk, &mut Results::new(finished)))));
            match kept {
                Ok(()) if self.missing.fetch_sub(1, Ordering::AcqRel) > 1 => {}
                end => self.end(end),
            }
        }
    }
}

/// Submits all chunks of a list, as long as the call goes on.
fn submit_chunks(engine: &Engine, list: &List<'_>, gather: Arc<Gather>, pack: &Pack<'_>) {
    let mut submit = || {
        let function = engine.function(list.called.entry)?;
        for chunk in 0..list.chunks() {
            let task = list.task(function, chunk, pack, Arc::clone(&gather) as _)?;
            if !gather.is_wanted() {
                break;
            }
            engine.submit(task);
        }
        Ok(())
    };
    // A value's type may panic while it is made into bytes.
    let submitted = catch_unwind(AssertUnwindSafe(&mut submit)).unwrap_or_else(|panic| {
        let worker = "the pool's own process".to_owned();
        Err(PoolError::panic(worker, None, panic_message(&*panic)))
    });
    match submitted {
        Ok(()) if list.items > 0 => {}
        end => gather.end(end),
    }
}

/// What a handle knows of the engine. A function of its own, since whoever makes this of an engine
/// compiles all that dropping one takes.
#[inline(never)]
fn remote(engine: &Arc<Engine>) -> Arc<dyn Remote> {
    Arc::clone(engine) as _
}
