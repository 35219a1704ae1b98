//! What several of these tests need.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{self, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(300);
/// What takes less happens at once, even on a machine that has much else to do.
pub const AT_ONCE: Duration = Duration::from_secs(20);
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

/// Runs an ignored test of this program in a process of its own, where it is alone with its open
/// files, children and threads; gives what it has printed. Fails if it does.
pub fn alone(test: &str) -> String {
    let output = run_alone(test, HANG / 2, Stdio::piped());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}:\n{text}\n{problem}");
    assert!(text.contains("1 passed"), "there is no test {test}: {text}");
    text
}

/// As `alone`, for a test that prints without end, to somebody who listens slowly.
pub fn alone_and_hardly_heard(test: &str) {
    let (mut ear, mouth) = io::pipe().unwrap();
    thread::spawn(move || {
        let mut heard = [0; 4096];
        while ear.read(&mut heard).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let output = run_alone(test, HANG / 2, mouth.into());
    assert!(output.status.success(), "{test}");
}

fn run_alone(test: &str, longest: Duration, out: Stdio) -> Output {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(longest).unwrap_or_else(|_| {
        kill_hard(id);
        panic!("{test} hangs");
    })
}

pub fn kill_hard(id: u32) {
    // It may be gone already.
    let _ = kill(Pid::from_raw(id as i32), Signal::SIGKILL);
}

/// The processes of a pool's workers.
pub fn ids(pool: &ProcessPool) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let start = Instant::now();
    while found.len() < pool.workers() {
        assert!(start.elapsed() < AT_ONCE, "only {found:?}");
        let who = |()| {
            thread::sleep(Duration::from_millis(10));
            process::id()
        };
        let view = pool.chunk_size(1).unwrap();
        found.extend(view.map(who, vec![(); pool.workers()]).unwrap());
    }
    found
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

/// The children of this process, with those that have ended and were not waited for.
pub fn children() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread may end meanwhile.
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
    }
    found
}

/// What this process has open.
pub fn open_files() -> Vec<String> {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut names: Vec<String> = files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// How many pieces of shared memory of this crate a process has mapped.
pub fn mapped_memory(id: &str) -> usize {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    maps.lines().filter(|line| line.contains("memfd:")).count()
}

/// The pool works, all of it, and at once.
#[track_caller]
pub fn assert_goes_on(pool: &ProcessPool) {
    let start = Instant::now();
    let numbers: Vec<u64> = (0..40).collect();
    let results = pool.chunk_size(1).unwrap().map(|x: u64| x, 0..40);
    assert_eq!(results.expect("the pool goes on"), numbers);
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

/// A task that takes its worker with it.
pub fn crash((): ()) {
    process::abort();
}
