//! Results as a lazy iterator: with few items in flight, however long the list.

use std::collections::VecDeque;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::vec;

use super::{AsCompleted, JoinHandle, Pool, PoolError};

/// Chunks in flight for each worker: one that it works on and one that waits for it.
const AHEAD: usize = 2;

/// Takes items from the source, a chunk at a time, and submits them.
struct Source<'p, I, F> {
    pool: &'p Pool,
    items: I,
    f: Arc<F>,
    chunk_size: usize,
    /// Items that were submitted and whose results have not been handed out.
    out: usize,
}

impl<I: Iterator, F> Source<'_, I, F> {
    /// How many results are still to come.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let (lower, upper) = self.items.size_hint();
        (lower + self.out, upper.map(|upper| upper + self.out))
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
    fn submit(&mut self) -> Option<JoinHandle<Vec<R>>> {
        let chunk: Vec<I::Item> = self.items.by_ref().take(self.chunk_size).collect();
        if chunk.is_empty() {
            return None;
        }
        self.out += chunk.len();
        let f = Arc::clone(&self.f);
        Some(self.pool.submit(
            move |chunk: Vec<I::Item>| chunk.into_iter().map(|item| f(item)).collect(),
            chunk,
        ))
    }

    fn window(&self) -> usize {
        AHEAD * self.pool.workers()
    }
}

/// A panic in a task goes on in the caller, with its own message; it was reported where it
/// happened, so it is not reported again.
fn or_panic<R>(result: Result<R, PoolError>) -> R {
    result.unwrap_or_else(|error| {
        let message = error.panic_message().unwrap_or_default().to_owned();
        resume_unwind(Box::new(if message.is_empty() {
            error.to_string()
        } else {
            message
        }))
    })
}

/// Results in the order of the items, made by [`Pool::imap`].
#[must_use = "iterators do nothing until they are consumed"]
pub struct Imap<'p, I, F, R> {
    source: Source<'p, I, F>,
    in_flight: VecDeque<JoinHandle<Vec<R>>>,
    ready: vec::IntoIter<R>,
}

impl<'p, I, F, R> Imap<'p, I, F, R> {
    pub(crate) fn new(pool: &'p Pool, f: F, items: I, chunk_size: usize) -> Imap<'p, I, F, R> {
        Imap {
            source: Source {
                pool,
                items,
                f: Arc::new(f),
                chunk_size,
                out: 0,
            },
            in_flight: VecDeque::new(),
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
            self.refill()?;
        }
        self.source.out -= 1;
        self.ready.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<I, F, R> Imap<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    /// Fills the window and waits for the next chunk; `None` when there are no more.
    fn refill(&mut self) -> Option<()> {
        while self.in_flight.len() < self.source.window() {
            match self.source.submit() {
                Some(handle) => self.in_flight.push_back(handle),
                None => break,
            }
        }
        self.ready = or_panic(self.in_flight.pop_front()?.join()).into_iter();
        Some(())
    }
}

impl<I, F, R> Drop for Imap<'_, I, F, R> {
    /// What nobody will ask for need not start.
    fn drop(&mut self) {
        for handle in &self.in_flight {
            handle.cancel();
        }
    }
}

/// Results as they come in, the first to finish first, made by [`Pool::imap_unordered`].
#[must_use = "iterators do nothing until they are consumed"]
pub struct ImapUnordered<'p, I, F, R> {
    source: Source<'p, I, F>,
    in_flight: AsCompleted<Vec<R>>,
    ready: vec::IntoIter<R>,
}

impl<'p, I, F, R> ImapUnordered<'p, I, F, R> {
    pub(crate) fn new(
        pool: &'p Pool,
        f: F,
        items: I,
        chunk_size: usize,
    ) -> ImapUnordered<'p, I, F, R> {
        ImapUnordered {
            source: Source {
                pool,
                items,
                f: Arc::new(f),
                chunk_size,
                out: 0,
            },
            in_flight: AsCompleted::new(),
            ready: Vec::new().into_iter(),
        }
    }
}

impl<I, F, R> Iterator for ImapUnordered<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.ready.len() == 0 {
            self.refill()?;
        }
        self.source.out -= 1;
        self.ready.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

impl<I, F, R> ImapUnordered<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    /// Fills the window and waits for the next chunk; `None` when there are no more.
    fn refill(&mut self) -> Option<()> {
        while self.in_flight.len() < self.source.window() {
            match self.source.submit() {
                Some(handle) => self.in_flight.push(handle),
                None => break,
            }
        }
        let (_, chunk) = self.in_flight.next()?;
        self.ready = or_panic(chunk).into_iter();
        Some(())
    }
}

impl<I, F, R> Drop for ImapUnordered<'_, I, F, R> {
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

impl<I, F, R> fmt::Debug for ImapUnordered<'_, I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ImapUnordered({} chunks in flight)",
            self.in_flight.len()
        )
    }
}
