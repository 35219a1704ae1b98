//! `cargo xtask test`: every check there is, in the order of how soon each tells.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::{book, doctor, setup, test_mpi, tools};

/// What came of a check that did not fail.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    Skipped(String),
}

type Check = fn(&Paths) -> Result<Outcome>;

const CHECKS: &[(&str, Check)] = &[
    ("format", |paths| cargo(paths, &["fmt", "--check"])),
    ("clippy", |paths| {
        cargo(paths, &["clippy", "--all-targets", "--", "-D", "warnings"])
    }),
    ("docs", |paths| {
        let mut command = Command::new("cargo");
        command
            .args(["doc", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings");
        passes(command.current_dir(paths.root()))
    }),
    ("crate", |paths| cargo(paths, &["test"])),
    ("harness", |paths| {
        unittest(
            paths,
            &[
                "tests.test_normalise",
                "tests.test_browser",
                "tests.test_harness",
            ],
        )
    }),
    ("launcher", |paths| {
        unittest(paths, &["tests.test_setup", "tests.test_launcher"])
    }),
    ("spare", |paths| {
        let mypy = ["-m", "mypy", "--strict", "--cache-dir=/dev/null"];
        let package = paths.provisioner().join("course_kernel");
        passes(command::python(paths).args(mypy).arg(package))?;
        unittest(paths, &["tests.test_spare"])
    }),
    ("cells", |paths| {
        unittest(paths, &["tests.test_cells", "tests.test_process_cells"])
    }),
    ("mpi", test_mpi::run),
    ("notebooks", |paths| {
        let script = paths.scripts().join("notebooks.py");
        passes(command::python(paths).arg(script).arg("--check"))
    }),
    ("exercises", |paths| {
        unittest(paths, &["tests.test_exercises"])?;
        passes(command::python(paths).arg(paths.scripts().join("exercises.py")))
    }),
    // Only that all can be measured: figures are for a machine with nothing else to do.
    ("bench", |paths| unittest(paths, &["tests.test_bench"])),
    ("grade", |paths| unittest(paths, &["tests.test_grade"])),
    ("book", book),
    ("browser", browser),
    ("doctor", |paths| {
        doctor::run(paths).map(|()| Outcome::Passed)
    }),
];

/// Runs all checks, or those whose names are given.
pub fn run(paths: &Paths, names: &[String]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| CHECKS.iter().all(|(n, _)| n != name))
    {
        let known: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        return Err(format!("there is no check `{unknown}`; there are: {known}").into());
    }
    setup::run(paths)?;
    setup::add_packages(paths, "test")?;
    let on_ci = env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    let mut rows = Vec::new();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    for &(name, check) in CHECKS.iter().filter(|(name, _)| wanted(name)) {
        println!("\n=== {name} ===");
        let started = Instant::now();
        let result = match check(paths) {
            Ok(Outcome::Skipped(why)) if on_ci => Err(format!("skipped on CI: {why}").into()),
            other => other,
        };
        match &result {
            Ok(Outcome::Passed) => {}
            Ok(Outcome::Skipped(why)) => println!("skipped: {why}"),
            Err(error) => println!("failed: {error}"),
        }
        rows.push((name, result, started.elapsed()));
    }
    summarize(&rows)
}

fn summarize(rows: &[(&str, Result<Outcome>, Duration)]) -> Result<()> {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!();
    for (name, result, time) in rows {
        let outcome = match result {
            Ok(Outcome::Passed) => {
                passed += 1;
                "passed".to_owned()
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                format!("skipped: {why}")
            }
            Err(error) => {
                failed += 1;
                format!("FAILED: {error}")
            }
        };
        println!("{name:10}  {:6.1} s  {outcome}", time.as_secs_f64());
    }
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

const NO_BROWSER: &str = "no Chromium is installed and none could be downloaded";

fn find_browser(paths: &Paths) -> Option<PathBuf> {
    tools::browser(paths).or_else(|| download_browser(paths))
}

/// Makes the book, follows its links, and looks at its pages.
fn book(paths: &Paths) -> Result<Outcome> {
    setup::add_packages(paths, "book")?;
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
