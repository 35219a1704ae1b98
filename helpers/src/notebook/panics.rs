//! How a panic is reported in a stock kernel. The course's own kernel
//! reports panics itself, in the same words.

use std::cell::Cell;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::evcxr::source_of_cell;
use super::runner::{self, is_stock_kernel};

/// Runs when the kernel loads this library, before the first cell that uses it.
///
/// A stock kernel asks for a backtrace with each panic: thirty lines of its own functions, in which
/// the one line that matters drowns.
extern "C" fn on_load() {
    if is_stock_kernel() {
        panic::set_hook(Box::new(report_panic));
    }
}

// SAFETY: the section holds pointers to functions that the loader calls without a usable
// argument. `on_load` is such a function: it ignores arguments, does not unwind (reading a
// variable, asking the loader for a name and boxing a function do not panic), and needs nothing that
// a program sets up in `main`.
#[used]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static ON_LOAD: extern "C" fn() = on_load;

thread_local! {
    static SOURCE_IS_KNOWN: Cell<bool> = const { Cell::new(true) };
}

/// Runs what may have been written in an earlier cell, whose source a stock kernel has overwritten
/// since: a panic in it is reported without a line of code.
pub(crate) fn without_source<R>(work: impl FnOnce() -> R) -> R {
    let before = SOURCE_IS_KNOWN.replace(false);
    let result = work();
    SOURCE_IS_KNOWN.set(before);
    result
}

/// How long it may take until a report is shown. A stock kernel passes stderr on in threads of its
/// own; if the cell ended first, the report would appear below the next cell. The course's kernel
/// waits by itself.
const TIME_TO_BE_SHOWN: Duration = Duration::from_millis(150);

/// When [`report_panic`] was last called; so there is nothing to wait for where it is not.
static LAST_REPORT: Mutex<Option<Instant>> = Mutex::new(None);

thread_local! {
    static OTHERS_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// For a worker's thread: whoever takes its results waits until its reports are shown, so that
/// it can go on to its next task.
pub(crate) fn let_others_wait() {
    OTHERS_WAIT.set(true);
}

/// Waits until the panics that were reported are to be seen. Call it where a failure reaches the
/// cell.
pub(crate) fn wait_for_reports() {
    let last = *LAST_REPORT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = last {
        thread::sleep(TIME_TO_BE_SHOWN.saturating_sub(last.elapsed()));
    }
}

/// What a process reports panics with.
pub(crate) type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Takes the hook that reports panics, to be called by another one.
pub(crate) fn take_hook() -> Hook {
    match runner::get() {
        Some(_) => panic::take_hook(),
        None => Box::new(report_panic),
    }
}

/// Writes the message and the line of code that panicked, and nothing else.
fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let worker = match thread::current().name() {
        Some(name) if name != "main" => format!(" in {name}"),
        _ => String::new(),
    };
    let place = info
        .location()
        .map(|at| place(at.file(), at.line()))
        .unwrap_or_default();
    // One write, so that the lines of several workers stay apart.
    let report = format!("panicked{worker}: {message}\n  at {place}\n");
    let _ = io::stderr().write_all(report.as_bytes());
    *LAST_REPORT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    if !OTHERS_WAIT.get() {
        wait_for_reports();
    }
}

/// The place of a panic: the line of code itself where it is the cell's, else file and line.
fn place(file: &str, line: u32) -> String {
    let cell = SOURCE_IS_KNOWN
        .get()
        .then(|| source_of_cell(file))
        .flatten();
    let code = cell
        .as_deref()
        .and_then(|text| text.lines().nth((line as usize).checked_sub(1)?));
    match code {
        Some(code) => format!("`{}`", code.trim()),
        None => format!("{file}:{line}"),
    }
}
