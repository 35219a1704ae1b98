//! The course's kernel: evcxr in a build folder of its own, which goes when the kernel goes.
//!
//! Jupyter starts `course-kernel kernel <connection file>`. That copies the warm build folder
//! (see [`crate::warm`]) and then *becomes* evcxr with `exec`, so that Jupyter's signals and
//! its idea of the process id are right.
//!
//! A build folder is owned by whoever holds the lock on the file beside it. The kernel holds
//! it as its standard input, which it never reads: a lock taken with `flock` belongs to the
//! open file, passes through `exec`, and is given up by the system when the last process that
//! has the file open ends, in whatever way. A janitor process waits for the same lock and then
//! deletes the folder; should it be killed as well, the next kernel sweeps up.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::build_folder;
use crate::paths::Paths;
use crate::warm;

/// Held while folders are swept and claimed, so that nobody sweeps a claim half made.
const GUARD: &str = "guard";

/// A build folder and the lock that says it is in use.
#[derive(Debug)]
pub struct Claim {
    pub folder: PathBuf,
    lock_path: PathBuf,
    lock: File,
}

/// Starts the kernel in this process; returns only if that fails.
pub fn launch(paths: &Paths, args: &[String]) -> Result<()> {
    let [connection_file] = args else {
        return Err("`kernel` is called by Jupyter, with a connection file".into());
    };
    if !paths.evcxr().is_file() {
        return Err("the kernel is not installed; run: cargo xtask setup".into());
    }
    let claim = Claim::new(&paths.kernels()?)?;
    // Before anything is copied: from here on the folder goes whatever happens.
    claim.start_janitor()?;
    if let Err(reason) = warm::copy_to(paths, &claim.folder) {
        eprintln!(
            "course-kernel: {reason}; the first cells will take long. Run: cargo xtask setup"
        );
        build_folder::create(paths, &claim.folder)?;
    }
    let error = Command::new(paths.evcxr())
        .arg("--control_file")
        .arg(connection_file)
        .env("EVCXR_TMPDIR", build_folder::cell_crate(&claim.folder))
        .stdin(Stdio::from(claim.lock))
        .exec();
    Err(format!("cannot start {}: {error}", paths.evcxr().display()).into())
}

/// Waits for the owner of a build folder to end, then deletes the folder.
pub fn janitor(args: &[String]) -> Result<()> {
    let [lock_path] = args else {
        return Err("`janitor` is called by the kernel launcher, with a lock file".into());
    };
    let lock_path = Path::new(lock_path);
    let lock = File::open(lock_path)?;
    lock.lock()?;
    remove_claim(lock_path)
}

impl Claim {
    /// Deletes what no living kernel owns, then makes a new build folder, empty and owned.
    pub fn new(kernels: &Path) -> Result<Claim> {
        let blame = |error: io::Error| {
            let place = kernels.display();
            format!("cannot write in {place}, where kernels keep their build folders: {error}")
        };
        create_private(kernels).map_err(blame)?;
        let guard = File::create(kernels.join(GUARD)).map_err(blame)?;
        // The folder may lie in the shared temporary folder: do not build in someone else's.
        let place = fs::symlink_metadata(kernels)?;
        if !place.is_dir() || place.uid() != guard.metadata()?.uid() {
            return Err(format!("{} belongs to somebody else", kernels.display()).into());
        }
        guard.lock()?;
        sweep(kernels)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        // The process id stays when this process becomes the kernel.
        let name = format!("{}-{now}", std::process::id());
        let lock_path = kernels.join(format!("{name}.lock"));
        let lock = File::create_new(&lock_path).map_err(blame)?;
        lock.lock()?;
        let folder = kernels.join(name);
        fs::create_dir(&folder).map_err(blame)?;
        Ok(Claim {
            folder,
            lock_path,
            lock,
        })
    }

    /// Deletes the folder.
    pub fn release(self) -> Result<()> {
        remove_claim(&self.lock_path)
    }

    fn start_janitor(&self) -> Result<()> {
        Command::new(env::current_exe()?)
            .arg("janitor")
            .arg(&self.lock_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Jupyter kills the whole process group of a kernel.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start the janitor of a build folder: {error}"))?;
        Ok(())
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Deletes the folders whose owner has ended.
fn sweep(kernels: &Path) -> Result<()> {
    for entry in fs::read_dir(kernels)? {
        let path = entry?.path();
        let is_lock = path
            .extension()
            .is_some_and(|extension| extension == "lock");
        if is_lock {
            let owned = File::open(&path).is_ok_and(|lock| lock.try_lock().is_err());
            if !owned {
                remove_claim(&path)?;
            }
        } else if path.is_dir() && !path.with_extension("lock").exists() {
            build_folder::remove(&path)?;
        }
    }
    Ok(())
}

/// Deletes a build folder, then its lock file. Being too late is fine: someone else did it.
fn remove_claim(lock_path: &Path) -> Result<()> {
    let folder = lock_path.with_extension("");
    // A compiler that outlived its kernel may still be writing for a moment.
    let mut tries = 0;
    while let Err(error) = build_folder::remove(&folder) {
        tries += 1;
        if tries == 20 {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    match fs::remove_file(lock_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
