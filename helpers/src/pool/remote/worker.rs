//! A worker's part: carries out what its pool orders, and reports what came of it.
//!
//! It is written once for worker processes and for ranks, which differ in their way to the pool.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::panic;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::chunk_run::{ChunkRun, PANIC_PLACE};
use super::code_ref::{self, CodeRef, Entry};
use super::codec::{Body, ItemError, Reader, Writer};
use super::last_words::{self, Kept};
use super::protocol::{CallSpec, Order, Report};
use super::scoreboard::{Scoreboard, now};
use super::shared_value::KeptValue;
use crate::notebook;
use crate::pool::stack;
use crate::timing::cpu_time;

/// The processor time of shorter tasks is written down when there is nothing else to do.
const NOTABLE: Duration = Duration::from_micros(100);

/// A worker's way to its pool.
pub trait PoolLink {
    /// Takes the next order, if one has come.
    fn take(&mut self) -> io::Result<Option<(Order, Body)>>;

    /// Waits until an order may have come; false if the pool is gone.
    fn wait(&mut self) -> io::Result<bool>;

    /// Says something to the pool, and sees to it that it goes.
    fn report(&mut self, report: &Report, body: Body) -> io::Result<()>;

    /// Where on this host the function is, whose library had that length where it comes from.
    fn find(&mut self, function: &CodeRef, _length: Option<u64>) -> io::Result<CodeRef> {
        Ok(function.clone())
    }

    /// The library of a function that was found elsewhere than it was said to be is loaded, or
    /// cannot be.
    fn loaded(&mut self, _function: &CodeRef) {}
}

/// Works until the pool is gone.
///
/// # Errors
/// The way to the pool is broken, or the pool orders what makes no sense.
pub fn work(link: &mut dyn PoolLink) -> io::Result<()> {
    prepare();
    let mut worker = Worker {
        link,
        functions: FunctionTable::default(),
        values: HashMap::new(),
        scoreboard: None,
        shares_scoreboard: false,
    };
    loop {
        while let Some((order, body)) = worker.link.take()? {
            worker.carry_out(order, body)?;
        }
        if let Some(scoreboard) = worker
            .scoreboard
            .as_ref()
            .filter(|_| worker.shares_scoreboard)
        {
            scoreboard.board().set_cpu_time(cpu_time());
        }
        if !worker.link.wait()? {
            return Ok(());
        }
    }
}

struct Worker<'l> {
    link: &'l mut dyn PoolLink,
    functions: FunctionTable,
    /// The values that go along with tasks, by their numbers.
    values: HashMap<u32, KeptValue>,
    scoreboard: Option<Kept>,
    /// Whether the pool reads the scoreboard.
    shares_scoreboard: bool,
}

impl Worker<'_> {
    fn carry_out(&mut self, order: Order, mut body: Body) -> io::Result<()> {
        let (report, body) = match order {
            Order::Welcome { scoreboard } => {
                let shared = open_scoreboard(body.files.pop(), scoreboard);
                self.shares_scoreboard = shared.is_some();
                let shares_scoreboard = self.shares_scoreboard;
                let scoreboard = shared.map_or_else(own_scoreboard, Ok)?;
                self.scoreboard = Some(Kept::new(scoreboard, shares_scoreboard));
                (Report::Welcomed { shares_scoreboard }, Body::default())
            }
            Order::Function {
                number,
                code,
                length,
            } => match self.learn(number, &code, length) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let why = format!("{:?} cannot be loaded: {error}", code.library);
                    (Report::Failed(why), Body::default())
                }
            },
            Order::Initialize { function } => {
                let done = self
                    .functions
                    .initialize(function, body, self.scoreboard()?)?;
                let report = match done {
                    Ok(()) => Report::Initialized,
                    Err(why) => Report::Failed(why),
                };
                (report, Body::default())
            }
            Order::Value { number } => {
                self.values.insert(number, KeptValue::Bytes(body));
                return Ok(());
            }
            Order::Forget { number } => {
                self.values.remove(&number);
                return Ok(());
            }
            Order::Run {
                call,
                epoch,
                sequence,
            } => match self.run(call, epoch, sequence, body)? {
                Some(done) => done,
                None => return Ok(()),
            },
        };
        self.link.report(&report, body)
    }

    /// Runs a task; `None` if the pool has taken it back.
    fn run(
        &mut self,
        call: CallSpec,
        epoch: u32,
        sequence: u32,
        body: Body,
    ) -> io::Result<Option<(Report, Body)>> {
        let scoreboard = self.scoreboard.as_ref().map(Kept::board);
        let scoreboard = scoreboard.ok_or_else(no_scoreboard)?;
        // On a scoreboard of its own nobody takes tasks back.
        let epoch = if self.shares_scoreboard { epoch } else { 0 };
        if !scoreboard.begin(epoch, sequence) {
            return Ok(None);
        }
        let began = scoreboard.since().as_nanos() as u64;
        let value = call.value.and_then(|number| self.values.get_mut(&number));
        let results = self.functions.call(call, body, scoreboard, value)?;
        let ended = now().as_nanos() as u64;
        let mut used = None;
        if !self.shares_scoreboard {
            let (user, system) = cpu_time();
            used = Some((user.as_nanos() as u64, system.as_nanos() as u64));
        } else if ended.saturating_sub(began) >= NOTABLE.as_nanos() as u64 {
            // Whoever measures a call sees it with its result.
            scoreboard.set_cpu_time(cpu_time());
        }
        let done = Report::Done {
            sequence,
            began,
            ended,
            cpu_time: used,
        };
        Ok(Some((done, results)))
    }

    fn learn(&mut self, number: u32, code: &CodeRef, length: Option<u64>) -> io::Result<()> {
        let here = self.link.find(code, length)?;
        // SAFETY: the pool found the code in a process of the same program, or with the same
        // library of a notebook's cell loaded: this process was started from its program, and the
        // library is either the very file or has come from there byte for byte.
        let learned = unsafe { self.functions.learn(number, &here) };
        if here != *code {
            self.link.loaded(&here);
        }
        learned
    }

    fn scoreboard(&self) -> io::Result<&Scoreboard> {
        let scoreboard = self.scoreboard.as_ref().map(Kept::board);
        scoreboard.ok_or_else(no_scoreboard)
    }
}

fn no_scoreboard() -> io::Error {
    io::Error::other("a task before the welcome")
}

/// The scoreboard in this file, or in the one of this name.
fn open_scoreboard(
    file: Option<Arc<std::os::fd::OwnedFd>>,
    path: Option<PathBuf>,
) -> Option<Scoreboard> {
    let file = file.or_else(|| {
        let file = File::options().read(true).write(true).open(path?).ok()?;
        Some(Arc::new(file.into()))
    });
    Scoreboard::open(file?).ok()
}

/// A scoreboard that nobody else sees.
fn own_scoreboard() -> io::Result<Scoreboard> {
    Scoreboard::open(Arc::clone(Scoreboard::new()?.file()))
}

/// The functions that a worker knows by their numbers.
#[derive(Debug, Default)]
struct FunctionTable {
    entries: HashMap<u32, Entry>,
}

impl FunctionTable {
    /// Makes the function at `code` known by `number`, and loads its library if need be.
    ///
    /// # Errors
    /// The library cannot be loaded.
    ///
    /// # Safety
    /// As for [`code_ref::load`].
    unsafe fn learn(&mut self, number: u32, code: &CodeRef) -> io::Result<()> {
        // SAFETY: the caller's promise is that of `load`.
        let entry = unsafe { code_ref::load::<Entry>(code) }?;
        self.entries.insert(number, entry);
        Ok(())
    }

    /// Calls a function on each item of the body, and gives the body of results.
    ///
    /// # Errors
    /// The function is not known.
    fn call(
        &self,
        call: CallSpec,
        body: Body,
        scoreboard: &Scoreboard,
        value: Option<&mut KeptValue>,
    ) -> io::Result<Body> {
        let entry = self.entries.get(&call.function);
        let entry = entry.ok_or_else(|| io::Error::other("a function that was not announced"))?;
        let since: Option<&AtomicU64> = call.timed.then(|| scoreboard.since_word());
        let mut run = ChunkRun {
            items: call.items as usize,
            arguments: Reader::new(body),
            results: Writer::default(),
            stop_at_failure: call.stop_at_failure,
            item_in_work: scoreboard.item(),
            since,
            value,
        };
        entry(&mut run);
        Ok(run.results.finish())
    }

    /// Calls the pool's initializer; the inner error says why it failed.
    ///
    /// # Errors
    /// The function is not known.
    fn initialize(
        &self,
        function: u32,
        argument: Body,
        scoreboard: &Scoreboard,
    ) -> io::Result<Result<(), String>> {
        let call = CallSpec {
            function,
            items: 1,
            stop_at_failure: true,
            timed: false,
            value: None,
        };
        let results = self.call(call, argument, scoreboard, None)?;
        let done = Reader::new(results).read::<Result<(), ItemError>>();
        Ok(match done.map_err(ItemError::Argument) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(error.to_string()),
        })
    }
}

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

/// The thread that runs the tasks.
static SERVING: OnceLock<ThreadId> = OnceLock::new();
