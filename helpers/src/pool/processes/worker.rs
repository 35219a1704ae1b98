//! The pool's side of one worker process: its start, its connection, its end.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::Signal;

use super::message::Order;
use super::serve::{NOTEBOOK_ENTRY, WORKER_NAME, WORKER_OF, notebook_entry};
use crate::pool::remote::board::{Board, now};
use crate::pool::remote::codec::Body;
use crate::pool::remote::crew::{Task, Watched};
use crate::pool::remote::output::{self, Relay};
use crate::pool::remote::printer::Stream;
use crate::pool::remote::ship::{self, Place};
use crate::pool::remote::wire::Connection;
use crate::{environment, notebook};

/// How long a worker that has closed its connection may take to end by itself, so that its own
/// account of its end is known.
const TIME_TO_END: Duration = Duration::from_millis(50);

/// How long a task with a time limit may take to begin.
const TIME_TO_BEGIN: Duration = Duration::from_secs(2);

/// Keeps a stock kernel's own program, which brings mimalloc along, from clearing memory at its start
/// for work that a worker never does: 0.8 of 3.3 ms. Cells and this crate use the system's
/// allocator.
const KERNEL_MEMORY: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The process was started and has not said a word.
    Starting,
    /// It was told what to set up.
    SettingUp,
    Ready,
}

/// A task that was sent to a worker.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) task: Task,
    pub(super) sequence: u32,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) number: usize,
    name: Arc<str>,
    pub(super) stage: Stage,
    pub(super) started: Instant,
    pub(super) link: Connection,
    pub(super) board: Arc<Board>,
    pub(super) outputs: [Relay; 2],
    /// Sent and not done, in the order in which the worker takes them.
    pub(super) sent: VecDeque<Sent>,
    /// The numbers of the functions that it knows.
    functions: HashSet<u32>,
    /// How many tasks it has done.
    pub(super) done: usize,
    /// When it was last seen to work.
    pub(super) last_used: Instant,
    epoch: u32,
    sequence: u32,
    process: Process,
}

impl Worker {
    /// Starts a process that will be a worker with these variables in its environment.
    pub(super) fn start(number: usize, environment: &[(OsString, OsString)]) -> io::Result<Worker> {
        let (here, there) = UnixStream::pair()?;
        let board = Board::new()?;
        let mut command = Command::new(own_program()?);
        command
            .arg0(WORKER_NAME)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(WORKER_OF, std::process::id().to_string())
            .stdin(OwnedFd::from(there))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if notebook::is_stock_kernel() {
            command.env(KERNEL_MEMORY.0, KERNEL_MEMORY.1);
        }
        let mut process = Process(command.spawn()?);
        // Closes our copy of the worker's end: or its death would not be noticed.
        drop(command);
        if notebook::is_notebook() {
            (&here).write_all(notebook_order()?.as_bytes())?;
        }
        let missing = || io::Error::other("a pipe that was asked for is missing");
        let out = process.0.stdout.take().ok_or_else(missing)?;
        let error = process.0.stderr.take().ok_or_else(missing)?;
        Ok(Worker {
            number,
            name: format!("worker {number}").into(),
            stage: Stage::Starting,
            started: Instant::now(),
            link: Connection::new(here, true),
            board,
            outputs: [
                Relay::new(out, Stream::Out)?,
                Relay::new(error, Stream::Error)?,
            ],
            sent: VecDeque::new(),
            functions: HashSet::new(),
            done: 0,
            last_used: Instant::now(),
            epoch: 0,
            sequence: 0,
            process,
        })
    }

    /// What errors call it.
    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// What is to be watched of it: its connection and its output.
    pub(super) fn watched(&self) -> impl Iterator<Item = Watched> {
        let mut events = PollFlags::POLLIN;
        if !self.link.is_flushed() {
            events |= PollFlags::POLLOUT;
        }
        let link = Watched {
            file: self.link.socket(),
            events,
        };
        let outputs = self.outputs.iter().filter_map(Relay::pipe);
        std::iter::once(link).chain(outputs.map(Watched::to_read))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.sent.is_empty()
    }

    /// Sends a task. After an error the worker is of no use; the task is among the sent ones.
    pub(super) fn send(&mut self, task: Task) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let order = Order::Run {
            function: task.function,
            epoch: self.epoch,
            sequence: self.sequence,
            items: task.items as u32,
            stop_at_failure: task.stop_at_failure,
            timed: task.time_limit.is_some(),
        };
        let result = self.link.put(&order, &task.body);
        self.last_used = Instant::now();
        self.sent.push_back(Sent {
            task,
            sequence: self.sequence,
        });
        result
    }

    /// Makes a function known, unless the worker knows it.
    pub(super) fn learn(&mut self, number: u32, place: &Place) -> io::Result<()> {
        if self.functions.insert(number) {
            let place = place.clone();
            self.link
                .put(&Order::Function { number, place }, &Body::default())?;
        }
        Ok(())
    }

    /// Sends the first message, with the board.
    pub(super) fn welcome(&mut self) -> io::Result<()> {
        let body = Body {
            files: vec![Arc::clone(self.board.file())],
            ..Body::default()
        };
        self.link.put(&Order::Welcome, &body)
    }

    /// How many of the sent tasks the worker has begun: none or one, as it takes them in turn.
    fn begun(&self, last: u32) -> usize {
        self.sent
            .iter()
            .position(|sent| sent.sequence == last)
            .map_or(0, |place| place + 1)
    }

    /// For how long the worker has been at its item; at none, for how long it has done nothing.
    pub(super) fn busy_for(&self) -> Duration {
        if self.is_at_work() {
            now().saturating_sub(self.board.since())
        } else {
            self.last_used.elapsed()
        }
    }

    /// Whether it has begun a task that is not done, as far as is known.
    pub(super) fn is_at_work(&self) -> bool {
        self.begun(self.board.begun()) > 0
    }

    /// How much longer it may be at its item, of which each may take `limit`. To begin a task it
    /// has a while more, as it may have to load the function first.
    pub(super) fn time_left(&self, limit: Duration) -> Duration {
        let limit = if self.is_at_work() {
            limit
        } else {
            limit.saturating_add(TIME_TO_BEGIN)
        };
        limit.saturating_sub(self.busy_for())
    }

    /// Takes back the tasks that the worker has not begun.
    pub(super) fn recall(&mut self) -> VecDeque<Sent> {
        let begun = self.begun(self.board.recall());
        self.epoch = self.epoch.wrapping_add(1);
        self.sent.split_off(begun)
    }

    /// The item in work, as its place in the list, if the worker has begun a task.
    pub(super) fn item_in_work(&self) -> Option<usize> {
        if !self.is_at_work() {
            return None;
        }
        let place = self.board.item().load(std::sync::atomic::Ordering::Relaxed);
        Some(self.sent.front()?.task.first_item? + place as usize)
    }

    pub(super) fn pass_on_output(&mut self, all: bool) {
        output::pass_on(&mut self.outputs, all);
    }

    /// Whether the process has ended, which the connection need not show: a process that a task
    /// has started may hold it open.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.0.try_wait(), Ok(None))
    }

    /// Asks the system to end the process, which it does soon.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.0.kill();
    }

    /// Ends the process, if it has not ended, and tells how it did.
    pub(super) fn end(&mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let status = loop {
            match self.process.0.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_micros(200)),
                other => break other,
            }
        };
        match status {
            Ok(Some(status)) => how(status),
            _ => {
                self.kill();
                let _ = self.process.0.wait();
                "it closed its connection to the pool, and was stopped".to_owned()
            }
        }
    }

    /// Ends the process when its connection is lost, and tells how it ended.
    pub(super) fn end_after_loss(&mut self) -> String {
        let how = self.end(TIME_TO_END);
        self.pass_on_output(true);
        how
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
        self.pass_on_output(true);
    }
}

/// A process that ends when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; waiting for it twice is harmless.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended, in words that follow "it".
fn how(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        let code = status.code().unwrap_or_default();
        return format!("it exited with status {code}");
    };
    let Ok(signal) = Signal::try_from(number) else {
        return format!("it was ended by signal {number}");
    };
    let why = match signal {
        Signal::SIGSEGV | Signal::SIGBUS => {
            ": it touched memory that is not its own, or its stack overflowed"
        }
        Signal::SIGABRT => {
            ": it aborted, as Rust does when memory runs out, a stack overflows, or a panic meets \
             another"
        }
        Signal::SIGKILL => ": somebody killed it, perhaps the system for want of memory",
        _ => "",
    };
    format!("it was ended by {signal}{why}")
}

/// The program that this process runs: the very file, though another may bear its name by now.
fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// What the kernel's program obeys when it runs as the process of the cells.
fn notebook_order() -> io::Result<String> {
    let place = ship::place_of(notebook_entry())
        .ok_or_else(|| io::Error::other("the library of this crate cannot be found"))?;
    let library = place.library.to_string_lossy().into_owned();
    Ok(format!("LOAD_AND_RUN {library} {NOTEBOOK_ENTRY}\n"))
}

/// Variables for workers: the threads that libraries start in each of them together fill the
/// cores, unless the user has chosen otherwise.
pub fn thread_settings(workers: usize) -> Vec<(OsString, OsString)> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = (cores / workers).max(1).to_string();
    environment::THREAD_SETTINGS
        .iter()
        .filter(|name| std::env::var_os(name).is_none())
        .map(|name| (name.into(), (&threads).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "it exited with status 3");
        assert!(how(ExitStatus::from_raw(9)).contains("SIGKILL"));
        assert!(how(ExitStatus::from_raw(11)).contains("stack overflowed"));
    }
}
