//! A pool of threads with a limit of time for each whole call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Chunked, Pool};
use crate::pool::chunk::{checked_chunk_size, checked_deadline};
use crate::pool::imap::Way;
use crate::pool::panic::panic_message;
use crate::pool::{Imap, PoolError, StarFn, witness};

impl Pool {
    /// A view of the pool whose calls end after so much time, counted from the call: what is not
    /// done then is an error ([`is_timeout`](PoolError::is_timeout)) that says how much was.
    ///
    /// What has not begun is not begun. An item that a thread is at goes on to its end, as a thread
    /// cannot be stopped; but nobody waits for it. So items, results and `f` must own what they hold
    /// (`'static`: write `move` before a closure). What `timeout=` is to Python's `Executor.map`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let timed = pool.deadline(Duration::from_millis(100))?;
    /// assert_eq!(timed.map(|x: u64| x * x, [1, 2, 3])?, [1, 4, 9]);
    /// let error = timed.map(|ms| sleep(Duration::from_millis(ms)), [1, 300]).unwrap_err();
    /// assert!(error.is_timeout());
    /// println!("{error}"); // the deadline of 100ms came when 1 of 2 items were done; …
    /// # Ok::<(), PoolError>(())
    /// ```
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(&self, limit: Duration) -> Result<Timed<'_>, PoolError> {
        self.chunks(None).deadline(limit)
    }
}

impl<'p> Chunked<'p> {
    /// See [`Pool::deadline`].
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(self, limit: Duration) -> Result<Timed<'p>, PoolError> {
        let limit = checked_deadline(limit)?;
        Ok(Timed { view: self, limit })
    }
}

/// A pool whose calls end after a given time, made by [`Pool::deadline`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a view of a pool does nothing by itself"]
pub struct Timed<'p> {
    view: Chunked<'p>,
    limit: Duration,
}

/// Results one by one, made by `imap` and `imap_unordered` of [`Timed`].
pub type TimedImap<'p, I, R> = Imap<'p, I, Result<R, PoolError>, Result<R, PoolError>>;

impl<'p> Timed<'p> {
    /// See [`Pool::chunk_size`].
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(mut self, size: usize) -> Result<Timed<'p>, PoolError> {
        self.view.size = Some(checked_chunk_size(size)?);
        Ok(self)
    }

    /// See [`Pool::map`] and [`Pool::deadline`].
    ///
    /// # Errors
    /// The time is over, or `f` has panicked.
    pub fn map<I, R, F>(&self, f: F, items: I) -> Result<Vec<R>, PoolError>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        // A limit beyond what the clock can count is no limit.
        let deadline = Instant::now().checked_add(self.limit);
        let (batch, handle) = self.view.batch(deadline, f, witness::list(items)?);
        handle.join_by(deadline, || batch.late(self.limit))
    }

    /// See [`Pool::starmap`] and [`Pool::deadline`].
    ///
    /// # Errors
    /// As [`map`](Timed::map).
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: StarFn<I::Item, Output: Send + 'static> + Send + Sync + 'static,
    {
        self.map(move |tuple| f.call_star(tuple), tuples)
    }

    /// See [`Pool::imap`] and [`Pool::deadline`]. Each result is a `Result`: a panic costs one item,
    /// and when the time is over the last result says so.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> TimedImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::ordered(items.into_iter(), self.way(f)).within(self.limit, Err)
    }

    /// As [`imap`](Timed::imap), but results come as soon as they are there, in any order.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> TimedImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        Imap::unordered(items.into_iter(), self.way(f)).within(self.limit, Err)
    }

    /// See [`Pool::wait_all`] and [`Pool::deadline`].
    ///
    /// # Errors
    /// The time is over, and as there.
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.view.pool.wait_all_within(Some(self.limit))
    }

    /// How items of an `imap` go through this pool, as errors too.
    fn way<T, R, F>(&self, f: F) -> Way<'p, T, Result<R, PoolError>, Result<R, PoolError>>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(T) -> R + Send + Sync + 'static,
    {
        let (pool, f) = (self.view.pool, Arc::new(f));
        let deadline = Instant::now().checked_add(self.limit);
        let limit = self.limit;
        // Goes with the iterator.
        let asks = Arc::new(());
        Way {
            submit: Box::new(move |first, chunk: Vec<T>| {
                let (f, asks) = (Arc::clone(&f), Arc::downgrade(&asks));
                let call = move |(index, item)| {
                    let is_late = deadline.is_some_and(|end| Instant::now() >= end);
                    if is_late || asks.strong_count() == 0 {
                        // Nobody will see it.
                        return Err(PoolError::timeout(limit));
                    }
                    catch_unwind(AssertUnwindSafe(|| f(item))).map_err(|panic| {
                        let worker = thread::current().name().unwrap_or_default().to_owned();
                        PoolError::panic(worker, Some(index), panic_message(&*panic))
                    })
                };
                let calls = move |chunk: Vec<T>| (first..).zip(chunk).map(call).collect();
                pool.hand_out(calls, chunk)
            }),
            open: |result| result,
            fail: Err,
            chunk_size: self.view.size.map_or(1, |size| size.get()),
            workers: pool.workers,
        }
    }
}
