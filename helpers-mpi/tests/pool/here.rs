//! A program that `mpiexec` has started: its rank 0 has the other ranks as workers.

use std::collections::BTreeSet;
use std::process;
use std::time::Duration;

use helpers_mpi::prelude::*;

use crate::common::{as_rank_0, guarded, ids};

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
