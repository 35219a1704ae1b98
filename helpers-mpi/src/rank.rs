//! Where a rank begins, and what it does until its job is over.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, process};

use helpers::internals::{caught, prepare};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use nix::sys::signal::SigSet;

use crate::end::CANNOT_BEGIN;
use crate::error::MpiError;
use crate::folder::Folder;
use crate::function;
use crate::link::{Channel, Errand, Function, JOB, Report, Role};
use crate::pool::RING;
use crate::watch;

/// The function that the kernel's program is told to run.
pub(crate) const NOTEBOOK_ENTRY: &str = "helpers_mpi_rank";

/// Where a rank of a notebook begins. The argument is the kernel's store of variables, of which
/// a rank has none.
// SAFETY: no other crate defines a function of this name.
#[unsafe(no_mangle)]
extern "C" fn helpers_mpi_rank(_variables: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
    serve()
}

pub(crate) fn notebook_entry() -> *const std::ffi::c_void {
    helpers_mpi_rank as *const std::ffi::c_void
}

/// Whether this process is a rank that runs functions.
static IS_RANK: AtomicBool = AtomicBool::new(false);

/// Notes that this process is a rank that runs functions.
pub(crate) fn is_rank() {
    IS_RANK.store(true, Ordering::Relaxed);
}

/// Fails in a rank: its functions cannot start ranks of their own.
pub(crate) fn check_is_none() -> Result<(), MpiError> {
    if IS_RANK.load(Ordering::Relaxed) {
        return Err(MpiError::invalid_input(
            "this is a rank, which cannot start ranks of its own: start them where the rank's job \
             was started",
        ));
    }
    Ok(())
}

/// Turns this process into a rank of the job that its environment names.
pub(crate) fn serve() -> ! {
    match be_rank() {
        Ok(()) => process::exit(0),
        Err(error) => {
            // The launcher passes it on.
            eprintln!("{CANNOT_BEGIN}{error}");
            process::exit(1)
        }
    }
}

fn be_rank() -> io::Result<()> {
    is_rank();
    let errand = env::var(JOB).ok().and_then(|text| Errand::from_text(&text));
    let errand =
        errand.ok_or_else(|| io::Error::other(format!("{JOB} is not set as it must be")))?;
    let universe = initialize()?;
    let world = universe.world();
    let rank = world.rank() as usize;
    let to_run = watch::start(errand.connect(rank, Channel::Control)?)?;
    let outputs = Outputs::redirect(&errand, rank)?;
    watch::report(&Report::Up {
        host: host(),
        process: process::id(),
        size: world.size() as u32,
        library: library_name(),
    })?;
    watch::tell_of_exit();
    match errand.role {
        Role::Run => {
            // The error will tell of a panic, so it is not reported here.
            prepare();
            // Without an owner the thread that listens ends this process.
            let function = to_run.recv().map_err(io::Error::other)?;
            watch::report(&run(&function, &world))?;
        }
        Role::Pool => {
            let caller = match rank {
                0 => Some(errand.connect(rank, Channel::Pool)?),
                _ => None,
            };
            crate::pool::serve(world, caller)?;
        }
    }
    outputs.give_back();
    watch::report(&Report::Done)?;
    drop(universe);
    Ok(())
}

/// Initialises MPI, which tells this process its rank.
pub(crate) fn initialize() -> io::Result<Universe> {
    // Pools wake a rank that sleeps by it, and it must not end the rank. Threads inherit this.
    let mut signals = SigSet::empty();
    signals.add(RING);
    signals.thread_block()?;
    let tidies_up = must_tidy_up();
    let folder = tidies_up.then(keep_files_together).flatten();
    let initialized = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, _) =
        initialized.ok_or_else(|| io::Error::other("MPI is initialised already"))?;
    if tidies_up {
        // Each rank opens the files of all others when it initialises MPI.
        universe.world().barrier();
        drop(folder);
    }
    Ok(universe)
}

/// The places of files by which Open MPI's ranks of one host exchange messages, in version 5 and 4.
const PLACES: &[&str] = &[
    "OMPI_MCA_btl_sm_backing_directory",
    "OMPI_MCA_btl_vader_backing_directory",
];

/// Whether no launcher cares for those files: ranks that are killed would leave them behind.
fn must_tidy_up() -> bool {
    let library = mpi::environment::library_version();
    library.is_ok_and(|library| library.contains("Open MPI"))
        && PLACES.iter().all(|name| env::var_os(name).is_none())
}

/// Has those files be where they can be deleted as soon as all ranks have opened them.
fn keep_files_together() -> Option<Folder> {
    // Where no folder can be made, the library finds a place of its own.
    let folder = Folder::for_a_moment(1).ok()?;
    for name in PLACES {
        // SAFETY: this process has only begun, and no other thread of it reads variables.
        unsafe { env::set_var(name, folder.path()) };
    }
    Some(folder)
}

pub(crate) fn host() -> String {
    mpi::environment::processor_name().unwrap_or_else(|_| "?".to_owned())
}

/// What the MPI library calls itself, in a few words.
fn library_name() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(',').next().unwrap_or_default();
    first
        .trim_end_matches('\0')
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A file of this rank's own that holds a library which this host lacks; the owner sends it.
pub(crate) fn library(path: &Path) -> io::Result<PathBuf> {
    let bytes = watch::library(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = env::temp_dir().join(format!("helpers-mpi-{}-{name}", process::id()));
    std::fs::write(&copy, bytes)?;
    Ok(copy)
}

/// Runs the function; gives what there is to report.
pub(crate) fn run(function: &Function, world: &SimpleCommunicator) -> Report {
    // SAFETY: the owner made it in a process of the same program: it has started this one.
    let entry = match unsafe { function::load(function) } {
        Ok(entry) => entry,
        Err(error) => return Report::Failed(error.to_string()),
    };
    match panic::catch_unwind(AssertUnwindSafe(|| entry(world))) {
        Ok(Ok(value)) => Report::Value(value),
        Ok(Err(cause)) => Report::NotSent(cause),
        Err(payload) => Report::Panicked(caught(&*payload)),
    }
}

/// This process's own output and errors, while the owner gets what it prints.
#[derive(Debug)]
struct Outputs {
    output: OwnedFd,
    errors: OwnedFd,
}

impl Outputs {
    /// Has the owner get what this process prints from now on.
    fn redirect(errand: &Errand, rank: usize) -> io::Result<Outputs> {
        let outputs = Outputs {
            output: io::stdout().as_fd().try_clone_to_owned()?,
            errors: io::stderr().as_fd().try_clone_to_owned()?,
        };
        nix::unistd::dup2_stdout(errand.connect(rank, Channel::Output)?)?;
        nix::unistd::dup2_stderr(errand.connect(rank, Channel::Errors)?)?;
        Ok(outputs)
    }

    /// Ends that: the owner then knows that it has got everything.
    fn give_back(self) {
        let _ = io::stdout().flush();
        // SAFETY: flushes all of C's streams, which code in other languages may have used.
        unsafe { nix::libc::fflush(std::ptr::null_mut()) };
        // What the launcher says about this process is all that could get lost.
        let _ = nix::unistd::dup2_stdout(&self.output);
        let _ = nix::unistd::dup2_stderr(&self.errors);
    }
}
