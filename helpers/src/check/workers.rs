//! Who does the work: the workers of the pool that an answer was handed, or somebody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Check, Hint, Probe};
use crate::pool::witness::{self, Forget, Seen};
use crate::pool::{Pool, ProcessPool};
use crate::timeline::{Timeline, recorder};

/// A pool that a check hands to an answer.
pub trait AnyPool {
    /// Has a worker do next to nothing, so that a [`Timeline`] knows the pool.
    fn do_nothing(&self);
}

impl AnyPool for Pool {
    fn do_nothing(&self) {
        self.map(|nothing: u8| nothing, [0]);
    }
}

impl AnyPool for ProcessPool {
    fn do_nothing(&self) {
        // What fails here fails in the answer, too, and is told there.
        let _ = self.map(|nothing: u8| nothing, [0]);
    }
}

/// What the workers of a pool are to do, in words for the reader.
///
/// ```
/// let work = helpers::check::Work {
///     question: "the lengths are right, but who has counted?",
///     call: "`pool.map(|word| …, words)`",
///     least: 4,
/// };
/// assert!(work.question.ends_with('?'));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// Asked if the workers did not do it: `the lengths are right, but who has counted?`
    pub question: &'w str,
    /// The call that makes them do it, as the reader would write it.
    pub call: &'w str,
    /// So many tasks they get at least. A task is what a worker takes at a time.
    pub least: usize,
}

/// What came of an answer whose work was done by workers.
#[derive(Clone, Debug)]
pub struct Worked<R> {
    /// What the answer gave.
    pub result: R,
    /// The tasks; `pool` is number 0, and its first task is none of the answer's.
    pub timeline: Timeline,
    /// How often a function was called in this process that [notes its calls](note_call).
    pub calls: usize,
    /// How many of the workers' calls ran at the same time: 2 if two or more did, as they wait for each
    /// other; 1 if that was in vain.
    pub at_once: usize,
    /// Whether there were several items, and all of them gave the same number, text or list.
    pub is_alike: bool,
    /// How many of the calls no worker made.
    by_others: usize,
    seen: Seen,
}

impl Check<'_> {
    /// Calls the answer to see who does its work: the workers of `pool` must.
    ///
    /// No clock is asked. The answer fails if it gives the workers nothing, too few tasks, one item
    /// at a time, or results that it has already; if it makes a pool of its own; if a function that
    /// [notes its calls](note_call) is called by anybody else. And it fails if its result is
    /// the same when `pool` leaves out the first item of each call, or the last one: then it was not
    /// made of what the workers give back. So each item must matter for the result. If `pool` leaves out all
    /// items, nothing may be left of it, and `is_nothing` says what that looks like.
    ///
    /// Gives the result, and the tasks; nothing if the answer has failed.
    ///
    /// ```
    /// use helpers::prelude::*;
    /// use helpers::check::Work;
    ///
    /// fn squares(pool: &Pool, numbers: Vec<u64>) -> Vec<u64> {
    ///     pool.map(|x| x, [1, 2, 3]); // for show
    ///     numbers.into_iter().map(|x| x * x).collect()
    /// }
    ///
    /// helpers::init_process_pools();
    /// let verdict = check!(|check| {
    ///     let pool = Pool::new(2)?;
    ///     let work = Work {
    ///         question: "the squares are right, but who has computed them?",
    ///         call: "`pool.map(|x| x * x, numbers)`",
    ///         least: 2,
    ///     };
    ///     check
    ///         .on("squares(&pool, vec![2, 3, 4])")
    ///         .in_pool(&pool, work, || squares(&pool, vec![2, 3, 4]), Vec::is_empty);
    /// });
    /// assert!(verdict.to_string().contains("what does each of the workers do"), "{verdict}");
    /// ```
    pub fn in_pool<R: PartialEq>(
        &mut self,
        pool: &impl AnyPool,
        work: Work<'_>,
        answer: impl Fn() -> R,
        is_nothing: impl Fn(&R) -> bool,
    ) -> Option<Worked<R>> {
        let worked = self.look(pool, work, &answer)?;
        self.judge_tasks(&worked, work);
        for (forget, which) in [(Forget::Last, "last"), (Forget::Nth(0), "first")] {
            let without = catch_unwind(AssertUnwindSafe(|| witness::watch(forget, &answer).0));
            let depends = match without {
                Ok(without) => without != worked.result,
                // A panic is a sign that something is missing, too; but whether it is needed?
                Err(_) => !worked.is_alike,
            };
            self.hint((
                format!(
                    "if no worker gets the {which} item, your result is the same: what does each \
                     of the workers do for it?"
                ),
                format!(
                    "each item is a part of the work, and the results of all items make yours: {}",
                    work.call
                ),
            ))
            .that(
                depends,
                "a result that is made of what the workers give back",
                format!("the same without the {which} item"),
            );
        }
        let answer = || witness::watch(Forget::All, &answer).0;
        // So is a panic, since there are no results.
        let nothing = catch_unwind(AssertUnwindSafe(answer));
        self.hint(work.hint()).that(
            nothing.map_or(true, |nothing| is_nothing(&nothing)),
            "no result if no worker does anything",
            "a part of the result all the same",
        );
        self.judge_sharing(&worked, work);
        self.came.is_none().then_some(worked)
    }

    /// What comes of the answer if its pool fails: calls that give a `Result` give an error, and tasks
    /// that are submitted have none. Nothing if the answer panics then.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// fn squares(pool: &ProcessPool, numbers: Vec<u64>) -> Result<Vec<u64>, PoolError> {
    ///     Ok(pool.map(|x: u64| x * x, numbers).unwrap_or_default())
    /// }
    ///
    /// helpers::init_process_pools();
    /// let verdict = check!(|check| {
    ///     let pool = ProcessPool::new(2)?;
    ///     let came = check.if_pool_fails(|| squares(&pool, vec![2, 3]));
    ///     check.that(!matches!(came, Some(Ok(_))), "an error", "none, as if all were well");
    /// });
    /// assert!(verdict.to_string().contains("as if all were well"), "{verdict}");
    /// ```
    pub fn if_pool_fails<R>(&mut self, answer: impl FnOnce() -> R) -> Option<R> {
        if self.came.is_some() {
            return None;
        }
        let answer = || witness::watch(Forget::Fail, answer).0;
        catch_unwind(AssertUnwindSafe(answer)).ok()
    }

    /// Whether the result of the answer is another one if the workers do not get one of the first
    /// `items` items; which one does not matter. Nothing if the answer panics each time.
    ///
    /// For work of the reader's own, in which some items may count for nothing, such as a search for
    /// the largest. In [`in_pool`](Check::in_pool) each item has to count.
    ///
    /// ```
    /// use helpers::prelude::*;
    ///
    /// helpers::init_process_pools();
    /// let verdict = check!(|check| {
    ///     let pool = Pool::new(2)?;
    ///     let largest = || pool.map(|x| x * x, [1, 5, 2]).into_iter().max();
    ///     let depends = check.depends_on_items(3, largest);
    ///     check.that(depends == Some(true), "", "");
    ///     let for_show = || pool.map(|_| 25, [1, 5, 2]).into_iter().max();
    ///     let depends = check.depends_on_items(3, for_show);
    ///     check.that(depends == Some(false), "", "");
    /// });
    /// assert!(verdict.is_right(), "{verdict}");
    /// ```
    pub fn depends_on_items<R: PartialEq>(
        &mut self,
        items: usize,
        answer: impl Fn() -> R,
    ) -> Option<bool> {
        let result = self.run(&answer)?;
        let without = |place| {
            let answer = || witness::watch(Forget::Nth(place), &answer).0;
            catch_unwind(AssertUnwindSafe(answer)).ok()
        };
        let mut are_others = (0..items)
            .filter_map(without)
            .map(|without| without != result);
        let first = are_others.next()?;
        Some(first || are_others.any(|is_other| is_other))
    }

    /// As [`in_pool`](Check::in_pool), but without a look at what the result is made of: for an
    /// answer that may not be called again, or goes on without a part of the work.
    pub fn by_workers<R>(
        &mut self,
        pool: &impl AnyPool,
        work: Work<'_>,
        answer: impl FnOnce() -> R,
    ) -> Option<Worked<R>> {
        let worked = self.look(pool, work, answer)?;
        self.judge_tasks(&worked, work);
        self.judge_sharing(&worked, work);
        self.came.is_none().then_some(worked)
    }

    /// Calls the answer, which must give the workers of `pool` something, and no others.
    fn look<R>(
        &mut self,
        pool: &impl AnyPool,
        work: Work<'_>,
        answer: impl FnOnce() -> R,
    ) -> Option<Worked<R>> {
        let noting = Noting::begin();
        let ((result, seen), timeline) = Timeline::record(|| {
            // After this task `pool` is number 0 there, and any other pool is not.
            pool.do_nothing();
            witness::watch(Forget::Nothing, || self.run(answer))
        });
        let (calls, by_others) = noting.end();
        let at_once = MEETING.most_at_once();
        let worked = Worked {
            result: result?,
            timeline,
            calls,
            at_once,
            is_alike: seen.is_alike(),
            by_others,
            seen,
        };
        let spans = worked.timeline.spans();
        let of_others = spans.iter().filter(|task| task.pool > 0).count();
        self.hint((
            "that was another pool than the one that you got: who has made it?",
            format!("`pool` has its workers already: {}", work.call),
        ))
        .that(
            of_others == 0,
            "tasks for the workers of `pool`",
            format!("tasks for another pool: {of_others}"),
        );
        self.hint(work.hint()).that(
            worked.items() > 0,
            "tasks for the workers of `pool`",
            "no task at all",
        );
        self.came.is_none().then_some(worked)
    }

    fn judge_tasks<R>(&mut self, worked: &Worked<R>, work: Work<'_>) {
        let tasks = worked.timeline.spans().len() - 1;
        self.hint((
            "what do the other workers do meanwhile, if there are so few tasks?",
            format!(
                "hand all of it out, in more and smaller parts: {}",
                work.call
            ),
        ))
        .that(
            tasks >= work.least,
            &format!("{} tasks or more for the workers of `pool`", work.least),
            format!("tasks: {tasks}, with items: {}", worked.items()),
        );
    }

    fn judge_sharing<R>(&mut self, worked: &Worked<R>, work: Work<'_>) {
        self.hint((
            "each item waits until the one before it is done: who works meanwhile?",
            format!(
                "hand out all of them before you wait for a result: {}",
                work.call
            ),
        ))
        .that(
            !worked.seen.is_one_at_a_time(),
            "all items handed out at once",
            "one item at a time",
        );
        self.hint(work.hint()).that(
            !worked.seen.is_echo(),
            "results that the workers have computed",
            "workers that give back what they get",
        );
        let by_others = worked.by_others;
        self.hint(work.hint()).that(
            by_others == 0,
            "calls by the workers of `pool` only",
            format!("calls by the function itself: {by_others}"),
        );
    }
}

impl<R> Worked<R> {
    /// How many items the workers got.
    #[must_use]
    pub fn items(&self) -> usize {
        let items = self.timeline.spans().iter().map(|task| task.items);
        // The first one was none of the answer's.
        items.sum::<usize>().saturating_sub(1)
    }
}

impl Work<'_> {
    fn hint(&self) -> Hint {
        Hint::from((
            self.question,
            format!("the workers shall do it: {}", self.call),
        ))
    }
}

/// Does the work, in which what comes as it is done (`imap_unordered`, [`as_completed`]) comes as if the
/// last one of those under way were done first.
///
/// An answer that needs the order of the items, and has it only by luck, is always wrong then.
///
/// ```
/// use helpers::prelude::*;
/// use helpers::check::as_if_last_were_first;
///
/// let pool = Pool::new(2)?;
/// let squares = || -> Vec<u64> { pool.imap_unordered(|x| x * x, [1, 2, 3]).collect() };
/// assert_eq!(as_if_last_were_first(squares), [9, 4, 1]);
/// let squares = || -> Vec<u64> { pool.imap(|x| x * x, [1, 2, 3]).collect() };
/// assert_eq!(as_if_last_were_first(squares), [1, 4, 9]);
/// # Ok::<(), PoolError>(())
/// ```
///
/// [`as_completed`]: crate::as_completed
pub fn as_if_last_were_first<R>(work: impl FnOnce() -> R) -> R {
    witness::watch(Forget::Order, work).0
}

/// Notes a call of the function in which it stands, and who made it.
///
/// A function that is handed out with an exercise calls this, so that the check sees who calls it.
/// Outside of checks it does nothing.
///
/// ```
/// fn squared(x: u64) -> u64 {
///     helpers::check::note_call();
///     x * x
/// }
/// assert_eq!(squared(3), 9);
/// ```
pub fn note_call() {
    if NOTING.load(Ordering::Relaxed) {
        let is_worker = recorder::here().is_some();
        let count = if is_worker { &BY_WORKERS } else { &BY_OTHERS };
        count.fetch_add(1, Ordering::Relaxed);
        if is_worker {
            MEETING.meet(2, 0);
        }
    }
}

static NOTING: AtomicBool = AtomicBool::new(false);
static BY_WORKERS: AtomicUsize = AtomicUsize::new(0);
static BY_OTHERS: AtomicUsize = AtomicUsize::new(0);
/// Where the calls of workers meet.
static MEETING: Probe = Probe::new();

/// Calls are noted until this is dropped.
struct Noting;

impl Noting {
    fn begin() -> Noting {
        BY_WORKERS.store(0, Ordering::Relaxed);
        BY_OTHERS.store(0, Ordering::Relaxed);
        MEETING.reset();
        NOTING.store(true, Ordering::Relaxed);
        Noting
    }

    /// How many calls there were, and how many of them were not made by workers of a pool.
    fn end(self) -> (usize, usize) {
        let by_others = BY_OTHERS.load(Ordering::Relaxed);
        (BY_WORKERS.load(Ordering::Relaxed) + by_others, by_others)
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        NOTING.store(false, Ordering::Relaxed);
    }
}
