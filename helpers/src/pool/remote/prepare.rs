//! Makes a process ready for tasks: bad ends are plain, and panics are remembered for their error.

use std::any::Any;
use std::cell::RefCell;
use std::panic;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::last_words;
use crate::notebook;
use crate::pool::panic::panic_message;
use crate::pool::stack;

/// The thread that runs the tasks.
static SERVING: OnceLock<ThreadId> = OnceLock::new();

/// Prepares this thread for tasks: their panics are remembered, not reported.
pub fn prepare() {
    let _ = SERVING.set(thread::current().id());
    ignore_closed_pipes();
    if notebook::is_notebook() {
        die_plainly();
    }
    stack::watch_for_good("");
    let others = notebook::take_hook();
    panic::set_hook(Box::new(move |info| remember_panic(info, &others)));
}

/// Makes a write to a pipe that nobody reads an error, as it is in any program of Rust: in tests a
/// worker begins before the standard library has seen to that.
fn ignore_closed_pipes() {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: to ignore a signal runs no code of ours, and nobody here relies on its handler.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &ignore) };
}

/// Lets bad access to memory end this process as such. The kernel's program prints a page of its own
/// functions instead, and aborts.
fn die_plainly() {
    for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL] {
        // SAFETY: the default action runs no code of ours, and nobody here relies on the handler
        // that it replaces. A number that is no signal would be an error, which these are not.
        let _ = unsafe { sigaction(signal, &default_action()) };
    }
}

fn default_action() -> SigAction {
    SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
}

/// Remembers where a task panicked: its error will say so. Panics of other threads are reported.
fn remember_panic(info: &panic::PanicHookInfo<'_>, report: &notebook::Hook) {
    // In a notebook a line number of the kernel's own file says nothing.
    let place = info.location().filter(|_| !notebook::is_notebook());
    let place = place.map(|place| format!(" (at {place})"));
    if last_words::note_panic(info, place.as_deref().unwrap_or_default()) {
        return;
    }
    if SERVING.get() != Some(&thread::current().id()) {
        report(info);
        return;
    }
    PANIC_PLACE.set(place);
}

/// What is told of a panic that was caught: its message, and where it happened.
pub fn caught(payload: &(dyn Any + Send)) -> String {
    let place = PANIC_PLACE.take().unwrap_or_default();
    last_words::forget_panics();
    format!("{}{place}", panic_message(payload))
}

thread_local! {
    /// Where the last panic of this thread happened, in words to follow its message.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}
