//! Seeing from inside of a function whether its calls run at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{ThreadId, current};
use std::time::{Duration, Instant};

use crate::pool::Pool;
use crate::timeline::recorder::{self, PoolTag};

/// How long a call waits for others. Only one that waits in vain takes so long, and only once.
const PATIENCE: Duration = Duration::from_secs(3);

/// Counts the calls of a function, and sees how many of them run at the same time.
///
/// A check hands the answer a function that calls [`meet`](Probe::meet). There is no clock in it:
/// calls wait for each other, so those that can run at once do, on a busy machine as well.
///
/// ```
/// use helpers::prelude::*;
///
/// static PROBE: check::Probe = check::Probe::new();
/// let work = |item: u32| PROBE.meet(3, item);
///
/// let pool = Pool::new(3)?;
/// assert_eq!(pool.map(work, 0..6), [0, 1, 2, 3, 4, 5]);
/// assert_eq!((PROBE.calls(), PROBE.most_at_once()), (6, 3));
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Debug, Default)]
pub struct Probe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    items: Vec<u32>,
    /// The pool whose worker made each of the calls.
    pools: Vec<Option<PoolTag>>,
    threads: Vec<ThreadId>,
    inside: usize,
    most: usize,
    /// Somebody has waited in vain.
    given_up: bool,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    const fn new() -> State {
        State {
            items: Vec::new(),
            pools: Vec::new(),
            threads: Vec::new(),
            inside: 0,
            most: 0,
            given_up: false,
        }
    }
}

impl Probe {
    /// A probe that has seen nothing, for a `static`.
    #[must_use]
    pub const fn new() -> Probe {
        Probe {
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
        }
    }

    /// Notes a call with this item and gives the item back. Waits until `wanted` calls are in here
    /// at once, unless that was seen before, or somebody has waited three seconds for it in vain.
    pub fn meet(&self, wanted: usize, item: u32) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        state.items.push(item);
        state.threads.push(current().id());
        state.pools.push(recorder::here().map(|(pool, _)| pool));
        state.inside += 1;
        state.most = state.most.max(state.inside);
        self.changed.notify_all();
        while state.most < wanted && !state.given_up {
            let left = deadline.saturating_duration_since(Instant::now());
            state.given_up = left.is_zero();
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.inside -= 1;
        self.changed.notify_all();
        item
    }

    /// Waits until there were so many calls, or for three seconds in vain. Whether there were so many.
    pub fn wait_for_calls(&self, wanted: usize) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while state.items.len() < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Forgets what was seen.
    pub(super) fn reset(&self) {
        *self.lock() = State::new();
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().items.len()
    }

    /// The items of the calls, in the order in which they came.
    #[must_use]
    pub fn items(&self) -> Vec<u32> {
        self.lock().items.clone()
    }

    /// The items of the calls that no worker of `pool` made, in the order in which they came.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// let probe = check::Probe::new();
    /// let pool = Pool::new(2)?;
    /// pool.map(|item| probe.meet(1, item), [1, 2, 3]);
    /// assert_eq!(probe.by_others(&pool), []);
    /// probe.meet(1, 4);
    /// Pool::new(1)?.map(|item| probe.meet(1, item), [5]);
    /// assert_eq!(probe.by_others(&pool), [4, 5]);
    /// # Ok::<(), PoolError>(())
    /// ```
    #[must_use]
    pub fn by_others(&self, pool: &Pool) -> Vec<u32> {
        let state = self.lock();
        let calls = state.items.iter().zip(&state.pools);
        let by_others = calls.filter(|(_, by)| **by != Some(pool.tag()));
        by_others.map(|(item, _)| *item).collect()
    }

    /// The items of the calls that were made by the thread that asks now, in the order in which they
    /// came.
    #[must_use]
    pub fn by_this_thread(&self) -> Vec<u32> {
        let me = current().id();
        let state = self.lock();
        let calls = state.items.iter().zip(&state.threads);
        let mine = calls.filter(|(_, by)| **by == me);
        mine.map(|(item, _)| *item).collect()
    }

    /// How many calls ran at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.lock().most
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
