//! The program that runs the cells of the course's own kernel, as the libraries see it that it loads.
//!
//! It exports one structure, which tells whether the reader has interrupted the cell, and asks the
//! reader. A stock kernel and a program have none.

use std::ffi::c_void;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;

use super::evcxr::is_notebook;

/// The version of the structure that this crate knows.
const VERSION: u32 = 1;

/// A longer answer of the reader's is cut.
const LONGEST_ANSWER: usize = 1 << 20;

/// Whether this code runs in a kernel other than the course's own.
pub fn is_stock_kernel() -> bool {
    is_notebook() && get().is_none()
}

/// What the program that runs cells exports as `COURSE_RUNNER`.
#[repr(C)]
pub struct Runner {
    /// Of this structure.
    version: u32,
    /// 1 where the process runs a notebook's cells, 0 in a worker process or an MPI rank.
    runs_cells: AtomicU32,
    /// How often the reader has interrupted the cell that runs; 0 again when the next one begins.
    pub(crate) interrupts: AtomicU32,
    /// Asks the reader for a line: the prompt and its length, whether the answer is hidden, and room
    /// for it. Gives the length of the answer, or one of the numbers below.
    ask: Ask,
}

/// See [`Runner`].
pub type Ask = extern "C" fn(*const u8, usize, u32, *mut u8, usize) -> isize;

/// What [`Ask`] gives if the reader interrupts the cell instead of giving an answer. Any other number
/// below 0 says that nobody can be asked.
const INTERRUPTED: isize = -2;

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Line(String),
    Nobody,
    Interrupted,
}

static RUNNER: OnceLock<Option<&'static Runner>> = OnceLock::new();

/// The runner of this process: it runs the cells of a notebook, or it is a worker or a rank of one.
pub(crate) fn get() -> Option<&'static Runner> {
    *RUNNER.get_or_init(find)
}

/// The runner, where this process runs a notebook's cells.
pub(crate) fn of_cells() -> Option<&'static Runner> {
    get().filter(|runner| runner.runs_cells.load(Ordering::Relaxed) == 1)
}

/// For tests, before anything else: takes `runner` for the one of this process.
pub fn pretend(runner: &'static Runner) {
    let is_first = RUNNER.set(Some(runner)).is_ok();
    assert!(is_first, "it is known already who runs this process");
}

fn find() -> Option<&'static Runner> {
    if !is_notebook() {
        return None;
    }
    // SAFETY: the name is a C string. The loader looks it up in what is loaded, and runs nothing.
    let found: *mut c_void = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"COURSE_RUNNER".as_ptr()) };
    // SAFETY: whoever exports this name begins the structure with its version, and keeps it in memory
    // as long as the process lives.
    let version = unsafe { found.cast::<u32>().as_ref() }?;
    if *version != VERSION {
        return None;
    }
    // SAFETY: of this version the structure is the one above. What changes in it is atomic.
    unsafe { found.cast::<Runner>().as_ref() }
}

impl Runner {
    /// A runner for tests.
    pub const fn new(runs_cells: bool, ask: Ask) -> Runner {
        Runner {
            version: VERSION,
            runs_cells: AtomicU32::new(runs_cells as u32),
            interrupts: AtomicU32::new(0),
            ask,
        }
    }

    /// For tests: how often the reader has interrupted the cell.
    pub fn set_interrupts(&self, count: u32) {
        self.interrupts.store(count, Ordering::Relaxed);
    }

    /// Asks the reader for a line.
    pub(crate) fn ask(&self, prompt: &str) -> Answer {
        let mut answer = vec![0; LONGEST_ANSWER];
        let count = (self.ask)(
            prompt.as_ptr(),
            prompt.len(),
            0,
            answer.as_mut_ptr(),
            answer.len(),
        );
        match usize::try_from(count) {
            Ok(count) => {
                answer.truncate(count);
                Answer::Line(String::from_utf8_lossy(&answer).into_owned())
            }
            Err(_) if count == INTERRUPTED => Answer::Interrupted,
            Err(_) => Answer::Nobody,
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner(version {})", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn echo(
        prompt: *const u8,
        length: usize,
        hidden: u32,
        answer: *mut u8,
        room: usize,
    ) -> isize {
        assert!(hidden == 0 && room >= length);
        // SAFETY: the caller gives a text of this length, and there is room for it.
        unsafe { std::ptr::copy_nonoverlapping(prompt, answer, length) };
        length as isize
    }

    extern "C" fn says<const NUMBER: isize>(
        _: *const u8,
        _: usize,
        _: u32,
        _: *mut u8,
        _: usize,
    ) -> isize {
        NUMBER
    }

    #[test]
    fn asks_and_understands() {
        let asked = |ask| Runner::new(true, ask).ask("naïve? ");
        assert_eq!(asked(echo), Answer::Line("naïve? ".to_owned()));
        assert_eq!(asked(says::<0>), Answer::Line(String::new()));
        assert_eq!(asked(says::<-1>), Answer::Nobody);
        assert_eq!(asked(says::<-2>), Answer::Interrupted);
    }

    #[test]
    fn programs_have_no_runner() {
        assert!(get().is_none() && of_cells().is_none());
    }
}
