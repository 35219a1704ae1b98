//! What becomes of one call: its chunks on their way, and its results.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::code_ref::{self, Entry};
use super::codec::{Body, ItemError, Reader, Writer};
use super::engine::Engine;
use super::task::{Finished, Sink, Task};
use crate::notebook::interrupts::Interrupts;
use crate::pool::handle::{Completer, Remote, TIME_TO_FINISH, remote_task};
use crate::pool::panic::panic_message;
use crate::pool::waits::{Awaited, Place};
use crate::pool::{JoinHandle, PoolError, Portable};

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
        Engine::stop(self);
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
    /// Waits until `enough` chunks at most are still to come or something has arrived.
    fn drive(&self, enough: impl Fn(&Arrived) -> bool, limit: Option<Duration>) -> bool {
        let deadline = limit.map(|limit| Instant::now() + limit);
        self.engine
            .drive(&|| enough(&self.arrivals.lock()), deadline)
    }
}

impl Drop for Map<'_> {
    fn drop(&mut self) {
        self.arrivals.lock().is_over = true;
        let is_over = |arrived: &Arrived| arrived.pending == 0;
        if !self.drive(is_over, Some(TIME_TO_FINISH)) {
            self.engine.stop();
            self.drive(is_over, None);
        }
    }
}

/// Calls `F` on each item, `size` items at a time.
pub(crate) fn map<F, A, R>(
    engine: &Engine,
    size: usize,
    time_limit: Option<Duration>,
    items: Vec<A>,
) -> Result<Vec<R>, PoolError>
where
    F: Fn(A) -> R,
    A: Portable,
    R: Portable,
{
    let mut chunks: Vec<Vec<R>> = Vec::new();
    chunks.resize_with(items.len().div_ceil(size), Vec::new);
    let list = List {
        entry: code_ref::entry::<F, A, R>(),
        items: items.len(),
        chunk_size: size,
        time_limit,
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
struct List {
    entry: Entry,
    items: usize,
    chunk_size: usize,
    time_limit: Option<Duration>,
}

/// A `map` of items that `pack` makes into bytes, one by one; `keep` takes the results in,
/// chunk by chunk as they come, in order within a chunk.
///
/// All that does not depend on the types of items and results: it is compiled once, and not
/// again for each cell of a notebook.
fn map_bytes(
    engine: &Engine,
    list: &List,
    pack: &dyn Fn(&mut Writer, usize) -> Result<(), PoolError>,
    keep: &mut dyn FnMut(&mut Results, usize) -> Result<(), PoolError>,
) -> Result<(), PoolError> {
    let function = engine.function(list.entry)?;
    let (size, count) = (list.chunk_size, list.items);
    let call = Map {
        engine,
        arrivals: Arc::default(),
    };
    let indices = |chunk: usize| chunk * size..count.min((chunk + 1) * size);
    let interrupts = Interrupts::here();
    let mut failure: Option<PoolError> = None;
    let mut collect = |call: &Map<'_>| {
        // Before failures: an interrupt ends workers as well.
        interrupts.check();
        let arrived = std::mem::take(&mut call.arrivals.lock().chunks);
        for (chunk, result) in arrived {
            let kept = result.and_then(|finished| {
                let mut results = Results::new(finished);
                indices(chunk).try_for_each(|index| keep(&mut results, index))
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
        failure.clone().map_or(Ok(()), Err)
    };
    for chunk in 0..count.div_ceil(size) {
        let mut body = Writer::for_arguments();
        for index in indices(chunk) {
            pack(&mut body, index)?;
        }
        call.arrivals.lock().pending += 1;
        let task = Task {
            function,
            body: body.finish(),
            items: indices(chunk).len(),
            first_item: Some(indices(chunk).start),
            stop_at_failure: true,
            time_limit: list.time_limit,
            order: 0,
            sink: Arc::clone(&call.arrivals) as _,
            index: chunk,
        };
        engine.submit(task);
        let ahead = engine.depth().max(CHUNKS_AHEAD) * engine.workers();
        collect(&call)?;
        // Bytes of items that no worker will want soon need not lie in memory.
        let mut most = ahead - 1;
        while engine.queued() > most {
            most = ahead / 2;
            let fewer = || engine.queued() <= most;
            let is_news = || call.arrivals.has_some() || interrupts.came();
            let is_driven = engine.drive(&|| fewer() || is_news(), None);
            collect(&call)?;
            is_driven.then_some(()).ok_or_else(PoolError::deadlock)?;
        }
    }
    while call.arrivals.lock().pending > 0 {
        let is_driven = call.drive(
            |arrived| arrived.pending == 0 || !arrived.chunks.is_empty() || interrupts.came(),
            None,
        );
        collect(&call)?;
        is_driven.then_some(()).ok_or_else(PoolError::deadlock)?;
    }
    collect(&call)
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
    entry: Entry,
    time_limit: Option<Duration>,
    (first_item, items): (Option<usize>, usize),
    body: Result<Body, PoolError>,
    single: Single,
) {
    let function = engine.function(entry);
    match body.and_then(|body| Ok((function?, body))) {
        Ok((function, body)) => engine.submit(Task {
            function,
            body,
            items,
            first_item,
            stop_at_failure: false,
            time_limit,
            order: 0,
            sink: Arc::new(single),
            index: 0,
        }),
        Err(error) => single.done(0, Err(error)),
    }
}

/// Calls `F` on one argument.
pub(crate) fn submit<F, A, R>(
    engine: &Arc<Engine>,
    time_limit: Option<Duration>,
    argument: A,
) -> JoinHandle<R>
where
    F: Fn(A) -> R,
    A: Portable,
    R: Portable + Send + 'static,
{
    let mut body = Writer::for_arguments();
    let body = pack(&mut body, &argument, None).map(|()| body.finish());
    let (completer, slot, handle) = remote_task(remote(engine));
    let keep: Keep = Box::new(move |result| {
        slot.put(Results::new(result?).next::<R>(None)?);
        Ok(())
    });
    let single = Single { completer, keep };
    let entry = code_ref::entry::<F, A, R>();
    submit_bytes(engine, entry, time_limit, (None, 1), body, single);
    handle
}

/// Calls `F` on each item of a chunk whose first item has the index `first` in the list. Each
/// item has a result, if need be the error of the whole chunk.
pub(crate) fn submit_chunk<F, A, R>(
    engine: &Arc<Engine>,
    time_limit: Option<Duration>,
    first: usize,
    items: Vec<A>,
) -> JoinHandle<Vec<Result<R, PoolError>>>
where
    F: Fn(A) -> R,
    A: Portable,
    R: Portable + Send + 'static,
{
    let mut body = Writer::for_arguments();
    // For each item whether it goes along, or why not.
    let mut sent: Vec<Result<(), PoolError>> = Vec::with_capacity(items.len());
    for (index, item) in (first..).zip(&items) {
        sent.push(pack(&mut body, item, Some(index)));
    }
    let count = sent.iter().flatten().count();
    let (completer, slot, handle) = remote_task(remote(engine));
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
    let (entry, about) = (code_ref::entry::<F, A, R>(), (Some(first), count));
    submit_bytes(engine, entry, time_limit, about, Ok(body.finish()), single);
    handle
}
