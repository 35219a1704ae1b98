//! A worker process, seen from inside: where it begins, and how it ends with its pool.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::{fs, process, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

use super::process::WORKER_NAME;
use super::transport::ToPool;
use crate::pool::remote::codec::Body;
use crate::pool::remote::protocol::Report;
use crate::pool::remote::transport::PoolLink;
use crate::pool::remote::wire::Connection;
use crate::pool::remote::worker;

/// Where a worker in a notebook begins: the kernel's own program calls it when it is told to.
///
/// The argument is the kernel's store of variables, of which a worker has none.
// SAFETY: its name is `process::NOTEBOOK_ENTRY`, and no other crate defines a function of this name.
#[unsafe(no_mangle)]
extern "C" fn helpers_process_pool_worker(
    _variables: *mut std::ffi::c_void,
) -> *mut std::ffi::c_void {
    serve()
}

/// Turns this process into a worker whose standard input is the connection to its pool.
pub(super) fn serve() -> ! {
    // Or `top` calls it as the file by which it was started: "exe". Where there is no such file, it
    // does as it likes.
    let _ = fs::write("/proc/self/comm", WORKER_NAME);
    let worked = connection().and_then(|connection| {
        let mut link = ToPool(connection);
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
