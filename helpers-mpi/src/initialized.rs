//! MPI in this process, from where it is initialised to where it is finalised.

use std::fs::{self, File};
use std::path::PathBuf;
use std::{env, io};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use nix::sys::signal::SigSet;

use crate::folder::Folder;
use crate::rank::RING;

/// MPI, which is finalised when this is gone.
pub(crate) struct Initialized {
    universe: Universe,
    deleted: Option<Deleted>,
}

/// Initialises MPI, which tells this process its rank.
pub(crate) fn initialize() -> io::Result<Initialized> {
    // Pools wake a rank that sleeps by it, and it must not end the rank. Threads inherit this.
    let mut signals = SigSet::empty();
    signals.add(RING);
    signals.thread_block()?;
    let folder = must_tidy_up().then(keep_files_together).flatten();
    let initialized = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, _) =
        initialized.ok_or_else(|| io::Error::other("MPI is initialised already"))?;
    let deleted = folder.map(|folder| {
        // Each rank opens the files of all others when it initialises MPI.
        universe.world().barrier();
        Deleted::with(folder)
    });
    Ok(Initialized { universe, deleted })
}

impl Initialized {
    pub(crate) fn world(&self) -> SimpleCommunicator {
        self.universe.world()
    }

    /// Finalises MPI in a program that somebody has started on ranks and whose output is seen: without the
    /// library's warnings of files that are not there.
    pub(crate) fn finalize(self) {
        let in_place = self.deleted.as_ref().map(Deleted::put_in_place);
        drop(self.universe);
        drop(in_place);
    }
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

/// Files that were deleted while the library had them open. It wants to delete them itself when it
/// is finalised, and warns on the terminal of each that it does not find: so empty ones take their
/// place for that moment.
struct Deleted {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

/// Deletes the folder when it is dropped.
struct InPlace<'a>(&'a Deleted);

impl Deleted {
    fn with(folder: Folder) -> Deleted {
        let files = fs::read_dir(folder.path()).into_iter().flatten().flatten();
        Deleted {
            folder: folder.path().to_owned(),
            files: files.map(|file| file.path()).collect(),
        }
    }

    /// Where that fails, the library warns.
    fn put_in_place(&self) -> InPlace<'_> {
        if fs::create_dir(&self.folder).is_ok() {
            for file in &self.files {
                let _ = File::create(file);
            }
        }
        InPlace(self)
    }
}

impl Drop for InPlace<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.folder);
    }
}
