//! Results as a lazy iterator: with few items in flight, however long the list.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::{fmt, vec};

use super::{AsCompleted, JoinHandle, PoolError};

/// Chunks in flight for each worker: one that it works on and one that waits for it.
pub(crate) const AHEAD: usize = 2;

/// Submits a chunk of items; the number is the index of its first item in the list.
type Submit<'p, T, O> = Box<dyn Fn(usize, Vec<T>) -> JoinHandle<Vec<O>> + 'p>;

/// Takes items from the source, a chunk at a time, and submits them.
struct Source<'p, I: Iterator, O> {
    items: Fuse<I>,
    submit: Submit<'p, I::Item, O>,
    chunk_size: usize,
    /// Chunks that may be in flight.
    window: usize,
    /// Items that were taken from the source.
    taken: usize,
    /// Items that were submitted and whose results have not been handed out.
    out: usize,
}

impl<I: Iterator, O> Source<'_, I, O> {
    /// Submits the next chunk; `None` when the source has run dry.
    fn submit(&mut self) -> Option<JoinHandle<Vec<O>>> {
        let chunk: Vec<I::Item> = self.items.by_ref().take(self.chunk_size).collect();
        if chunk.is_empty() {
            return None;
        }
        let first = self.taken;
        self.taken += chunk.len();
        self.out += chunk.len();
        Some((self.submit)(first, chunk))
    }

    /// How many results are still to come.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let (lower, upper) = self.items.size_hint();
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

    /// Waits for the chunk whose turn it is; `None` if there is none.
    fn next(&mut self) -> Option<Result<Vec<O>, PoolError>> {
        match self {
            InFlight::InOrder(handles) => Some(handles.pop_front()?.join()),
            InFlight::AsTheyCome(handles) => Some(handles.next()?.1),
        }
    }

    fn cancel_all(&self) {
        match self {
            InFlight::InOrder(handles) => handles.iter().for_each(|handle| {
                handle.cancel();
            }),
            InFlight::AsTheyCome(handles) => handles.cancel_all(),
        }
    }
}

/// What becomes of an item in a pool: on its way an `O`, for the caller an `R`.
pub(crate) struct Way<'p, T, O, R> {
    pub(crate) submit: Submit<'p, T, O>,
    pub(crate) open: fn(O) -> R,
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
                items: items.fuse(),
                submit: way.submit,
                chunk_size: way.chunk_size,
                window: AHEAD * way.workers,
                taken: 0,
                out: 0,
            },
            in_flight,
            ready: Vec::new().into_iter(),
            open: way.open,
        }
    }
}

impl<I: Iterator, O, R> Iterator for Imap<'_, I, O, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.ready.len() == 0 {
            while self.in_flight.len() < self.source.window {
                match self.source.submit() {
                    Some(handle) => self.in_flight.push(handle),
                    None => break,
                }
            }
            self.ready = match self.in_flight.next()? {
                Ok(chunk) => chunk.into_iter(),
                // Nobody cancels a chunk, and a pool that is borrowed cannot be dropped.
                Err(error) => panic!("{error}"),
            };
        }
        self.source.out -= 1;
        self.ready.next().map(self.open)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<I: Iterator, O, R> Drop for Imap<'_, I, O, R> {
    /// What nobody will ask for need not start.
    fn drop(&mut self) {
        self.in_flight.cancel_all();
    }
}

impl<I: Iterator, O, R> fmt::Debug for Imap<'_, I, O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imap({} chunks in flight)", self.in_flight.len())
    }
}
