//! The vocabulary with a value that goes along with each call.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::map::Called;
use super::shared_value::SharedValue;
use super::timed::Timed;
use super::view::{RemoteImap, View};
use super::worker::entry_with;
use crate::pool::star::StarFnWith;
use crate::pool::{Imap, JoinHandle, PoolError, Portable};

impl<'p> View<'p> {
    /// See [`ProcessPool::with`](crate::ProcessPool::with).
    pub fn with<V: Portable>(self, value: V) -> With<'p, View<'p>, V> {
        With::new(self, None, value)
    }
}

impl<'p> Timed<'p> {
    /// See [`ProcessPool::with`](crate::ProcessPool::with).
    pub fn with<V: Portable>(self, value: V) -> With<'p, Timed<'p>, V> {
        With::new(self.view, Some(self.limit), value)
    }
}

/// A pool and a value that goes along with each call, made by `with` of a pool.
///
/// The value is sent to each worker that needs it, once; when the last task is done and this is
/// dropped, the workers forget it. Calls whose tasks may outlive this need a value that borrows
/// nothing (`V: 'static`): all but `map` and `starmap`, which may also be given a slice of a shared
/// array.
#[must_use = "a view of a pool does nothing by itself"]
pub struct With<'p, P, V> {
    view: View<'p>,
    /// Of each whole call.
    limit: Option<Duration>,
    /// Or why it cannot be sent.
    value: Option<Result<Arc<SharedValue>, PoolError>>,
    kind: PhantomData<fn(V) -> P>,
}

impl<'p, P, V: Portable> With<'p, P, V> {
    fn new(view: View<'p>, limit: Option<Duration>, value: V) -> Self {
        With {
            view,
            limit,
            value: Some(view.engine.values().share(&value).map(Arc::new)),
            kind: PhantomData,
        }
    }

    /// The same value with other settings, which a `Q` has.
    fn put<Q>(&self, view: View<'p>, limit: Option<Duration>) -> With<'p, Q, V> {
        With {
            view,
            limit,
            value: self.value.clone(),
            kind: PhantomData,
        }
    }

    fn called<F, A, R>(&self) -> Result<Called, PoolError>
    where
        F: Fn(&V, A) -> R,
        A: Portable,
        R: Portable,
    {
        let value = self.value.clone().transpose()?;
        let called = self.view.called_at(entry_with::<F, V, A, R>());
        Ok(Called { value, ..called })
    }

    fn within<I: Iterator, R>(&self, imap: RemoteImap<'p, I, R>) -> RemoteImap<'p, I, R> {
        match self.limit {
            Some(limit) => imap.within(limit, Err),
            None => imap,
        }
    }

    /// See [`ProcessPool::chunk_size`](crate::ProcessPool::chunk_size).
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(&self, size: usize) -> Result<Self, PoolError> {
        Ok(self.put(self.view.chunk_size(size)?, self.limit))
    }

    /// See [`ProcessPool::time_limit`](crate::ProcessPool::time_limit).
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(&self, limit: Duration) -> Result<Self, PoolError> {
        Ok(self.put(self.view.time_limit(limit)?, self.limit))
    }

    /// See [`ProcessPool::map`](crate::ProcessPool::map).
    ///
    /// # Errors
    /// As there; or the value cannot be sent.
    pub fn map<A, R, F>(
        &self,
        _f: F,
        items: impl IntoIterator<Item = A>,
    ) -> Result<Vec<R>, PoolError>
    where
        A: Portable,
        R: Portable,
        F: Fn(&V, A) -> R,
    {
        let called = self.called::<F, A, R>()?;
        self.view.map_called(&called, self.limit, items)
    }

    /// See [`ProcessPool::starmap`](crate::ProcessPool::starmap).
    ///
    /// # Errors
    /// As [`map`](With::map).
    pub fn starmap<I, F>(&self, f: F, tuples: I) -> Result<Vec<F::Output>, PoolError>
    where
        I: IntoIterator<Item: Portable>,
        F: StarFnWith<V, I::Item, Output: Portable>,
    {
        self.map(
            move |value: &V, tuple| f.call_star_with(value, tuple),
            tuples,
        )
    }

    /// See [`ProcessPool::imap`](crate::ProcessPool::imap).
    pub fn imap<I, R, F>(&self, _f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        V: 'static,
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(&V, I::Item) -> R,
    {
        let way = self.view.way(self.called::<F, I::Item, R>());
        self.within(Imap::ordered(items.into_iter(), way))
    }

    /// See [`ProcessPool::imap_unordered`](crate::ProcessPool::imap_unordered).
    pub fn imap_unordered<I, R, F>(&self, _f: F, items: I) -> RemoteImap<'p, I::IntoIter, R>
    where
        V: 'static,
        I: IntoIterator<Item: Portable + 'static>,
        R: Portable + Send + 'static,
        F: Fn(&V, I::Item) -> R,
    {
        let way = self.view.way(self.called::<F, I::Item, R>());
        self.within(Imap::unordered(items.into_iter(), way))
    }
}

impl<'p, V: Portable> With<'p, View<'p>, V> {
    /// See [`ProcessPool::deadline`](crate::ProcessPool::deadline).
    ///
    /// # Errors
    /// No time at all.
    pub fn deadline(&self, limit: Duration) -> Result<With<'p, Timed<'p>, V>, PoolError> {
        let Timed { view, limit } = self.view.deadline(limit)?;
        Ok(self.put(view, Some(limit)))
    }

    /// See [`ProcessPool::map_async`](crate::ProcessPool::map_async).
    pub fn map_async<I, R, F>(&self, _f: F, items: I) -> JoinHandle<Vec<R>>
    where
        V: 'static,
        I: IntoIterator<Item: Portable + Send + 'static>,
        R: Portable + Send + 'static,
        F: Fn(&V, I::Item) -> R,
    {
        match self.called::<F, I::Item, R>() {
            Ok(called) => self.view.map_async_called(&called, items),
            Err(error) => self.view.failed(error),
        }
    }

    /// See [`ProcessPool::starmap_async`](crate::ProcessPool::starmap_async).
    pub fn starmap_async<I, F>(&self, f: F, tuples: I) -> JoinHandle<Vec<F::Output>>
    where
        V: 'static,
        I: IntoIterator<Item: Portable + Send + 'static>,
        F: StarFnWith<V, I::Item, Output: Portable + Send + 'static>,
    {
        self.map_async(
            move |value: &V, tuple| f.call_star_with(value, tuple),
            tuples,
        )
    }

    /// See [`ProcessPool::submit`](crate::ProcessPool::submit).
    pub fn submit<A, R, F>(&self, _f: F, arg: A) -> JoinHandle<R>
    where
        V: 'static,
        A: Portable + 'static,
        R: Portable + Send + 'static,
        F: Fn(&V, A) -> R,
    {
        match self.called::<F, A, R>() {
            Ok(called) => self.view.submit_called(&called, arg),
            Err(error) => self.view.failed(error),
        }
    }
}

impl<P, V> Drop for With<'_, P, V> {
    fn drop(&mut self) {
        self.value = None;
        // Or workers of an idle pool would keep it until the next call.
        self.view.engine.tidy_values();
    }
}

impl<P, V> fmt::Debug for With<'_, P, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.view;
        match self.limit {
            Some(limit) => write!(f, "With({:?})", Timed { view, limit }),
            None => write!(f, "With({view:?})"),
        }
    }
}
