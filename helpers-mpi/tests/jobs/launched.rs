//! A program that `mpiexec` has started on several ranks: rank 0 is the program.

use std::process;
use std::time::Duration;

use helpers_mpi::prelude::*;

use crate::common::{as_rank_0, fails_as_rank_0, guarded};

#[test]
fn rank_0_runs_functions_on_all_ranks() {
    guarded(|| {
        as_rank_0(3, "launched::runs_functions");
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

#[test]
fn a_panic_ends_the_whole_job() {
    guarded(|| {
        let words = ["rank 1 on ", "panicked: bad luck"];
        fails_as_rank_0(2, "launched::panics", &words);
    });
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
        fails_as_rank_0(2, "launched::waits", &words);
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn waits() {
    let _ = MpiRun::new(2)
        .time_limit(Duration::from_millis(300))
        .run(|world| world.process_at_rank(1 - world.rank()).receive::<i32>().0);
}

#[test]
fn a_panic_of_rank_0_is_told_alone() {
    guarded(|| {
        let words = ["rank 0 on ", "panicked: bad luck"];
        let told = fails_as_rank_0(2, "launched::panics_on_rank_0", &words);
        assert!(!told.contains("the program ended"), "{told}");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn panics_on_rank_0() {
    let _ = mpi_run(2, |world| {
        assert!(world.rank() != 0, "bad luck");
        world.process_at_rank(0).receive::<i32>().0
    });
}

#[test]
fn a_function_cannot_start_ranks_and_knows_how_many_there_are() {
    guarded(|| {
        as_rank_0(2, "launched::starts_ranks_in_a_function");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn starts_ranks_in_a_function() {
    let told = mpi_run(2, |_| {
        let run = mpi_run(2, |_| ()).unwrap_err();
        let pool = MpiPool::new(1).unwrap_err();
        assert!(run.is_invalid_input(), "{run}");
        (helpers_mpi::ranks(), run.to_string(), pool.to_string())
    });
    for (ranks, run, pool) in told.unwrap() {
        assert_eq!(ranks, Some(2));
        for told in [run, pool] {
            assert!(told.contains("cannot start ranks of its own"), "{told}");
        }
    }
    // And the next function runs.
    assert_eq!(mpi_run(2, |world| world.rank()).unwrap(), [0, 1]);
}

#[test]
fn rank_0_may_not_end_in_a_function() {
    guarded(|| {
        let words = ["the program ended on rank 0", "A function of `mpi_run`"];
        fails_as_rank_0(2, "launched::exits_in_a_function", &words);
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn exits_in_a_function() {
    let _ = mpi_run(2, |world| {
        if world.rank() == 0 {
            process::exit(0);
        }
        world.process_at_rank(0).receive::<i32>().0
    });
}
