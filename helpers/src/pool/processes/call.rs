//! What becomes of one call: its chunks on their way, and its results.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::chunk_run::{ItemError, ItemResult};
use super::codec::{Body, Reader, Writer};
use super::crew::{Finished, Sink, Task};
use super::engine::Engine;
use super::ship;
use crate::pool::handle::{Completer, Remote, remote_task};
use crate::pool::threads::panic_message;
use crate::pool::{JoinHandle, PoolError};

/// How long the other tasks of a call that has failed may go on, so that short ones need not
/// cost their workers' lives.
const TIME_TO_FINISH: Duration = Duration::from_millis(100);
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
}

/// Makes an item into bytes. `place` is its place in the list, where there is a list.
fn pack<A: Serialize>(
    writer: &mut Writer,
    item: &A,
    place: Option<usize>,
) -> Result<(), PoolError> {
    writer.write(item).map_err(|cause| {
        let argument = type_name::<A>();
        PoolError::not_sent(
            place,
            format!("cannot be sent to a worker, as {argument}: {cause}"),
        )
    })
}

/// Makes what came back of a chunk into results.
fn unpack<R: DeserializeOwned>(
    finished: Finished,
    places: impl Iterator<Item = Option<usize>>,
) -> impl Iterator<Item = Result<R, PoolError>> {
    let worker = format!("worker {}", finished.worker);
    let mut results = Reader::new(finished.body);
    places.map(move |item| {
        let unreadable = |cause: &str| {
            let result = type_name::<R>();
            PoolError::not_sent(
                item,
                format!("gave a result that cannot be read, as {result}: {cause}"),
            )
        };
        // The user's type may have a say in how it is read.
        let read = catch_unwind(AssertUnwindSafe(|| results.read::<ItemResult<R>>()))
            .unwrap_or_else(|panic| {
                Err(format!("reading it panicked: {}", panic_message(&*panic)))
            });
        match read.map_err(|cause| unreadable(&cause))? {
            Ok(result) => Ok(result),
            Err(ItemError::Panic(message)) => Err(PoolError::panic(worker.clone(), item, message)),
            Err(ItemError::Result(cause)) => Err(PoolError::not_sent(
                item,
                format!("gave a result that cannot be sent, as {cause}"),
            )),
            Err(ItemError::Argument(cause)) => Err(PoolError::not_sent(
                item,
                format!("could not be read by {worker}, as {cause}"),
            )),
        }
    })
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
    fn begin(&self, _place: usize) -> bool {
        let mut arrived = self.lock();
        if arrived.is_over {
            arrived.pending -= 1;
        }
        !arrived.is_over
    }

    fn done(&self, place: usize, result: Result<Finished, PoolError>) {
        let mut arrived = self.lock();
        arrived.pending -= 1;
        arrived.chunks.push((place, result));
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
            let sink: Arc<dyn Sink> = Arc::clone(&self.arrivals) as _;
            self.engine.stop(&sink);
            self.drive(is_over, None);
        }
    }
}

/// Calls `F` on each item, `size` items at a time.
pub(super) fn map<F, A, R>(
    engine: &Engine,
    size: usize,
    time_limit: Option<Duration>,
    items: Vec<A>,
) -> Result<Vec<R>, PoolError>
where
    F: Fn(A) -> R,
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    let function = engine.function(ship::entry::<F, A, R>())?;
    let call = Map {
        engine,
        arrivals: Arc::default(),
    };
    let mut slots: Vec<Option<Vec<R>>> = Vec::new();
    slots.resize_with(items.len().div_ceil(size), || None);
    let mut failure: Option<PoolError> = None;
    let mut collect = |call: &Map<'_>| {
        let arrived = std::mem::take(&mut call.arrivals.lock().chunks);
        for (place, result) in arrived {
            let first = place * size;
            let count = size.min(items.len() - first);
            let results = result.and_then(|finished| {
                unpack(finished, (first..first + count).map(Some)).collect::<Result<_, _>>()
            });
            match results {
                Ok(results) => slots[place] = Some(results),
                // Of the failures that are known, the first in the list is told.
                Err(error) => {
                    let earlier = failure
                        .as_ref()
                        .is_none_or(|known| error.item() < known.item());
                    if earlier {
                        failure = Some(error);
                    }
                }
            }
        }
        failure.clone().map_or(Ok(()), Err)
    };
    for (place, chunk) in items.chunks(size).enumerate() {
        let mut body = Writer::for_arguments();
        for (number, item) in (place * size..).zip(chunk) {
            pack(&mut body, item, Some(number))?;
        }
        call.arrivals.lock().pending += 1;
        let task = Task {
            function,
            body: body.finish(),
            items: chunk.len(),
            first_item: Some(place * size),
            stop_at_failure: true,
            time_limit,
            order: 0,
            sink: Arc::clone(&call.arrivals) as _,
            place,
        };
        engine.submit(task);
        let ahead = engine.depth().max(CHUNKS_AHEAD) * engine.workers();
        collect(&call)?;
        // Bytes of items that no worker will want soon need not lie in memory.
        let mut most = ahead - 1;
        while engine.queued() > most {
            most = ahead / 2;
            let fewer = || engine.queued() <= most;
            engine.drive(&|| fewer() || call.arrivals.has_some(), None);
            collect(&call)?;
        }
    }
    while call.arrivals.lock().pending > 0 {
        call.drive(
            |arrived| arrived.pending == 0 || !arrived.chunks.is_empty(),
            None,
        );
        collect(&call)?;
    }
    collect(&call)?;
    Ok(slots.into_iter().flatten().flatten().collect())
}

/// A task whose result goes to a handle: `T` is made of what came back.
struct Single<T, D> {
    completer: Completer<T>,
    decode: D,
}

impl<T, D> Sink for Single<T, D>
where
    T: Send,
    D: Fn(Result<Finished, PoolError>) -> Result<T, PoolError> + Send + Sync,
{
    fn begin(&self, _place: usize) -> bool {
        self.completer.begin()
    }

    fn recalled(&self, _place: usize) {
        self.completer.recalled();
    }

    fn done(&self, _place: usize, result: Result<Finished, PoolError>) {
        self.completer.finish((self.decode)(result));
    }
}

/// Submits items that are bytes already as one task.
fn submit_task<F, A, R, T>(
    engine: &Arc<Engine>,
    time_limit: Option<Duration>,
    (first_item, items): (Option<usize>, usize),
    body: Result<Body, PoolError>,
    decode: impl Fn(Result<Finished, PoolError>) -> Result<T, PoolError> + Send + Sync + 'static,
) -> JoinHandle<T>
where
    F: Fn(A) -> R,
    A: DeserializeOwned,
    R: Serialize,
    T: Send + 'static,
{
    let (completer, handle) = remote_task(Arc::clone(engine) as _);
    let function = engine.function(ship::entry::<F, A, R>());
    match body.and_then(|body| Ok((function?, body))) {
        Ok((function, body)) => engine.submit(Task {
            function,
            body,
            items,
            first_item,
            stop_at_failure: false,
            time_limit,
            order: 0,
            sink: Arc::new(Single { completer, decode }),
            place: 0,
        }),
        Err(error) => completer.finish(decode(Err(error))),
    }
    handle
}

/// Calls `F` on one argument.
pub(super) fn submit<F, A, R>(
    engine: &Arc<Engine>,
    time_limit: Option<Duration>,
    argument: A,
) -> JoinHandle<R>
where
    F: Fn(A) -> R,
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let mut body = Writer::for_arguments();
    let body = pack(&mut body, &argument, None).map(|()| body.finish());
    submit_task::<F, A, R, R>(engine, time_limit, (None, 1), body, |result| {
        let mut results = unpack(result?, [None].into_iter());
        results
            .next()
            .unwrap_or_else(|| unreachable!("one item has one result"))
    })
}

/// Calls `F` on each item of a chunk whose first item has the place `first` in the list. Each
/// item has a result, if need be the error of the whole chunk.
pub(super) fn submit_chunk<F, A, R>(
    engine: &Arc<Engine>,
    time_limit: Option<Duration>,
    first: usize,
    items: Vec<A>,
) -> JoinHandle<Vec<Result<R, PoolError>>>
where
    F: Fn(A) -> R,
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let mut body = Writer::for_arguments();
    // For each item whether it goes along, or why not.
    let sent: Vec<Result<(), PoolError>> = (first..)
        .zip(&items)
        .map(|(place, item)| pack(&mut body, item, Some(place)))
        .collect();
    let count = sent.iter().flatten().count();
    let (about, body) = ((Some(first), count), Ok(body.finish()));
    submit_task::<F, A, R, _>(engine, time_limit, about, body, move |result| {
        let places = (first..).zip(&sent).filter(|(_, sent)| sent.is_ok());
        let places = places.map(|(place, _)| Some(place));
        let mut results = result.map(|finished| unpack(finished, places));
        let of_item = |sent: &Result<(), PoolError>| {
            sent.clone()?;
            match &mut results {
                Ok(results) => results
                    .next()
                    .unwrap_or_else(|| unreachable!("each item that was sent has a result")),
                Err(error) => Err(error.clone()),
            }
        };
        Ok(sent.iter().map(of_item).collect())
    })
}
