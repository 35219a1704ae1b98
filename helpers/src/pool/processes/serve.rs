//! The worker's side: a process that waits for orders and carries them out.

use std::any::Any;
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::OnceLock;
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

use super::board::{Board, now};
use super::chunk_run::{ItemError, Job, PANIC_PLACE};
use super::codec::{Body, Bytes, Reader, Writer};
use super::message::{Order, Report};
use super::parcel;
use super::ship::{self, Entry};
use super::wire::{Arrival, Connection};
use crate::{notebook, timing};

/// How long a worker looks for its next task before it sleeps. Waking a sleeping process costs
/// several microseconds; looking costs processor time.
pub(super) const LOOKING: Duration = Duration::from_micros(50);

/// After so long without a task, memory that is kept for the next one is given back.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// What workers call themselves.
pub(super) const WORKER_NAME: &str = "helpers-worker";

/// Names the process whose worker this one is, for programs.
pub(super) const WORKER_OF: &str = "HELPERS_WORKER_OF";

/// The function that a notebook's worker is told to run.
pub(super) const NOTEBOOK_ENTRY: &str = "helpers_process_pool_worker";

/// Where a worker in a notebook begins: the kernel's own program calls it when it is told to.
///
/// The argument is the kernel's store of variables, of which a worker has none.
// SAFETY: no other crate defines a function of this name.
#[unsafe(no_mangle)]
extern "C" fn helpers_process_pool_worker(
    _variables: *mut std::ffi::c_void,
) -> *mut std::ffi::c_void {
    serve()
}

pub(super) fn notebook_entry() -> *const std::ffi::c_void {
    helpers_process_pool_worker as *const std::ffi::c_void
}

/// Turns this process into a worker whose standard input is the connection to its pool.
pub(super) fn serve() -> ! {
    let result = connection().and_then(|link| Server::new(link).run());
    if let Err(error) = result {
        eprintln!("a worker of a ProcessPool ends: {error}");
    }
    process::exit(1)
}

/// Takes the connection out of the standard input's place: tasks find an empty input there.
fn connection() -> io::Result<Connection> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let nothing = fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(nothing)?;
    end_with_the_pool(socket.try_clone()?)?;
    Ok(Connection::new(socket, false))
}

/// Ends this process when the pool's end of the connection closes, whatever a task is doing.
fn end_with_the_pool(socket: OwnedFd) -> io::Result<()> {
    let watch = move || loop {
        // Hang-ups are told whether they are asked for or not.
        let mut about = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        match poll(&mut about, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Without a way to watch, the main thread's reading is what is left.
            Err(_) => return,
        }
        let hung_up = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if about[0]
            .revents()
            .is_some_and(|events| events.intersects(hung_up))
        {
            // Nobody is left who could want anything; a task may be stuck, so nothing is asked.
            let _ = raise(Signal::SIGKILL);
        }
    };
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(watch)?;
    Ok(())
}

struct Server {
    link: Connection,
    board: Option<Board>,
    functions: HashMap<u32, Entry>,
}

impl Server {
    fn new(link: Connection) -> Server {
        Server {
            link,
            board: None,
            functions: HashMap::new(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        let _ = SERVING.set(thread::current().id());
        if notebook::is_notebook() {
            die_plainly();
        }
        panic::set_hook(Box::new(remember_panic));
        self.report(&Report::Up, Body::default())?;
        loop {
            while let Some((order, body)) = self.link.take()? {
                self.carry_out(order, body)?;
            }
            if let Some(board) = &self.board {
                board.set_cpu_time(timing::cpu_time());
            }
            if self.wait()? == Arrival::Closed {
                process::exit(0);
            }
        }
    }

    /// Waits for orders: awake for a moment, then asleep.
    fn wait(&mut self) -> io::Result<Arrival> {
        let start = Instant::now();
        loop {
            match self.link.receive(false)? {
                Arrival::Nothing => {}
                arrival => return Ok(arrival),
            }
            if start.elapsed() < LOOKING {
                thread::yield_now();
            } else {
                let idle = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::MAX);
                if !parcel::is_tidy() && !self.sleep(idle)? {
                    parcel::tidy();
                }
                self.sleep(PollTimeout::NONE)?;
            }
        }
    }

    /// Sleeps until there is something to receive; false if the time is over before.
    fn sleep(&self, limit: PollTimeout) -> io::Result<bool> {
        let socket = self.link.socket();
        let mut about = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut about, limit) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn report(&mut self, report: &Report, body: Body) -> io::Result<()> {
        // What a task has printed must be on its way before its result is.
        let _ = io::stdout().flush();
        self.link.put(report, &body)?;
        if let Bytes::Parcel(parcel, _) = body.bytes {
            // The pool will say when it has read it.
            parcel.leave();
        }
        self.link.flush(true)
    }

    fn carry_out(&mut self, order: Order, mut body: Body) -> io::Result<()> {
        match order {
            Order::Welcome => {
                let file = body.files.pop();
                self.board = file.map(Board::open).transpose()?;
            }
            Order::Function { number, place } => {
                // SAFETY: the pool made the place in a process of the same program: it has
                // started this one from its own program file.
                let entry = unsafe { ship::entry_at(&place) };
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        let why = format!("{:?} cannot be loaded: {error}", place.library);
                        return self.report(&Report::Failed(why), Body::default());
                    }
                };
                self.functions.insert(number, entry);
            }
            Order::Initialize { function } => {
                let results = self.call(function, 1, (true, false), body)?;
                let done = Reader::new(results).read::<Result<(), ItemError>>();
                let report = match done.map_err(ItemError::Argument) {
                    Ok(Ok(())) => Report::Ready,
                    Ok(Err(error)) | Err(error) => Report::Failed(error.to_string()),
                };
                self.report(&report, Body::default())?;
            }
            Order::Run {
                function,
                epoch,
                sequence,
                items,
                stop_at_failure,
                timed,
            } => {
                let board = self
                    .board
                    .as_ref()
                    .ok_or_else(|| io::Error::other("no board"))?;
                if board.begin(epoch, sequence) {
                    let began = board.since().as_nanos() as u64;
                    let results = self.call(function, items, (stop_at_failure, timed), body)?;
                    let ended = now().as_nanos() as u64;
                    self.report(
                        &Report::Done {
                            sequence,
                            began,
                            ended,
                        },
                        results,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn call(
        &self,
        function: u32,
        items: u32,
        (stop_at_failure, timed): (bool, bool),
        body: Body,
    ) -> io::Result<Body> {
        let entry = self.functions.get(&function);
        let entry = entry.ok_or_else(|| io::Error::other("a function that was not announced"))?;
        let board = self
            .board
            .as_ref()
            .ok_or_else(|| io::Error::other("no board"))?;
        let mut job = Job {
            items: items as usize,
            arguments: Reader::new(body),
            results: Writer::default(),
            stop_at_failure,
            item_in_work: board.item(),
            since: timed.then(|| board.since_word()),
        };
        entry(&mut job);
        Ok(job.results.finish())
    }
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

/// Remembers where a task panicked: its error will say so. Other threads report for themselves.
fn remember_panic(info: &panic::PanicHookInfo<'_>) {
    if SERVING.get() != Some(&thread::current().id()) {
        notebook::report_panic(info);
        return;
    }
    // In a notebook a line number of the kernel's own file says nothing.
    let place = info.location().filter(|_| !notebook::is_notebook());
    PANIC_PLACE.set(place.map(|place| format!(" (at {place})")));
}

/// The thread that runs the tasks.
static SERVING: OnceLock<ThreadId> = OnceLock::new();
static VALUE: OnceLock<Box<dyn Any + Send + Sync>> = OnceLock::new();

/// Keeps what the initializer gave, for the tasks of this worker.
pub(super) fn keep_value(value: Box<dyn Any + Send + Sync>) {
    // A worker is initialized once.
    let _ = VALUE.set(value);
}

/// The value that the pool's initializer made in this worker.
///
/// Call it in tasks of a [`ProcessPool`](crate::ProcessPool) whose builder was given an
/// [`initializer`](super::Builder::initializer).
///
/// # Panics
/// This process is no worker, its pool has no initializer, or the initializer's value has
/// another type than `T`.
pub fn worker_value<T: 'static>() -> &'static T {
    let wanted = std::any::type_name::<T>();
    let value = VALUE.get().unwrap_or_else(|| {
        panic!(
            "there is no {wanted} here: `worker_value` works in tasks of a ProcessPool that was \
             built with an initializer"
        )
    });
    value.downcast_ref().unwrap_or_else(|| {
        panic!("the pool's initializer gave a value of another type than {wanted}")
    })
}
