//! The private folder of a job: its socket, and the files of the MPI library.
//!
//! It goes with the job, and with its owner however that ends: a process beside it, which does
//! nothing else, waits for the owner's end. What survives both is swept by the next job.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, iter};

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

const PREFIX: &str = "helpers-mpi-";

/// The owner holds a lock on this file of its folder, for whoever looks for what is left behind. A
/// number of a process would not do: each container counts its own.
const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";

/// A folder without that file may be one that is just being made.
const TIME_TO_LOCK: Duration = Duration::from_secs(60);

/// What must be free for the whole job, and for each rank. Open MPI refuses to begin if one rank's
/// file of 16 MiB has no room, of which it uses a small part.
const ROOM: u64 = 20 << 20;
const ROOM_FOR_RANK: u64 = 1 << 20;

/// Waits until nobody can write to it any more, then deletes a folder, into which a launcher may
/// still write.
const UNDERTAKER: &str = r#"trap '' TERM INT HUP
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$0"
    [ -e "$0" ] || exit
    sleep 0.2
done"#;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A folder that is deleted when this is dropped, or when this process ends in any other way.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
    /// Where there can be no other process, what a killed owner leaves is swept later.
    undertaker: Option<Child>,
}

impl Folder {
    /// Made in memory where the system has a place for that with enough room: ranks of one host
    /// exchange messages through a file in it. Short, as the name of a socket must not be long.
    pub(crate) fn new(ranks: usize) -> io::Result<Folder> {
        let mut folder = Folder::for_a_moment(ranks)?;
        folder.undertaker = undertaker(&folder.path).ok();
        Ok(folder)
    }

    /// The same, but one that stays for a later job to sweep if this process is killed.
    pub(crate) fn for_a_moment(ranks: usize) -> io::Result<Folder> {
        let places = [
            PathBuf::from("/dev/shm"),
            env::temp_dir(),
            PathBuf::from("/tmp"),
        ];
        Folder::in_one_of(&places, ROOM + ROOM_FOR_RANK * ranks as u64)
    }

    fn in_one_of(places: &[PathBuf], room: u64) -> io::Result<Folder> {
        let mut problems = Vec::new();
        for place in places {
            let made = has_room(place, room).and_then(|()| Folder::make(place));
            match made {
                Ok(folder) => return Ok(folder),
                Err(error) => {
                    let problem = format!("{}: {error}", place.display());
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
        Err(io::Error::other(format!(
            "there is no place for a job's folder ({}). Set TMPDIR to a folder on this host that \
             can be written to",
            problems.join("; ")
        )))
    }

    fn make(place: &Path) -> io::Result<Folder> {
        sweep(place);
        let path = iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
            .map(|number| place.join(format!("{PREFIX}{}-{number}", process::id())))
            .find(|path| !path.exists())
            .unwrap_or_default();
        DirBuilder::new().mode(0o700).create(&path)?;
        let file = path.join(NEW_LOCK);
        let lock = File::create_new(&file)?;
        // A file system without locks keeps what is left behind.
        let _ = lock.lock();
        // Only now: whoever sees the file must find it locked.
        fs::rename(file, path.join(LOCK))?;
        Ok(Folder {
            path,
            _lock: lock,
            undertaker: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A rank that is just being ended may still write for a moment.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(undertaker) = &mut self.undertaker {
            drop(undertaker.stdin.take());
            let _ = undertaker.wait();
        }
    }
}

fn undertaker(path: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", UNDERTAKER])
        .arg(path)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What ends this process's group is not to end it.
        .process_group(0)
        .spawn()
}

fn has_room(place: &Path, room: u64) -> io::Result<()> {
    let about = statvfs(place)?;
    let free = about.blocks_available() as u64 * about.fragment_size() as u64;
    if free < room {
        return Err(io::Error::other(format!(
            "{} MB are free, and {} may be needed",
            free >> 20,
            room >> 20
        )));
    }
    Ok(())
}

/// Deletes our folders whose owner has ended.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_ours = entry
            .metadata()
            .is_ok_and(|about| about.is_dir() && about.uid() == Uid::effective().as_raw());
        if is_one && is_ours && is_orphan(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_orphan(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = fs::metadata(folder).and_then(|about| about.modified());
            made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > TIME_TO_LOCK))
        }
        // As where this process has too many files open: that says nothing of the folder.
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn place() -> PathBuf {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = env::temp_dir().join(format!("folder-test-{}-{number}", process::id()));
        fs::create_dir(&place).unwrap();
        place
    }

    #[test]
    fn nobody_sweeps_a_folder_that_is_just_being_made() {
        let place = place();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        // Each of them sweeps first.
                        let folder = Folder::in_one_of(std::slice::from_ref(&place), 0).unwrap();
                        thread::yield_now();
                        assert!(folder.path().join(LOCK).exists());
                    }
                });
            }
        });
        fs::remove_dir(place).unwrap();
    }

    #[test]
    fn a_folder_goes_with_its_job_and_with_its_owner() {
        let place = place();
        let folder = Folder::in_one_of(std::slice::from_ref(&place), 0).unwrap();
        let mine = folder.path().to_owned();
        // Of an owner that has ended; and one that is just being made.
        let orphan = place.join(format!("{PREFIX}1-0"));
        let young = place.join(format!("{PREFIX}1-1"));
        fs::create_dir(&orphan).unwrap();
        fs::write(orphan.join(LOCK), "").unwrap();
        fs::create_dir(&young).unwrap();
        sweep(&place);
        assert!(mine.exists() && !orphan.exists() && young.exists());
        drop(folder);
        assert!(!mine.exists());
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_place_without_room_is_passed_over() {
        let (missing, good) = (PathBuf::from("/no/such/place"), place());
        let folder = Folder::in_one_of(&[missing.clone(), good.clone()], 0).unwrap();
        assert_eq!(folder.path().parent(), Some(&*good));
        drop(folder);
        let error = Folder::in_one_of(&[missing, good.clone()], u64::MAX).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("/no/such/place: "), "{told}");
        assert!(
            told.contains(" MB are free") && told.contains("TMPDIR"),
            "{told}"
        );
        fs::remove_dir_all(good).unwrap();
    }
}
