//! The private folder of a job: its socket, and the files of the MPI library.
//!
//! It goes with the job. If its owner is killed it stays, so each new job looks for folders whose
//! owner is gone, and deletes them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};

const PREFIX: &str = "helpers-mpi-";

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A folder that is deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Made in memory where the system has a place for that: ranks of one host exchange messages
    /// through a file in it. Short, as the name of a socket must not be long.
    pub(crate) fn new() -> io::Result<Folder> {
        let memory = Path::new("/dev/shm");
        let usual = std::env::temp_dir();
        let place = if memory.is_dir() { memory } else { &usual };
        sweep(place);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("{PREFIX}{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(error) => {
                let why = format!("cannot make the folder {}: {error}", path.display());
                Err(io::Error::new(error.kind(), why))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A rank that is just being ended may still write for a moment; what stays is swept later.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Deletes our folders whose owner has ended.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let Some(owner) = owner else {
            continue;
        };
        let is_ours = entry
            .metadata()
            .is_ok_and(|about| about.is_dir() && about.uid() == Uid::effective().as_raw());
        if is_ours && kill(Pid::from_raw(owner), None) == Err(Errno::ESRCH) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_job_and_with_its_owner() {
        let folder = Folder::new().unwrap();
        let place = folder.path().parent().unwrap().to_owned();
        let mine = folder.path().to_owned();
        // No process has this number.
        let orphan = place.join(format!("{PREFIX}{}-0", i32::MAX));
        fs::create_dir(&orphan).unwrap();
        sweep(&place);
        assert!(mine.exists() && !orphan.exists());
        drop(folder);
        assert!(!mine.exists());
    }
}
