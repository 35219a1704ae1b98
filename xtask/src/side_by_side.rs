//! Runs programs, some of them two at a time, and shows what they print as if one ran after the
//! other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// How long to wait between two looks at what runs.
const LOOK: Duration = Duration::from_millis(100);

/// A program that is to run.
#[derive(Debug)]
pub struct Job {
    pub name: &'static str,
    pub command: Command,
    /// Whether nothing else may run meanwhile.
    pub is_alone: bool,
}

/// What came of a program.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub time: Duration,
    /// The last line that it printed.
    pub last_line: String,
}

/// A program that has started; one that still runs ends with this.
#[derive(Debug)]
struct Started {
    child: Child,
    since: Instant,
    output: PathBuf,
    done: Option<(ExitStatus, Duration)>,
}

/// Runs all jobs, at most `at_once` at a time, and tells what came of each, in their order.
///
/// What they print goes into files in `folder`. The first in the order that is not through is shown
/// while it runs; what others print meanwhile follows when it is their turn.
pub fn run(
    jobs: Vec<Job>,
    at_once: usize,
    folder: &Path,
    out: &mut impl Write,
) -> Result<Vec<Done>> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    let count = jobs.len();
    let alone: Vec<_> = jobs.iter().map(|job| job.is_alone).collect();
    let names: Vec<_> = jobs.iter().map(|job| job.name).collect();
    let mut waiting = jobs.into_iter();
    let mut started: Vec<Started> = Vec::new();
    let mut done = Vec::new();
    let mut shown = None;
    while done.len() < count {
        for one in &mut started {
            one.look()?;
        }
        let running: Vec<_> = (0..started.len())
            .filter(|&n| started[n].done.is_none())
            .collect();
        let next = started.len();
        if next < count && may_start(next, &running, &alone, at_once) {
            started.extend(waiting.next().map(|job| job.start(folder)).transpose()?);
            continue;
        }
        let current = &started[done.len()];
        // Before its output is read, so that nothing is missed.
        let ended = current.done;
        if shown.is_none() {
            writeln!(out, "\n=== {} ===", names[done.len()])?;
        }
        let mut file = match shown.take() {
            Some(file) => file,
            None => File::open(&current.output)?,
        };
        io::copy(&mut file, out)?;
        out.flush()?;
        if let Some((status, time)) = ended {
            let end = end_of_log(&current.output)?;
            done.push(Done {
                status,
                time,
                last_line: end.lines().last().unwrap_or("").to_owned(),
            });
        } else {
            shown = Some(file);
            thread::sleep(LOOK);
        }
    }
    Ok(done)
}

/// The file for what a job prints.
pub fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// Whether a job may start beside those that run.
fn may_start(next: usize, running: &[usize], alone: &[bool], at_once: usize) -> bool {
    let suffer_company = || !alone[next] && running.iter().all(|&n| !alone[n]);
    running.is_empty() || (running.len() < at_once && suffer_company())
}

/// The last lines of what a job has printed, which tell why it failed to who sees no more.
pub fn end_of_log(log: &Path) -> io::Result<String> {
    const LINES: usize = 40;
    let text = fs::read(log)?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.trim_end().lines().collect();
    let end = &lines[lines.len().saturating_sub(LINES)..];
    Ok(end.iter().map(|line| format!("{line}\n")).collect())
}

impl Job {
    fn start(mut self, folder: &Path) -> Result<Started> {
        let output = log(folder, self.name);
        let blame = |error| format!("cannot write {}: {error}", output.display());
        let file = File::create(&output).map_err(blame)?;
        self.command
            // Nothing is written to it. It closes when this process ends, however that is.
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = self
            .command
            .spawn()
            .map_err(|error| format!("cannot start the check `{}`: {error}", self.name))?;
        Ok(Started {
            child,
            since: Instant::now(),
            output,
            done: None,
        })
    }
}

impl Started {
    fn look(&mut self) -> io::Result<()> {
        if self.done.is_none() {
            self.done = self
                .child
                .try_wait()?
                .map(|status| (status, self.since.elapsed()));
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.done.is_none() {
            // In vain if it has just ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    fn shell(name: &'static str, script: &str, is_alone: bool) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job {
            name,
            command,
            is_alone,
        }
    }

    /// Runs jobs in a folder of their own, which they find in `$PLACE`.
    fn run_in_place(mut jobs: Vec<Job>, at_once: usize) -> (Vec<Done>, String) {
        let place = std::env::temp_dir().join(format!(
            "course-jobs-{}-{:?}",
            std::process::id(),
            thread::current().id()
        ));
        for job in &mut jobs {
            job.command.env("PLACE", &place);
        }
        let mut shown = Vec::new();
        let done = run(jobs, at_once, &place, &mut shown).unwrap();
        fs::remove_dir_all(place).unwrap();
        (done, String::from_utf8(shown).unwrap())
    }

    // Each of the two waits for the other, at most ten seconds.
    const FIRST: &str = "touch $PLACE/a; for _ in $(seq 100); do \
                         [ -e $PLACE/b ] && echo met && exit; sleep 0.1; done; exit 1";
    const SECOND: &str = "touch $PLACE/b; for _ in $(seq 100); do \
                          [ -e $PLACE/a ] && echo met && exit; sleep 0.1; done; exit 1";

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        let log = env::temp_dir().join(format!("course-log-{}", process::id()));
        let lines: Vec<_> = (0..100).map(|n| format!("line {n}")).collect();
        fs::write(&log, lines.join("\n") + "\n\n").unwrap();
        let end = end_of_log(&log).unwrap();
        fs::write(&log, "short").unwrap();
        let short = end_of_log(&log).unwrap();
        fs::remove_file(log).unwrap();
        assert_eq!(end.lines().count(), 40);
        assert!(
            end.starts_with("line 60\n") && end.ends_with("line 99\n"),
            "{end}"
        );
        assert_eq!(short, "short\n");
    }

    #[test]
    fn two_that_suffer_company_meet() {
        let jobs = vec![shell("a", FIRST, false), shell("b", SECOND, false)];
        let (done, shown) = run_in_place(jobs, 2);
        assert!(done.iter().all(|one| one.status.success()), "{done:?}");
        assert_eq!(shown, "\n=== a ===\nmet\n\n=== b ===\nmet\n");
    }

    #[test]
    fn what_they_print_does_not_mix() {
        let slow = "for n in 1 2 3; do echo slow $n; sleep 0.2; done";
        let jobs = vec![shell("a", slow, false), shell("b", "echo quick", false)];
        let (_, shown) = run_in_place(jobs, 2);
        assert_eq!(
            shown,
            "\n=== a ===\nslow 1\nslow 2\nslow 3\n\n=== b ===\nquick\n"
        );
    }

    // Says so if somebody else is there while it sleeps.
    const LONELY: &str = "mkdir $PLACE/here || exit 1; sleep 0.3; rmdir $PLACE/here";

    #[test]
    fn one_that_must_be_alone_is() {
        for (alone, at_once) in [([true, false, true], 2), ([false, false, false], 1)] {
            let jobs = ["a", "b", "c"].iter().zip(alone);
            let jobs = jobs.map(|(name, alone)| shell(name, LONELY, alone));
            let (done, _) = run_in_place(jobs.collect(), at_once);
            assert!(done.iter().all(|one| one.status.success()), "{done:?}");
        }
    }

    #[test]
    fn one_that_fails_is_told_and_the_next_runs() {
        let jobs = vec![
            shell("a", "echo first; echo bad luck >&2; exit 3", false),
            shell("b", "kill -9 $$", true),
            shell("c", ":", false),
        ];
        let (done, _) = run_in_place(jobs, 2);
        assert_eq!(done[0].status.code(), Some(3));
        assert_eq!(done[0].last_line, "bad luck");
        assert_eq!(done[1].status.code(), None);
        assert!(done[2].status.success());
        assert_eq!(done[2].last_line, "");
    }
}
