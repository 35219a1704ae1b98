//! A worker process, seen from inside: where it begins, and its way to the pool.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use std::{fs, process, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

use crate::pool::remote::codec::{Body, Bytes};
use crate::pool::remote::protocol::{Order, Report};
use crate::pool::remote::shm_buffer::{self, IDLE};
use crate::pool::remote::transport::LOOKING;
use crate::pool::remote::wire::{Arrival, Connection};
use crate::pool::remote::worker::{self, PoolLink};

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
    // Or `top` calls it as the file by which it was started: "exe". Where there is no such file, it
    // does as it likes.
    let _ = fs::write("/proc/self/comm", WORKER_NAME);
    let worked = connection().and_then(|connection| {
        let mut link = Link(connection);
        link.report(&Report::Up, Body::default())?;
        worker::work(&mut link)
    });
    if let Err(error) = worked {
        eprintln!("a worker of a ProcessPool ends: {error}");
        process::exit(1)
    }
    process::exit(0)
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

/// The worker's end of the connection.
#[derive(Debug)]
struct Link(Connection);

impl Link {
    /// Sleeps until there is something to receive; false if the time is over before.
    fn sleep(&self, limit: PollTimeout) -> io::Result<bool> {
        let socket = self.0.socket();
        let mut about = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut about, limit) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl PoolLink for Link {
    fn take(&mut self) -> io::Result<Option<(Order, Body)>> {
        self.0.take()
    }

    /// Awake for a moment, then asleep.
    fn wait(&mut self) -> io::Result<bool> {
        let start = Instant::now();
        loop {
            match self.0.receive()? {
                Arrival::Nothing => {}
                arrival => return Ok(arrival == Arrival::Some),
            }
            if start.elapsed() < LOOKING {
                thread::yield_now();
            } else {
                let idle = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::MAX);
                if !shm_buffer::is_tidy() && !self.sleep(idle)? {
                    shm_buffer::tidy();
                }
                self.sleep(PollTimeout::NONE)?;
            }
        }
    }

    fn report(&mut self, report: &Report, body: Body) -> io::Result<()> {
        // What a task has printed must be on its way before its result is.
        let _ = io::stdout().flush();
        self.0.put(report, &body)?;
        if let Bytes::Shared(buffer, _) = body.bytes {
            // The pool will say when it has read it.
            buffer.leave();
        }
        self.0.flush(true)
    }
}
