//! A `map`: from the list to bytes, out to the workers, and back to the list of results.
//!
//! Items and results have types of the user's, all else has not: what depends on the types is small,
//! and only that is compiled again for each cell of a notebook.

use std::any::type_name;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{ItemError, Reader, Writer};
use super::engine::Engine;
use super::shared_value::SharedValue;
use super::task::{Finished, Sink, Task};
use super::view::View;
use super::worker::{Entry, entry};
use crate::notebook::interrupts::Interrupts;
use crate::pool::batch::late;
use crate::pool::chunk::default_chunk_size;
use crate::pool::handle::{Remote, TIME_TO_FINISH};
use crate::pool::panic::panic_message;
use crate::pool::{PoolError, Portable, StarFn, witness};

/// So many chunks for each worker are made into bytes ahead of time.
const CHUNKS_AHEAD: usize = 2;

impl View<'_> {
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

    /// `limit` is for the whole call.
    pub(super) fn map_called<A: Portable, R: Portable>(
        &self,
        called: &Called,
        limit: Option<Duration>,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError> {
        let bounds = limit.map_or(Bounds::default(), Bounds::within);
        let items = witness::list(items)?;
        let numbers = witness::numbers(&items);
        let size = self.size_for(items.len());
        let mut chunks: Vec<Vec<R>> = Vec::new();
        chunks.resize_with(items.len().div_ceil(size), Vec::new);
        let list = List {
            called,
            items: items.len(),
            chunk_size: size,
            bounds,
        };
        map_bytes(
            self.engine,
            &list,
            &|body, index| pack(body, &items[index], Some(index)),
            &mut |results, index| {
                let result = results.next(Some(index))?;
                chunks[index / size].push(result);
                Ok(())
            },
        )?;
        let mut all = Vec::with_capacity(items.len());
        for mut chunk in chunks {
            all.append(&mut chunk);
        }
        witness::results(&numbers, &all);
        Ok(all)
    }

    /// What is to be called, with the settings of this view.
    pub(super) fn called<F, A, R>(&self) -> Called
    where
        F: Fn(A) -> R,
        A: Portable,
        R: Portable,
    {
        self.called_at(entry::<F, A, R>())
    }

    /// The same, for the code there.
    pub(super) fn called_at(&self, entry: Entry) -> Called {
        Called {
            entry,
            time_limit: self.limit,
            value: None,
        }
    }

    /// How many items of so many workers take at a time where all are known.
    pub(super) fn size_for(&self, items: usize) -> usize {
        match self.size {
            Some(size) => size.get(),
            None => default_chunk_size(items, self.engine.workers()),
        }
    }
}

/// What is to be called, whatever the items are, and what each call gets.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) entry: Entry,
    /// For each item.
    pub(crate) time_limit: Option<Duration>,
    /// What goes along with each item.
    pub(crate) value: Option<Arc<SharedValue>>,
}

/// What is to be done with a list, whatever its items are.
pub(super) struct List<'l> {
    pub(super) called: &'l Called,
    pub(super) items: usize,
    pub(super) chunk_size: usize,
    pub(super) bounds: Bounds,
}

/// Makes the item with this index into bytes.
pub(super) type Pack<'p> = dyn Fn(&mut Writer, usize) -> Result<(), PoolError> + 'p;

impl List<'_> {
    pub(super) fn chunks(&self) -> usize {
        self.items.div_ceil(self.chunk_size)
    }

    /// The items of a chunk.
    pub(super) fn indices(&self, chunk: usize) -> Range<usize> {
        let start = chunk * self.chunk_size;
        start..self.items.min(start.saturating_add(self.chunk_size))
    }

    /// A chunk on its way to a worker.
    pub(super) fn task(
        &self,
        function: u32,
        chunk: usize,
        pack: &Pack<'_>,
        sink: Arc<dyn Sink>,
    ) -> Result<Task, PoolError> {
        let indices = self.indices(chunk);
        let mut body = Writer::for_arguments();
        for index in indices.clone() {
            pack(&mut body, index)?;
        }
        Ok(Task {
            function,
            body: body.finish(),
            items: indices.len(),
            first_item: Some(indices.start),
            stop_at_failure: true,
            value: self.called.value.clone(),
            time_limit: self.called.time_limit,
            order: 0,
            sink,
            index: chunk,
        })
    }
}

/// A `map` of items that `pack` makes into bytes, one by one; `keep` takes the results in,
/// chunk by chunk as they come, in order within a chunk.
///
/// All that does not depend on the types of items and results: it is compiled once, and not
/// again for each cell of a notebook.
fn map_bytes(
    engine: &Engine,
    list: &List<'_>,
    pack: &Pack<'_>,
    keep: &mut dyn FnMut(&mut Results, usize) -> Result<(), PoolError>,
) -> Result<(), PoolError> {
    let function = engine.function(list.called.entry)?;
    let (count, bounds) = (list.items, list.bounds);
    let call = Map {
        engine,
        arrivals: Arc::default(),
    };
    let interrupts = Interrupts::here();
    let mut failure: Option<PoolError> = None;
    let mut done = 0;
    let mut collect = |call: &Map<'_>| {
        // Before failures: an interrupt ends workers as well.
        interrupts.check();
        let arrived = std::mem::take(&mut call.arrivals.lock().chunks);
        for (chunk, result) in arrived {
            let kept = result.and_then(|finished| {
                let mut results = Results::new(finished);
                list.indices(chunk).try_for_each(|index| {
                    done += 1;
                    keep(&mut results, index)
                })
            });
            if let Err(error) = kept {
                // Of the failures that are known, the first in the list is told.
                let earlier = failure
                    .as_ref()
                    .is_none_or(|known| error.item() < known.item());
                if earlier {
                    failure = Some(error);
                }
            }
        }
        if let Some(failure) = failure.clone() {
            return Err(failure);
        }
        if done < count {
            bounds.check(done, count)?;
        }
        Ok(())
    };
    for chunk in 0..list.chunks() {
        let task = list.task(function, chunk, pack, Arc::clone(&call.arrivals) as _)?;
        call.arrivals.lock().pending += 1;
        engine.submit(task);
        let ahead = engine.depth().max(CHUNKS_AHEAD) * engine.workers();
        collect(&call)?;
        // Bytes of items that no worker will want soon need not lie in memory.
        let mut most = ahead - 1;
        while engine.queued() > most {
            most = ahead / 2;
            let fewer = || engine.queued() <= most;
            let is_news = || call.arrivals.has_some() || interrupts.came();
            let is_driven = engine.drive(&|| fewer() || is_news(), bounds.end());
            collect(&call)?;
            bounds.check_wait(is_driven)?;
        }
    }
    while call.arrivals.lock().pending > 0 {
        let is_driven = call.drive(
            |arrived| arrived.pending == 0 || !arrived.chunks.is_empty() || interrupts.came(),
            bounds.end(),
        );
        collect(&call)?;
        bounds.check_wait(is_driven)?;
    }
    collect(&call)
}

/// The results of a `map`, as they come in.
#[derive(Debug, Default)]
struct Arrivals(Mutex<Arrived>);

#[derive(Debug, Default)]
struct Arrived {
    chunks: Vec<(usize, Result<Finished, PoolError>)>,
    /// Chunks that were submitted and have not arrived.
    pending: usize,
    /// Nobody wants the rest.
    is_over: bool,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        // No user code runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_some(&self) -> bool {
        !self.lock().chunks.is_empty()
    }
}

impl Sink for Arrivals {
    fn begin(&self, _index: usize) -> bool {
        let mut arrived = self.lock();
        if arrived.is_over {
            arrived.pending -= 1;
        }
        !arrived.is_over
    }

    fn is_wanted(&self) -> bool {
        !self.lock().is_over
    }

    fn done(&self, index: usize, result: Result<Finished, PoolError>) {
        let mut arrived = self.lock();
        arrived.pending -= 1;
        arrived.chunks.push((index, result));
    }
}

/// A `map` under way. When it is dropped no worker is at any of its items.
struct Map<'e> {
    engine: &'e Engine,
    arrivals: Arc<Arrivals>,
}

impl Map<'_> {
    /// Waits until it is `enough`, or the time is over.
    fn drive(&self, enough: impl Fn(&Arrived) -> bool, deadline: Option<Instant>) -> bool {
        self.engine
            .drive(&|| enough(&self.arrivals.lock()), deadline)
    }
}

impl Drop for Map<'_> {
    fn drop(&mut self) {
        self.arrivals.lock().is_over = true;
        let is_over = |arrived: &Arrived| arrived.pending == 0;
        if !self.drive(is_over, Some(Instant::now() + TIME_TO_FINISH)) {
            self.engine.stop_within(Duration::ZERO);
            self.drive(is_over, None);
        }
    }
}

/// When a map is over though its items are not done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds(Option<(Duration, Instant)>);

impl Bounds {
    /// From now on, so much time.
    fn within(limit: Duration) -> Bounds {
        // A limit beyond what the clock can count is no limit.
        let deadline = Instant::now().checked_add(limit);
        Bounds(deadline.map(|deadline| (limit, deadline)))
    }

    fn end(&self) -> Option<Instant> {
        self.0.map(|(_, end)| end)
    }

    /// An error if a wait without a limit had no end.
    fn check_wait(&self, is_driven: bool) -> Result<(), PoolError> {
        match is_driven || self.0.is_some() {
            true => Ok(()),
            false => Err(PoolError::deadlock()),
        }
    }

    /// An error if it is over, with `done` of so many items.
    fn check(&self, done: usize, items: usize) -> Result<(), PoolError> {
        match self.0 {
            Some((limit, end)) if Instant::now() >= end => {
                Err(late(limit, done, items, "the rest is stopped"))
            }
            _ => Ok(()),
        }
    }
}

/// Makes an item into bytes. `index` is its index in the list, where there is a list.
pub(super) fn pack<A: Serialize>(
    writer: &mut Writer,
    item: &A,
    index: Option<usize>,
) -> Result<(), PoolError> {
    writer
        .write(item)
        .map_err(|cause| unsendable(index, type_name::<A>(), &cause))
}

fn unsendable(index: Option<usize>, argument: &str, cause: &str) -> PoolError {
    PoolError::not_sent(
        index,
        format!("cannot be sent to a worker, as {argument}: {cause}"),
    )
}

/// Reads the result of an item; an error if its bytes make no sense.
type Read<'r> = dyn FnMut(&mut Reader) -> Result<Result<(), ItemError>, String> + 'r;

/// What came back of a chunk, result by result.
pub(super) struct Results {
    worker: Arc<str>,
    bytes: Reader,
}

impl Results {
    pub(super) fn new(finished: Finished) -> Results {
        Results {
            worker: finished.worker,
            bytes: Reader::new(finished.body),
        }
    }

    /// The next result, which is that of the item with this index in the list.
    pub(super) fn next<R: DeserializeOwned>(
        &mut self,
        item: Option<usize>,
    ) -> Result<R, PoolError> {
        let mut result = None;
        self.read(item, type_name::<R>(), &mut |bytes| {
            bytes.read_result(|value| result = Some(value))
        })?;
        Ok(result.unwrap_or_else(|| unreachable!("it was read")))
    }

    fn read(
        &mut self,
        item: Option<usize>,
        result: &str,
        read: &mut Read<'_>,
    ) -> Result<(), PoolError> {
        // The user's type may have a say in how it is read.
        let done =
            catch_unwind(AssertUnwindSafe(|| read(&mut self.bytes))).unwrap_or_else(|panic| {
                Err(format!("reading it panicked: {}", panic_message(&*panic)))
            });
        let unreadable = |cause: String| {
            PoolError::not_sent(
                item,
                format!("gave a result that cannot be read, as {result}: {cause}"),
            )
        };
        done.map_err(unreadable)?.map_err(|error| match error {
            ItemError::Panic(message) => PoolError::panic(self.worker.to_string(), item, message),
            ItemError::Result(cause) => PoolError::not_sent(
                item,
                format!("gave a result that cannot be sent, as {cause}"),
            ),
            ItemError::Argument(cause) => PoolError::not_sent(
                item,
                format!("could not be read by {}, as {cause}", self.worker),
            ),
        })
    }
}
