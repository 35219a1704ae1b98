//! Waiting for many tasks at once.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::chunk::check_length;
use super::handle::{self, SharedState};
use super::waits;
use super::witness;
use super::{JoinHandle, PoolError};
use crate::notebook::interrupts::Interrupts;

/// Gives the results of `handles` as they come in, the first to finish first.
///
/// Each comes with the index of its handle in the list, so you know whose it is. A limit of time
/// for all of them is [`deadline`](AsCompleted::deadline).
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
///
/// # Panics
/// If the handles never end.
pub fn as_completed<R>(handles: impl IntoIterator<Item = JoinHandle<R>>) -> AsCompleted<R> {
    let mut completions = AsCompleted::new();
    let handles = handles.into_iter();
    if let Err(error) = check_length::<()>(handles.size_hint().0) {
        panic!("{error}");
    }
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
    time: Option<Time>,
}

/// The index of a handle, and its result.
type Completed<R> = (usize, Result<R, PoolError>);

/// The time is over.
pub(crate) struct Late;

/// A limit of time for all the results.
struct Time {
    limit: Duration,
    deadline: Instant,
    is_over: bool,
}

impl<R> AsCompleted<R> {
    pub(crate) fn new() -> AsCompleted<R> {
        AsCompleted {
            pending: Vec::new(),
            free: Vec::new(),
            pushed: 0,
            messages: Messages::new(),
            time: None,
        }
    }

    /// Waits no longer than this in all. What is not done then comes as an error, each task with
    /// its index, and is given up as if nobody asked for it any more. Python's `timeout=`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use helpers::prelude::*;
    ///
    /// let pool = Pool::new(2)?;
    /// let handles = [1, 400].map(|ms| pool.submit(|ms| sleep(Duration::from_millis(ms)), ms));
    /// let ended: Vec<_> = as_completed(handles).deadline(Duration::from_millis(100)).collect();
    /// assert!(ended[0].1.is_ok());
    /// assert!(ended[1].1.as_ref().is_err_and(|error| error.is_timeout()));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn deadline(mut self, limit: Duration) -> AsCompleted<R> {
        // A limit beyond what the clock can count is no limit.
        self.time = Instant::now().checked_add(limit).map(|deadline| Time {
            limit,
            deadline,
            is_over: false,
        });
        self
    }

    /// The next result, or `Err` if there is none by then; `None` if nothing is pending.
    pub(crate) fn next_by(
        &mut self,
        deadline: Option<Instant>,
    ) -> Option<Result<Completed<R>, Late>> {
        if self.len() == 0 {
            return None;
        }
        if witness::is_last_first() {
            return self.last_by(deadline);
        }
        let interrupts = Interrupts::here();
        let mut shared = self
            .pending
            .iter()
            .enumerate()
            .filter_map(|(at, pending)| Some((at, pending.as_ref()?.1.shared())));
        let next = self.messages.next(deadline, interrupts, true, &mut shared);
        if interrupts.came() {
            self.abandon();
            interrupts.check();
        }
        let at = match next {
            Next::Done(at) | Next::Never(at) => at,
            Next::Late => return Some(Err(Late)),
        };
        let (index, handle) = self.pending[at].take()?;
        self.free.push(at);
        // Of a task that never ends this says so.
        Some(Ok((index, handle.join())))
    }

    /// The result of the last one, as if it were done first: a check of an exercise wants to see that.
    fn last_by(&mut self, deadline: Option<Instant>) -> Option<Result<Completed<R>, Late>> {
        let last = |(_, pending): &(usize, &Option<(usize, JoinHandle<R>)>)| {
            pending.as_ref().map(|(index, _)| *index)
        };
        let (at, pending) = self.pending.iter().enumerate().max_by_key(last)?;
        if deadline.is_some() && !pending.as_ref()?.1.wait_by(deadline) {
            return Some(Err(Late));
        }
        let (index, handle) = self.pending[at].take()?;
        self.free.push(at);
        Some(Ok((index, handle.join())))
    }

    /// The next one once the time is over: its result if it is there.
    fn next_late(&mut self, limit: Duration) -> Option<Completed<R>> {
        let first = |(_, pending): &(usize, &Option<(usize, JoinHandle<R>)>)| {
            pending.as_ref().map_or(usize::MAX, |(index, _)| *index)
        };
        let (at, _) = self.pending.iter().enumerate().min_by_key(first)?;
        let left = self.len();
        let (index, handle) = self.pending[at].take()?;
        self.free.push(at);
        if handle.is_finished() && !handle.is_cancelled() {
            return Some((index, handle.join()));
        }
        let done = self.pushed - left;
        let state = format!("the results of {done} of {} tasks were taken", self.pushed);
        Some((index, Err(PoolError::deadline(limit, state))))
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

    /// Gives up what is pending.
    fn abandon(&self) {
        let pending = self.pending.iter().flatten();
        handle::abandon(pending.map(|(_, handle)| handle.shared()));
    }
}

impl<R> Drop for AsCompleted<R> {
    /// What nobody will ask for is given up.
    fn drop(&mut self) {
        self.abandon();
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = Completed<R>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(time) = &mut self.time else {
            return self.next_by(None)?.ok();
        };
        let (limit, deadline, was_over) = (time.limit, time.deadline, time.is_over);
        if !was_over && let Ok(next) = self.next_by(Some(deadline))? {
            return Some(next);
        }
        if !was_over {
            self.time.iter_mut().for_each(|time| time.is_over = true);
            self.abandon();
        }
        self.next_late(limit)
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
                timeout.is_none(),
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
    /// A worker that `helps` runs what nobody has begun: it may be the only worker.
    fn next(
        &self,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        helps: bool,
        shared: &mut dyn Iterator<Item = (usize, &Arc<SharedState>)>,
    ) -> Next {
        if let Ok(number) = self.done.try_recv() {
            return Next::Done(number);
        }
        let mut waiting = None;
        if (deadline.is_none() || helps) && waits::is_in_a_task() {
            let pending: Vec<_> = shared.filter(|(_, one)| !one.is_done()).collect();
            let has_run = helps && waits::is_worker() && pending.iter().any(|(_, one)| one.run());
            if has_run && let Ok(number) = self.done.try_recv() {
                return Next::Done(number);
            }
            // What has run may be a part of what is waited for.
            if let (Some(first), None) = (pending.first(), deadline) {
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
