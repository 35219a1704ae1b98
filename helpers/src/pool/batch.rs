//! A map that is a handle, on threads: tasks that are one for who waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::handle::{Completer, SharedState, Slot, Whole, whole_task};
use super::slots::Slots;
use super::tally::Tally;
use super::{JoinHandle, PoolError};

/// A map under way, cut into tasks that each do a chunk.
#[derive(Debug)]
pub(crate) struct Batch {
    parts: OnceLock<Vec<Arc<SharedState>>>,
    /// The parts tell who holds this that they are done.
    listener: Arc<()>,
    /// Nobody wants the rest.
    is_over: AtomicBool,
    deadline: Option<Instant>,
    /// So many items are done, of so many.
    done: AtomicUsize,
    items: usize,
}

impl Whole for Batch {
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

impl Batch {
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

    /// A part has ended; the first failure is that of the map.
    fn ended(&self, part: &SharedState, item: usize, whole: &Completer) {
        if let Err(error) = part.take() {
            whole.finish(Err(error.of_item(item)));
            self.stop();
        }
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
) -> (Arc<Batch>, JoinHandle<Vec<R>>)
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(T) -> R + Send + Sync + 'static,
{
    let batch = Arc::new(Batch {
        parts: OnceLock::new(),
        listener: Arc::default(),
        is_over: AtomicBool::new(false),
        deadline,
        done: AtomicUsize::new(0),
        items: items.len(),
    });
    let chunks = items.len().div_ceil(size);
    let (whole, slot, handle) = whole_task(Arc::clone(&batch) as _, tally);
    let whole = Arc::new(whole);
    let work = Arc::new(Work {
        batch: Arc::clone(&batch),
        whole: Arc::clone(&whole),
        slot,
        slots: Slots::new(items, size),
        f,
    });
    let part = |_| {
        let item = Arc::<AtomicUsize>::default();
        let (here, at) = (Arc::clone(&work), Arc::clone(&item));
        let handle = submit(Box::new(move || Work::run(here, &at)));
        let part = handle.shared();
        when_ended(&batch, part, &whole, item);
        Arc::clone(part)
    };
    // Parts that ran already have told what came of them.
    let _ = batch.parts.set((0..chunks).map(part).collect());
    Work::leave(work);
    (batch, handle)
}

/// Has the batch told when a part has ended, at the item that `at` says.
fn when_ended(
    batch: &Arc<Batch>,
    part: &Arc<SharedState>,
    whole: &Arc<Completer>,
    at: Arc<AtomicUsize>,
) {
    let (here, ended, whole) = (Arc::clone(batch), Arc::clone(part), Arc::clone(whole));
    let tell = move || here.ended(&ended, at.load(Ordering::Relaxed), &whole);
    part.when_done(&batch.listener, Box::new(tell));
}

/// What the tasks of a map share. The last one to leave it has the results.
struct Work<T, R, F> {
    batch: Arc<Batch>,
    whole: Arc<Completer>,
    slot: Slot<Vec<R>>,
    slots: Slots<T, R>,
    f: F,
}

impl<T, R, F: Fn(T) -> R> Work<T, R, F> {
    /// Does a chunk; `at` says which item it is at.
    fn run(here: Arc<Self>, at: &AtomicUsize) {
        if here.whole.begin()
            && let Some(chunk) = here.slots.take()
        {
            at.store(chunk.place().0, Ordering::Relaxed);
            let call = |item| {
                let result = (here.f)(item);
                here.batch.done.fetch_add(1, Ordering::Relaxed);
                at.fetch_add(1, Ordering::Relaxed);
                result
            };
            chunk.run(&call, || here.batch.is_over());
        }
        Work::leave(here);
    }

    fn leave(here: Arc<Self>) {
        // Where items are not done, whoever has stopped them has told why.
        if let Some(last) = Arc::into_inner(here)
            && let Some(results) = last.slots.into_results()
        {
            last.slot.put(results);
            last.whole.finish(Ok(()));
        }
    }
}
