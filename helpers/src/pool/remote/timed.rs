//! The vocabulary with a limit of time for each whole call.

use std::time::Duration;

use super::view::{RemoteImap, View};
use crate::pool::chunk::checked_deadline;
use crate::pool::{Imap, PoolError, Portable, StarFn};

impl<'p> View<'p> {
    /// See [`ProcessPool::deadline`](crate::ProcessPool::deadline).
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(self, limit: Duration) -> Result<Timed<'p>, PoolError> {
        let limit = checked_deadline(limit)?;
        Ok(Timed { view: self, limit })
    }
}

/// A pool whose calls end after a given time, made by `deadline` of a pool.
#[derive(Clone, Copy, Debug)]
#[must_use = "a view of a pool does nothing by itself"]
pub struct Timed<'p> {
    pub(super) view: View<'p>,
    pub(super) limit: Duration,
}

impl<'p> Timed<'p> {
    /// See [`ProcessPool::chunk_size`](crate::ProcessPool::chunk_size).
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(mut self, size: usize) -> Result<Timed<'p>, PoolError> {
        self.view = self.view.chunk_size(size)?;
        Ok(self)
    }

    /// See [`ProcessPool::time_limit`](crate::ProcessPool::time_limit).
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(mut self, limit: Duration) -> Result<Timed<'p>, PoolError> {
        self.view = self.view.time_limit(limit)?;
        Ok(self)
    }

    /// See [`ProcessPool::map`](crate::ProcessPool::map) and [`deadline`](crate::ProcessPool::deadline).
    ///
    /// # Errors
    /// The time is over, and as there.
    pub fn map<A, R, F>(
        &self,
        _f: F,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Portable,
        R: Portable,
        F: Fn(A) -> R,
    {
        let called = self.view.called::<F, A, R>();
        self.view.map_called(&called, Some(self.limit), items)
    }

    /// See [`ProcessPool::starmap`](crate::ProcessPool::starmap) and [`deadline`](crate::ProcessPool::deadline).
    ///
    /// # Errors
    /// As [`map`](Timed::map).
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Portable>,
        F: StarFn<I::Item, Output: Portable>,
    {
        self.map(move |tuple| f.call_star(tuple), tuples)
    }

    /// See [`ProcessPool::imap`](crate::ProcessPool::imap). When the time is over, the last result
    /// says so.
    pub fn imap<I, R, F>(&self, f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        self.view.imap(f, items).within(self.limit, Err)
    }

    /// See [`ProcessPool::imap_unordered`](crate::ProcessPool::imap_unordered). When the time is
    /// over, the last result says so.
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(I::Item) -> R,
    {
        let unordered: RemoteImap<'p, I::IntoIter, R> = self.view.imap_unordered(f, items);
        Imap::within(unordered, self.limit, Err)
    }

    /// See [`ProcessPool::wait_all`](crate::ProcessPool::wait_all).
    ///
    /// # Errors
    /// The time is over, and as there.
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.view.engine.wait_all(Some(self.limit))
    }
}
