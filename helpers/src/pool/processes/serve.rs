//! The worker's side: a process that waits for orders and carries them out.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use std::{fs, process, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

use super::message::{Order, Report};
use crate::pool::remote::board::{Board, now};
use crate::pool::remote::codec::{Body, Bytes};
use crate::pool::remote::desk::{Desk, Errand};
use crate::pool::remote::engine::{IDLE, LOOKING};
use crate::pool::remote::parcel;
use crate::pool::remote::wire::{Arrival, Connection};
use crate::timing;

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
    desk: Desk,
}

impl Server {
    fn new(link: Connection) -> Server {
        Server {
            link,
            board: None,
            desk: Desk::open(),
        }
    }

    fn run(mut self) -> io::Result<()> {
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
            match self.link.receive()? {
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
                if let Err(error) = unsafe { self.desk.learn(number, &place) } {
                    let why = format!("{:?} cannot be loaded: {error}", place.library);
                    return self.report(&Report::Failed(why), Body::default());
                }
            }
            Order::Initialize { function } => {
                let done = self.desk.initialize(function, body, self.board()?)?;
                let report = match done {
                    Ok(()) => Report::Ready,
                    Err(why) => Report::Failed(why),
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
                let board = self.board()?;
                if board.begin(epoch, sequence) {
                    let began = board.since().as_nanos() as u64;
                    let errand = Errand {
                        function,
                        items,
                        stop_at_failure,
                        timed,
                    };
                    let results = self.desk.call(errand, body, board)?;
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

    fn board(&self) -> io::Result<&Board> {
        let board = self.board.as_ref();
        board.ok_or_else(|| io::Error::other("no board"))
    }
}
