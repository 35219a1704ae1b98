//! What is left of a job when it is over, or when its owner is: nothing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use helpers::internals::{Runner, pretend_to_run_cells};
use helpers_mpi::prelude::*;

use crate::common::{AT_ONCE, alone, guarded, kill_hard, soon, vanish};

/// The processes of the jobs of one owner: its folder's name is in their environment.
fn family(owner: u32) -> BTreeSet<u32> {
    let mark = format!("/helpers-mpi-{owner}-");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_one = environment
            .windows(mark.len())
            .any(|window| window == mark.as_bytes());
        if let (true, Ok(id)) = (is_one, entry.file_name().to_string_lossy().parse()) {
            found.insert(id);
        }
    }
    found
}

fn folders(owner: u32) -> usize {
    let mark = format!("helpers-mpi-{owner}-");
    let mut places = vec![env::temp_dir()];
    places.extend(["/dev/shm".into()]);
    let entries = places
        .into_iter()
        .filter_map(|place| fs::read_dir(place).ok())
        .flatten();
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&mark))
        .count()
}

#[test]
fn a_stopped_job_leaves_nothing() {
    guarded(|| {
        alone("lifetime::stops_a_job");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn stops_a_job() {
    let stuck = MpiRun::new(2)
        .time_limit(Duration::from_millis(200))
        .run(|world| world.process_at_rank(1 - world.rank()).receive::<i32>().0);
    assert!(stuck.unwrap_err().is_timeout());
    assert!(vanish(&family(process::id())));
    assert!(soon(|| folders(process::id()) == 0));
    // And the next job is as good as the first.
    assert_eq!(mpi_run(2, |world| world.rank()).unwrap(), [0, 1]);
    assert!(vanish(&family(process::id())));
    assert_eq!(folders(process::id()), 0);
}

#[test]
fn an_interrupted_cell_ends_its_job_and_keeps_its_pool() {
    guarded(|| {
        alone("lifetime::is_interrupted");
    });
}

/// Plays the process that runs a notebook's cells, the one who reads it, and in a thread called `main` a
/// cell.
#[test]
#[ignore = "runs in a process of its own"]
fn is_interrupted() {
    extern "C" fn nobody(_: *const u8, _: usize, _: u32, _: *mut u8, _: usize) -> isize {
        -1
    }
    static RUNNER: Runner = Runner::new(true, nobody);
    pretend_to_run_cells(&RUNNER);
    let interrupted = |cell: &(dyn Fn() + Sync)| {
        let start = Instant::now();
        let message = thread::scope(|scope| {
            let main = thread::Builder::new().name("main".to_owned());
            let cell = main.spawn_scoped(scope, cell).unwrap();
            // The ranks are at work by then, or else they are just starting.
            thread::sleep(Duration::from_millis(700));
            RUNNER.set_interrupts(1);
            cell.join().unwrap_err().downcast::<&str>().unwrap()
        });
        RUNNER.set_interrupts(0);
        assert_eq!(*message, "interrupted");
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    };
    interrupted(&|| {
        let _ = mpi_run(2, |_| thread::sleep(Duration::from_secs(1000)));
    });
    assert!(vanish(&family(process::id())));
    let pool = MpiPool::new(1).unwrap();
    interrupted(&|| {
        let _ = pool.map(|_: u8| thread::sleep(Duration::from_secs(1000)), [1, 2]);
    });
    assert_eq!(pool.map(|n: u8| n + 1, [1, 2]), Ok(vec![2, 3]));
}

#[test]
fn ranks_end_with_a_killed_owner() {
    guarded(|| assert_ends_when_killed("lifetime::waits_for_ever"));
}

/// As Open MPI's does now and then.
#[test]
fn so_does_a_launcher_that_does_not_end_when_it_is_told_to() {
    guarded(|| assert_ends_when_killed("lifetime::waits_for_ever_behind_a_deaf_launcher"));
}

/// Nothing is left of the job of a killed owner, which the test of this name is.
fn assert_ends_when_killed(test: &str) {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = owner.id();
    let output = BufReader::new(owner.stdout.take().unwrap());
    // A rank's line says that all are at work: rank 0 waits for the other one before.
    let at_work = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("at work"));
    assert!(at_work);
    let family = family(id);
    assert!(family.len() >= 3, "the launcher and two ranks: {family:?}");
    kill_hard(id);
    owner.wait().unwrap();
    assert!(vanish(&family), "{family:?}");
    assert!(soon(|| folders(id) == 0));
}

#[test]
#[ignore = "runs in a process of its own"]
fn waits_for_ever_behind_a_deaf_launcher() {
    let script = env::temp_dir().join(format!("deaf-mpiexec-{}", process::id()));
    let text = "#!/bin/sh\n[ \"$1\" != --version ] || exec mpiexec --version\n\
                rm \"$0\"; trap '' TERM; mpiexec \"$@\"; sleep 1000\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    wait_for_ever(MpiRun::new(2).launcher(script.to_str().unwrap()));
}

#[test]
#[ignore = "runs in a process of its own"]
fn waits_for_ever() {
    wait_for_ever(MpiRun::new(2));
}

fn wait_for_ever(run: MpiRun) {
    let _ = run.run(|world| {
        world.barrier();
        println!("at work");
        // In a call of the system, not of MPI, and in one of MPI.
        if world.rank() == 0 {
            std::thread::sleep(Duration::from_secs(1000));
        }
        world.barrier();
    });
}
