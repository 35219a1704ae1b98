//! Which worker ran which task, and when.
//!
//! [`Timeline::record`] runs some work and notes the tasks of all pools meanwhile; the [`Timeline`]
//! tells how busy the workers were, and [`plot::timeline`](crate::plot::timeline) draws it.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::stats::format_seconds;

pub(crate) mod recorder;
mod span;

use recorder::{Items, PoolTag, Recording, Task};
use span::workers;
pub use span::{Span, Worker};

/// More rows than this are not printed.
const MOST_ROWS: usize = 32;

/// The tasks that the workers of all pools ran while something else was going on.
///
/// A task is what a worker takes at a time: a chunk of [`Pool::map`](crate::Pool::map), `starmap` or
/// `imap`, or a call of [`Pool::submit`](crate::Pool::submit). Pools that ran no task are left out.
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(4)?;
/// let (squares, timeline) = Timeline::record(|| pool.map(|x| x * x, 0..6));
/// assert_eq!(squares, [0, 1, 4, 9, 16, 25]);
/// assert_eq!((timeline.spans().len(), timeline.workers().len()), (6, 4));
/// println!("{timeline}"); // a table: how busy each worker was
/// # Ok::<(), PoolError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a timeline does nothing by itself: print it, or draw it with `plot::timeline`"]
pub struct Timeline {
    spans: Vec<Span>,
    workers: Vec<Worker>,
    wall: Duration,
}

impl Timeline {
    /// Runs `work` and gives its result together with the tasks that ran meanwhile.
    ///
    /// Noted are the tasks of *all* pools, those that other threads use as well, that both began and
    /// ended while `work` ran. So wait for results inside of `work`, and collect what `imap` gives
    /// there. [`par_sum`](crate::par_sum) and rayon's own functions use no pool of this crate and
    /// leave no trace. Recordings may overlap and be nested. Each task takes about 100 bytes of memory,
    /// and recording it less than a microsecond.
    ///
    /// # Panics
    /// If `work` does; that ends the recording.
    pub fn record<R>(work: impl FnOnce() -> R) -> (R, Timeline) {
        let recording = Recording::begin();
        // The optimiser may not compute the result before the start or after the end.
        let result = black_box(work());
        let (start, end, tasks) = recording.finish();
        (result, Timeline::new(start, end, tasks))
    }

    pub(crate) fn new(start: Instant, end: Instant, mut tasks: Vec<Task>) -> Timeline {
        tasks.sort_by_key(|task| (task.start, task.pool, task.worker));
        // Each pool's place, and the number of the first call that was submitted to it.
        let mut pools: BTreeMap<PoolTag, (usize, usize)> = BTreeMap::new();
        for task in &tasks {
            let (_, first) = pools.entry(task.pool).or_insert((0, usize::MAX));
            if let Items::Submitted { number } = task.items {
                *first = number.min(*first);
            }
        }
        for (place, (_, (pool, _))) in pools.iter_mut().enumerate() {
            *pool = place;
        }
        let span = |task: &Task| {
            let (pool, first_submitted) = pools[&task.pool];
            let (first_item, items) = match task.items {
                Items::Chunk { first, count } => (first, count),
                Items::Submitted { number } => (number - first_submitted, 1),
            };
            Span {
                pool,
                worker: task.worker,
                start: task.start.duration_since(start),
                end: task.end.duration_since(start),
                first_item,
                items,
            }
        };
        let spans: Vec<Span> = tasks.iter().map(span).collect();
        let sizes: Vec<usize> = pools.keys().map(|pool| pool.workers).collect();
        Timeline {
            workers: workers(&sizes, &spans),
            spans,
            wall: end.duration_since(start),
        }
    }

    /// The tasks, in the order in which they began.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The workers of all pools that ran tasks: by pool, then by number; idle ones as well.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// How long the recording went on.
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// How long the workers ran tasks, all together.
    pub fn busy(&self) -> Duration {
        self.workers.iter().map(|worker| worker.busy).sum()
    }

    /// How many tasks ran at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        let runs_at = |moment| move |span: &&Span| span.start <= moment && moment < span.end;
        let starts = self.spans.iter().map(|span| span.start);
        let at_once = starts.map(|start| self.spans.iter().filter(runs_at(start)).count());
        at_once.max().unwrap_or(0)
    }

    /// The share of their time in which the workers ran tasks: busy / (workers × wall), from 0 to 1.
    /// 0 if no task was recorded.
    pub fn utilisation(&self) -> f64 {
        share(self.busy(), self.wall) / self.workers.len().max(1) as f64
    }

    /// The task that took longest, of equal ones the first; `None` if no task was recorded.
    pub fn longest(&self) -> Option<&Span> {
        self.spans.iter().rev().max_by_key(|span| span.duration())
    }

    /// The place of the worker that ran `span` in the list of workers.
    pub(crate) fn row(&self, span: &Span) -> usize {
        let place = |worker: &Worker| (worker.pool, worker.worker);
        let row = self
            .workers
            .binary_search_by_key(&(span.pool, span.worker), place);
        row.expect("each span has its worker")
    }

    /// The share of the time in which `worker` ran tasks.
    pub(crate) fn share_of(&self, worker: &Worker) -> f64 {
        share(worker.busy, self.wall)
    }

    /// Tells in a sentence or two what all workers did; empty if no task was recorded.
    pub(crate) fn summary(&self) -> String {
        let Some(longest) = self.longest() else {
            return String::new();
        };
        let count = |n: usize, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format!(
            "{} on {} in {}, busy {} of that time. The longest task, {} {} on {}, took {}.",
            count(self.spans.len(), "task"),
            count(self.workers.len(), "worker"),
            show(self.wall),
            percent(self.utilisation()),
            if longest.items > 1 { "items" } else { "item" },
            longest.places(),
            self.workers[self.row(longest)].label,
            show(longest.duration()),
        )
    }

    /// Shows the table when the timeline is the last expression of a notebook cell.
    pub fn evcxr_display(&self) {
        crate::show::as_result(self);
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Writes a share from 0 to 1 in whole percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Writes a time with the unit that suits it.
pub(crate) fn show(time: Duration) -> String {
    format_seconds(time.as_secs_f64())
}

/// Prints a row for each worker, and what all of them did below.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spans.is_empty() {
            return f.write_str("No task of a pool was recorded.");
        }
        let rows = &self.workers[..self.workers.len().min(MOST_ROWS)];
        let label = rows.iter().map(|w| w.label.len()).max().unwrap_or(0);
        let title = ["tasks", "busy", "idle", "longest task"];
        let mut row = |label_text: &str, cells: [&str; 4]| {
            let [tasks, busy, idle, longest] = cells;
            writeln!(
                f,
                "{label_text:label$}  {tasks:>5}  {busy:>9}  {idle:>9}  {longest:>12}"
            )
        };
        row("", title)?;
        for worker in rows {
            let idle = self.wall.saturating_sub(worker.busy);
            let cells = [
                &worker.tasks.to_string(),
                &*show(worker.busy),
                &show(idle),
                &show(worker.longest),
            ];
            row(&worker.label, cells)?;
        }
        if rows.len() < self.workers.len() {
            writeln!(f, "and {} more workers", self.workers.len() - rows.len())?;
        }
        f.write_str(&self.summary())
    }
}

#[cfg(test)]
mod tests;
