//! Waiting for many tasks at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::handle::is_worker;
use super::{JoinHandle, PoolError};

/// Gives the results of `handles` as they come in, the first to finish first.
///
/// Each comes with the place of its handle in the list, so you know whose it is.
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(2)?;
/// let handles = [3u64, 1, 2].map(|x| pool.submit(|x| x * 10, x));
/// for (i, result) in as_completed(handles) {
///     println!("task {i} gave {}", result?);
/// }
/// # Ok::<(), PoolError>(())
/// ```
pub fn as_completed<R>(handles: impl IntoIterator<Item = JoinHandle<R>>) -> AsCompleted<R> {
    let mut completions = AsCompleted::new();
    for handle in handles {
        completions.push(handle);
    }
    completions
}

/// An iterator over results in the order of their completion, made by [`as_completed`].
#[must_use = "iterators do nothing until they are consumed"]
pub struct AsCompleted<R> {
    pending: HashMap<usize, JoinHandle<R>>,
    pushed: usize,
    sender: Sender<usize>,
    done: Receiver<usize>,
    listener: Arc<()>,
}

impl<R> AsCompleted<R> {
    pub(crate) fn new() -> AsCompleted<R> {
        let (sender, done) = mpsc::channel();
        AsCompleted {
            pending: HashMap::new(),
            pushed: 0,
            sender,
            done,
            listener: Arc::default(),
        }
    }

    pub(crate) fn push(&mut self, handle: JoinHandle<R>) {
        let place = self.pushed;
        self.pushed += 1;
        let sender = self.sender.clone();
        handle.when_done(&self.listener, move || {
            // Nobody listens once the iterator is gone.
            let _ = sender.send(place);
        });
        self.pending.insert(place, handle);
    }

    pub(crate) fn cancel_all(&self) {
        for handle in self.pending.values() {
            handle.cancel();
        }
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, Result<R, PoolError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.pending.is_empty() {
            return None;
        }
        let place = next_done(&self.done, None, self.pending.values())?;
        let handle = self.pending.remove(&place)?;
        Some((place, handle.join()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.pending.len(), Some(self.pending.len()))
    }
}

impl<R> ExactSizeIterator for AsCompleted<R> {}

impl<R> fmt::Debug for AsCompleted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsCompleted({} pending)", self.pending.len())
    }
}

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Any one task is done.
    FirstCompleted,
    /// Any one task has failed, or all are done.
    FirstFailure,
    /// All tasks are done.
    All,
}

/// What [`wait`] found: places in the list of handles, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The tasks that are done, well or not.
    pub done: Vec<usize>,
    /// The tasks that are not.
    pub pending: Vec<usize>,
}

/// Waits for some of `handles`, as `until` says, and no longer than `timeout` (`None`: no limit).
///
/// The handles stay the caller's, so that nothing is lost when the time runs out.
///
/// ```
/// use std::time::Duration;
/// use helpers::prelude::*;
///
/// let pool = Pool::new(2)?;
/// let handles = [1u64, 2, 3].map(|x| pool.submit(|x| x + 1, x));
/// let found = wait(&handles, Until::All, Duration::from_secs(10));
/// assert_eq!(found.done, [0, 1, 2]);
/// # Ok::<(), PoolError>(())
/// ```
pub fn wait<R>(
    handles: &[JoinHandle<R>],
    until: Until,
    timeout: impl Into<Option<Duration>>,
) -> Waited {
    let deadline = timeout
        .into()
        .and_then(|limit| Instant::now().checked_add(limit));
    let listener = Arc::default();
    let (sender, finished) = mpsc::channel();
    for (place, handle) in handles.iter().enumerate() {
        let sender = sender.clone();
        handle.when_done(&listener, move || {
            let _ = sender.send(place);
        });
    }
    // A task counts only once its message has come, so that `All` cannot miss one.
    for _ in 0..handles.len() {
        match (next_done(&finished, deadline, handles), until) {
            (None, _) | (Some(_), Until::FirstCompleted) => break,
            (Some(place), Until::FirstFailure) if handles[place].has_failed() => break,
            _ => {}
        }
    }
    let (done, pending) = (0..handles.len()).partition(|&place| handles[place].is_finished());
    Waited { done, pending }
}

/// Waits for the next message; `None` if `deadline` comes first.
///
/// A worker that waits without a limit runs what nobody has begun: it may be the only worker.
fn next_done<'a, R: 'a>(
    messages: &Receiver<usize>,
    deadline: Option<Instant>,
    handles: impl IntoIterator<Item = &'a JoinHandle<R>>,
) -> Option<usize> {
    match deadline {
        Some(end) => {
            let left = end.saturating_duration_since(Instant::now());
            messages.recv_timeout(left).ok()
        }
        None => messages.try_recv().ok().or_else(|| {
            if is_worker() {
                handles.into_iter().find(|handle| handle.run_here());
            }
            messages.recv().ok()
        }),
    }
}
