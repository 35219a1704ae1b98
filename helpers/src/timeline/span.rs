//! One task of a timeline, and one worker.

use std::time::Duration;

/// When one task ran, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The pool whose worker ran the task: from 0, in the order in which the pools were made.
    pub pool: usize,
    /// The worker that ran it: from 0 in each pool.
    pub worker: usize,
    /// When it began, seen from the start of the recording.
    pub start: Duration,
    /// When it ended, seen from the start of the recording.
    pub end: Duration,
    /// The place of its first item in the list, from 0. Calls of `submit` and chunks of `imap`, which
    /// have no list, are counted in each pool as they are submitted, from 0 for the first one recorded.
    pub first_item: usize,
    /// How many items of the list it worked on; 1 for a call of `submit` and for a chunk of `imap`.
    pub items: usize,
}

impl Span {
    /// How long the task took.
    pub fn duration(&self) -> Duration {
        self.end - self.start
    }

    /// The place of the item, `3`, or those of the first and the last one, `3–5`.
    pub(crate) fn places(&self) -> String {
        let first = self.first_item;
        match self.items {
            0 | 1 => first.to_string(),
            items => format!("{first}–{}", first + (items - 1)),
        }
    }
}

/// What one worker did in all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worker {
    /// Its pool, as in [`Span::pool`].
    pub pool: usize,
    /// Its number, as in [`Span::worker`].
    pub worker: usize,
    /// What plots call it: `worker 0`, or `pool 0 worker 0` where there are several pools.
    pub label: String,
    /// How many tasks it ran.
    pub tasks: usize,
    /// How long it ran tasks. A task that it ran while it waited in another one counts once.
    pub busy: Duration,
    /// Its longest task; zero if it ran none.
    pub longest: Duration,
}

/// Adds up what each worker did; `sizes` are the numbers of workers of the pools.
pub(super) fn workers(sizes: &[usize], spans: &[Span]) -> Vec<Worker> {
    let label = |pool, worker| match sizes.len() {
        1 => format!("worker {worker}"),
        _ => format!("pool {pool} worker {worker}"),
    };
    let idle = |pool, worker| Worker {
        pool,
        worker,
        label: label(pool, worker),
        tasks: 0,
        busy: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let mut workers = Vec::new();
    let mut first_of_pool = Vec::new();
    for (pool, &size) in sizes.iter().enumerate() {
        first_of_pool.push(workers.len());
        workers.extend((0..size).map(|worker| idle(pool, worker)));
    }
    // Until when each worker is known to be busy: a task inside of another one adds nothing.
    let mut until = vec![Duration::ZERO; workers.len()];
    for span in spans {
        let place = first_of_pool[span.pool] + span.worker;
        let (worker, until) = (&mut workers[place], &mut until[place]);
        worker.tasks += 1;
        worker.busy += span.end.saturating_sub(span.start.max(*until));
        worker.longest = worker.longest.max(span.duration());
        *until = span.end.max(*until);
    }
    workers
}
