//! Waiting for many tasks at once.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::handle::{self, SharedState};
use super::waits;
use super::{JoinHandle, PoolError};
use crate::notebook::interrupts::Interrupts;

/// Gives the results of `handles` as they come in, the first to finish first.
///
/// Each comes with the index of its handle in the list, so you know whose it is.
///
/// Who stops asking, as by `break` or `?`, gives up the rest: when the iterator is dropped, tasks
/// that have not begun never will, and worker processes and ranks are stopped that are at one which
/// does not end by itself within a tenth of a second. A thread ends what it has begun.
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
    /// Handles with their indices in the list, where there is one.
    pending: Vec<Option<(usize, JoinHandle<R>)>>,
    /// Where in `pending` there is none.
    free: Vec<usize>,
    pushed: usize,
    messages: Messages,
}

impl<R> AsCompleted<R> {
    pub(crate) fn new() -> AsCompleted<R> {
        AsCompleted {
            pending: Vec::new(),
            free: Vec::new(),
            pushed: 0,
            messages: Messages::new(),
        }
    }

    pub(crate) fn push(&mut self, handle: JoinHandle<R>) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.pending.push(None);
            self.pending.len() - 1
        });
        self.messages.expect(at, handle.shared());
        self.pending[at] = Some((self.pushed, handle));
        self.pushed += 1;
    }
}

impl<R> Drop for AsCompleted<R> {
    /// What nobody will ask for is given up.
    fn drop(&mut self) {
        let pending = self.pending.iter().flatten();
        handle::abandon(pending.map(|(_, handle)| handle.shared()));
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = (usize, Result<R, PoolError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.len() == 0 {
            return None;
        }
        let interrupts = Interrupts::here();
        let mut shared = self
            .pending
            .iter()
            .enumerate()
            .filter_map(|(at, pending)| Some((at, pending.as_ref()?.1.shared())));
        let next = self.messages.next(None, interrupts, &mut shared);
        if interrupts.came() {
            let pending = self.pending.iter().flatten();
            handle::abandon(pending.map(|(_, handle)| handle.shared()));
            interrupts.check();
        }
        let at = match next {
            Next::Done(at) | Next::Never(at) => at,
            Next::Late => return None,
        };
        let (index, handle) = self.pending[at].take()?;
        self.free.push(at);
        // Of a task that never ends this says so.
        Some((index, handle.join()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.pending.len() - self.free.len();
        (left, Some(left))
    }
}

impl<R> ExactSizeIterator for AsCompleted<R> {}

impl<R> fmt::Debug for AsCompleted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsCompleted({} pending)", self.len())
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

/// What [`wait`] found: indices in the list of handles, in rising order.
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
    let shared: Vec<&Arc<SharedState>> = handles.iter().map(JoinHandle::shared).collect();
    wait_for(&shared, until, timeout.into())
}

fn wait_for(shared: &[&Arc<SharedState>], until: Until, timeout: Option<Duration>) -> Waited {
    let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
    let messages = Messages::new();
    let interrupts = Interrupts::here();
    for (index, one) in shared.iter().enumerate() {
        messages.expect(index, one);
    }
    // A task counts only once its message has come, so that `All` cannot miss one.
    for _ in 0..shared.len() {
        match (
            messages.next(
                deadline,
                interrupts,
                &mut shared.iter().copied().enumerate(),
            ),
            until,
        ) {
            (Next::Late | Next::Never(_), _) | (_, Until::FirstCompleted) => break,
            (Next::Done(index), Until::FirstFailure) if shared[index].has_failed() => break,
            _ => {}
        }
    }
    interrupts.check();
    let (done, pending) = (0..shared.len()).partition(|&index| shared[index].is_finished());
    Waited { done, pending }
}

/// Where tasks tell that they are done.
struct Messages {
    sender: Sender<usize>,
    done: Receiver<usize>,
    listener: Arc<()>,
}

impl Messages {
    fn new() -> Messages {
        let (sender, done) = mpsc::channel();
        Messages {
            sender,
            done,
            listener: Arc::default(),
        }
    }

    /// Sees to it that a message with this number comes when the task is done.
    fn expect(&self, number: usize, shared: &SharedState) {
        let sender = self.sender.clone();
        let tell = move || {
            // Nobody listens once this is gone.
            let _ = sender.send(number);
        };
        shared.when_done(&self.listener, Box::new(tell));
    }

    /// Waits for the next message.
    ///
    /// A worker that waits without a limit runs what nobody has begun: it may be the only worker.
    fn next(
        &self,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        shared: &mut dyn Iterator<Item = (usize, &Arc<SharedState>)>,
    ) -> Next {
        if let Ok(number) = self.done.try_recv() {
            return Next::Done(number);
        }
        let mut waiting = None;
        if deadline.is_none() && waits::is_in_a_task() {
            let pending: Vec<_> = shared.filter(|(_, one)| !one.is_done()).collect();
            let is_begun = waits::is_worker() && pending.iter().any(|(_, one)| one.run());
            if let (Some(first), false) = (pending.first(), is_begun) {
                let all = || {
                    pending
                        .iter()
                        .map(|(_, one)| Arc::clone(one) as _)
                        .collect()
                };
                waiting = waits::wait_for(all);
                if waiting.is_none() {
                    return Next::Never(first.0);
                }
            }
        }
        let number = self.receive(deadline, interrupts);
        drop(waiting);
        number.map_or(Next::Late, Next::Done)
    }

    fn receive(&self, deadline: Option<Instant>, interrupts: Interrupts) -> Option<usize> {
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let Some(slice) = interrupts.slice_of(left) else {
                return self.done.recv().ok();
            };
            match self.done.recv_timeout(slice) {
                Err(RecvTimeoutError::Timeout) if left != Some(slice) && !interrupts.came() => {}
                message => return message.ok(),
            }
        }
    }
}

/// What came of waiting for a message.
enum Next {
    /// The task of this number is done.
    Done(usize),
    /// None will ever be, nor this one.
    Never(usize),
    /// The time is up, or an interrupt came.
    Late,
}
