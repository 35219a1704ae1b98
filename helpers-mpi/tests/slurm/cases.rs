//! What is done on a Slurm: one case, named on the command line. `xtask/python/tests/test_slurm.py`
//! starts the Slurm, runs the cases on it, and looks at what they print.

use std::error::Error;
use std::time::Duration;
use std::{env, fs, process, thread};

use helpers::{Pool, PoolError};
use helpers_mpi::prelude::*;

type Outcome = Result<(), Box<dyn Error>>;
type Case = fn(&[String]) -> Outcome;

/// The cases, and what they are given: the words behind their name.
const CASES: &[(&str, Case)] = &[
    ("run", run),
    ("pool", pool),
    ("two", two),
    ("abort", abort),
    ("kill", kill),
    ("wait", wait),
    ("until-time-is-up", until_time_is_up),
    ("library", library),
    ("part", part),
];

fn main() -> Outcome {
    helpers_mpi::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = words.split_first() else {
        // `cargo test` may start it as well.
        return Ok(());
    };
    let case = CASES.iter().find(|(known, _)| known == name);
    let (_, case) = case.ok_or_else(|| format!("there is no case `{name}`"))?;
    case(rest)
}

/// The first word as a number of ranks or workers; in a program that was started on ranks, theirs.
fn number(words: &[String]) -> Result<usize, Box<dyn Error>> {
    let Some(word) = words.first() else {
        return Err("how many?".into());
    };
    Ok(word.parse()?)
}

/// Started as the words behind the number say: with a launcher, and its arguments.
fn job(words: &[String]) -> Result<MpiRun, Box<dyn Error>> {
    let run = MpiRun::new(number(words)?);
    Ok(match words.get(1) {
        Some(launcher) => run.launcher(launcher).launcher_args(&words[2..]),
        None => run,
    })
}

fn hosts(run: &MpiRun) -> Result<String, MpiError> {
    let hosts = run.run(|_| mpi::environment::processor_name().unwrap_or_default())?;
    Ok(hosts.join(" "))
}

/// `run RANKS [LAUNCHER ARGUMENT…]`: where the ranks are.
fn run(words: &[String]) -> Outcome {
    println!("ran on {}", hosts(&job(words)?)?);
    Ok(())
}

/// A pool of so many workers, started as the other words say.
fn pool_of(workers: usize, launcher: &[String]) -> Result<MpiPool, PoolError> {
    let pool = MpiPool::builder(workers);
    match launcher {
        [] => pool.build(),
        [launcher, args @ ..] => pool.launcher(launcher).launcher_args(args).build(),
    }
}

/// `pool WORKERS [LAUNCHER ARGUMENT…]`
fn pool(words: &[String]) -> Outcome {
    let pool = pool_of(number(words)?, &words[1..])?;
    let sum: u64 = pool.map(|x: u64| x * x, 1..=100)?.iter().sum();
    println!("{} workers say {sum}", pool.workers());
    Ok(())
}

/// `two WORKERS RANKS [LAUNCHER ARGUMENT…]`: a job, while a pool is alive; both by that launcher.
fn two(words: &[String]) -> Outcome {
    let pool = pool_of(number(words)?, &words[2..])?;
    let job = job(&words[1..])?;
    println!("ran on {}", hosts(&job)?);
    println!("the pool says {:?}", pool.map(|x: u64| x * x, [1, 2, 3])?);
    Ok(())
}

/// `abort RANKS [LAUNCHER ARGUMENT…]`: the last rank aborts, when all are there. (Open MPI 4 may crash in the others if
/// they still begin.)
fn abort(words: &[String]) -> Outcome {
    let told = job(words)?.run(|world| {
        world.barrier();
        if world.rank() == world.size() - 1 {
            process::abort();
        }
        world.barrier();
    });
    println!("{}", told.err().ok_or("no error")?);
    Ok(())
}

/// `kill RANKS [LAUNCHER ARGUMENT…]`: somebody kills the last rank, when all are there.
fn kill(words: &[String]) -> Outcome {
    let told = job(words)?.run(|world| {
        world.barrier();
        if world.rank() == world.size() - 1 {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
        world.barrier();
    });
    println!("{}", told.err().ok_or("no error")?);
    Ok(())
}

/// `wait RANKS FILE`: all ranks are at work until they are ended; the file is there when they are.
fn wait(words: &[String]) -> Outcome {
    let [ranks, file] = words else {
        return Err("wait RANKS FILE".into());
    };
    let pool = MpiPool::new(ranks.parse()?)?;
    let file = file.clone();
    pool.map(|x: u64| x, 0..10)?;
    let handle = pool.submit(
        |file: String| {
            let _ = fs::write(file, "");
            thread::sleep(Duration::from_secs(600));
        },
        file,
    );
    handle.join()?;
    Ok(())
}

/// `until-time-is-up FILE`: waits for the signal that time is up; the file is there when it does. In the
/// end something is left to do.
fn until_time_is_up(words: &[String]) -> Outcome {
    fs::write(words.first().ok_or("which file?")?, "")?;
    while !helpers_mpi::time_is_up() {
        thread::sleep(Duration::from_millis(50));
    }
    println!("the time is up");
    Err("something is left to do".into())
}

/// Which MPI library this program runs with.
fn library(_: &[String]) -> Outcome {
    println!("{}", mpi::environment::library_version()?);
    Ok(())
}

/// `part NUMBER CPUS`: one task of a job array, by threads.
fn part(words: &[String]) -> Outcome {
    let [part, cpus] = words else {
        return Err("part NUMBER CPUS".into());
    };
    let part: u64 = part.parse()?;
    let pool = Pool::new(cpus.parse()?)?;
    let sum: u64 = pool
        .map(|x: u64| x, part * 1000..part * 1000 + 100)
        .iter()
        .sum();
    println!("part {part} is {sum} on {} threads", pool.workers());
    Ok(())
}
