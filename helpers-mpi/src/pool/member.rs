//! The pool's view of one rank that works: what it was sent, and how far it is.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use helpers::internals::{Board, Task, now};

/// How long a task with a time limit may take to begin.
const TIME_TO_BEGIN: Duration = Duration::from_secs(2);

/// The most tasks that a rank has of which none can be taken back.
const MOST_KEPT: usize = 2;

/// How far a rank is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its job was started, and it has not said a word.
    Starting,
    /// It was told what to set up.
    SettingUp,
    Ready,
}

/// A task that was sent to a rank.
#[derive(Debug)]
pub(super) struct Sent {
    /// `None` if nobody wants its result any more.
    pub(super) task: Option<Task>,
    pub(super) sequence: u32,
    /// How long it may take as a whole.
    limit: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) rank: usize,
    /// What errors call it.
    pub(super) name: Arc<str>,
    pub(super) stage: Stage,
    pub(super) board: Arc<Board>,
    /// Whether the rank writes on the board: it runs on this host.
    pub(super) shares_board: bool,
    /// Sent and not done, in the order in which the rank takes them.
    pub(super) sent: VecDeque<Sent>,
    /// The numbers of the functions that it knows.
    pub(super) functions: HashSet<u32>,
    /// When it was last seen to work.
    pub(super) last_used: Instant,
    pub(super) epoch: u32,
    sequence: u32,
}

impl Member {
    pub(super) fn new(rank: usize, board: Arc<Board>) -> Member {
        Member {
            rank,
            name: format!("rank {rank}").into(),
            stage: Stage::Starting,
            board,
            shares_board: false,
            sent: VecDeque::new(),
            functions: HashSet::new(),
            last_used: Instant::now(),
            epoch: 0,
            sequence: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.sent.is_empty()
    }

    /// How many of `depth` tasks it may have at once.
    pub(super) fn room(&self, depth: usize) -> usize {
        match (self.stage, self.shares_board) {
            (Stage::Ready, true) => depth,
            // Where one may be past its limit and go on, others must not lie behind it.
            (Stage::Ready, false) if self.has_limits() => depth.min(1),
            (Stage::Ready, false) => depth.min(MOST_KEPT),
            _ => 0,
        }
    }

    fn has_limits(&self) -> bool {
        self.sent.iter().any(|sent| sent.limit.is_some())
    }

    /// Notes a task that is sent now; gives its number.
    pub(super) fn note_sent(&mut self, task: Task) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        if self.sent.is_empty() {
            self.last_used = Instant::now();
        }
        let items = task.items.max(1) as u32;
        self.sent.push_back(Sent {
            limit: task.time_limit.map(|limit| limit.saturating_mul(items)),
            task: Some(task),
            sequence: self.sequence,
        });
        self.sequence
    }

    /// How many of the sent tasks it has begun: none or one, as it takes them in turn.
    fn begun(&self, last: u32) -> usize {
        if !self.shares_board {
            return usize::from(!self.sent.is_empty());
        }
        let is_last = |sent: &Sent| sent.sequence == last;
        self.sent
            .iter()
            .position(is_last)
            .map_or(0, |place| place + 1)
    }

    /// Whether it has begun a task that is not done, as far as is known.
    pub(super) fn is_at_work(&self) -> bool {
        self.begun(self.board.begun()) > 0
    }

    /// Whether it is at a task whose result somebody wants.
    pub(super) fn is_wanted(&self) -> bool {
        // Its word of the first may be on its way while it is at the next.
        let begun = self.begun(self.board.begun());
        self.sent.iter().take(begun).any(|sent| sent.task.is_some())
    }

    /// Whether it is at a task whose result nobody wants.
    pub(super) fn is_at_lost_work(&self) -> bool {
        self.sent.front().is_some_and(|sent| sent.task.is_none())
    }

    /// Whether it is at a task whose result nobody wants, and that is past its limit for so long.
    pub(super) fn is_late_for(&self, time: Duration) -> bool {
        let limit = self.sent.front().and_then(|sent| sent.limit);
        let longest = limit.map(|limit| limit.saturating_add(TIME_TO_BEGIN + time));
        self.is_at_lost_work() && longest.is_some_and(|longest| self.busy_for() > longest)
    }

    /// For how long it has been at its item; at none, for how long it has done nothing.
    pub(super) fn busy_for(&self) -> Duration {
        if self.shares_board && self.is_at_work() {
            now().saturating_sub(self.board.since())
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
        let (items, extra) = match (self.shares_board, self.is_at_work()) {
            (true, true) => (1, Duration::ZERO),
            (true, false) => (1, TIME_TO_BEGIN),
            (false, _) => (task.map_or(1, |task| task.items), TIME_TO_BEGIN),
        };
        let limit = limit.saturating_mul(items.max(1) as u32);
        limit.saturating_add(extra).saturating_sub(self.busy_for())
    }

    /// Takes back the tasks that it has not begun.
    pub(super) fn recall(&mut self) -> impl DoubleEndedIterator<Item = Task> + use<> {
        let waiting = if self.shares_board {
            let begun = self.begun(self.board.recall());
            self.epoch = self.epoch.wrapping_add(1);
            self.sent.split_off(begun)
        } else {
            VecDeque::new()
        };
        waiting.into_iter().filter_map(|sent| sent.task)
    }

    /// When its job has ended: all that it had not begun.
    pub(super) fn leftovers(&mut self) -> impl DoubleEndedIterator<Item = Task> + use<> {
        let begun = self.begun(self.board.recall());
        let waiting = self.sent.split_off(begun.min(self.sent.len()));
        waiting.into_iter().filter_map(|sent| sent.task)
    }

    /// The item in work, as its place in the list, if it has begun a task.
    pub(super) fn item_in_work(&self) -> Option<usize> {
        // Those before it are done, but its word of that may be lost with its job.
        let last_begun = self.begun(self.board.begun()).checked_sub(1)?;
        let task = self.sent.get(last_begun)?.task.as_ref()?;
        let first = task.first_item?;
        match (self.shares_board, task.items) {
            (true, _) => Some(first + self.board.item().load(Ordering::Relaxed) as usize),
            (false, 1) => Some(first),
            // Which of them cannot be seen from here.
            (false, _) => None,
        }
    }
}
