//! What several of these tests need.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{self, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use helpers_mpi::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(300);
/// What takes less happens at once, a fresh job included, even on a machine that has much to do.
pub const AT_ONCE: Duration = Duration::from_secs(30);
/// How long a process may be there after whoever needed it is gone. Meant are two seconds; the rest
/// is for machines that stand still at times. What is left for ever is found all the same.
const LEFTOVER: Duration = Duration::from_secs(60);

/// Runs a test, and fails if it hangs.
pub fn guarded(test: impl FnOnce() + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        // Dropped at the end of the test, whichever end that is.
        let _sender: mpsc::Sender<()> = sender;
        test();
    });
    match ended.recv_timeout(HANG) {
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Runs an ignored test of this program in a process of its own; gives what it has printed. Fails
/// if it does.
pub fn alone(test: &str) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    passed(test, &mut command)
}

/// Runs an ignored test of this program on rank 0 of a job that `mpiexec` starts; gives what has
/// been printed. Fails if it does.
pub fn as_rank_0(ranks: usize, test: &str) -> String {
    let mut command = rank_0_of(ranks);
    command.arg(env::current_exe().unwrap());
    passed(test, &mut command)
}

/// Runs an ignored test of this program on rank 0 of a job that `mpiexec` starts. The job must end
/// badly, with these words; gives all that is said on errors.
pub fn fails_as_rank_0(ranks: usize, test: &str, words: &[&str]) -> String {
    let mut command = rank_0_of(ranks);
    command.arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let output = run(&mut command, HANG / 2).unwrap_or_else(|| panic!("{test} hangs"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{test} succeeds:\n{told}");
    for word in words {
        assert!(told.contains(word), "{test}: no {word:?} in:\n{told}");
    }
    told.into_owned()
}

/// An `mpiexec` that starts so many ranks of the program that is appended.
pub fn rank_0_of(ranks: usize) -> Command {
    let mut command = Command::new("mpiexec");
    command.args(["-n", &ranks.to_string()]);
    if is_open_mpi() {
        command.args(["--oversubscribe", "--bind-to", "none"]);
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
        command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
    command
}

fn is_open_mpi() -> bool {
    let told = Command::new("mpiexec").arg("--version").output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.contains("Open MPI") || told.contains("OpenRTE")
}

/// Runs an ignored test of this program by a command that starts it; gives what has been printed.
/// Fails if it does.
pub fn passed(test: &str, command: &mut Command) -> String {
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let output = run(command, HANG / 2).unwrap_or_else(|| panic!("{test} hangs"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}:\n{text}\n{problem}");
    assert!(text.contains("1 passed"), "there is no test {test}: {text}");
    text
}

/// Runs a command; `None` if it does not end in time.
pub fn run(command: &mut Command, longest: Duration) -> Option<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let output = ended.recv_timeout(longest).ok();
    if output.is_none() {
        kill_hard(id);
    }
    output
}

/// Works until this process has used so many milliseconds more of a processor.
pub fn spin_for(ms: u64) {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap());
    let end = used() + Duration::from_millis(ms);
    while used() < end {
        std::hint::spin_loop();
    }
}

pub fn kill_hard(id: u32) {
    // It may be gone already.
    let _ = kill(Pid::from_raw(id as i32), Signal::SIGKILL);
}

/// The processes of the ranks that work.
pub fn ids(pool: &MpiPool) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let start = Instant::now();
    while found.len() < pool.workers() {
        assert!(start.elapsed() < AT_ONCE, "only {found:?}");
        let who = |()| {
            thread::sleep(Duration::from_millis(20));
            process::id()
        };
        let view = pool.chunk_size(1).unwrap();
        found.extend(view.map(who, vec![(); pool.workers()]).unwrap());
    }
    found
}

/// All processes of the pool's job: the launcher, and whatever it has started.
pub fn family(pool: &MpiPool) -> BTreeSet<u32> {
    let rank = *ids(pool).first().unwrap();
    let mut family = BTreeSet::from([rank]);
    // Up to the child of this process, then down again.
    let mut eldest = rank;
    while let Some(parent) = parent(eldest).filter(|&id| id != process::id() && id > 1) {
        eldest = parent;
    }
    family.insert(eldest);
    loop {
        let before = family.len();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let id = entry.file_name().to_string_lossy().parse::<u32>();
            if let Ok(id) = id
                && parent(id).is_some_and(|parent| family.contains(&parent))
            {
                family.insert(id);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which may hold anything, in brackets.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Whether nothing is left of these processes, not even a corpse, after a short while.
pub fn vanish(ids: &BTreeSet<u32>) -> bool {
    soon(|| {
        !ids.iter()
            .any(|id| Path::new(&format!("/proc/{id}")).exists())
    })
}

/// Whether a condition comes true within the time that processes may be left over.
pub fn soon(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < LEFTOVER {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    condition()
}

/// The pool works, all of it.
#[track_caller]
pub fn assert_goes_on(pool: &MpiPool) {
    let start = Instant::now();
    let numbers: Vec<u64> = (0..40).collect();
    let results = pool.chunk_size(1).unwrap().map(|x: u64| x, 0..40);
    assert_eq!(results.expect("the pool goes on"), numbers);
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}
