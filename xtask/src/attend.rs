//! Attends to one check: tells what it costs, and whether it leaves processes behind.
//!
//! ```text
//! test, which runs checks side by side
//! └── check NAME, which attends
//!     └── check NAME --itself
//!         └── Python → kernels → compilers, the processes of cells, workers, ranks
//! ```
//!
//! Processor time is that of all processes below. The system counts a process when its parent has
//! waited for it, but who kills a kernel does not wait for those below it. So on Linux this process
//! becomes the parent of all whose own parents have ended, and waits for them.

use std::env;
use std::ffi::c_int;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::Result;

/// Names a file to which each kernel that is started adds a line. Spare kernels count as well.
pub const COUNT: &str = "COURSE_TEST_KERNELS";

/// How long those may need that end when the check has ended, as a janitor, which deletes a folder.
/// What is left for ever is found all the same.
const LEFTOVER: Duration = Duration::from_secs(120);

/// How long to wait between two looks at those.
const LOOK: Duration = Duration::from_millis(50);

/// What a check costs besides the time on the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds of processor time; none where the system does not tell.
    pub processor: Option<f64>,
    /// How many kernels it started.
    pub kernels: u64,
}

/// Where the cost of a check is written.
fn cost_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.cost"))
}

/// What the check of this name has cost, by the words of who has attended to it.
pub fn cost(folder: &Path, name: &str) -> Cost {
    let text = fs::read_to_string(cost_file(folder, name)).unwrap_or_default();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    Cost {
        processor: found["processor"].as_f64(),
        kernels: found["kernels"].as_u64().unwrap_or_default(),
    }
}

/// Runs a check to its end and writes down what it has cost. A check that leaves a process behind fails.
/// When the input of this process closes, nobody wants the check any more: it ends, and this process too.
pub fn attend(check: Command, name: &str, folder: &Path) -> Result<ExitStatus> {
    thread::spawn(end_with(io::stdin()));
    attend_patiently(check, name, folder, LEFTOVER)
}

/// Waits for the end of an input; then ends all that this process has started, and itself.
fn end_with(mut input: impl Read) -> impl FnOnce() {
    move || {
        let _ = io::copy(&mut input, &mut io::sink());
        // Those whose parents have ended are below this process from then on, and none can get away.
        loop {
            let below = descendants();
            if below.is_empty() {
                process::exit(1);
            }
            for (id, _) in below {
                kill(id);
            }
            // The thread that attends waits for them, too.
            while wait(false).is_some() {}
            thread::sleep(LOOK);
        }
    }
}

fn attend_patiently(
    mut check: Command,
    name: &str,
    folder: &Path,
    leftover: Duration,
) -> Result<ExitStatus> {
    fs::create_dir_all(folder)?;
    let written = cost_file(folder, name);
    let count = folder.join(format!("{name}.kernels"));
    fs::write(&count, "")?;
    let _ = fs::remove_file(&written);
    adopt_orphans();
    let child = check.env(COUNT, &count).stdin(Stdio::null()).spawn();
    let child = child.map_err(|error| format!("cannot start the check `{name}`: {error}"))?;
    let status = loop {
        let (id, status) = wait(true).ok_or("the check is not there any more")?;
        if id == child.id() {
            break status;
        }
    };
    let left = wait_for_others(leftover);
    let kernels = fs::read_to_string(&count)?.lines().count();
    fs::remove_file(count)?;
    let cost = json!({ "processor": processor_time(), "kernels": kernels });
    fs::write(written, cost.to_string())?;
    if left.is_empty() {
        return Ok(status);
    }
    println!("The check has ended, but these processes have not:");
    for (id, command) in &left {
        println!("{id} {command}");
        // Else it would disturb the checks that come next.
        kill(*id);
    }
    let commands: Vec<_> = left.iter().map(|(_, command)| shortened(command)).collect();
    let commands = commands.join("; ");
    Err(format!("`{name}` leaves processes behind: {commands}").into())
}

/// The beginning of a command line.
fn shortened(command: &str) -> String {
    const LONGEST: usize = 100;
    command.chars().take(LONGEST).collect()
}

/// Adds a line to the file that counts kernels, if one is wanted; the kernel need not know of it.
pub fn count_kernel() {
    use std::io::Write;
    let Some(file) = env::var_os(COUNT) else {
        return;
    };
    // One write, so that lines of two kernels do not mix.
    if let Ok(mut file) = fs::OpenOptions::new().append(true).open(file) {
        let _ = file.write_all(b"kernel\n");
    }
}

/// Waits until nobody is left below this process; gives those who are after a while.
fn wait_for_others(leftover: Duration) -> Vec<(u32, String)> {
    // Looks are counted, not seconds: a machine that stands still gives nobody time to end.
    let mut looks = leftover.as_millis() / LOOK.as_millis();
    loop {
        while wait(false).is_some() {}
        let left = descendants();
        if left.is_empty() || looks == 0 {
            return left;
        }
        looks -= 1;
        thread::sleep(LOOK);
    }
}

unsafe extern "C" {
    fn waitpid(id: c_int, status: *mut c_int, options: c_int) -> c_int;
    #[link_name = "kill"]
    fn send_signal(id: c_int, signal: c_int) -> c_int;
}

fn kill(id: u32) {
    const KILL: c_int = 9;
    // SAFETY: the call takes numbers only. It fails if the process has ended by now.
    unsafe { send_signal(id.cast_signed(), KILL) };
}

/// Waits for the end of any child, or only looks whether one has ended.
fn wait(patiently: bool) -> Option<(u32, ExitStatus)> {
    const ANY: c_int = -1;
    const NO_HANG: c_int = 1;
    let options = if patiently { 0 } else { NO_HANG };
    loop {
        let mut status = 0;
        // SAFETY: the status is written to a variable that lives.
        let id = unsafe { waitpid(ANY, &raw mut status, options) };
        if id > 0 {
            return Some((id.cast_unsigned(), ExitStatus::from_raw(status)));
        }
        let was_interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if id == 0 || !was_interrupted {
            return None;
        }
    }
}

#[cfg(target_os = "linux")]
fn adopt_orphans() {
    unsafe extern "C" {
        fn prctl(option: c_int, ...) -> c_int;
    }
    const SET_CHILD_SUBREAPER: c_int = 36;
    // SAFETY: the call takes numbers only. If it fails, some processes are not counted.
    unsafe { prctl(SET_CHILD_SUBREAPER, 1_usize, 0_usize, 0_usize, 0_usize) };
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

/// Seconds of all processes that were waited for, and of those that these had waited for.
fn processor_time() -> Option<f64> {
    let about = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything.
    let (_, fields) = about.rsplit_once(") ")?;
    let of_children = fields.split(' ').skip(13).take(2);
    let ticks: u64 = of_children
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // What Linux tells programs, whatever its own clock does.
    const TICKS_PER_SECOND: f64 = 100.0;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// The processes below this one, with their command lines.
fn descendants() -> Vec<(u32, String)> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let about = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = about
            .rsplit_once(") ")
            .and_then(|(_, fields)| fields.split(' ').nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let mut found = vec![process::id()];
    let mut looked = 0;
    while looked < found.len() {
        let children = parents
            .iter()
            .filter(|(_, parent)| *parent == found[looked]);
        let children: Vec<_> = children.map(|(id, _)| *id).collect();
        found.extend(children);
        looked += 1;
    }
    let command = |id: &u32| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).replace('\0', " ")
    };
    found.iter().skip(1).map(|id| (*id, command(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "COURSE_TEST_SCRIPT";
    const FOLDER: &str = "COURSE_TEST_FOLDER";
    /// Whether the input of the process closes when nobody wants the script any more.
    const CLOSES: &str = "COURSE_TEST_CLOSES";
    const LEFTOVER_SECONDS: &str = "COURSE_TEST_LEFTOVER";

    /// Attends to a script of the shell in a process of its own; gives whether the script passes, what is
    /// said, and the cost.
    fn attended(name: &str, script: &str, leftover: u64) -> (bool, String, Cost) {
        let folder = format!("course-attend-{name}-{}", std::process::id());
        let folder = env::temp_dir().join(folder);
        let output = attends_to(script, &folder, leftover).output().unwrap();
        let cost = cost(&folder, "script");
        fs::remove_dir_all(folder).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said, cost)
    }

    fn attends_to(script: &str, folder: &Path, leftover: u64) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "attend::tests::attends"])
            .args(["--ignored", "--nocapture"])
            .env(SCRIPT, script)
            .env(FOLDER, folder)
            .env(LEFTOVER_SECONDS, leftover.to_string());
        command
    }

    /// Not among the other tests, since it waits for all children of its process.
    #[test]
    #[ignore = "part of other tests"]
    fn attends() {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(env::var_os(SCRIPT).unwrap());
        let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
        let leftover = env::var(LEFTOVER_SECONDS).unwrap().parse().unwrap();
        let leftover = Duration::from_secs(leftover);
        if env::var_os(CLOSES).is_some() {
            thread::spawn(end_with(io::stdin()));
        }
        let status = attend_patiently(shell, "script", &folder, leftover).unwrap();
        assert!(status.success(), "{status}");
    }

    /// A script that uses half a second of a processor, or a little more.
    const WORK: &str = "exec python3 -c 'import time\nwhile time.process_time() < 0.5: pass'";

    #[test]
    #[cfg(target_os = "linux")]
    fn processes_count_whose_parents_have_ended() {
        let (passed, said, cost) = attended("orphan", &format!("({WORK}) & ({WORK}) & exit 0"), 60);
        assert!(passed, "{said}");
        assert!(cost.processor.unwrap() >= 0.9, "{cost:?}");
        assert_eq!(cost.kernels, 0);
    }

    #[test]
    fn a_check_that_fails_does() {
        let (passed, said, _) = attended("fails", "exit 3", 60);
        assert!(!passed, "{said}");
    }

    /// As when somebody stops all checks.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_check_that_nobody_wants_ends_with_all_that_it_started() {
        let place = env::temp_dir().join(format!("course-attend-unwanted-{}", process::id()));
        fs::create_dir(&place).unwrap();
        // The second one is not its child for long.
        let script = format!(
            "cd {} && (setsid sleep 600 & echo $! > new) && sleep 601",
            place.display()
        );
        let mut owner = attends_to(&script, &place.join("folder"), 60)
            .env(CLOSES, "1")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let new = place.join("new");
        let id = loop {
            let id = fs::read_to_string(&new).unwrap_or_default();
            if let Some(id) = id.strip_suffix('\n') {
                break id.to_owned();
            }
            thread::sleep(LOOK);
        };
        drop(owner.stdin.take());
        assert!(!owner.wait().unwrap().success());
        assert!(!Path::new("/proc").join(&id).exists(), "{id}");
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn kernels_are_counted_by_those_that_start_them() {
        let starts = format!("echo kernel >> ${COUNT}");
        let (passed, said, cost) = attended("kernels", &format!("{starts}; ({starts}) & wait"), 60);
        assert!(passed, "{said}");
        assert_eq!(cost.kernels, 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_is_left_behind_is_named() {
        // It is one of that name as soon as the shell's child has become it.
        let script = "sleep 600 & until grep -aq ^sleep /proc/$!/cmdline; do :; done; exit 0";
        let (passed, said, _) = attended("left", script, 0);
        assert!(!passed, "{said}");
        assert!(said.contains("sleep 600"), "{said}");
    }
}
