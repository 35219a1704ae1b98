//! Checks for exercises: they look at what an answer does, where it can do no harm.
//!
//! [`check!`](macro@crate::check) runs the answer in a worker process of its own. So an answer that
//! panics, never ends, ends its process, fills the memory or prints without end gets a [`Verdict`]
//! like any other, and the notebook goes on.

mod probe;
mod verdict;

use std::error::Error;
use std::fmt::{self, Debug, Display, Write as _};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{dup2_stderr, dup2_stdout};

use crate::pool::processes::{ProcessPool, SharedArray, SharedSliceMut};
use crate::pool::remote::View;
use crate::pool::{PoolError, panic::panic_message};

pub use probe::Probe;
pub use verdict::Verdict;

/// How long all that a check does may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much memory of its own a checked answer may have, in bytes.
const MEMORY_LIMIT: u64 = 2 << 30;

/// Of a longer text only so many characters are shown.
const MOST_CHARACTERS: usize = 200;

/// Room for the four texts of a [`Note`] in UTF-8.
const NOTE_BYTES: usize = 4 * 4 * (MOST_CHARACTERS + 2);

/// Checks the answer to an exercise, and gives a [`Verdict`](crate::check::Verdict).
///
/// What stands in the braces runs in a worker process; it cannot use variables from outside, only
/// functions and constants. It gets a [`Check`](crate::check::Check), and `?` may be used. Whatever
/// goes wrong, the macro itself neither panics nor hangs: after 10 seconds the process is stopped. It
/// may have 2 GiB of memory, and what it prints is not shown.
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
///     check.hint("`pool.map(f, items)` calls `f` on each item");
///     check
///         .on("doubled(&pool, vec![1, 2, 3])")
///         .equal(vec![2, 4, 6], || doubled(&pool, vec![1, 2, 3]));
/// });
/// assert!(verdict.is_right(), "{verdict}");
/// # Ok::<(), PoolError>(())
/// ```
#[macro_export]
macro_rules! check {
    (|$check:ident| $body:block) => {
        $crate::check::run(
            |$check: &mut $crate::check::Check<'_>| -> $crate::check::Outcome {
                let () = $body;
                ::std::result::Result::Ok(())
            },
        )
    };
}

/// What a check's code gives: nothing, or the error of a `?`.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Carries out a check, for [`check!`](macro@crate::check).
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
    let task = move |note: SharedSliceMut<'_, u8>| supervised(note, &check);
    in_worker(limit, Box::new(move |pool, note| pool.map(task, [note])))
}

/// How many checks passed, and what came in place of what was expected where one failed.
type Account = (usize, Option<String>);

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
            Some((0, None)) | None => Verdict::unknown("there is nothing in this check".to_owned()),
            Some((checks, None)) => Verdict::right(checks),
            Some((_, Some(came))) => Verdict::wrong(note, came),
        },
        Ok((Err(error), note)) => match what_happened(&error, limit) {
            Some(came) => Verdict::wrong(note, came),
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
    };
    let done = catch_unwind(AssertUnwindSafe(|| body(&mut check)));
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => check.fail(format_args!("an error: {error}")),
        Err(payload) => check.fail(format_args!("a panic: {}", panic_message(&*payload))),
    }
    (check.passed, check.came)
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
}

impl Check<'_> {
    /// Says what is called next, as the reader would write it: `squares(&pool, vec![1, 2])`.
    pub fn on(&mut self, call: impl Display) -> &mut Self {
        self.write(|note| note.call = short(format_args!("{call}")))
    }

    /// Says what may help if one of the next checks fails. Empty: nothing.
    pub fn hint(&mut self, hint: impl Display) -> &mut Self {
        self.write(|note| note.hint = short(format_args!("{hint}")))
    }

    /// Calls the answer; its result must equal `expected`.
    pub fn equal<R: Debug + PartialEq>(&mut self, expected: R, answer: impl FnOnce() -> R) {
        self.write(|note| note.expected = short(format_args!("{expected:?}")));
        if let Some(came) = self.run(answer) {
            self.judge(came == expected, format_args!("{came:?}"));
        }
    }

    /// Calls the answer; its result may differ from `expected` by a millionth of it, or by 1e-12.
    pub fn close(&mut self, expected: f64, answer: impl FnOnce() -> f64) {
        self.write(|note| note.expected = short(format_args!("{expected:?}")));
        if let Some(came) = self.run(answer) {
            let is_close = (came - expected).abs() <= 1e-12 + 1e-6 * expected.abs();
            self.judge(is_close || came == expected, format_args!("{came:?}"));
        }
    }

    /// Checks something else about the answer: `expected` and `came` are words for the reader.
    pub fn that(&mut self, is_right: bool, expected: &str, came: impl Display) {
        if self.came.is_none() {
            self.write(|note| note.expected = short(format_args!("{expected}")));
            self.judge(is_right, format_args!("{came}"));
        }
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

    fn judge(&mut self, is_right: bool, came: fmt::Arguments<'_>) {
        if is_right {
            self.passed += 1;
            let passed = self.passed;
            self.write(|note| note.passed = passed);
        } else {
            self.fail(came);
        }
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

/// What is being checked. It lies in shared memory, so that it outlives the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Note {
    call: String,
    expected: String,
    hint: String,
    /// How many checks have passed so far.
    passed: usize,
}

/// Ends each text of a note; `short` leaves none in it.
const END: char = '\0';

impl Note {
    fn write(&self, memory: &mut [u8]) {
        let passed = self.passed.to_string();
        let texts = [&*self.call, &self.expected, &self.hint, &passed];
        let text = texts.map(|text| format!("{text}{END}"));
        for (place, byte) in memory.iter_mut().zip(text.concat().bytes()) {
            *place = byte;
        }
    }

    fn read(memory: &[u8]) -> Note {
        let text = String::from_utf8_lossy(memory);
        let mut texts = text.split(END).map(str::to_owned);
        let mut next = || texts.next().unwrap_or_default();
        Note {
            call: next(),
            expected: next(),
            hint: next(),
            passed: next().parse().unwrap_or(0),
        }
    }
}

/// The beginning of a text. A value that shows itself without end is not asked any further.
fn short(text: fmt::Arguments<'_>) -> String {
    let mut short = Short::default();
    // The error says that there is enough.
    let _ = short.write_fmt(text);
    short.text
}

#[derive(Default)]
struct Short {
    text: String,
    characters: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().filter(|&character| character != END) {
            if self.characters == MOST_CHARACTERS {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.characters += 1;
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_outlives_its_writer() {
        let mut memory = [0; NOTE_BYTES];
        let note = Note {
            call: short(format_args!("{}", "\u{1f600}".repeat(1000))),
            expected: String::new(),
            hint: short(format_args!("a{END}b")),
            passed: 12,
        };
        note.write(&mut memory);
        assert_eq!(Note::read(&memory), note);
        assert_eq!(
            (note.call.chars().count(), &*note.hint),
            (MOST_CHARACTERS + 1, "ab")
        );
        Note::default().write(&mut memory);
        assert_eq!(
            Note::read(&memory),
            Note::default(),
            "a shorter note hides a longer one"
        );
    }
}
