//! A worker's part: carries out what its pool orders, and reports what came of it.
//!
//! It is written once for worker processes and for ranks, which differ in their way to the pool. A
//! function comes as an [`Entry`]: the one piece of code that knows its types, and calls it on
//! each item of a chunk.

use std::any::{Any, type_name};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::code_ref::{self, CodeRef, assert_captures_nothing, conjure};
use super::codec::{Body, ItemError, Reader, Writer};
use super::last_words::Kept;
use super::prepare::{caught, prepare};
use super::protocol::{CallSpec, Order, Report};
use super::scoreboard::{Scoreboard, now};
use super::shared_value::KeptValue;
use super::transport::PoolLink;
use super::worker_value::keep_value;
use crate::timing::cpu_time;

/// The processor time of shorter tasks is written down when there is nothing else to do.
const NOTABLE: Duration = Duration::from_micros(100);

/// Works until the pool is gone.
///
/// # Errors
/// The way to the pool is broken, or the pool orders what makes no sense.
pub fn work(link: &mut dyn PoolLink) -> io::Result<()> {
    prepare();
    let mut worker = Worker {
        link,
        functions: HashMap::new(),
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
    /// The functions that the pool names by their numbers.
    functions: HashMap<u32, Entry>,
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
            Order::Function { number, code } => match self.learn(number, &code) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let why = format!("{:?} cannot be loaded: {error}", code.library);
                    (Report::Failed(why), Body::default())
                }
            },
            Order::Initialize { function } => {
                let report = match self.initialize(function, body)? {
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
        // What a task has printed must be on its way before its result is.
        let _ = io::stdout().flush();
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
        let entry = self.function(call.function)?;
        let scoreboard = self.scoreboard.as_ref().map(Kept::board);
        let scoreboard = scoreboard.ok_or_else(no_scoreboard)?;
        // On a scoreboard of its own nobody takes tasks back.
        let epoch = if self.shares_scoreboard { epoch } else { 0 };
        if !scoreboard.begin(epoch, sequence) {
            return Ok(None);
        }
        let began = scoreboard.since().as_nanos() as u64;
        let mut run = ChunkRun {
            items: call.items as usize,
            arguments: Reader::new(body),
            results: Writer::default(),
            stop_at_failure: call.stop_at_failure,
            scoreboard,
            timed: call.timed,
            value: call.value.and_then(|number| self.values.get_mut(&number)),
        };
        entry(&mut run);
        let results = run.results.finish();
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

    /// Calls the pool's initializer; the inner error says why it failed.
    fn initialize(&mut self, function: u32, argument: Body) -> io::Result<Result<(), String>> {
        let entry = self.function(function)?;
        let scoreboard = self.scoreboard.as_ref().map(Kept::board);
        let mut run = ChunkRun {
            items: 1,
            arguments: Reader::new(argument),
            results: Writer::default(),
            stop_at_failure: true,
            scoreboard: scoreboard.ok_or_else(no_scoreboard)?,
            timed: false,
            value: None,
        };
        entry(&mut run);
        let done = Reader::new(run.results.finish()).read::<Result<(), ItemError>>();
        let done = done.map_err(ItemError::Argument).flatten();
        Ok(done.map_err(|error| error.to_string()))
    }

    /// Makes the function at `code` known by `number`, and loads its library if need be.
    fn learn(&mut self, number: u32, code: &CodeRef) -> io::Result<()> {
        let here = self.link.find(code)?;
        // SAFETY: the pool found the code in a process of the same program, or with the same
        // library of a notebook's cell loaded: this process was started from its program, and the
        // library is either the very file or has come from there byte for byte.
        let entry = unsafe { code_ref::load::<Entry>(&here) };
        if here != *code {
            self.link.loaded(&here);
        }
        self.functions.insert(number, entry?);
        Ok(())
    }

    fn function(&self, number: u32) -> io::Result<Entry> {
        let entry = self.functions.get(&number).copied();
        entry.ok_or_else(|| io::Error::other("a function that was not announced"))
    }
}

fn no_scoreboard() -> io::Error {
    io::Error::other("a task before the welcome")
}

/// The scoreboard in this file, or in the one of this name.
fn open_scoreboard(file: Option<Arc<OwnedFd>>, path: Option<PathBuf>) -> Option<Scoreboard> {
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

/// The code of one chunk: takes the items out of the run, calls the function on each, and puts
/// the results in.
pub(crate) type Entry = fn(&mut ChunkRun<'_>);

/// The entry that runs `F` on chunks of items.
pub(super) fn entry<F, A, R>() -> Entry
where
    F: Fn(A) -> R,
    A: DeserializeOwned,
    R: Serialize,
{
    const { assert_captures_nothing::<F>() }
    // SAFETY: it captures nothing, and the caller of `entry` had one.
    |run| run_chunk(unsafe { conjure::<F>() }, run)
}

/// The entry that runs `F` on the value that goes along and on chunks of items.
pub(super) fn entry_with<F, V, A, R>() -> Entry
where
    F: Fn(&V, A) -> R,
    V: DeserializeOwned,
    A: DeserializeOwned,
    R: Serialize,
{
    const { assert_captures_nothing::<F>() }
    // SAFETY: as in `entry`; and the number of a value goes with entries for its type alone, since
    // only a `With` of that type knows it.
    |run| unsafe { run_chunk_with(conjure::<F>(), run) }
}

/// The entry that runs `F` once and keeps its value for the tasks of the worker.
pub(super) fn initializer_entry<F, A, V>() -> Entry
where
    F: Fn(A) -> V,
    A: DeserializeOwned,
    V: Any + Send + Sync,
{
    const { assert_captures_nothing::<F>() }
    |run| {
        // SAFETY: as in `entry`.
        let f = unsafe { conjure::<F>() };
        run_chunk(|argument| keep_value(Box::new(f(argument))), run);
    }
}

/// A chunk of items in a worker.
#[derive(Debug)]
pub(crate) struct ChunkRun<'w> {
    items: usize,
    arguments: Reader,
    results: Writer,
    /// Whether the items after one that fails are of no use to anybody.
    stop_at_failure: bool,
    /// Tells the pool which item of the chunk is in work, should this process die of it.
    scoreboard: &'w Scoreboard,
    /// Whether it is told since when, as the items have a time limit.
    timed: bool,
    /// What goes along with each item.
    value: Option<&'w mut KeptValue>,
}

/// Calls `f` on each item of the run.
fn run_chunk<A, R>(f: impl Fn(A) -> R, run: &mut ChunkRun<'_>)
where
    A: DeserializeOwned,
    R: Serialize,
{
    run_items(run, &mut |arguments, results| {
        run_one(&f, arguments, results)
    });
}

/// Calls `f` on the value that goes along, and each item of the run.
///
/// # Safety
/// The value that goes along is a `V`, but for lifetimes.
unsafe fn run_chunk_with<V, A, R>(f: impl Fn(&V, A) -> R, run: &mut ChunkRun<'_>)
where
    V: DeserializeOwned,
    A: DeserializeOwned,
    R: Serialize,
{
    let value = match run.value.take() {
        // SAFETY: the caller says so.
        Some(kept) => unsafe { kept.get::<V>() },
        None => Err("it did not come along".to_owned()),
    };
    run_items(run, &mut |arguments, results| {
        let value = value.as_ref();
        let value = value.map_err(|why| (Value::Argument, type_name::<V>(), why.clone()))?;
        run_one(|argument| f(value, argument), arguments, results)
    });
}

/// Reads an argument, calls `f` on it and writes its result.
fn run_one<A, R>(
    f: impl Fn(A) -> R,
    arguments: &mut Reader,
    results: &mut Writer,
) -> Result<(), Unusable>
where
    A: DeserializeOwned,
    R: Serialize,
{
    let argument = arguments
        .read::<A>()
        .map_err(|why| (Value::Argument, type_name::<A>(), why))?;
    results
        .write_ok(&f(argument))
        .map_err(|why| (Value::Result, type_name::<R>(), why))
}

/// What could not be read or written, its type, and why.
type Unusable = (Value, &'static str, String);

enum Value {
    Argument,
    Result,
}

/// What is to be done for each item.
type Call<'f> = dyn FnMut(&mut Reader, &mut Writer) -> Result<(), Unusable> + 'f;

/// Makes the call for each item of the run, and writes down why one failed.
fn run_items(run: &mut ChunkRun<'_>, call: &mut Call<'_>) {
    for item in 0..run.items {
        run.scoreboard.begin_item(item, run.timed);
        let start = run.results.len();
        let Err(error) = run_item(run, call) else {
            continue;
        };
        run.results.truncate(start);
        // What an error holds can always be written, unless memory has run out: then the chunk's
        // results are too short, and the pool says so.
        let _ = run.results.write::<Result<(), ItemError>>(&Err(error));
        if run.stop_at_failure {
            break;
        }
    }
}

fn run_item(run: &mut ChunkRun<'_>, call: &mut Call<'_>) -> Result<(), ItemError> {
    // Reading and writing values may run the user's code, so they are guarded as well.
    let done = catch_unwind(AssertUnwindSafe(|| {
        call(&mut run.arguments, &mut run.results)
    }));
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err((value, name, why))) => Err(match value {
            Value::Argument => ItemError::Argument(format!("{name}: {why}")),
            Value::Result => ItemError::Result(format!("{name}: {why}")),
        }),
        Err(payload) => Err(ItemError::Panic(caught(&*payload))),
    }
}
