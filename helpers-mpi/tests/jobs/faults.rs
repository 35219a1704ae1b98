//! What can go wrong, and what is said then.

use std::time::{Duration, Instant};

use helpers_mpi::prelude::*;

#[test]
fn a_panic_names_the_rank_and_the_message() {
    let result = mpi_run(3, |world| {
        assert!(world.rank() != 2, "bad luck on rank {}", world.rank());
        // The others wait for ever.
        world.process_at_rank(2).receive::<i32>().0
    });
    let error = result.unwrap_err();
    assert!(error.is_panic(), "{error}");
    assert_eq!(error.rank(), Some(2));
    let told = error.to_string();
    assert!(
        told.starts_with("rank 2 on ") && told.contains("bad luck on rank 2"),
        "{told}"
    );
}

#[test]
fn a_killed_rank_ends_the_job() {
    let started = Instant::now();
    let result = mpi_run(3, |world| {
        if world.rank() == 1 {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        world.process_at_rank(1).receive::<i32>().0
    });
    let error = result.unwrap_err();
    assert!(error.is_rank_lost(), "{error}");
    assert_eq!(error.rank(), Some(1), "{error}");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_deadlock_ends_at_its_time_limit() {
    let stuck = MpiRun::new(2)
        .time_limit(Duration::from_millis(500))
        .run(|world| {
            let other = world.process_at_rank(1 - world.rank());
            other.receive::<i32>().0
        });
    let error = stuck.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let told = error.to_string();
    for rank in 0..2 {
        let wanted = format!("waits in MPI_Recv for a message from rank {}", 1 - rank);
        assert!(
            told.contains(&format!("rank {rank} on ")) && told.contains(&wanted),
            "{told}"
        );
    }
}

#[test]
fn an_abort_names_the_rank_and_the_code() {
    let error = mpi_run(2, |world| {
        if world.rank() == 1 {
            world.abort(7);
        }
        world.barrier();
    });
    let error = error.unwrap_err();
    assert!(error.is_rank_lost(), "{error}");
    assert_eq!(error.rank(), Some(1), "{error}");
    assert!(
        error.to_string().contains("MPI_Abort with error code 7"),
        "{error}"
    );
}
