//! `cargo xtask test`: every check there is, or those that a small change needs.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::attend::{self, Cost};
use crate::build_folder;
use crate::command;
use crate::history::{self, Entry};
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
    /// It is soon through, or uses what others leave.
    Alone,
    /// Often it waits. None of its tests depends on how busy the machine is.
    Beside,
}

use Company::{Alone, Beside};

/// First those that tell soon. Of the others the longest come first, so that the last of them end at
/// about the same time. The browser runs the lessons, so that the notebooks, which come behind all,
/// need not run again.
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
    ("types", Alone, |paths| {
        let mut command = command::python(paths);
        command.args(["-m", "mypy", "--config-file"]);
        command.arg(paths.scripts().join("mypy.ini"));
        let package = paths.provisioner().join("course_kernel");
        passes(command.args([paths.scripts(), package]))
    }),
    ("crate", Beside, |paths| cargo(paths, &["test"])),
    ("browser", Beside, browser),
    ("spare", Beside, |paths| {
        pytest(paths, &["tests/test_spare.py"])
    }),
    ("grade", Beside, |paths| {
        pytest(paths, &["tests/test_grade.py", "tests/test_handout.py"])
    }),
    ("kernel-clients", Beside, |paths| {
        pytest(
            paths,
            &[
                "tests/test_kernel_clients.py",
                "tests/test_kernel_fuzz.py",
                "tests/test_kernel_protocol.py",
                "tests/test_kernel_sources.py",
            ],
        )
    }),
    ("mpi", Beside, test_mpi::run),
    ("mpich", Beside, test_mpi::run_mpich),
    ("slurm", Beside, test_mpi::run_on_slurm),
    ("slurm-lesson", Beside, test_mpi::run_lesson_on_slurm),
    ("mpi-cells", Beside, test_mpi::run_cells),
    // Only that all can be measured: figures are for a machine with nothing else to do. The stock
    // kernel is tested here since it compiles where the bench's one does.
    ("bench", Beside, |paths| {
        pytest(paths, &["tests/test_stock.py", "tests/test_bench.py"])
    }),
    ("exercises", Beside, |paths| {
        pytest(paths, &["tests/test_exercises.py"])?;
        let mut command = command::script(paths, "notebooks.exercises");
        if env::var_os(IS_QUICK).is_some() {
            command.arg("--text-only");
        }
        passes(command.arg("--known").arg(executed(paths)))
    }),
    ("kernel", Beside, |paths| {
        pytest(
            paths,
            &["tests/test_kernel.py", "tests/test_kernel_editor.py"],
        )
    }),
    ("program", Beside, program),
    ("cells", Beside, |paths| {
        pytest(
            paths,
            &["tests/test_cells.py", "tests/test_process_cells.py"],
        )
    }),
    ("harness", Beside, |paths| {
        pytest(
            paths,
            &[
                "tests/test_normalise.py",
                "tests/test_browser.py",
                "tests/test_lessons.py",
                "tests/test_harness.py",
                "tests/test_pages.py",
            ],
        )
    }),
    // That the stored outputs bear the prose out, which only a machine with nothing else to do gives.
    ("claims", Beside, |paths| {
        pytest(paths, &["tests/test_claims.py"])
    }),
    ("launcher", Beside, |paths| {
        pytest(paths, &["tests/test_setup.py", "tests/test_launcher.py"])
    }),
    ("book", Beside, book),
    ("notebooks", Alone, |paths| {
        let mut command = command::script(paths, "notebooks.run");
        command.args(["--check", "--known"]);
        passes(command.arg(executed(paths)))
    }),
    ("doctor", Alone, |paths| {
        doctor::run(paths).map(|()| Outcome::Passed)
    }),
];

/// Of a check that was skipped; its last line says why.
const SKIPPED: u8 = 77;

/// Memory that two checks need side by side, in GiB: one with a spare kernel, which is not prepared
/// if less than three would remain, and one with two kernels and a browser.
const MEMORY_FOR_TWO: u64 = 12;

/// The same for three, one of which grades notebooks that take all the memory they are granted.
///
/// More than there are cores, since each also waits: for a page, for a limit of time, for processes to end.
const MEMORY_FOR_THREE: u64 = 20;

/// What a change of a lesson or of the crate needs before it is committed.
const QUICK: &[&str] = &[
    "format",
    "clippy",
    "docs",
    "crate",
    "notebooks",
    "exercises",
    "claims",
];

/// Checks that leave out notebooks that have run well and of which nothing has changed.
const REMEMBER: &[&str] = &["exercises", "notebooks"];

/// Checks that ask for no kernel and no Python: before them, nothing is set up.
const WITHOUT_SETUP: &[&str] = &["format", "clippy", "docs", "crate"];

/// Tells a check that it is one of the quick ones: then exercises run only if they themselves have changed.
const IS_QUICK: &str = "COURSE_TEST_QUICK";

/// What is asked for on the command line.
#[derive(Debug, PartialEq)]
struct Options {
    /// The checks, in the order in which they run.
    names: Vec<&'static str>,
    /// How often to run all of them anew. If nobody asks for that they run once, and a notebook that
    /// has run well need not run again until it or what it runs on has changed.
    rounds: Option<usize>,
    is_quick: bool,
}

/// Runs all checks, or those whose names are given.
pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    if !options
        .names
        .iter()
        .all(|name| WITHOUT_SETUP.contains(name))
    {
        setup::run(paths)?;
        // Now, since it would disturb a check that runs beside.
        setup::add_packages(paths, "test")?;
    }
    for user in ["bench", "book"] {
        if options.names.contains(&user) {
            setup::add_packages(paths, user)?;
        }
    }
    if options
        .names
        .iter()
        .any(|name| ["mpi", "mpich", "slurm", "slurm-lesson"].contains(name))
    {
        test_mpi::prepare(paths)?;
    }
    let mut failed = Vec::new();
    let Some(rounds) = options.rounds else {
        return verdict(&run_once(paths, &options, 1)?);
    };
    for round in 1..=rounds {
        println!("\n=== round {round} of {rounds} ===");
        build_folder::remove(&executed(paths))?;
        failed.extend(run_once(paths, &options, round)?);
    }
    println!("\n{rounds} rounds");
    for &name in &options.names {
        let times = failed.iter().filter(|&&one| one == name).count();
        if times > 0 {
            println!("`{name}` failed in {times} of {rounds} rounds");
        }
    }
    verdict(&failed)
}

fn verdict(failed: &[&str]) -> Result<()> {
    if failed.is_empty() {
        Ok(())
    } else {
        Err("not all checks passed".into())
    }
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let mut wanted = Vec::new();
        let (mut is_quick, mut rounds) = (false, None);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => is_quick = true,
                "--repeat" => {
                    let number = args.next().and_then(|text| text.parse().ok());
                    let number = number.filter(|&rounds| rounds > 0);
                    rounds = Some(number.ok_or("`--repeat` needs a number of rounds, such as 5")?);
                }
                option if option.starts_with('-') => {
                    return Err(format!(
                        "there is no option `{option}`; there are --quick and --repeat N"
                    )
                    .into());
                }
                name => wanted.push(find(name)?.0),
            }
        }
        if is_quick {
            wanted.extend(QUICK);
        }
        let is_wanted = |name: &&str| wanted.is_empty() || wanted.contains(name);
        let names = CHECKS.iter().map(|(name, ..)| *name).filter(is_wanted);
        Ok(Options {
            names: names.collect(),
            rounds,
            is_quick,
        })
    }
}

/// Where checks leave what they print and cost.
fn folder(paths: &Paths) -> PathBuf {
    paths.course().join("test")
}

/// Where is written down which notebooks have run well.
fn executed(paths: &Paths) -> PathBuf {
    folder(paths).join("executed")
}

/// Runs the checks once; gives the names of those that failed.
fn run_once(paths: &Paths, options: &Options, round: usize) -> Result<Vec<&'static str>> {
    let names = &options.names;
    let this = env::current_exe()?;
    let started = Instant::now();
    let mut jobs = Vec::new();
    for &name in names {
        let mut command = Command::new(&this);
        command.args(["check", name]);
        if options.is_quick {
            command.env(IS_QUICK, "1");
        }
        jobs.push(Job {
            name,
            command,
            is_alone: find(name)?.1 == Alone,
        });
    }
    let folder = folder(paths);
    let some_have_run = executed(paths).exists();
    let done = side_by_side::run(jobs, at_once(), &folder, &mut io::stdout())?;
    let mut entries = summarize(&folder, names, &done, started.elapsed());
    // Else what they cost depends on what has changed.
    entries.retain(|entry| !(some_have_run && REMEMBER.contains(&&*entry.name)));
    if !options.is_quick {
        for line in history::add(&folder.join("history.json"), &entries)? {
            println!("{line}");
        }
    }
    let is_failed = |done: &Done| !done.status.success() && !is_skipped(done);
    let failed = names.iter().zip(&done).filter(|(_, done)| is_failed(done));
    let failed: Vec<_> = failed.map(|(name, _)| *name).collect();
    for name in &failed {
        // The next round would write over it.
        let kept = folder.join(format!("{name}.failed-{round}.log"));
        fs::copy(side_by_side::log(&folder, name), &kept)?;
        println!("\nwhat `{name}` said: {}; its end:", kept.display());
        print!("{}", side_by_side::end_of_log(&kept)?);
    }
    Ok(failed)
}

/// Attends to one check, for `run`; or is the check itself, for the one that attends.
pub fn check(paths: &Paths, args: &[String]) -> Result<ExitCode> {
    let (name, is_itself) = match args {
        [name] => (name, false),
        [name, flag] if flag == "--itself" => (name, true),
        _ => return Err("`check` is called by `test`, with the name of a check".into()),
    };
    let (.., check) = find(name)?;
    if !is_itself {
        let mut command = Command::new(env::current_exe()?);
        command.args(["check", name, "--itself"]);
        let status = attend::attend(command, name, &folder(paths))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code = code.ok_or_else(|| format!("`{name}` ended by itself: {status}"))?;
        return Ok(ExitCode::from(code));
    }
    let on_ci = env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    match check(paths)? {
        Outcome::Passed => Ok(ExitCode::SUCCESS),
        Outcome::Skipped(why) if on_ci => Err(format!("skipped on CI: {why}").into()),
        Outcome::Skipped(why) => {
            println!("skipped: {why}");
            Ok(ExitCode::from(SKIPPED))
        }
    }
}

fn find(name: &str) -> Result<(&'static str, Company, Check)> {
    if let Some(known) = CHECKS.iter().find(|(known, ..)| *known == name) {
        return Ok(*known);
    }
    let known: Vec<_> = CHECKS.iter().map(|(name, ..)| *name).collect();
    let known = known.join(", ");
    Err(format!(
        "there is no check `{name}`; there are: {known}. (Exercises of one lesson: \
         cargo xtask test exercises 02_timing)"
    )
    .into())
}

/// How many checks this machine can run side by side.
fn at_once() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let about = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = about
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    checks_for(cores, kib.unwrap_or_default() >> 20)
}

fn checks_for(cores: usize, gib: u64) -> usize {
    match gib {
        _ if cores < 2 => 1,
        MEMORY_FOR_THREE.. => 3,
        MEMORY_FOR_TWO.. => 2,
        _ => 1,
    }
}

fn is_skipped(done: &Done) -> bool {
    done.status.code() == Some(SKIPPED.into())
}

/// Prints what came of the checks and what they cost, and gives the costs.
fn summarize(folder: &Path, names: &[&str], checks: &[Done], in_all: Duration) -> Vec<Entry> {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut entries = Vec::new();
    println!(
        "\n{:14} {:>10} {:>12} {:>8}",
        "check", "wall", "processor", "kernels"
    );
    for (name, done) in names.iter().zip(checks) {
        let outcome = if done.status.success() {
            passed += 1;
            "passed".to_owned()
        } else if is_skipped(done) {
            skipped += 1;
            done.last_line.clone()
        } else {
            failed += 1;
            format!("FAILED ({}): {}", done.status, done.last_line)
        };
        let Cost { processor, kernels } = attend::cost(folder, name);
        let wall = done.time.as_secs_f64();
        let of_processor = processor.map_or("?".to_owned(), |seconds| format!("{seconds:.1} s"));
        println!("{name:14} {wall:8.1} s {of_processor:>12} {kernels:8}  {outcome}");
        entries.push(Entry {
            name: (*name).to_owned(),
            passed: done.status.success(),
            wall,
            processor,
            kernels,
        });
    }
    let processor: f64 = entries.iter().filter_map(|entry| entry.processor).sum();
    let kernels: u64 = entries.iter().map(|entry| entry.kernels).sum();
    let wall = in_all.as_secs_f64();
    println!(
        "{:14} {wall:8.1} s {processor:10.1} s {kernels:8}",
        "in all"
    );
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    entries
}

fn cargo(paths: &Paths, args: &[&str]) -> Result<Outcome> {
    passes(Command::new("cargo").args(args).current_dir(paths.root()))
}

/// Runs files of tests.
pub fn pytest(paths: &Paths, files: &[&str]) -> Result<Outcome> {
    let mut command = command::python(paths);
    command.args(["-m", "pytest"]).args(files);
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
    pytest(paths, &["tests/test_kernel_interrupt.py"])
}

const NO_BROWSER: &str = "no Chromium is installed and none could be downloaded";

fn find_browser(paths: &Paths) -> Option<PathBuf> {
    tools::browser(paths).or_else(|| download_browser(paths))
}

/// Makes the book, follows its links, and looks at its pages.
fn book(paths: &Paths) -> Result<Outcome> {
    pytest(paths, &["tests/test_book.py"])?;
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
    let mut command = command::script(paths, "browser");
    command.arg("--browser").arg(browser);
    let pictures = paths.course().join("screenshots");
    command.arg("--pictures").arg(pictures);
    command.arg("--known").arg(executed(paths));
    if for_readme {
        command.arg("--readme");
    }
    command.arg("--").arg(env::current_exe()?).arg("lab");
    command::run(command.current_dir(paths.root()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn what_is_asked_for_runs_in_the_order_of_the_checks() {
        let all = parse("").unwrap().names;
        assert_eq!(all.len(), CHECKS.len());
        assert_eq!(parse("crate format").unwrap().names, ["format", "crate"]);
        let quick = parse("--quick browser --repeat 5").unwrap();
        assert_eq!(quick.names.len(), QUICK.len() + 1);
        assert_eq!(quick.rounds, Some(5));
        assert_eq!(parse("").unwrap().rounds, None);
    }

    #[test]
    fn a_small_machine_runs_one_check_after_the_other() {
        let machines = [
            (1, 64),
            (2, 8),
            (2, 11),
            (2, 12),
            (8, 19),
            (2, 23),
            (64, 512),
        ];
        let wanted = [1, 1, 1, 2, 2, 3, 3];
        assert_eq!(machines.map(|(cores, gib)| checks_for(cores, gib)), wanted);
    }

    #[test]
    fn what_nobody_knows_is_named() {
        for (line, words) in [
            ("formatt", "no check `formatt`"),
            ("--quik", "no option `--quik`; there are --quick"),
            ("--repeat", "needs a number"),
            ("--repeat 0", "needs a number"),
            ("--repeat crate", "needs a number"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
