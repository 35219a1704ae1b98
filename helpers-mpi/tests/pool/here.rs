//! A program that `mpiexec` has started: its rank 0 has the other ranks as workers.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, process};

use helpers_mpi::prelude::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::common::{AT_ONCE, as_rank_0, assert_goes_on, fails_as_rank_0, guarded, ids, soon};
use crate::flag::{Flag, until};

#[test]
fn rank_0_of_a_job_has_the_others_as_workers() {
    guarded(|| {
        as_rank_0(3, "here::uses_the_other_ranks");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn uses_the_other_ranks() {
    // One pool after the other.
    for _ in 0..2 {
        let pool = MpiPool::new(2).unwrap();
        let ids: BTreeSet<u32> = ids(&pool);
        assert!(!ids.contains(&process::id()));
        let squares: Vec<u64> = (0..2000).map(|x| x * x).collect();
        assert_eq!(pool.map(|x: u64| x * x, 0..2000), Ok(squares));
        let arrays = (0..8).map(|n| vec![n; 300_000]);
        let sums = pool.map(|array: Vec<u64>| array.iter().sum::<u64>(), arrays);
        let expected: Vec<u64> = (0..8).map(|n| n * 300_000).collect();
        assert_eq!(sums, Ok(expected));
        let error = pool
            .map(|x: u64| assert!(x < 5, "too large"), 0..9)
            .unwrap_err();
        assert!(error.is_panic(), "{error}");
        let view = pool.time_limit(Duration::from_secs(30)).unwrap();
        assert_eq!(view.submit(|x: u64| x + 1, 1).join(), Ok(2));
    }
}

#[test]
fn more_workers_than_ranks_are_an_error() {
    guarded(|| {
        as_rank_0(2, "here::asks_for_too_many");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn asks_for_too_many() {
    let error = MpiPool::new(3).unwrap_err();
    assert!(error.to_string().contains("3"), "{error}");
    // The ranks are still to be had.
    let pool = MpiPool::new(1).unwrap();
    assert_eq!(pool.map(|x: u64| x + 1, [1]), Ok(vec![2]));
}

/// So many short items, so that later ones are sent ahead.
fn warm_up(pool: &MpiPool) {
    let items = vec![String::new(); 500];
    pool.chunk_size(1).unwrap().map(until, items).unwrap();
}

#[test]
fn one_pool_at_a_time_has_the_ranks() {
    guarded(|| {
        as_rank_0(3, "here::asks_for_ranks_that_a_pool_has");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn asks_for_ranks_that_a_pool_has() {
    let pool = MpiPool::new(2).unwrap();
    let second = MpiPool::new(2).unwrap_err();
    assert!(second.is_invalid_input(), "{second}");
    assert!(second.to_string().contains("drop the pool"), "{second}");
    let run = mpi_run(3, |world| world.rank()).unwrap_err();
    assert!(run.is_invalid_input(), "{run}");
    assert!(run.to_string().contains("drop the pool"), "{run}");
    assert_eq!(helpers_mpi::ranks(), Some(3));
    assert_goes_on(&pool);
    drop(pool);
    assert_eq!(mpi_run(3, |world| world.rank()).unwrap(), [0, 1, 2]);
    assert_goes_on(&MpiPool::new(2).unwrap());
}

#[test]
fn ranks_that_a_dropped_pool_has_left_at_work_come_back() {
    guarded(|| {
        as_rank_0(3, "here::drops_a_pool_at_work");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn drops_a_pool_at_work() {
    let flag = Flag::new("dropped");
    let pool = MpiPool::new(2).unwrap();
    let handle = pool.submit(until, flag.path());
    sleep(Duration::from_millis(100));
    drop(pool);
    assert!(handle.join().unwrap_err().is_cancelled());
    let told = MpiPool::new(2).unwrap_err().to_string();
    assert!(told.contains("still at work"), "{told}");
    assert!(mpi_run(3, |_| ()).unwrap_err().is_invalid_input());
    flag.raise();
    assert!(soon(|| mpi_run(3, |_| ()).is_ok()));
    assert_goes_on(&MpiPool::new(2).unwrap());
}

#[test]
fn a_program_may_not_end_with_a_pool() {
    guarded(|| {
        let words = ["the program ended", "drop the pool"];
        fails_as_rank_0(2, "here::exits_with_a_pool", &words);
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn exits_with_a_pool() {
    let _pool = MpiPool::new(1).unwrap();
    process::exit(0);
}

#[test]
fn a_program_may_end_while_ranks_are_at_work_that_nobody_wants() {
    guarded(|| {
        let words = ["the program ended", "still at work"];
        fails_as_rank_0(2, "here::ends_with_ranks_at_work", &words);
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn ends_with_ranks_at_work() {
    let pool = MpiPool::new(1).unwrap();
    drop(pool.submit(|()| sleep(Duration::from_secs(1000)), ()));
    sleep(Duration::from_millis(100));
}

#[test]
fn a_pool_that_cannot_begin_gives_the_ranks_back() {
    guarded(|| {
        as_rank_0(3, "here::begins_without_files");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn begins_without_files() {
    // Whatever MPI opens when ranks first talk to each other is open then.
    assert_goes_on(&MpiPool::new(2).unwrap());
    let (most, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let next = fs::read_dir("/proc/self/fd").unwrap().count() as u64 + 3;
    let mut failures = 0;
    for spare in 0..12 {
        setrlimit(Resource::RLIMIT_NOFILE, next - 8 + spare, hard).unwrap();
        let pool = MpiPool::new(2);
        setrlimit(Resource::RLIMIT_NOFILE, most, hard).unwrap();
        match pool {
            Ok(pool) => assert_goes_on(&pool),
            Err(_) => failures += 1,
        }
    }
    assert!(failures > 1, "{failures}");
    assert_goes_on(&MpiPool::new(2).unwrap());
}

#[test]
fn an_item_past_its_limit_holds_up_nobody() {
    guarded(|| {
        as_rank_0(3, "here::has_items_past_their_limit");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn has_items_past_their_limit() {
    let flag = Flag::new("limit");
    let pool = MpiPool::new(2).unwrap();
    let view = pool.chunk_size(1).unwrap();
    let view = view.time_limit(Duration::from_millis(300)).unwrap();
    let mut items = vec![String::new(); 40];
    items[5] = flag.path();
    let start = Instant::now();
    warm_up(&pool);
    // One rank is lost, and nothing with it.
    let results: Vec<_> = view.imap(until, items.clone()).collect();
    let failed: Vec<_> = (0..40).filter(|&item| results[item].is_err()).collect();
    assert_eq!(failed, [5]);
    let error = results[5].as_ref().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_goes_on(&pool);
    // Then the other one.
    let error = view.map(until, items).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.item(), Some(5));
    let told = pool.map(|x: u64| x, 0..40).unwrap_err().to_string();
    assert!(told.contains("past their time limit"), "{told}");
    assert!(start.elapsed() < 2 * AT_ONCE, "{:?}", start.elapsed());
    let error = pool.submit(|x: u64| x, 1).join().unwrap_err();
    assert!(error.is_start() && !error.is_cancelled(), "{error}");
    flag.raise();
    drop(pool);
    assert!(soon(|| mpi_run(3, |_| ()).is_ok()));
    assert_goes_on(&MpiPool::new(2).unwrap());
}

#[test]
fn a_rank_that_is_late_once_works_on() {
    guarded(|| {
        as_rank_0(2, "here::is_late_once");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn is_late_once() {
    let pool = MpiPool::new(1).unwrap();
    let view = pool.time_limit(Duration::from_millis(100)).unwrap();
    let nap = |ms: u64| sleep(Duration::from_millis(ms));
    assert!(view.map(nap, [2_600]).unwrap_err().is_timeout());
    assert_goes_on(&pool);
}

#[test]
fn a_call_that_fails_leaves_nothing_behind_an_endless_item() {
    guarded(|| {
        as_rank_0(3, "here::fails_beside_an_endless_item");
    });
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn fails_beside_an_endless_item() {
    let flag = Flag::new("endless");
    let pool = MpiPool::new(2).unwrap();
    warm_up(&pool);
    let start = Instant::now();
    let mut items = vec![String::new(); 40];
    // One never ends, with others behind it; one panics, as such a file cannot be.
    items[5] = flag.path();
    items[20] = "\0".to_owned();
    let error = pool.chunk_size(1).unwrap().map(until, items).unwrap_err();
    assert!(error.is_panic(), "{error}");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    assert_goes_on(&pool);
    flag.raise();
}
