//! `cargo xtask test`: every check there is.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::side_by_side::{self, Done, Job};
use crate::{book, doctor, kernel_program, setup, test_mpi, tools};

/// What came of a check that did not fail.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    Skipped(String),
}

type Check = fn(&Paths) -> Result<Outcome>;

/// Whether a check may run beside another one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Company {
    /// It uses all cores by itself, or its tests look at the clock.
    Alone,
    /// Mostly it waits for one kernel, which uses one core.
    Beside,
}

use Company::{Alone, Beside};

/// First those that run alone, in the order of how soon each tells. Of the others the longest comes
/// first, so that the last two end at about the same time.
const CHECKS: &[(&str, Company, Check)] = &[
    ("format", Alone, |paths| {
        cargo(paths, &["fmt", "--check"])?;
        cargo(
            paths,
            &["fmt", "--check", "--manifest-path", "kernel/Cargo.toml"],
        )?;
        let mut command = Command::new("rustfmt");
        command.args(["--check", "--edition=2024"]);
        passes(command.arg(paths.runner_source()))
    }),
    ("clippy", Alone, |paths| {
        cargo(paths, &["clippy", "--all-targets", "--", "-D", "warnings"])
    }),
    ("docs", Alone, |paths| {
        let mut command = Command::new("cargo");
        command
            .args(["doc", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings");
        passes(command.current_dir(paths.root()))
    }),
    ("crate", Alone, |paths| cargo(paths, &["test"])),
    ("program", Alone, program),
    ("mpi", Alone, test_mpi::run),
    ("slurm", Alone, test_mpi::run_on_slurm),
    ("notebooks", Alone, |paths| {
        let script = paths.scripts().join("notebooks.py");
        passes(command::python(paths).arg(script).arg("--check"))
    }),
    ("exercises", Alone, |paths| {
        unittest(paths, &["tests.test_exercises"])?;
        passes(command::python(paths).arg(paths.scripts().join("exercises.py")))
    }),
    ("kernel", Beside, |paths| {
        unittest(paths, &["tests.test_kernel", "tests.test_kernel_editor"])
    }),
    ("kernel-clients", Beside, |paths| {
        unittest(
            paths,
            &[
                "tests.test_kernel_clients",
                "tests.test_kernel_fuzz",
                "tests.test_kernel_protocol",
                "tests.test_kernel_sources",
            ],
        )
    }),
    ("browser", Beside, browser),
    ("spare", Beside, |paths| {
        let mypy = ["-m", "mypy", "--strict", "--cache-dir=/dev/null"];
        let package = paths.provisioner().join("course_kernel");
        passes(command::python(paths).args(mypy).arg(package))?;
        unittest(paths, &["tests.test_spare"])
    }),
    // Only that all can be measured: figures are for a machine with nothing else to do. The stock
    // kernel is tested here since it compiles where the bench's one does.
    ("bench", Beside, |paths| {
        unittest(paths, &["tests.test_stock", "tests.test_bench"])
    }),
    ("mpi-cells", Beside, test_mpi::run_cells),
    ("cells", Beside, |paths| {
        unittest(paths, &["tests.test_cells", "tests.test_process_cells"])
    }),
    ("harness", Beside, |paths| {
        unittest(
            paths,
            &[
                "tests.test_normalise",
                "tests.test_browser",
                "tests.test_harness",
            ],
        )
    }),
    ("grade", Beside, |paths| {
        unittest(paths, &["tests.test_grade"])
    }),
    ("launcher", Beside, |paths| {
        unittest(paths, &["tests.test_setup", "tests.test_launcher"])
    }),
    ("book", Beside, book),
    ("doctor", Alone, |paths| {
        doctor::run(paths).map(|()| Outcome::Passed)
    }),
];

/// Of a check that was skipped; its last line says why.
const SKIPPED: u8 = 77;

/// Memory that two checks need side by side, in GiB: one with a spare kernel, which is not prepared
/// if less than three would remain, and one with two kernels and a browser.
const MEMORY_FOR_TWO: u64 = 12;

/// Runs all checks, or those whose names are given.
pub fn run(paths: &Paths, names: &[String]) -> Result<()> {
    for name in names {
        find(name)?;
    }
    setup::run(paths)?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    // Now, since it would disturb a check that runs beside.
    setup::add_packages(paths, "test")?;
    for user in ["bench", "book"] {
        if wanted(user) {
            setup::add_packages(paths, user)?;
        }
    }
    let this = env::current_exe()?;
    let started = Instant::now();
    let mut jobs = Vec::new();
    for &(name, company, _) in CHECKS.iter().filter(|(name, ..)| wanted(name)) {
        let mut command = Command::new(&this);
        command.args(["check", name]);
        let is_alone = company == Alone;
        jobs.push(Job {
            name,
            command,
            is_alone,
        });
    }
    let names: Vec<_> = jobs.iter().map(|job| job.name).collect();
    let done = side_by_side::run(
        jobs,
        at_once(),
        &paths.course().join("test"),
        &mut io::stdout(),
    )?;
    summarize(&names, &done, started.elapsed())
}

/// Runs one check in this process, for `run`.
pub fn check(paths: &Paths, names: &[String]) -> Result<ExitCode> {
    let [name] = names else {
        return Err("`check` is called by `test`, with the name of a check".into());
    };
    let on_ci = env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    match find(name)?(paths)? {
        Outcome::Passed => Ok(ExitCode::SUCCESS),
        Outcome::Skipped(why) if on_ci => Err(format!("skipped on CI: {why}").into()),
        Outcome::Skipped(why) => {
            println!("skipped: {why}");
            Ok(ExitCode::from(SKIPPED))
        }
    }
}

fn find(name: &str) -> Result<Check> {
    if let Some((.., check)) = CHECKS.iter().find(|(known, ..)| *known == name) {
        return Ok(*check);
    }
    let known: Vec<_> = CHECKS.iter().map(|(name, ..)| *name).collect();
    let known = known.join(", ");
    Err(format!("there is no check `{name}`; there are: {known}").into())
}

/// How many checks this machine can run side by side.
fn at_once() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let about = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = about
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let is_enough = kib.is_some_and(|kib| kib >= MEMORY_FOR_TWO << 20);
    if cores >= 2 && is_enough { 2 } else { 1 }
}

fn summarize(names: &[&str], checks: &[Done], in_all: Duration) -> Result<()> {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!();
    for (name, done) in names.iter().zip(checks) {
        let outcome = if done.status.success() {
            passed += 1;
            "passed".to_owned()
        } else if done.status.code() == Some(SKIPPED.into()) {
            skipped += 1;
            done.last_line.clone()
        } else {
            failed += 1;
            format!("FAILED ({}): {}", done.status, done.last_line)
        };
        println!("{name:10}  {:6.1} s  {outcome}", done.time.as_secs_f64());
    }
    println!("in all      {:6.1} s", in_all.as_secs_f64());
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        Ok(())
    } else {
        Err("not all checks passed".into())
    }
}

fn cargo(paths: &Paths, args: &[&str]) -> Result<Outcome> {
    passes(Command::new("cargo").args(args).current_dir(paths.root()))
}

pub fn unittest(paths: &Paths, modules: &[&str]) -> Result<Outcome> {
    let mut command = command::python(paths);
    command.args(["-m", "unittest", "--verbose"]).args(modules);
    passes(command.current_dir(paths.scripts()))
}

/// Checks the kernel's program and how soon it obeys. What it depends on is compiled already.
fn program(paths: &Paths) -> Result<Outcome> {
    // Clippy in the compiler's place: `cargo clippy` would check hundreds of crates anew.
    passes(
        kernel_program::cargo(paths, "rustc")
            .args(["--", "-D", "warnings"])
            .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver"),
    )?;
    passes(&mut kernel_program::cargo(paths, "test"))?;
    unittest(paths, &["tests.test_kernel_interrupt"])
}

const NO_BROWSER: &str = "no Chromium is installed and none could be downloaded";

fn find_browser(paths: &Paths) -> Option<PathBuf> {
    tools::browser(paths).or_else(|| download_browser(paths))
}

/// Makes the book, follows its links, and looks at its pages.
fn book(paths: &Paths) -> Result<Outcome> {
    unittest(paths, &["tests.test_book"])?;
    let browser = find_browser(paths);
    book::build(paths, browser.as_deref())?;
    Ok(match browser {
        Some(_) => Outcome::Passed,
        None => Outcome::Skipped(format!(
            "the book was made, but not looked at: {NO_BROWSER}"
        )),
    })
}

/// Does in JupyterLab in a browser what students do.
fn browser(paths: &Paths) -> Result<Outcome> {
    let Some(browser) = find_browser(paths) else {
        return Ok(Outcome::Skipped(NO_BROWSER.to_owned()));
    };
    drive_browser(paths, &browser, false).map(|()| Outcome::Passed)
}

/// Makes the pictures of `README.md` anew, in a browser.
pub fn screenshots(paths: &Paths) -> Result<()> {
    setup::run(paths)?;
    setup::add_packages(paths, "test")?;
    let browser = find_browser(paths).ok_or(NO_BROWSER)?;
    drive_browser(paths, &browser, true)
}

/// Does what students do; if `for_readme` only as much as its pictures need, which are then put
/// in their place.
fn drive_browser(paths: &Paths, browser: &Path, for_readme: bool) -> Result<()> {
    let mut command = command::python(paths);
    command.args(["-m", "browser", "--browser"]).arg(browser);
    let pictures = paths.course().join("screenshots");
    command.arg("--pictures").arg(pictures);
    if for_readme {
        command.arg("--readme");
    }
    command.arg("--").arg(env::current_exe()?).arg("lab");
    command::run(command.current_dir(paths.scripts()))
}

fn download_browser(paths: &Paths) -> Option<PathBuf> {
    println!("Downloading Chromium (about 150 MB) …");
    let mut command = command::python(paths);
    command
        .args(["-m", "playwright", "install", "--only-shell", "chromium"])
        .env("PLAYWRIGHT_BROWSERS_PATH", paths.course().join("browsers"));
    command::run(&mut command).ok()?;
    tools::browser(paths)
}

pub fn passes(command: &mut Command) -> Result<Outcome> {
    command::run(command).map(|()| Outcome::Passed)
}
