//! Results as a lazy iterator: with few items in flight, however long the list.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::{fmt, thread, vec};

use super::{AsCompleted, JoinHandle, Pool, PoolError};

/// Chunks in flight for each worker: one that it works on and one that waits for it.
const AHEAD: usize = 2;

/// The results of a chunk, item by item: what `f` gave, or its panic.
type Chunk<R> = Vec<thread::Result<R>>;

/// Takes items from the source, a chunk at a time, and submits them.
struct Source<'p, I, F> {
    pool: &'p Pool,
    items: Fuse<I>,
    f: Arc<F>,
    chunk_size: usize,
    /// Items that were submitted and whose results have not been handed out.
    out: usize,
}

impl<'p, I: Iterator, F> Source<'p, I, F> {
    fn new(pool: &'p Pool, f: F, items: I, chunk_size: usize) -> Source<'p, I, F> {
        Source {
            pool,
            items: items.fuse(),
            f: Arc::new(f),
            chunk_size,
            out: 0,
        }
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

impl<I, F, R> Source<'_, I, F>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    /// Submits the next chunk; `None` when the source has run dry.
    fn submit(&mut self) -> Option<JoinHandle<Chunk<R>>> {
        let chunk: Vec<I::Item> = self.items.by_ref().take(self.chunk_size).collect();
        if chunk.is_empty() {
            return None;
        }
        self.out += chunk.len();
        let f = Arc::clone(&self.f);
        Some(self.pool.submit(
            move |chunk: Vec<I::Item>| {
                let call = |item| catch_unwind(AssertUnwindSafe(|| f(item)));
                chunk.into_iter().map(call).collect()
            },
            chunk,
        ))
    }

    fn window(&self) -> usize {
        AHEAD * self.pool.workers()
    }
}

/// Chunks that were submitted, and the order in which their results are wanted.
enum InFlight<R> {
    InOrder(VecDeque<JoinHandle<Chunk<R>>>),
    AsTheyCome(AsCompleted<Chunk<R>>),
}

impl<R> InFlight<R> {
    fn len(&self) -> usize {
        match self {
            InFlight::InOrder(handles) => handles.len(),
            InFlight::AsTheyCome(handles) => handles.len(),
        }
    }

    fn push(&mut self, handle: JoinHandle<Chunk<R>>) {
        match self {
            InFlight::InOrder(handles) => handles.push_back(handle),
            InFlight::AsTheyCome(handles) => handles.push(handle),
        }
    }

    /// Waits for the chunk whose turn it is; `None` if there is none.
    fn next(&mut self) -> Option<Result<Chunk<R>, PoolError>> {
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

/// Results one by one, made by [`Pool::imap`] and [`Pool::imap_unordered`].
#[must_use = "iterators do nothing until they are consumed"]
pub struct Imap<'p, I, F, R> {
    source: Source<'p, I, F>,
    in_flight: InFlight<R>,
    ready: vec::IntoIter<thread::Result<R>>,
}

impl<'p, I: Iterator, F, R> Imap<'p, I, F, R> {
    pub(crate) fn ordered(pool: &'p Pool, f: F, items: I, chunk_size: usize) -> Self {
        let source = Source::new(pool, f, items, chunk_size);
        Imap::new(source, InFlight::InOrder(VecDeque::new()))
    }

    pub(crate) fn unordered(pool: &'p Pool, f: F, items: I, chunk_size: usize) -> Self {
        let source = Source::new(pool, f, items, chunk_size);
        Imap::new(source, InFlight::AsTheyCome(AsCompleted::new()))
    }

    fn new(source: Source<'p, I, F>, in_flight: InFlight<R>) -> Self {
        Imap {
            source,
            in_flight,
            ready: Vec::new().into_iter(),
        }
    }
}

impl<I, F, R> Iterator for Imap<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.ready.len() == 0 {
            while self.in_flight.len() < self.source.window() {
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
        // A panic was reported where it happened; here it only goes on.
        let result = self.ready.next()?;
        Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<I, F, R> Drop for Imap<'_, I, F, R> {
    /// What nobody will ask for need not start.
    fn drop(&mut self) {
        self.in_flight.cancel_all();
    }
}

impl<I, F, R> fmt::Debug for Imap<'_, I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imap({} chunks in flight)", self.in_flight.len())
    }
}
