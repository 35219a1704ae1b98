//! A map that is a handle, on threads: tasks that are one for who waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::handle::{Completer, SharedState, Slot, Whole, whole_task};
use super::tally::Tally;
use super::{JoinHandle, PoolError};

/// A map under way, cut into tasks that each do a chunk.
#[derive(Debug)]
pub(crate) struct Batch<R> {
    parts: OnceLock<Vec<Arc<SharedState>>>,
    /// The parts tell who holds this that they are done.
    listener: Arc<()>,
    /// Nobody wants the rest.
    is_over: AtomicBool,
    deadline: Option<Instant>,
    /// So many items are done, of so many.
    done: AtomicUsize,
    items: usize,
    results: Mutex<Results<R>>,
}

#[derive(Debug)]
struct Results<R> {
    /// Those of each chunk that is done.
    chunks: Vec<Option<Vec<R>>>,
    missing: usize,
}

impl<R: Send> Whole for Batch<R> {
    fn parts(&self) -> &[Arc<SharedState>] {
        self.parts.get().map_or(&[], Vec::as_slice)
    }

    fn stop(&self) {
        if self.is_over.swap(true, Ordering::Relaxed) {
            // Each part that is cancelled says so.
            return;
        }
        for part in self.parts() {
            part.cancel_anywhere();
        }
    }
}

impl<R> Batch<R> {
    fn lock(&self) -> MutexGuard<'_, Results<R>> {
        // Values are only moved under the lock.
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the next item need not begin.
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    /// What is told when the time is over.
    pub(crate) fn late(&self, limit: Duration) -> PoolError {
        let done = self.done.load(Ordering::Relaxed);
        late(limit, done, self.items, "what had not begun is not begun")
    }

    /// A chunk has these results; gives those of all once they are there.
    fn put(&self, chunk: usize, results: Vec<R>) -> Option<Vec<R>> {
        let mut all = self.lock();
        all.chunks[chunk] = Some(results);
        all.missing -= 1;
        (all.missing == 0).then(|| {
            all.chunks
                .iter_mut()
                .flat_map(Option::take)
                .flatten()
                .collect()
        })
    }
}

/// What is told of a map whose time is over.
pub(crate) fn late(limit: Duration, done: usize, items: usize, then: &str) -> PoolError {
    let state = format!("{done} of {items} items were done; {then}");
    PoolError::deadline(limit, state)
}

/// Submits a call without an argument to the pool.
type Submit<'p> = dyn Fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()> + 'p;

/// Calls `f` on all items, `size` of them in a task, which `submit` hands to a pool.
pub(crate) fn start<T, R, F>(
    submit: &Submit<'_>,
    tally: &Arc<Tally>,
    (size, deadline): (usize, Option<Instant>),
    f: F,
    items: Vec<T>,
) -> (Arc<Batch<R>>, JoinHandle<Vec<R>>)
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(T) -> R + Send + Sync + 'static,
{
    let (count, chunks) = (items.len(), items.len().div_ceil(size));
    let batch = Arc::new(Batch {
        parts: OnceLock::new(),
        listener: Arc::default(),
        is_over: AtomicBool::new(false),
        deadline,
        done: AtomicUsize::new(0),
        items: count,
        results: Mutex::new(Results {
            chunks: (0..chunks).map(|_| None).collect(),
            missing: chunks,
        }),
    });
    let (completer, slot, handle) = whole_task(Arc::clone(&batch) as _, tally);
    if count == 0 {
        slot.put(Vec::new());
        completer.finish(Ok(()));
    }
    let part = Arc::new(Part {
        batch: Arc::clone(&batch),
        completer,
        slot,
        f,
    });
    let mut items = items.into_iter();
    let parts = (0..chunks).map(|number| {
        let chunk: Vec<T> = items.by_ref().take(size).collect();
        let item = Arc::new(AtomicUsize::new(number * size));
        let (here, at) = (Arc::clone(&part), Arc::clone(&item));
        let handle = submit(Box::new(move || here.run(number, &at, chunk)));
        let (here, shared) = (Arc::clone(&part), Arc::clone(handle.shared()));
        let ended = Arc::clone(handle.shared());
        let tell = move || here.ended(&ended, item.load(Ordering::Relaxed));
        shared.when_done(&batch.listener, Box::new(tell));
        shared
    });
    // Parts that ran already have told what came of them.
    let _ = batch.parts.set(parts.collect());
    (batch, handle)
}

/// What the tasks of a map share.
struct Part<R, F> {
    batch: Arc<Batch<R>>,
    completer: Completer,
    slot: Slot<Vec<R>>,
    f: F,
}

impl<R: Send, F> Part<R, F> {
    /// Does a chunk; `at` says which item it is at.
    fn run<T>(&self, number: usize, at: &AtomicUsize, chunk: Vec<T>)
    where
        F: Fn(T) -> R,
    {
        if !self.completer.begin() {
            return;
        }
        let mut results = Vec::with_capacity(chunk.len());
        for item in chunk {
            if self.batch.is_over() {
                return;
            }
            results.push((self.f)(item));
            self.batch.done.fetch_add(1, Ordering::Relaxed);
            at.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(all) = self.batch.put(number, results) {
            self.slot.put(all);
            self.completer.finish(Ok(()));
        }
    }

    /// A task has ended; the first failure is that of the map.
    fn ended(&self, task: &SharedState, item: usize) {
        if let Err(error) = task.take() {
            self.completer.finish(Err(error.of_item(item)));
            self.batch.stop();
        }
    }
}
