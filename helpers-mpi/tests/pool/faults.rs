//! Tasks that panic, end their rank or never end: an error says which, and the pool goes on.

use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use helpers_mpi::prelude::*;
use nix::sys::signal::{Signal, raise};

use crate::common::{AT_ONCE, assert_goes_on, family, guarded, ids, kill_hard, soon, vanish};

/// The item that goes wrong.
const ILL: u64 = 5;

const EXIT: usize = 0;
const KILL: usize = 1;
const MPI_ABORT: usize = 2;
const SEGFAULT: usize = 3;

/// A task that commits a fault if its item is the ill one.
fn ill<const FAULT: usize>(item: u64) -> u64 {
    if item == ILL {
        match FAULT {
            EXIT => process::exit(3),
            KILL => raise(Signal::SIGKILL).unwrap(),
            // SAFETY: none: this is to crash, in a process that exists for nothing else.
            SEGFAULT => unsafe {
                std::hint::black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1)
            },
            _ => {
                use mpi::traits::*;
                mpi::topology::SimpleCommunicator::world().abort(7);
            }
        }
    }
    item * 10
}

#[test]
fn a_panic_names_the_rank_the_host_and_the_item() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let before = ids(&pool);
        let task = |item: u64| {
            assert_ne!(item, ILL, "an ill item");
            item
        };
        let error = pool.map(task, 0..10).unwrap_err();
        assert!(error.is_panic(), "{error}");
        assert_eq!(error.item(), Some(ILL as usize));
        let told = error.to_string();
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert!(
            told.contains("an ill item") && told.contains(&format!(" on {host}")),
            "{told}"
        );
        assert!(told.contains("rank 1") || told.contains("rank 2"), "{told}");
        assert_eq!(ids(&pool), before, "a panic costs no rank");
    });
}

/// Each fault ends the job; the error names the rank and how it ended, and a fresh job goes on.
fn loses<const FAULT: usize>(words: &'static [&'static str]) {
    guarded(move || {
        let pool = MpiPool::new(2).unwrap();
        let before = family(&pool);
        for _ in 0..2 {
            let start = Instant::now();
            let view = pool.chunk_size(1).unwrap();
            let error = view.map(ill::<FAULT>, [ILL]).unwrap_err();
            assert!(error.is_worker_lost(), "{error}");
            assert_eq!(error.item(), Some(0));
            let told = error.to_string();
            assert!(
                told.contains(" on ") && told.contains("fresh job"),
                "{told}"
            );
            assert!(words.iter().any(|word| told.contains(word)), "{told}");
            assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
            assert_goes_on(&pool);
        }
        assert!(vanish(&before));
    });
}

#[test]
fn a_task_that_exits() {
    loses::<EXIT>(&["status 3"]);
}

#[test]
fn a_task_that_is_killed() {
    loses::<KILL>(&["SIGKILL", "signal 9"]);
}

#[test]
fn a_task_that_touches_what_is_not_its_own() {
    loses::<SEGFAULT>(&["SIGSEGV", "signal 11"]);
}

#[test]
fn a_task_that_calls_mpi_abort() {
    loses::<MPI_ABORT>(&["MPI_Abort"]);
}

#[test]
fn what_no_rank_had_begun_goes_to_the_fresh_job() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let results: Vec<_> = pool.imap(ill::<KILL>, 0..20).collect();
        let failed: Vec<usize> = (0..20).filter(|&item| results[item].is_err()).collect();
        assert!(failed.contains(&(ILL as usize)), "{failed:?}");
        // A report that is on its way goes with the job.
        assert!(
            failed.len() <= 4,
            "at most what each rank was at, and what it had just done: {failed:?}"
        );
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, 10 * item as u64),
                Err(error) => assert!(error.is_worker_lost(), "{error}"),
            }
        }
    });
}

#[test]
fn a_rank_that_is_killed_from_outside() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        // At work.
        let handle = pool.submit(|()| sleep(Duration::from_secs(1000)), ());
        let other = pool.submit(|()| process::id(), ());
        let bystander = other.join().unwrap();
        kill_hard(bystander);
        let error = handle.join().unwrap_err();
        assert!(error.is_worker_lost(), "{error}");
        let told = error.to_string();
        assert!(told.contains("the job ended with rank"), "{told}");
        assert_goes_on(&pool);
        // With nothing to do. The other rank still takes items until the launcher has ended it, and would
        // be lost with them.
        let job = family(&pool);
        kill_hard(*ids(&pool).first().unwrap());
        assert!(vanish(&job));
        let start = Instant::now();
        // It may be sent to a job whose end nobody has noticed yet.
        if let Err(error) = pool.map(|x: u64| x, [1]) {
            assert!(error.is_worker_lost(), "{error}");
        }
        assert_goes_on(&pool);
        assert!(start.elapsed() < AT_ONCE);
    });
}

#[test]
fn an_item_that_never_ends_has_a_time_limit() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let before = family(&pool);
        let start = Instant::now();
        let view = pool.time_limit(Duration::from_millis(300)).unwrap();
        let never = |item: u64| loop {
            if item != ILL {
                return item;
            }
        };
        let error = view.map(never, 0..10).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.item(), Some(ILL as usize));
        assert!(error.to_string().contains("rank"), "{error}");
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        assert!(vanish(&before), "the old job is gone");
        assert_goes_on(&pool);
    });
}

#[test]
fn a_time_limit_does_not_harm_the_work_of_other_ranks() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        ids(&pool);
        let innocent = |()| {
            sleep(Duration::from_millis(1500));
            process::id()
        };
        let innocent = pool.submit(innocent, ());
        let view = pool.time_limit(Duration::from_millis(200)).unwrap();
        let late = view.submit(|()| sleep(Duration::from_secs(1000)), ());
        assert!(late.join().unwrap_err().is_timeout());
        assert!(innocent.join().is_ok());
        assert_goes_on(&pool);
    });
}

#[test]
fn an_initializer_that_fails_is_the_error_of_the_pool() {
    guarded(|| {
        let error = MpiPool::builder(2)
            .initializer(|()| assert!(process::id() == 0, "no luck today"), ())
            .build()
            .unwrap_err();
        assert!(
            error.is_start() && error.to_string().contains("no luck today"),
            "{error}"
        );
    });
}

#[test]
fn a_job_that_cannot_be_replaced_ends_all_that_waits() {
    guarded(|| {
        let folder = env::temp_dir().join(format!("helpers-mpi-launcher-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let launcher = folder.join("mpiexec");
        fs::write(&launcher, "#!/bin/sh\nexec mpiexec \"$@\"\n").unwrap();
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
        let pool = MpiPool::builder(2).launcher(&launcher).build().unwrap();
        let family = family(&pool);
        fs::remove_dir_all(folder).unwrap();
        let start = Instant::now();
        let view = pool.time_limit(Duration::from_millis(300)).unwrap();
        let never = |_: u64| sleep(Duration::from_secs(1000));
        let errors = view.imap(never, 0..5).map(Result::unwrap_err);
        let errors: Vec<_> = errors.collect();
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        for (item, error) in errors.iter().enumerate() {
            assert!(error.is_timeout() || error.is_start(), "{item}: {error}");
        }
        assert!(errors[0].is_timeout(), "{}", errors[0]);
        let told = errors[4].to_string();
        assert!(told.contains("there is no program"), "{told}");
        assert!(pool.map(|x: u64| x, [1]).unwrap_err().is_start());
        assert!(vanish(&family), "the old job is gone");
    });
}

#[test]
fn a_fresh_job_becomes_ready_though_nobody_waits_for_it() {
    guarded(|| {
        let name = format!("helpers-mpi-ready-{}", process::id());
        let path = env::temp_dir().join(name).to_str().unwrap().to_owned();
        let note = |path: String| fs::write(path, "ready").unwrap();
        let pool = MpiPool::builder(1)
            .initializer(note, path.clone())
            .build()
            .unwrap();
        fs::remove_file(&path).unwrap();
        let error = pool.map(ill::<KILL>, [ILL]).unwrap_err();
        assert!(error.is_worker_lost(), "{error}");
        assert!(soon(|| fs::exists(&path).unwrap()));
        fs::remove_file(path).unwrap();
    });
}
