//! What a worker has at hand while it works: the functions that it knows.

use std::collections::HashMap;
use std::io;
use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::thread::{self, ThreadId};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::board::Board;
use super::chunk_run::{Job, PANIC_PLACE};
use super::codec::{Body, ItemError, Reader, Writer};
use super::ship::{self, Entry, Place};
use crate::notebook;

/// The functions that a worker knows by their numbers.
#[derive(Debug, Default)]
pub struct Desk {
    functions: HashMap<u32, Entry>,
}

/// What a worker is asked to do with a body of items.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// The function's number.
    pub function: u32,
    /// How many items there are.
    pub items: u32,
    /// Whether the items after one that fails are of no use to anybody.
    pub stop_at_failure: bool,
    /// Whether somebody wants to know since when the item in work is at work.
    pub timed: bool,
}

impl Desk {
    /// Prepares this thread for tasks: their panics are remembered, not reported.
    pub fn open() -> Desk {
        let _ = SERVING.set(thread::current().id());
        ignore_closed_pipes();
        if notebook::is_notebook() {
            die_plainly();
        }
        let others = notebook::take_hook();
        panic::set_hook(Box::new(move |info| remember_panic(info, &others)));
        Desk::default()
    }

    /// Makes the function at `place` known by `number`, and loads its library if need be.
    ///
    /// # Errors
    /// The library cannot be loaded.
    ///
    /// # Safety
    /// As for [`ship::entry_at`].
    pub unsafe fn learn(&mut self, number: u32, place: &Place) -> io::Result<()> {
        // SAFETY: the caller's promise is that of `entry_at`.
        let entry = unsafe { ship::entry_at(place) }?;
        self.functions.insert(number, entry);
        Ok(())
    }

    /// Calls a function on each item of the body, and gives the body of results.
    ///
    /// # Errors
    /// The function is not known.
    pub fn call(&self, errand: Errand, body: Body, board: &Board) -> io::Result<Body> {
        let entry = self.functions.get(&errand.function);
        let entry = entry.ok_or_else(|| io::Error::other("a function that was not announced"))?;
        let since: Option<&AtomicU64> = errand.timed.then(|| board.since_word());
        let mut job = Job {
            items: errand.items as usize,
            arguments: Reader::new(body),
            results: Writer::default(),
            stop_at_failure: errand.stop_at_failure,
            item_in_work: board.item(),
            since,
        };
        entry(&mut job);
        Ok(job.results.finish())
    }

    /// Calls the pool's initializer; the inner error says why it failed.
    ///
    /// # Errors
    /// The function is not known.
    pub fn initialize(
        &self,
        function: u32,
        argument: Body,
        board: &Board,
    ) -> io::Result<Result<(), String>> {
        let errand = Errand {
            function,
            items: 1,
            stop_at_failure: true,
            timed: false,
        };
        let results = self.call(errand, argument, board)?;
        let done = Reader::new(results).read::<Result<(), ItemError>>();
        Ok(match done.map_err(ItemError::Argument) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(error.to_string()),
        })
    }
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
    if SERVING.get() != Some(&thread::current().id()) {
        report(info);
        return;
    }
    // In a notebook a line number of the kernel's own file says nothing.
    let place = info.location().filter(|_| !notebook::is_notebook());
    PANIC_PLACE.set(place.map(|place| format!(" (at {place})")));
}

/// The thread that runs the tasks.
static SERVING: OnceLock<ThreadId> = OnceLock::new();
