//! A rank's thread that listens to the job's owner while the rank is at work.
//!
//! It answers what the rank is doing, and ends the process when the owner is gone, whatever the
//! rank is doing.

use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use helpers::internals::CodeRef;
use mpi::ffi::{self, MPI_Comm};
use nix::sys::signal::{Signal, raise};

use crate::control::{self, OwnerMessage, RankMessage};
use crate::pmpi;

/// The rank's way to the owner.
static OWNER: OnceLock<Owner> = OnceLock::new();

#[derive(Debug)]
struct Owner {
    /// Messages come from two threads, each as a whole.
    socket: Mutex<OwnedFd>,
    libraries: Mutex<Receiver<Option<Vec<u8>>>>,
}

/// Starts to listen; gives the functions that the owner wants to be run.
pub(crate) fn start(control: OwnedFd) -> io::Result<Receiver<CodeRef>> {
    let (run, to_run) = mpsc::channel();
    let (library, libraries) = mpsc::channel();
    let owner = Owner {
        socket: Mutex::new(control.try_clone()?),
        libraries: Mutex::new(libraries),
    };
    if OWNER.set(owner).is_err() {
        return Err(io::Error::other("this rank has an owner already"));
    }
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || listen(&control, &run, &library))?;
    Ok(to_run)
}

fn listen(control: &OwnedFd, run: &Sender<CodeRef>, library: &Sender<Option<Vec<u8>>>) {
    loop {
        let obeyed = match control::receive::<OwnerMessage>(control) {
            Ok(OwnerMessage::Run(function)) => run.send(function).map_err(io::Error::other),
            Ok(OwnerMessage::Ask) => tell(&RankMessage::Activity(pmpi::activity())),
            Ok(OwnerMessage::Library(bytes)) => library.send(bytes).map_err(io::Error::other),
            Err(error) => Err(error),
        };
        if obeyed.is_err() {
            // Nobody is left who could want anything; the rank may be stuck, so nothing is asked.
            let _ = raise(Signal::SIGKILL);
        }
    }
}

/// Says something to the owner, if there is one.
pub(crate) fn tell(message: &RankMessage) -> io::Result<()> {
    let Some(owner) = OWNER.get() else {
        return Ok(());
    };
    let socket = owner.socket.lock().unwrap_or_else(PoisonError::into_inner);
    control::send(&socket, message)
}

/// Tells the job's owner who ends the job and how, then does what the library does.
// SAFETY: as for the functions in `pmpi`: the library allows a function of this name, which has
// the same parameters.
#[unsafe(no_mangle)]
unsafe extern "C" fn MPI_Abort(comm: MPI_Comm, code: c_int) -> c_int {
    let _ = tell(&RankMessage::Aborts(code));
    // SAFETY: the same function under its other name, and the caller's arguments.
    unsafe { ffi::PMPI_Abort(comm, code) }
}

/// Has the owner hear of it when something in this process calls `exit`, whose status not every
/// launcher tells.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn tell_of_exit() {
    use std::ffi::c_void;
    use std::ptr;

    use nix::unistd;

    unsafe extern "C" {
        fn on_exit(tell: extern "C" fn(c_int, *mut c_void), of: *mut c_void) -> c_int;
    }
    extern "C" fn at_exit(status: c_int, _: *mut c_void) {
        // The library does so in one of its calls, or on a thread of its own.
        let by_itself = unistd::gettid() == unistd::getpid() && !pmpi::is_in_call();
        let _ = tell(&RankMessage::Exits { status, by_itself });
    }
    // SAFETY: the function is one of the C library's, declared as there; what it is given does
    // not unwind and uses nothing of the pointer.
    unsafe { on_exit(at_exit, ptr::null_mut()) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn tell_of_exit() {}

/// The bytes of a library that this host does not have.
pub(crate) fn library(path: &Path) -> io::Result<Vec<u8>> {
    let missing = || io::Error::other("it is not on this host, and could not be fetched");
    let owner = OWNER.get().ok_or_else(missing)?;
    let libraries = owner
        .libraries
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    tell(&RankMessage::NoLibrary(path.to_owned()))?;
    let bytes = libraries.recv().map_err(io::Error::other)?;
    bytes.ok_or_else(missing)
}
