//! Checks for exercises: they look at what an answer does, where it can do no harm.
//!
//! [`check!`](macro@crate::check) runs the answer in a worker process of its own. So an answer that
//! panics, never ends, ends its process, fills the memory or prints without end gets a [`Verdict`]
//! like any other, and the notebook goes on.

mod code;
mod hint;
mod judged;
mod note;
mod probe;
mod stale;
mod verdict;
mod workers;

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::fs::File;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{dup2_stderr, dup2_stdout};

use crate::pool::processes::{ProcessPool, SharedArray, SharedSliceMut};
use crate::pool::remote::View;
use crate::pool::{PoolError, panic::panic_message};

pub use crate::timing::as_if_others_computed;
pub use code::{names_in_function, words_of_function};
pub use hint::Hint;
pub use judged::Judged;
pub use probe::Probe;
pub use verdict::Verdict;
pub use workers::{AnyPool, Work, Worked, as_if_last_were_first, note_call};

use note::{NOTE_BYTES, Note, short, short_hint};

/// How long all that a check does may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much memory of its own a checked answer may have, in bytes.
const MEMORY_LIMIT: u64 = 2 << 30;

/// Checks the answer to an exercise, and gives a [`Verdict`](crate::check::Verdict).
///
/// What stands in the braces runs in a worker process; it cannot use variables from outside, only
/// functions and constants. It gets a [`Check`](crate::check::Check), and `?` may be used. Whatever
/// goes wrong, the macro itself neither panics nor hangs: after 10 seconds the process is stopped.
/// It may have 2 GiB of memory, and what it prints is not shown.
///
/// In the course's own kernel the verdict also says when a function that the check calls, or that
/// the answer calls in turn, did not compile when its cell last ran.
///
/// ```
/// use helpers::prelude::*;
///
/// fn doubled(pool: &Pool, numbers: Vec<i32>) -> Vec<i32> {
///     pool.map(|n| 2 * n, numbers)
/// }
///
/// helpers::init_process_pools(); // a program's first line; a notebook does not need it
/// let verdict = check!(|check| {
///     let pool = Pool::new(2)?;
///     check.hint(("who doubles the numbers?", "`pool.map(f, items)` calls `f` on each item"));
///     check
///         .on("doubled(&pool, vec![1, 2, 3])")
///         .equal(vec![2, 4, 6], || doubled(&pool, vec![1, 2, 3]))
///         .when(|came| came.is_empty(), "one result for each number");
/// });
/// assert!(verdict.is_right(), "{verdict}");
/// # Ok::<(), PoolError>(())
/// ```
#[macro_export]
macro_rules! check {
    (|$check:ident| $body:block) => {
        $crate::check::run_of(
            ::std::stringify!($body),
            |$check: &mut $crate::check::Check<'_>| -> $crate::check::Outcome {
                $body;
                ::std::result::Result::Ok(())
            },
        )
    };
}

/// What a check's code gives: nothing, or the error of a `?`.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Carries out the check with this code, for [`check!`](macro@crate::check).
#[track_caller]
pub fn run_of<F>(code: &str, check: F) -> Verdict
where
    F: Fn(&mut Check<'_>) -> Outcome,
{
    let file = Location::caller().file();
    carry_out(TIME_LIMIT, check).about(stale::names_in(code, file))
}

/// Carries out a check.
pub fn run<F>(check: F) -> Verdict
where
    F: Fn(&mut Check<'_>) -> Outcome,
{
    run_within(TIME_LIMIT, check)
}

/// Like [`run`], with a time limit of its own.
///
/// `check` must capture nothing, which the compiler sees to.
pub fn run_within<F>(limit: Duration, check: F) -> Verdict
where
    F: Fn(&mut Check<'_>) -> Outcome,
{
    carry_out(limit, check).about(Vec::new())
}

fn carry_out<F>(limit: Duration, check: F) -> Verdict
where
    F: Fn(&mut Check<'_>) -> Outcome,
{
    let task = move |note: SharedSliceMut<'_, u8>| supervised(note, &check);
    in_worker(limit, Box::new(move |pool, note| pool.map(task, [note])))
}

/// How many checks passed, what came in place of what was expected where one failed, and remarks.
type Account = (usize, Option<String>, Vec<String>);

type Call<'c> =
    dyn FnOnce(View<'_>, SharedSliceMut<'_, u8>) -> Result<Vec<Account>, PoolError> + 'c;

/// Makes the call in a process of its own, and makes a verdict of whatever comes of it.
fn in_worker(limit: Duration, call: Box<Call<'_>>) -> Verdict {
    let attempt = || -> Result<_, PoolError> {
        let mut note = SharedArray::zeros(NOTE_BYTES)?;
        let pool = ProcessPool::new(1)?;
        let accounts = call(pool.time_limit(limit)?, note.slice_mut(0..NOTE_BYTES));
        Ok((accounts, Note::read(&note)))
    };
    match attempt() {
        Ok((Ok(accounts), note)) => match accounts.into_iter().next() {
            Some((0, None, _)) | None => {
                Verdict::unknown("there is nothing in this check".to_owned())
            }
            Some((checks, None, remarks)) => Verdict::right(checks, remarks),
            Some((_, Some(came), _)) => Verdict::wrong(note, came),
        },
        Ok((Err(error), note)) => match what_happened(&error, limit) {
            Some(came) => Verdict::wrong(note.of_no_end(), came),
            None => Verdict::unknown(error.to_string()),
        },
        Err(error) => Verdict::unknown(error.to_string()),
    }
}

/// What an answer did that was the end of its worker.
fn what_happened(error: &PoolError, limit: Duration) -> Option<String> {
    if error.is_timeout() {
        return Some(format!("no end after {limit:?}; it was stopped"));
    }
    let how = error.how_worker_was_lost()?;
    Some(format!("the end of the process that it ran in: {how}"))
}

/// Runs a check in the worker.
fn supervised(note: SharedSliceMut<'_, u8>, body: &dyn Fn(&mut Check<'_>) -> Outcome) -> Account {
    restrict();
    let mut check = Check {
        memory: note,
        note: Note::default(),
        passed: 0,
        came: None,
        remarks: Vec::new(),
    };
    let done = catch_unwind(AssertUnwindSafe(|| body(&mut check)));
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => check.fail(format_args!("an error: {error}")),
        Err(payload) => check.fail(format_args!("a panic: {}", panic_message(&*payload))),
    }
    (check.passed, check.came, check.remarks)
}

/// Keeps an answer from flooding the notebook and from taking all memory.
fn restrict() {
    // Where the system does not allow it, the check goes on without.
    if let Ok(nothing) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&nothing);
        let _ = dup2_stderr(&nothing);
    }
    let _ = setrlimit(Resource::RLIMIT_DATA, MEMORY_LIMIT, MEMORY_LIMIT);
}

/// What the code in [`check!`](macro@crate::check) works with: calls the answer, and looks at what
/// comes.
///
/// The first failure decides. After it, answers are not called any more.
#[derive(Debug)]
pub struct Check<'n> {
    memory: SharedSliceMut<'n, u8>,
    note: Note,
    passed: usize,
    came: Option<String>,
    remarks: Vec<String>,
}

impl<'n> Check<'n> {
    /// Says what is called next, as the reader would write it: `squares(&pool, vec![1, 2])`.
    pub fn on(&mut self, call: impl Display) -> &mut Self {
        self.write(|note| {
            note.call = short(format_args!("{call}"));
            note.expected.clear();
        })
    }

    /// Says what may help if one of the next checks fails: a question, or a [pair](Hint) of a
    /// question and the line that is told when the same check fails again. Empty: nothing.
    ///
    /// What [`Judged::when`] says of a mistake comes in its place.
    pub fn hint(&mut self, hint: impl Into<Hint>) -> &mut Self {
        let hint = hint.into();
        self.write(|note| note.set_hint(&hint))
    }

    /// Says what may help if one of the next calls never ends, or is the end of its process.
    pub fn hint_if_endless(&mut self, hint: &str) -> &mut Self {
        self.write(|note| note.endless = short_hint(hint))
    }

    /// Calls the answer; its result must equal `expected`.
    pub fn equal<R: Debug + PartialEq>(
        &mut self,
        expected: R,
        answer: impl FnOnce() -> R,
    ) -> Judged<'_, 'n, R> {
        if self.came.is_some() {
            return Judged::right(self);
        }
        self.write(|note| note.expected = short(format_args!("{expected:?}")));
        match self.run(answer) {
            Some(came) => {
                let words = short(format_args!("{came:?}"));
                self.judge(came == expected, &words, came)
            }
            None => Judged::wrong(self, None),
        }
    }

    /// Calls the answer; its result may differ from `expected` by a millionth of it, or by 1e-12.
    pub fn close(&mut self, expected: f64, answer: impl FnOnce() -> f64) -> Judged<'_, 'n, f64> {
        if self.came.is_some() {
            return Judged::right(self);
        }
        self.write(|note| note.expected = short(format_args!("{expected:?}")));
        match self.run(answer) {
            Some(came) => {
                let is_close = (came - expected).abs() <= 1e-12 + 1e-6 * expected.abs();
                let words = short(format_args!("{came:?}"));
                self.judge(is_close || came == expected, &words, came)
            }
            None => Judged::wrong(self, None),
        }
    }

    /// Checks something else about the answer: `expected` and `came` are words for the reader.
    pub fn that(
        &mut self,
        is_right: bool,
        expected: &str,
        came: impl Display,
    ) -> Judged<'_, 'n, ()> {
        if self.came.is_some() {
            return Judged::right(self);
        }
        self.write(|note| note.expected = short(format_args!("{expected}")));
        let words = short(format_args!("{came}"));
        self.judge(is_right, &words, ())
    }

    /// Says something about an answer that is right: what could be better.
    pub fn remark(&mut self, remark: impl Display) -> &mut Self {
        self.remarks.push(short_hint(&remark.to_string()));
        self
    }

    /// Calls the answer and gives its result. `None` if it panicked, which is a failure, and after
    /// an earlier failure.
    pub fn run<R>(&mut self, answer: impl FnOnce() -> R) -> Option<R> {
        if self.came.is_some() {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(answer)) {
            Ok(result) => Some(result),
            Err(payload) => {
                self.fail(format_args!("a panic: {}", panic_message(&*payload)));
                None
            }
        }
    }

    fn judge<R>(&mut self, is_right: bool, words: &str, came: R) -> Judged<'_, 'n, R> {
        if is_right {
            self.passed += 1;
            let passed = self.passed;
            self.write(|note| note.passed = passed);
            return Judged::right(self);
        }
        self.fail(format_args!("{words}"));
        Judged::wrong(self, Some(came))
    }

    /// Changes the hint after a failure.
    fn change_hint(&mut self, hint: &Hint) {
        self.note.set_hint(hint);
        self.note.write(&mut self.memory);
    }

    fn fail(&mut self, came: fmt::Arguments<'_>) {
        self.came.get_or_insert_with(|| short(came));
    }

    /// Changes the note, unless it is about a failure; the notebook sees it whatever happens next.
    fn write(&mut self, change: impl FnOnce(&mut Note)) -> &mut Self {
        if self.came.is_none() {
            change(&mut self.note);
            self.note.write(&mut self.memory);
        }
        self
    }
}
