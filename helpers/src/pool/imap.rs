//! Results as a lazy iterator: with few items in flight, however long the list.

use std::any::Any;
use std::collections::VecDeque;
use std::iter::Fuse;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};
use std::{fmt, vec};

use super::completion::Late;
use super::handle;
use super::witness::{self, Forget};
use super::{AsCompleted, JoinHandle, PoolError};
use crate::notebook::interrupts::Interrupts;

/// Chunks in flight for each worker: one that it works on and one that waits for it.
pub(crate) const AHEAD: usize = 2;

/// Submits a chunk of items; the number is the index of its first item in the list.
type Submit<'p, T, O> = Box<dyn Fn(usize, Vec<T>) -> JoinHandle<Vec<O>> + 'p>;

/// What came of a chunk.
type Chunk<O> = Result<Vec<O>, PoolError>;

/// Takes items from the source, a chunk at a time, and submits them.
struct Source<'p, I: Iterator, O> {
    /// `None` after a panic.
    items: Option<Fuse<I>>,
    /// What it panicked with, to go on once the results before it are handed out.
    panic: Option<Box<dyn Any + Send>>,
    submit: Submit<'p, I::Item, O>,
    fail: fn(PoolError) -> O,
    chunk_size: usize,
    /// Chunks that may be in flight.
    window: usize,
    /// Items that were taken from the source.
    taken: usize,
    /// Items that were submitted and whose results have not been handed out.
    out: usize,
    /// An item that a check of an exercise wants to be left out, and which.
    held: Option<I::Item>,
    forget: Forget,
}

impl<I: Iterator, O> Source<'_, I, O> {
    /// Submits the next chunk; `None` when the source has run dry, or has panicked.
    fn submit(&mut self) -> Option<JoinHandle<Vec<O>>> {
        let items = self.items.as_mut()?;
        let mut chunk = Vec::new();
        let taken = catch_unwind(AssertUnwindSafe(|| {
            match self.forget {
                Forget::Nothing | Forget::Fail | Forget::Order => {
                    chunk.extend(items.take(self.chunk_size));
                }
                Forget::All => items.for_each(drop),
                Forget::Nth(place) => {
                    chunk.extend(items.take(self.chunk_size));
                    if (self.taken..self.taken + chunk.len()).contains(&place) {
                        self.forget = Forget::Nothing;
                        drop(chunk.remove(place - self.taken));
                        let missing = usize::from(chunk.is_empty());
                        chunk.extend(items.take(missing));
                    }
                }
                // Each is held back until the next one is there.
                Forget::Last => {
                    let more = self.chunk_size + usize::from(self.held.is_none());
                    chunk.extend(self.held.take());
                    chunk.extend(items.take(more));
                    self.held = chunk.pop();
                }
            }
        }));
        if let Err(panic) = taken {
            // Who interrupts a cell wants it to end at once.
            if Interrupts::here().came() {
                resume_unwind(panic);
            }
            self.items = None;
            self.panic = Some(panic);
        }
        if chunk.is_empty() {
            return None;
        }
        let first = self.taken;
        self.taken += chunk.len();
        self.out += chunk.len();
        Some((self.submit)(first, chunk))
    }

    /// What becomes of a chunk that nobody has done: nobody cancels one, and a pool that is borrowed
    /// cannot be dropped, but to wait for it might take for ever.
    fn failed(&self, error: &PoolError) -> Vec<O> {
        let count = self.chunk_size.min(self.out);
        (0..count).map(|_| (self.fail)(error.clone())).collect()
    }

    /// How many results are still to come.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.items.as_ref().map(Iterator::size_hint);
        let (lower, upper) = left.unwrap_or((0, Some(0)));
        (
            // An endless source says usize::MAX already.
            lower.saturating_add(self.out),
            upper.and_then(|upper| upper.checked_add(self.out)),
        )
    }
}

/// Chunks that were submitted, and the order in which their results are wanted.
enum InFlight<O> {
    InOrder(VecDeque<JoinHandle<Vec<O>>>),
    AsTheyCome(AsCompleted<Vec<O>>),
}

impl<O> InFlight<O> {
    fn len(&self) -> usize {
        match self {
            InFlight::InOrder(handles) => handles.len(),
            InFlight::AsTheyCome(handles) => handles.len(),
        }
    }

    fn push(&mut self, handle: JoinHandle<Vec<O>>) {
        match self {
            InFlight::InOrder(handles) => handles.push_back(handle),
            InFlight::AsTheyCome(handles) => handles.push(handle),
        }
    }

    /// Waits for the chunk whose turn it is, or until `deadline`, which is an `Err`; `None` if
    /// there is none.
    fn next(&mut self, deadline: Option<Instant>) -> Option<Result<Chunk<O>, Late>> {
        match self {
            InFlight::InOrder(handles) => {
                let is_late =
                    |first: &JoinHandle<_>| deadline.is_some() && !first.wait_by(deadline);
                if is_late(handles.front()?) {
                    return Some(Err(Late));
                }
                Some(Ok(handles.pop_front()?.join()))
            }
            InFlight::AsTheyCome(handles) => {
                let next = handles.next_by(deadline)?;
                Some(next.map(|(_, chunk)| chunk))
            }
        }
    }
}

impl<O> Drop for InFlight<O> {
    /// What nobody will ask for is given up. Where results come in any order, that is done already.
    fn drop(&mut self) {
        if let InFlight::InOrder(handles) = self {
            handle::abandon(handles.iter().map(JoinHandle::shared));
        }
    }
}

/// What becomes of an item in a pool: on its way an `O`, for the caller an `R`.
pub(crate) struct Way<'p, T, O, R> {
    pub(crate) submit: Submit<'p, T, O>,
    pub(crate) open: fn(O) -> R,
    /// What an item has become that nobody has done.
    pub(crate) fail: fn(PoolError) -> O,
    pub(crate) chunk_size: usize,
    pub(crate) workers: usize,
}

/// Results one by one, made by a pool's `imap` and `imap_unordered`.
#[must_use = "iterators do nothing until they are consumed"]
pub struct Imap<'p, I: Iterator, O, R> {
    source: Source<'p, I, O>,
    in_flight: InFlight<O>,
    ready: vec::IntoIter<O>,
    open: fn(O) -> R,
    time: Option<Time<R>>,
}

/// A limit of time for the whole call.
struct Time<R> {
    limit: Duration,
    deadline: Instant,
    late: fn(PoolError) -> R,
    is_over: bool,
}

impl<'p, I: Iterator, O, R> Imap<'p, I, O, R> {
    pub(crate) fn ordered(items: I, way: Way<'p, I::Item, O, R>) -> Self {
        Imap::new(items, way, InFlight::InOrder(VecDeque::new()))
    }

    pub(crate) fn unordered(items: I, way: Way<'p, I::Item, O, R>) -> Self {
        Imap::new(items, way, InFlight::AsTheyCome(AsCompleted::new()))
    }

    fn new(items: I, way: Way<'p, I::Item, O, R>, in_flight: InFlight<O>) -> Self {
        Imap {
            source: Source {
                items: Some(items.fuse()),
                panic: None,
                submit: way.submit,
                fail: way.fail,
                chunk_size: way.chunk_size,
                window: AHEAD * way.workers,
                taken: 0,
                out: 0,
                held: None,
                forget: witness::lazy(),
            },
            in_flight,
            ready: Vec::new().into_iter(),
            open: way.open,
            time: None,
        }
    }

    /// The same, but the last result is what `late` makes of an error if it takes longer than this.
    pub(crate) fn within(mut self, limit: Duration, late: fn(PoolError) -> R) -> Self {
        // A limit beyond what the clock can count is no limit.
        self.time = Instant::now().checked_add(limit).map(|deadline| Time {
            limit,
            deadline,
            late,
            is_over: false,
        });
        self
    }

    /// What there is in place of the next result when the time is over.
    fn late(&mut self) -> Option<R> {
        let time = self.time.as_mut()?;
        time.is_over = true;
        // What is under way is given up.
        self.in_flight = InFlight::InOrder(VecDeque::new());
        let given = self.source.taken - self.source.out;
        let state = format!("{given} results were given; what had not begun is not begun");
        Some((time.late)(PoolError::deadline(time.limit, state)))
    }
}

impl<I: Iterator, O, R> Iterator for Imap<'_, I, O, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.time.as_ref().is_some_and(|time| time.is_over) {
            return None;
        }
        if self.ready.len() == 0 {
            let is_time = |time: &Time<R>| Instant::now() < time.deadline;
            let goes_on = self.time.as_ref().is_none_or(is_time);
            while goes_on && self.in_flight.len() < self.source.window {
                match self.source.submit() {
                    Some(handle) => self.in_flight.push(handle),
                    None => break,
                }
            }
            let items = &mut self.source.items;
            let has_more = |items: &mut Fuse<I>| items.next().is_some();
            if !goes_on && self.in_flight.len() == 0 && items.as_mut().is_some_and(has_more) {
                return self.late();
            }
            let deadline = self.time.as_ref().map(|time| time.deadline);
            let next = self.in_flight.next(deadline);
            if let (None, Some(panic)) = (&next, self.source.panic.take_if(|_| next.is_none())) {
                // It was reported where it happened.
                resume_unwind(panic);
            }
            self.ready = match next? {
                Ok(chunk) => chunk
                    .unwrap_or_else(|error| self.source.failed(&error))
                    .into_iter(),
                Err(Late) => return self.late(),
            };
        }
        self.source.out -= 1;
        self.ready.next().map(self.open)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.time {
            // It may be over before, and then there is an error more.
            Some(_) => (0, None),
            None => self.source.size_hint(),
        }
    }
}

impl<I: Iterator, O, R> fmt::Debug for Imap<'_, I, O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imap({} chunks in flight)", self.in_flight.len())
    }
}
