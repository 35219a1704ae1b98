//! The course's kernel in a build folder of its own, which goes when the kernel goes.
//!
//! Jupyter starts `course-kernel kernel <connection file>`. That copies the warm build folder
//! (see [`crate::warm`]) and then *becomes* the kernel's program (see [`crate::kernel_program`])
//! with `exec`, so that Jupyter's signals and its idea of the process id are right.
//!
//! A build folder is owned by whoever holds the lock on the file beside it. The kernel holds
//! it as its standard input, which it never reads: a lock taken with `flock` belongs to the
//! open file, passes through `exec`, and is given up by the system when the last process that
//! has the file open ends, in whatever way. A janitor process waits for the same lock and then
//! deletes the folder; should it be killed as well, the next kernel sweeps up.
//!
//! A Jupyter that has the course's provisioner (`kernel/provisioner/` in the clone) also gives a lifeline: a
//! pipe as standard input, whose other end only Jupyter has open. When Jupyter ends, in whatever
//! way, the janitor finds that pipe at its end, and kills the kernel. Such a Jupyter also starts
//! `course-kernel spare <socket>`, which becomes a kernel that waits at that socket until it is wanted.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::attend;
use crate::build_folder;
use crate::mpi::{self, Which};
use crate::paths::Paths;
use crate::tools;
use crate::warm;

/// Set to anything by who gives a lifeline as standard input.
const LIFELINE: &str = "COURSE_KERNEL_LIFELINE";

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
    let claim = claim_folder(paths)?;
    if let Err(reason) = warm::copy_to(paths, &claim.folder) {
        eprintln!(
            "course-kernel: {reason}; the first cells will take long. Run: cargo xtask setup"
        );
        build_folder::create(paths, &claim.folder)?;
    }
    become_kernel(
        paths,
        claim,
        &["--control_file".as_ref(), connection_file.as_ref()],
    )
}

/// Starts a kernel that gets warm and waits at a socket until somebody wants it.
///
/// The socket lies in a folder of its own, which goes with the kernel, too.
pub fn launch_spare(paths: &Paths, args: &[String]) -> Result<()> {
    let [socket] = args else {
        return Err("`spare` is called by the provisioner, with a place for a socket".into());
    };
    let mut claim = claim_folder(paths)?;
    claim.lock.write_all(socket.as_bytes())?;
    // Without warm crates it would compile for minutes, behind the student's back.
    warm::copy_to(paths, &claim.folder)?;
    let cells = paths.spare_cells();
    become_kernel(
        paths,
        claim,
        &["--standby".as_ref(), socket.as_ref(), cells.as_ref()],
    )
}

fn claim_folder(paths: &Paths) -> Result<Claim> {
    if !paths.kernel_program().is_file() {
        return Err("the kernel is not installed; run: cargo xtask setup".into());
    }
    if tools::rustc_version().is_none() {
        return Err("`rustc -vV` fails, so no cell can run; try it in a terminal".into());
    }
    attend::count_kernel();
    let claim = Claim::new(&paths.kernels()?)?;
    // Before anything is copied: from here on the folder goes whatever happens.
    claim.start_janitor()?;
    Ok(claim)
}

fn become_kernel(paths: &Paths, claim: Claim, arguments: &[&OsStr]) -> Result<()> {
    let program = paths.kernel_program();
    let mut command = Command::new(&program);
    // Else a cell that needs it says what to do.
    if let Ok(mpi) = mpi::find(paths, Which::Usual) {
        mpi.lend_to(&mut command);
    }
    build_folder::lend_to(paths, &claim.folder, &mut command);
    let error = command
        .args(arguments)
        .env_remove(LIFELINE)
        .env_remove(attend::COUNT)
        .stdin(Stdio::from(claim.lock))
        .exec();
    Err(format!("cannot start {}: {error}", program.display()).into())
}

/// Waits for the owner of a build folder to end, then deletes the folder. With a process group,
/// kills that one when the standard input ends.
pub fn janitor(args: &[String]) -> Result<()> {
    let (lock_path, group) = match args {
        [lock_path] => (lock_path, None),
        [lock_path, group] => (lock_path, Some(group.clone())),
        _ => return Err("`janitor` is called by the kernel launcher, with a lock file".into()),
    };
    if let Some(group) = group {
        signal_at_end_of_input("KILL", group);
    }
    let lock_path = Path::new(lock_path);
    let lock = File::open(lock_path)?;
    lock.lock()?;
    remove_claim(lock_path)
}

/// Ends this process and its group when who started it has ended, if it gave a lifeline.
pub fn obey_lifeline() {
    if env::var_os(LIFELINE).is_some() {
        signal_at_end_of_input("TERM", std::process::id().to_string());
    }
}

/// Sends a signal to a process group as soon as the standard input ends.
fn signal_at_end_of_input(signal: &'static str, group: String) {
    std::thread::spawn(move || {
        // Nobody writes. An error, like the end, says that nobody is there any more.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        // The shell's own `kill`, since there may be no other.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s $1 -- -$2", "kill", signal, &group]);
        let _ = kill.stderr(Stdio::null()).status();
    });
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
        let mut janitor = Command::new(env::current_exe()?);
        janitor.arg("janitor").arg(&self.lock_path);
        if env::var_os(LIFELINE).is_some() {
            // Who gives a lifeline has made this process the leader of its group.
            janitor.arg(std::process::id().to_string());
            janitor.stdin(Stdio::inherit());
        } else {
            janitor.stdin(Stdio::null());
        }
        janitor
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
            // What cannot be opened, as with too many open files, may be owned.
            let owned = File::open(&path).map_or(true, |lock| lock.try_lock().is_err());
            if !owned {
                left_if_it_must(remove_at_once(&path));
            }
        } else if path.is_dir() && !path.with_extension("lock").exists() {
            left_if_it_must(build_folder::remove(&path));
        }
    }
    Ok(())
}

/// Says what cannot be deleted, say because it belongs to another user or because a process still
/// uses it. That is no reason not to start.
fn left_if_it_must(removed: Result<()>) {
    if let Err(error) = removed {
        eprintln!("course-kernel: a build folder that nobody uses is left: {error}");
    }
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
    remove_at_once(lock_path)
}

fn remove_at_once(lock_path: &Path) -> Result<()> {
    build_folder::remove(&lock_path.with_extension(""))?;
    // In the lock file of a spare kernel is where its socket lies, which mostly is gone long since.
    let socket = fs::read_to_string(lock_path).map(PathBuf::from);
    if let Ok(socket) = socket
        && let Some(folder) = socket.parent()
    {
        let _ = fs::remove_file(&socket);
        let _ = fs::remove_dir(folder);
    }
    match fs::remove_file(lock_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot delete {}: {error}", lock_path.display()).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_cannot_be_deleted_keeps_nobody_from_starting() {
        let kernels = env::temp_dir().join(format!("course-kernels-{}", std::process::id()));
        // A folder cannot be deleted as a file, not even by the administrator.
        fs::create_dir_all(kernels.join("1-1.lock")).unwrap();
        fs::create_dir_all(kernels.join("2-2")).unwrap();
        let claim = Claim::new(&kernels).unwrap();
        assert!(kernels.join("1-1.lock").exists());
        assert!(!kernels.join("2-2").exists());
        assert!(claim.folder.is_dir());
        claim.release().unwrap();
        fs::remove_dir_all(kernels).unwrap();
    }

    #[test]
    fn a_socket_goes_with_its_kernel() {
        let all = env::temp_dir().join(format!("course-sockets-{}", std::process::id()));
        let folder = all.join("spare-1");
        fs::create_dir_all(&folder).unwrap();
        let mut claim = Claim::new(&all.join("kernels")).unwrap();
        let socket = folder.join("socket");
        File::create(&socket).unwrap();
        claim.lock.write_all(socket.as_os_str().as_bytes()).unwrap();
        claim.release().unwrap();
        assert!(!folder.exists());
        // Another claim has no socket, and nothing else goes.
        Claim::new(&all.join("kernels")).unwrap().release().unwrap();
        assert!(all.join("kernels").is_dir());
        fs::remove_dir_all(all).unwrap();
    }
}
