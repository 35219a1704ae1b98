//! The pool's books: which tasks wait, what each worker was sent, and how far it is with that.
//!
//! A worker takes its tasks in turn, and claims each on its scoreboard when it begins. So of the
//! tasks that it was sent the first ones have begun, and all behind them can still be taken back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::protocol::{CallSpec, Order};
use super::scoreboard::{Scoreboard, now};
use super::task::{Completed, Task};
use crate::pool::PoolError;

/// How long a task with a time limit may take to begin.
const TIME_TO_BEGIN: Duration = Duration::from_secs(2);

/// The most tasks that a worker has of which none can be taken back.
const MOST_KEPT: usize = 2;

/// The most tasks that may lie ahead of a worker.
const MOST_AHEAD: usize = 32;

/// Tasks that wait. Those that were taken back from a worker go where they were.
#[derive(Debug, Default)]
pub(super) struct Queue {
    tasks: VecDeque<Task>,
    next_order: u64,
}

impl Queue {
    /// Whether no task waits.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many tasks wait.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Puts a new task at the end.
    pub(super) fn push(&mut self, mut task: Task) {
        task.order = self.next_order;
        self.next_order += 1;
        self.tasks.push_back(task);
    }

    /// Takes the first task out.
    pub(super) fn pop(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// Puts tasks that no worker has begun back to where they were.
    pub(super) fn take_back(&mut self, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        for task in tasks.into_iter().rev() {
            task.sink.recalled(task.index);
            self.tasks.push_front(task);
        }
        let queue = self.tasks.make_contiguous();
        queue.sort_by_key(|task| task.order);
    }

    /// Lets all tasks fail with `error`.
    pub(super) fn fail_all(&mut self, error: &PoolError, completed: &mut Completed) {
        let waiting = self.tasks.drain(..);
        completed.extend(waiting.map(|task| task.end(Err(error.clone()))));
    }

    /// Takes out the tasks that nobody wants any more.
    pub(super) fn stop(&mut self, completed: &mut Completed) {
        let (others, stopped): (Vec<Task>, Vec<Task>) =
            self.tasks.drain(..).partition(Task::is_wanted);
        self.tasks = others.into();
        completed.extend(stopped.into_iter().map(|task| {
            let error = PoolError::cancelled("nobody waits for it");
            task.end(Err(error))
        }));
    }
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was started, and has not said a word.
    Starting,
    /// It was told what to set up.
    SettingUp,
    Ready,
}

/// A task that was sent to a worker.
#[derive(Debug)]
pub(super) struct Sent {
    /// `None` if nobody wants its result any more.
    pub(super) task: Option<Task>,
    sequence: u32,
    /// How long it may take as a whole.
    limit: Option<Duration>,
    /// Since when it is known that nobody wants its result.
    unwanted_since: Option<Instant>,
}

/// The book on one worker.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What errors call the worker.
    pub(super) name: Arc<str>,
    pub(super) stage: Stage,
    pub(super) started: Instant,
    pub(super) scoreboard: Arc<Scoreboard>,
    /// Whether the worker writes on the scoreboard, as one of this host does.
    pub(super) shares_scoreboard: bool,
    /// Whether it has not begun a task in time, and gets no other one.
    pub(super) is_stuck: bool,
    /// How many tasks it has done.
    pub(super) done: usize,
    /// When it was last seen to work.
    pub(super) last_used: Instant,
    /// Sent and not done, in the order in which the worker takes them.
    sent: VecDeque<Sent>,
    /// The numbers of the functions that it knows.
    functions: HashSet<u32>,
    /// The numbers of the values that it was sent.
    values: HashSet<u32>,
    epoch: u32,
    sequence: u32,
}

impl Ledger {
    /// The book on a worker that was just started.
    pub(super) fn new(name: String, scoreboard: Arc<Scoreboard>) -> Ledger {
        Ledger {
            name: name.into(),
            stage: Stage::Starting,
            started: Instant::now(),
            scoreboard,
            shares_scoreboard: false,
            is_stuck: false,
            done: 0,
            last_used: Instant::now(),
            sent: VecDeque::new(),
            functions: HashSet::new(),
            values: HashSet::new(),
            epoch: 0,
            sequence: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_ready() && self.sent.is_empty() && !self.is_stuck
    }

    /// How many tasks it was sent and has not done.
    pub(super) fn load(&self) -> usize {
        self.sent.len()
    }

    /// How many of `depth` tasks it may have at once.
    pub(super) fn room(&self, depth: usize) -> usize {
        if !self.is_ready() || self.is_at_lost_work() {
            return 0;
        }
        match self.shares_scoreboard {
            true => depth,
            // Where one may be past its limit and go on, others must not lie behind it.
            false if self.sent.iter().any(|sent| sent.limit.is_some()) => depth.min(1),
            false => depth.min(MOST_KEPT),
        }
    }

    /// Whether the worker must be told of a function first.
    pub(super) fn learns(&mut self, function: u32) -> bool {
        self.functions.insert(function)
    }

    /// Whether the worker must be sent a value first.
    pub(super) fn keeps(&mut self, value: u32) -> bool {
        self.values.insert(value)
    }

    /// Whether the worker has a value, which nobody needs any more.
    pub(super) fn forgets(&mut self, value: u32) -> bool {
        self.values.remove(&value)
    }

    /// Enters a task that is sent now; gives the order, and the task for its body.
    pub(super) fn enter(&mut self, task: Task) -> (Order, &Task) {
        self.sequence = self.sequence.wrapping_add(1);
        // The time of a task that lies ahead of it runs on.
        if self.sent.is_empty() {
            self.last_used = Instant::now();
        }
        let call = CallSpec {
            function: task.function,
            items: task.items as u32,
            stop_at_failure: task.stop_at_failure,
            timed: task.time_limit.is_some(),
            value: task.value.as_ref().map(|value| value.number),
        };
        let order = Order::Run {
            call,
            epoch: self.epoch,
            sequence: self.sequence,
        };
        let limit = task.time_limit;
        self.sent.push_back(Sent {
            limit: limit.map(|limit| limit.saturating_mul(call.items.max(1))),
            task: Some(task),
            sequence: self.sequence,
            unwanted_since: None,
        });
        let task = self.sent.back().and_then(|sent| sent.task.as_ref());
        (
            order,
            task.unwrap_or_else(|| unreachable!("it was just entered")),
        )
    }

    /// Strikes out the task of this number, which is done; `None` if another one is due.
    pub(super) fn strike_out(&mut self, sequence: u32) -> Option<Sent> {
        let done = self.sent.pop_front_if(|sent| sent.sequence == sequence)?;
        self.done += 1;
        self.last_used = Instant::now();
        Some(done)
    }

    /// How many of the sent tasks it has begun, if the last one of those has this number.
    fn begun(&self, last: u32) -> usize {
        if !self.shares_scoreboard {
            return usize::from(!self.sent.is_empty());
        }
        let is_last = |sent: &Sent| sent.sequence == last;
        self.sent.iter().position(is_last).map_or(0, |at| at + 1)
    }

    /// Whether it has begun a task that is not done, as far as is known.
    pub(super) fn is_at_work(&self) -> bool {
        self.begun(self.scoreboard.begun()) > 0
    }

    /// Whether it is at a task whose result somebody wants.
    pub(super) fn is_wanted(&self) -> bool {
        // Its word of the first may be on its way while it is at the next.
        let begun = self.begun(self.scoreboard.begun());
        self.sent.iter().take(begun).any(|sent| sent.task.is_some())
    }

    /// Whether it is at a task whose result nobody wants, or is no good for any.
    pub(super) fn is_at_lost_work(&self) -> bool {
        self.is_stuck || self.sent.front().is_some_and(|sent| sent.task.is_none())
    }

    /// Whether it is at lost work that is past its limit for so long.
    pub(super) fn is_late_for(&self, time: Duration) -> bool {
        let limit = self.sent.front().and_then(|sent| sent.limit);
        let longest = limit.map(|limit| limit.saturating_add(TIME_TO_BEGIN + time));
        let is_late = longest.is_some_and(|longest| self.busy_for() > longest);
        self.is_stuck || (self.is_at_lost_work() && is_late)
    }

    /// For how long it has been at its item; at none, for how long it has done nothing.
    pub(super) fn busy_for(&self) -> Duration {
        if self.shares_scoreboard && self.is_at_work() {
            now().saturating_sub(self.scoreboard.since())
        } else {
            self.last_used.elapsed()
        }
    }

    /// How long each item may take of the task that it is at or will be.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.sent.front()?.task.as_ref()?.time_limit
    }

    /// How much longer it may be at its item, of which each may take `limit`. To begin a task it
    /// has a while more, as it may have to load the function first.
    pub(super) fn time_left(&self, limit: Duration) -> Duration {
        let task = self.sent.front().and_then(|sent| sent.task.as_ref());
        // Elsewhere it cannot be seen which item of the task it is at.
        let (items, extra) = match (self.shares_scoreboard, self.is_at_work()) {
            (true, true) => (1, Duration::ZERO),
            (true, false) => (1, TIME_TO_BEGIN),
            (false, _) => (task.map_or(1, |task| task.items), TIME_TO_BEGIN),
        };
        let limit = limit.saturating_mul(items.max(1) as u32);
        limit.saturating_add(extra).saturating_sub(self.busy_for())
    }

    /// Takes back the tasks that it has not begun.
    pub(super) fn recall(&mut self) -> Vec<Task> {
        if !self.shares_scoreboard {
            return Vec::new();
        }
        let begun = self.begun(self.scoreboard.recall());
        self.epoch = self.epoch.wrapping_add(1);
        self.split_off(begun)
    }

    /// When it has ended, or will now: all that it had not begun.
    pub(super) fn leftovers(&mut self) -> Vec<Task> {
        let begun = self.begun(self.scoreboard.recall());
        self.split_off(begun)
    }

    fn split_off(&mut self, begun: usize) -> Vec<Task> {
        let waiting = self.sent.split_off(begun);
        waiting.into_iter().filter_map(|sent| sent.task).collect()
    }

    /// When it has ended: all that it had begun and that somebody wants.
    pub(super) fn lost(&mut self) -> impl Iterator<Item = Task> {
        self.sent.drain(..).filter_map(|sent| sent.task)
    }

    /// Gives up the task that it is at, and goes on to expect a report of it.
    pub(super) fn abandon(&mut self) -> Option<Task> {
        self.sent.front_mut()?.task.take()
    }

    /// Gives up the tasks that nobody has wanted for so long, likewise, and tells how soon the next
    /// of them is to be given up.
    pub(super) fn abandon_unwanted(&mut self, time: Duration) -> (Vec<Task>, Option<Duration>) {
        let mut soonest: Option<Duration> = None;
        let mut judge = |sent: &mut Sent| {
            sent.task.as_ref().filter(|task| !task.is_wanted())?;
            let since = sent.unwanted_since.get_or_insert_with(Instant::now);
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return sent.task.take();
            }
            soonest = Some(soonest.map_or(left, |other| other.min(left)));
            None
        };
        let late = self.sent.iter_mut().filter_map(&mut judge).collect();
        (late, soonest)
    }

    /// The item in work, as its index in the caller's list, if the worker has begun a task.
    pub(super) fn item_in_work(&self) -> Option<usize> {
        // Those before it are done, but its word of that may be lost with it.
        let last_begun = self.begun(self.scoreboard.begun()).checked_sub(1)?;
        let task = self.sent.get(last_begun)?.task.as_ref()?;
        let first = task.first_item?;
        match (self.shares_scoreboard, task.items) {
            (true, _) => Some(first + self.scoreboard.item()),
            (false, 1) => Some(first),
            // Which of them cannot be seen from here.
            (false, _) => None,
        }
    }
}

/// How many tasks may lie ahead of a worker: the more the shorter they are, of late.
#[derive(Debug)]
pub(super) struct Prefetch {
    /// Tasks that take less than this are sent ahead, so that a worker need not wait for the next.
    short: Duration,
    /// Work that may lie ahead of a worker.
    ahead: Duration,
    typical: Option<Duration>,
}

impl Prefetch {
    /// Work for the time `ahead` may lie before a worker if tasks take less than `short`.
    pub(super) fn new(short: Duration, ahead: Duration) -> Prefetch {
        Prefetch {
            short,
            ahead,
            typical: None,
        }
    }

    /// How many tasks a worker may have at once.
    pub(super) fn depth(&self) -> usize {
        match self.typical {
            Some(typical) if typical < self.short => {
                let ahead = self.ahead.as_nanos() / typical.as_nanos().max(1);
                (ahead as usize).clamp(1, MOST_AHEAD)
            }
            _ => 1,
        }
    }

    /// Notes how long a task took.
    pub(super) fn note(&mut self, took: Duration) {
        self.typical = Some(match self.typical {
            Some(typical) => (typical * 3 + took) / 4,
            None => took,
        });
    }

    /// Tasks are not as short as they seemed.
    pub(super) fn forget(&mut self) {
        self.typical = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_tasks_are_sent_ahead() {
        let (short, ahead) = (Duration::from_micros(50), Duration::from_micros(200));
        let mut prefetch = Prefetch::new(short, ahead);
        assert_eq!(prefetch.depth(), 1, "nothing is known yet");
        prefetch.note(Duration::from_micros(20));
        assert_eq!(prefetch.depth(), 10);
        prefetch.note(Duration::from_millis(1));
        assert_eq!(prefetch.depth(), 1);
        prefetch.forget();
        prefetch.note(Duration::from_nanos(10));
        assert_eq!(prefetch.depth(), MOST_AHEAD);
    }
}
