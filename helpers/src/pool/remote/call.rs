//! What becomes of one call: its chunks on their way, and its results.

use std::any::type_name;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::code_ref::Entry;
use super::codec::{Body, ItemError, Reader, Writer};
use super::engine::Engine;
use super::shared_value::SharedValue;
use super::task::{Finished, Sink, Task};
use crate::notebook::interrupts::Interrupts;
use crate::pool::batch::late;
use crate::pool::handle::{
    Completer, Remote, TIME_TO_FINISH, Whole, failed_task, remote_task, remote_whole,
};
use crate::pool::panic::panic_message;
use crate::pool::waits::{Awaited, Place};
use crate::pool::{JoinHandle, PoolError, Portable, witness};

/// So many chunks for each worker are made into bytes ahead of time.
const CHUNKS_AHEAD: usize = 2;

impl Remote for Engine {
    fn drive(&self, done: &dyn Fn() -> bool, deadline: Option<Instant>) -> bool {
        Engine::drive(self, done, deadline)
    }

    fn look(&self) {
        Engine::look(self);
    }

    fn attend(&self) {
        Engine::attend(self);
    }

    fn recall(&self) {
        Engine::recall(self);
    }

    fn nudge(&self) {
        Engine::nudge(self);
    }

    fn stop(&self) {
        Engine::stop(self, TIME_TO_FINISH);
    }

    fn places(&self) -> Vec<Place> {
        self.delivery().places()
    }
}

/// Makes an item into bytes. `index` is its index in the list, where there is a list.
fn pack<A: Serialize>(
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
struct Results {
    worker: Arc<str>,
    bytes: Reader,
}

impl Results {
    fn new(finished: Finished) -> Results {
        Results {
            worker: finished.worker,
            bytes: Reader::new(finished.body),
        }
    }

    /// The next result, which is that of the item with this index in the list.
    fn next<R: DeserializeOwned>(&mut self, item: Option<usize>) -> Result<R, PoolError> {
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
}

impl Arrivals {
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
            self.engine.stop(Duration::ZERO);
            self.drive(is_over, None);
        }
    }
}

/// What is to be called, whatever the items are.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) entry: Entry,
    /// For each item.
    pub(crate) time_limit: Option<Duration>,
    /// What goes along with each item.
    pub(crate) value: Option<Arc<SharedValue>>,
}

/// When a map is over though its items are not done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds(Option<(Duration, Instant)>);

impl Bounds {
    /// From now on, so much time.
    pub(crate) fn within(limit: Duration) -> Bounds {
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

/// Calls a function on each item, `size` items at a time.
pub(crate) fn map<A, R>(
    engine: &Engine,
    called: &Called,
    size: usize,
    bounds: Bounds,
    items: Vec<A>,
) -> Result<Vec<R>, PoolError>
where
    A: Portable,
    R: Portable,
{
    let mut chunks: Vec<Vec<R>> = Vec::new();
    chunks.resize_with(items.len().div_ceil(size), Vec::new);
    let list = List {
        called,
        items: items.len(),
        chunk_size: size,
        bounds,
    };
    map_bytes(
        engine,
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
    Ok(all)
}

/// What is to be done with a list, whatever its items are.
struct List<'l> {
    called: &'l Called,
    items: usize,
    chunk_size: usize,
    bounds: Bounds,
}

/// Makes the item with this index into bytes.
type Pack<'p> = dyn Fn(&mut Writer, usize) -> Result<(), PoolError> + 'p;

impl List<'_> {
    fn chunks(&self) -> usize {
        self.items.div_ceil(self.chunk_size)
    }

    /// The items of a chunk.
    fn indices(&self, chunk: usize) -> Range<usize> {
        let start = chunk * self.chunk_size;
        start..self.items.min(start.saturating_add(self.chunk_size))
    }

    /// A chunk on its way to a worker.
    fn task(
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

/// As [`map`], but returns at once: all items are made into bytes now, and their results go to the
/// handle.
pub(crate) fn map_async<A, R>(
    engine: &Arc<Engine>,
    called: &Called,
    size: usize,
    items: Vec<A>,
) -> JoinHandle<Vec<R>>
where
    A: Portable,
    R: Portable + Send + 'static,
{
    let rest = Arc::new(Rest(Arc::downgrade(engine)));
    let (completer, slot, handle) =
        remote_whole(remote(engine), Arc::clone(&rest) as _, engine.tally());
    let list = List {
        called,
        items: items.len(),
        chunk_size: size,
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
            let made: Result<Vec<R>, _> = indices.map(|index| results.next(Some(index))).collect();
            lock()[chunk] = made?;
            Ok(())
        }),
    };
    submit_chunks(engine, &list, Arc::new(gather), &|body, index| {
        pack(body, &items[index], Some(index))
    });
    handle
}

/// What is left of a map that is a handle, and over.
struct Rest(Weak<Engine>);

impl Whole for Rest {
    fn stop(&self) {
        if let Some(engine) = self.0.upgrade() {
            engine.stop(TIME_TO_FINISH);
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

/// Calls a function on one argument.
pub(crate) fn submit<A, R>(engine: &Arc<Engine>, called: &Called, argument: A) -> JoinHandle<R>
where
    A: Portable,
    R: Portable + Send + 'static,
{
    if witness::forgets_task() {
        return failed_task(PoolError::cancelled(witness::LEFT_OUT), engine.tally());
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

/// Calls a function on each item of a chunk whose first item has the index `first` in the list. Each
/// item has a result, if need be the error of the whole chunk.
pub(crate) fn submit_chunk<A, R>(
    engine: &Arc<Engine>,
    called: &Called,
    first: usize,
    items: Vec<A>,
) -> JoinHandle<Vec<Result<R, PoolError>>>
where
    A: Portable,
    R: Portable + Send + 'static,
{
    if witness::fails() {
        return failed_task(PoolError::cancelled(witness::LEFT_OUT), engine.tally());
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
