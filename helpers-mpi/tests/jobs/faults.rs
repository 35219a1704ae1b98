//! What can go wrong, and what is said then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use helpers::prelude::*;
use helpers_mpi::prelude::*;
use nix::sys::signal::{Signal, raise};

use crate::common::{AT_ONCE, guarded};

/// Runs a job that must fail at once; gives the error.
fn failed<R>(result: Result<R, MpiError>, started: Instant) -> MpiError {
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    match result {
        Ok(_) => panic!("it did not fail"),
        Err(error) => error,
    }
}

#[track_caller]
fn assert_tells(error: &MpiError, words: &[&str]) {
    let told = error.to_string();
    for word in words {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
}

#[test]
fn a_panic_names_the_rank_and_the_message() {
    guarded(|| {
        let started = Instant::now();
        let result = mpi_run(3, |world| {
            assert!(world.rank() != 2, "bad luck on rank {}", world.rank());
            // The others wait for ever.
            world.process_at_rank(2).receive::<i32>().0
        });
        let error = failed(result, started);
        assert!(error.is_panic(), "{error}");
        assert_eq!(error.rank(), Some(2));
        assert_tells(&error, &["rank 2 on ", "bad luck on rank 2", "faults.rs"]);
    });
}

/// A number that has its own idea of what may travel, and how.
#[derive(Debug)]
struct Picky(u64);

impl serde::Serialize for Picky {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            5 => Err(serde::ser::Error::custom("5 stays at home")),
            number => number.serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            3 => Err(serde::de::Error::custom("3 is odd")),
            number => Ok(Picky(number)),
        }
    }
}

#[test]
fn what_a_type_says_of_its_own_travel_is_told() {
    guarded(|| {
        let started = Instant::now();
        let error = failed(mpi_run(2, |_| Picky(3)), started);
        assert!(error.is_not_sent(), "{error}");
        assert_tells(&error, &["rank 0 on ", "3 is odd"]);
        let started = Instant::now();
        let error = failed(mpi_run(2, |_| Picky(5)), started);
        assert!(error.is_not_sent(), "{error}");
        assert_tells(&error, &["rank ", "5 stays at home"]);
        let whole = mpi_run(2, |world| (Picky(4), vec![world.rank(); 3], "x".to_owned())).unwrap();
        assert_eq!(whole[1].1, [1; 3]);
    });
}

#[test]
fn a_killed_rank_ends_the_job() {
    guarded(|| {
        let started = Instant::now();
        let result = mpi_run(3, |world| {
            if world.rank() == 1 {
                raise(Signal::SIGKILL).unwrap();
            }
            world.process_at_rank(1).receive::<i32>().0
        });
        let error = failed(result, started);
        assert!(error.is_rank_lost(), "{error}");
        assert_eq!(error.rank(), Some(1), "{error}");
        assert_tells(&error, &["rank 1 on ", "SIGKILL"]);
    });
}

#[test]
fn a_rank_that_exits_is_lost() {
    guarded(|| {
        for code in [0, 3] {
            let started = Instant::now();
            let result = match code {
                0 => mpi_run(2, |world| {
                    if world.rank() == 1 {
                        process::exit(0);
                    }
                }),
                _ => mpi_run(2, |world| {
                    if world.rank() == 1 {
                        process::exit(3);
                    }
                }),
            };
            let error = failed(result, started);
            assert!(error.is_rank_lost(), "{error}");
            assert_eq!(error.rank(), Some(1), "{error}");
            assert_tells(&error, &["before the function returned"]);
        }
    });
}

#[test]
fn an_abort_names_the_rank_and_the_code() {
    guarded(|| {
        let started = Instant::now();
        let result = mpi_run(2, |world| {
            if world.rank() == 1 {
                world.abort(7);
            }
            world.barrier();
        });
        let error = failed(result, started);
        assert!(error.is_rank_lost(), "{error}");
        assert_eq!(error.rank(), Some(1), "{error}");
        assert_tells(&error, &["rank 1 on ", "MPI_Abort with error code 7"]);
    });
}

#[test]
fn an_error_of_mpi_itself_is_told() {
    guarded(|| {
        let started = Instant::now();
        let result = mpi_run(2, |world| {
            if world.rank() == 0 {
                world.process_at_rank(1).send(&[1, 2, 3, 4][..]);
            } else {
                // There is more than fits.
                let mut number = 0;
                world.process_at_rank(0).receive_into(&mut number);
            }
            world.barrier();
        });
        let error = failed(result, started);
        assert!(error.is_rank_lost(), "{error}");
        assert_eq!(error.rank(), Some(1), "{error}");
        assert_tells(&error, &["MPI library found an error", "truncate"]);
    });
}

#[test]
fn a_deadlock_ends_at_its_time_limit() {
    guarded(|| {
        let stuck = MpiRun::new(3)
            .time_limit(Duration::from_millis(500))
            .run(|world| {
                if world.rank() == 2 {
                    return 0;
                }
                let other = world.process_at_rank(1 - world.rank());
                other.receive_with_tag::<i32>(5).0
            });
        let error = stuck.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_tells(
            &error,
            &[
                "limit of 500ms",
                "waits in MPI_Recv for a message from rank 0 (tag 5)",
                "waits in MPI_Recv for a message from rank 1 (tag 5)",
                "rank 2 on ",
                "has returned",
            ],
        );
    });
}

/// Half a minute is what the documentation says.
#[test]
fn a_deadlock_without_a_time_limit_ends_and_a_long_wait_does_not() {
    guarded(|| {
        let started = Instant::now();
        let patient = thread::spawn(|| {
            mpi_run(2, |world| {
                let other = world.process_at_rank(1 - world.rank());
                if world.rank() == 1 {
                    return other.receive::<i32>().0;
                }
                thread::sleep(Duration::from_secs(40));
                other.send(&7);
                0
            })
        });
        let stuck = mpi_run(3, |world| {
            if world.rank() == 2 {
                return 0;
            }
            let other = world.process_at_rank(1 - world.rank());
            other.receive::<i32>().0
        });
        let error = stuck.unwrap_err();
        assert!(error.is_deadlock() && !error.is_timeout(), "{error}");
        assert_tells(
            &error,
            &[
                "no rank has got any further for 30s",
                "waits in MPI_Recv for a message from rank 0",
                "waits in MPI_Recv for a message from rank 1",
                "has returned",
            ],
        );
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(30), "{took:?}");
        assert!(took < Duration::from_secs(50), "{took:?}");
        assert_eq!(patient.join().unwrap().unwrap(), [0, 7]);
    });
}

#[test]
fn a_rank_that_computes_is_told_from_one_that_waits() {
    guarded(|| {
        let busy = MpiRun::new(2)
            .time_limit(Duration::from_millis(500))
            .run(|world| {
                if world.rank() == 0 {
                    thread::sleep(Duration::from_secs(100));
                }
                world.barrier();
            });
        let error = busy.unwrap_err();
        assert_tells(&error, &["is in no MPI call", "waits in MPI_Barrier"]);
    });
}

#[test]
fn values_that_cannot_be_sent_are_told() {
    use helpers::serde::{Deserialize, Serialize, Serializer, ser::Error};
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("it does not want to"))
        }
    }
    impl<'de> Deserialize<'de> for Stubborn {
        fn deserialize<D: helpers::serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Stubborn)
        }
    }
    guarded(|| {
        let started = Instant::now();
        let error = failed(mpi_run(2, |_| Stubborn), started);
        assert!(error.is_not_sent(), "{error}");
        assert_tells(&error, &["rank ", "cannot be sent"]);
    });
}

#[test]
fn a_missing_launcher_is_told_with_the_remedy() {
    let error = MpiRun::new(2).launcher("no-such-mpiexec").run(|_| ());
    let error = error.unwrap_err();
    assert!(error.is_start(), "{error}");
    assert_tells(&error, &["`no-such-mpiexec`", "cargo xtask setup"]);
}

#[test]
fn a_launcher_that_refuses_is_quoted() {
    guarded(|| {
        let started = Instant::now();
        let error = MpiRun::new(2)
            .launcher_args(["--no-such-option"])
            .run(|_| ());
        let error = failed(error, started);
        assert!(error.is_start(), "{error}");
        assert_tells(&error, &["no-such-option"]);
    });
}

#[test]
fn more_ranks_than_slots_are_refused() {
    let error = MpiRun::new(5).hosts(["node1:2", "node2:2"]).run(|_| ());
    let error = error.unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    assert_tells(&error, &["5 ranks", "room for 4", "node1:2, node2:2"]);
}

#[test]
fn no_ranks_are_refused() {
    let error = mpi_run(0, |_| ()).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    let limit = MpiRun::new(1).time_limit(Duration::ZERO).run(|_| ());
    assert!(limit.unwrap_err().is_invalid_input());
}

#[test]
fn ranks_cannot_start_ranks() {
    guarded(|| {
        let told = mpi_run(1, |_| mpi_run(1, |_| ()).unwrap_err().to_string());
        let told = told.unwrap();
        assert!(told[0].contains("this is a rank"), "{told:?}");
    });
}

/// A launcher that starts programs that know nothing of each other: so does one that belongs to
/// another MPI library.
#[test]
fn a_launcher_of_another_library_is_told() {
    guarded(|| {
        let folder = env::temp_dir().join(format!("helpers-mpi-test-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let script: PathBuf = folder.join("mpiexec");
        let text = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Strange MPI 1.0'; exit; fi\n\
                    n=$2; shift 2\nwhile [ $n -gt 0 ]; do \"$@\" & n=$((n-1)); done\nwait\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let started = Instant::now();
        let error = failed(MpiRun::new(2).launcher(&script).run(|_| ()), started);
        fs::remove_dir_all(folder).unwrap();
        assert!(error.is_start(), "{error}");
        assert_tells(
            &error,
            &["Strange MPI 1.0 started 2 processes", "each is one of 1"],
        );
    });
}

/// The same with the launcher of the other library, where the tests know one.
#[test]
fn open_mpi_and_mpich_do_not_mix() {
    guarded(|| {
        let Some(other) = env::var_os("HELPERS_MPI_OTHER_MPIEXEC") else {
            println!("not tested: there is no second MPI library");
            return;
        };
        let started = Instant::now();
        let error = failed(MpiRun::new(2).launcher(other).run(|_| ()), started);
        assert!(error.is_start(), "{error}");
        assert_tells(&error, &["do not belong together"]);
    });
}

#[test]
fn a_task_of_a_process_pool_may_start_ranks() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let sizes = pool.map(
            |ranks: usize| mpi_run(ranks, |world| world.size()).unwrap(),
            [1, 2],
        );
        assert_eq!(sizes.unwrap(), [vec![1], vec![2, 2]]);
    });
}

#[test]
fn a_rank_may_have_pools_of_its_own() {
    guarded(|| {
        let sums = mpi_run(2, |world| {
            let rank = world.rank() as u64;
            let pool = ProcessPool::new(1).unwrap();
            pool.map(|x: u64| x * x, [rank, 10])
                .unwrap()
                .iter()
                .sum::<u64>()
        });
        assert_eq!(sums.unwrap(), [100, 101]);
    });
}

#[test]
fn a_time_limit_that_never_comes_is_none() {
    guarded(|| {
        let job = MpiRun::new(2).time_limit(Duration::MAX);
        assert_eq!(job.run(|world| world.rank()).unwrap(), [0, 1]);
    });
}
