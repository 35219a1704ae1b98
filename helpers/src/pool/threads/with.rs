//! A pool of threads, and a value that goes along with its calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::timed::TimedImap;
use super::{Chunked, Pool, ThreadImap, Timed};
use crate::pool::star::StarFnWith;
use crate::pool::{JoinHandle, PoolError};

impl Pool {
    /// A view of the pool whose functions get `&value` as their first argument.
    ///
    /// Threads see the caller's variables, so a closure that captures one does as well. On
    /// [processes](crate::ProcessPool::with) and ranks this is the way to hand a value to all calls:
    /// what `functools.partial` does in Python.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let powers = vec![1, 10, 100];
    /// assert_eq!(pool.with(powers).map(|powers, x: usize| powers[x], [2, 0]), [100, 1]);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn with<V>(&self, value: V) -> With<Chunked<'_>, V> {
        self.chunks(None).with(value)
    }
}

impl<'p> Chunked<'p> {
    /// See [`Pool::with`].
    pub fn with<V>(self, value: V) -> With<Chunked<'p>, V> {
        let value = Arc::new(value);
        With { view: self, value }
    }
}

impl<'p> Timed<'p> {
    /// See [`Pool::with`].
    pub fn with<V>(self, value: V) -> With<Timed<'p>, V> {
        let value = Arc::new(value);
        With { view: self, value }
    }
}

/// A pool and a value that goes along with each call, made by [`Pool::with`].
#[must_use = "a view of a pool does nothing by itself"]
pub struct With<P, V> {
    view: P,
    value: Arc<V>,
}

impl<P, V> With<P, V> {
    fn put<Q>(&self, view: Q) -> With<Q, V> {
        let value = Arc::clone(&self.value);
        With { view, value }
    }

    /// `f` with the value, for a task that may outlive this.
    fn partial<T, R, F>(&self, f: F) -> impl Fn(T) -> R + Send + Sync + 'static
    where
        V: Send + Sync + 'static,
        F: Fn(&V, T) -> R + Send + Sync + 'static,
    {
        let value = Arc::clone(&self.value);
        move |item| f(&value, item)
    }
}

impl<'p, V> With<Chunked<'p>, V> {
    /// See [`Pool::chunk_size`].
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<With<Chunked<'p>, V>, PoolError> {
        Ok(self.put(self.view.pool.chunk_size(size)?))
    }

    /// See [`Pool::deadline`].
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(&self, limit: Duration) -> Result<With<Timed<'p>, V>, PoolError> {
        Ok(self.put(self.view.deadline(limit)?))
    }

    /// See [`Pool::map`].
    ///
    /// # Panics
    /// As there.
    pub fn map<T, R, F>(&self, f: F, items: impl IntoIterator<Item = T>) -> Vec<R>
    where
        V: Sync,
        T: Send,
        R: Send,
        F: Fn(&V, T) -> R + Sync,
    {
        let value = &*self.value;
        self.view.map(|item| f(value, item), items)
    }

    /// See [`Pool::starmap`].
    ///
    /// # Panics
    /// As [`Pool::map`].
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Vec<F::Output>
    where
        V: Sync,
        I: IntoIterator<Item: Send>,
        F: StarFnWith<V, I::Item, Output: Send> + Sync,
    {
        self.map(|value, tuple| f.call_star_with(value, tuple), tuples)
    }

    /// See [`Pool::imap`].
    pub fn imap<I, R, F>(&self, f: F, items: I) -> ThreadImap<'p, I::IntoIter, R>
    where
        V: Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.imap(self.partial(f), items)
    }

    /// See [`Pool::imap_unordered`].
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> ThreadImap<'p, I::IntoIter, R>
    where
        V: Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.imap_unordered(self.partial(f), items)
    }

    /// See [`Pool::map_async`].
    pub fn map_async<I, R, F>(&self, f: F, items: I) -> JoinHandle<Vec<R>>
    where
        V: Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.map_async(self.partial(f), items)
    }

    /// See [`Pool::starmap_async`].
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        V: Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        F: StarFnWith<V, I::Item, Output: Send + 'static> + Send + Sync + 'static,
    {
        self.map_async(move |value, tuple| f.call_star_with(value, tuple), tuples)
    }

    /// See [`Pool::submit`].
    pub fn submit<A, R, F>(&self, f: F, arg: A) -> JoinHandle<R>
    where
        V: Send + Sync + 'static,
        A: Send + 'static,
        R: Send + 'static,
        F: FnOnce(&V, A) -> R + Send + 'static,
    {
        let value = Arc::clone(&self.value);
        self.view.pool.submit(move |arg| f(&value, arg), arg)
    }
}

impl<'p, V: Send + Sync + 'static> With<Timed<'p>, V> {
    /// See [`Pool::chunk_size`].
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<With<Timed<'p>, V>, PoolError> {
        Ok(self.put(self.view.chunk_size(size)?))
    }

    /// See [`Timed::map`].
    ///
    /// # Errors
    /// As there.
    pub fn map<I, R, F>(&self, f: F, items: I) -> Result<Vec<R>, PoolError>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.map(self.partial(f), items)
    }

    /// See [`Timed::starmap`].
    ///
    /// # Errors
    /// As [`Timed::map`].
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: StarFnWith<V, I::Item, Output: Send + 'static> + Send + Sync + 'static,
    {
        self.map(move |value, tuple| f.call_star_with(value, tuple), tuples)
    }

    /// See [`Timed::imap`].
    pub fn imap<I, R, F>(&self, f: F, items: I) -> TimedImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.imap(self.partial(f), items)
    }

    /// See [`Timed::imap_unordered`].
    pub fn imap_unordered<I, R, F>(&self, f: F, items: I) -> TimedImap<'p, I::IntoIter, R>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(&V, I::Item) -> R + Send + Sync + 'static,
    {
        self.view.imap_unordered(self.partial(f), items)
    }
}

impl<P: fmt::Debug, V> fmt::Debug for With<P, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "With({:?})", self.view)
    }
}
