//! Processes that come from this one: who they are, and how they are ended.

use std::collections::HashSet;

/// All processes that descend from one, without itself.
pub fn descendants(of: u32) -> Vec<u32> {
    let pairs = pairs();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = pairs.iter().filter(|(_, its)| *its == parent);
        let new: Vec<_> = children
            .map(|(pid, _)| *pid)
            .filter(|pid| !found.contains(pid))
            .collect();
        found.extend(new);
        next += 1;
    }
    found.split_off(1)
}

/// The children of this process.
pub fn children() -> HashSet<u32> {
    let this = std::process::id();
    let pairs = pairs().into_iter();
    pairs
        .filter(|(_, parent)| *parent == this)
        .map(|(pid, _)| pid)
        .collect()
}

/// Sends a signal to a process, which may have ended.
pub fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 1
    {
        // SAFETY: a call to the system with two numbers.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Ends a process and all that descend from it, at once.
pub fn kill_tree(pid: u32) {
    // Asked before their parent is gone and they are somebody else's.
    let all = descendants(pid);
    signal(pid, libc::SIGKILL);
    all.into_iter().for_each(|pid| signal(pid, libc::SIGKILL));
}

/// Each process that there is, and its parent.
#[cfg(target_os = "linux")]
fn pairs() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let about = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state parent …`, where a name may hold anything.
        let (_, rest) = about.rsplit_once(')')?;
        Some((pid, rest.split_whitespace().nth(1)?.parse().ok()?))
    })
    .collect()
}

#[cfg(not(target_os = "linux"))]
fn pairs() -> Vec<(u32, u32)> {
    let listed = std::process::Command::new("ps")
        .args(["-A", "-o", "pid=,ppid="])
        .output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(pair)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_is_found_and_ended() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60; true"])
            .spawn()
            .unwrap();
        while descendants(shell.id()).len() < 2 {
            std::thread::yield_now();
        }
        assert!(children().contains(&shell.id()));
        let sleeping = descendants(shell.id());
        kill_tree(shell.id());
        shell.wait().unwrap();
        // They have another parent now, who waits for them; until then they are dead in name only.
        for pid in sleeping {
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
            while state().is_some_and(|text| !text.contains(") Z ")) {
                std::thread::yield_now();
            }
        }
    }
}
