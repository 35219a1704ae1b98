//! A program that `mpiexec` has started on several ranks: rank 0 is the program.

use std::env;
use std::process::Command;
use std::time::Duration;

use helpers_mpi::prelude::*;

use crate::common::{as_rank_0, guarded, rank_0_of, run};

#[test]
fn rank_0_runs_functions_on_all_ranks() {
    guarded(|| {
        as_rank_0(3, "joined::runs_functions");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn runs_functions() {
    assert_eq!(mpi_run(3, |world| world.rank()).unwrap(), [0, 1, 2]);
    let sums = mpi_run(3, |world| {
        let mut sum = 0;
        world.all_reduce_into(&world.rank(), &mut sum, SystemOperation::sum());
        vec![sum; 3]
    });
    assert_eq!(sums.unwrap(), [[3; 3]; 3]);
    let told = mpi_run(2, |_| ()).unwrap_err().to_string();
    assert!(
        told.contains("2 ranks were asked for") && told.contains("started on 3"),
        "{told}"
    );
}

/// Runs an ignored test on rank 0 of two; it must fail, with these words.
fn fails_with(test: &str, words: &[&str]) {
    let mut command: Command = rank_0_of(2);
    command.arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let output = run(&mut command, Duration::from_secs(30)).expect("it ends");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
}

#[test]
fn a_panic_ends_the_whole_job() {
    guarded(|| fails_with("joined::panics", &["rank 1 on ", "panicked: bad luck"]));
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn panics() {
    let _ = mpi_run(2, |world| {
        assert!(world.rank() != 1, "bad luck");
        world.process_at_rank(1).receive::<i32>().0
    });
}

#[test]
fn a_deadlock_ends_at_its_time_limit() {
    guarded(|| {
        let words = [
            "waits in MPI_Recv for a message from rank 0",
            "limit of 300ms",
        ];
        fails_with("joined::waits", &words);
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn waits() {
    let _ = MpiRun::new(2)
        .time_limit(Duration::from_millis(300))
        .run(|world| world.process_at_rank(1 - world.rank()).receive::<i32>().0);
}
