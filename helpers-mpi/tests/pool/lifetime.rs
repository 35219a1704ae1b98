//! What is left of a job when its pool is gone: nothing.

use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers_mpi::prelude::*;

use crate::common::{AT_ONCE, alone, family, guarded, vanish};

#[test]
fn dropping_a_pool_ends_its_job() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let family = family(&pool);
        assert!(
            family.len() >= 4,
            "a launcher, rank 0 and two that work: {family:?}"
        );
        drop(pool);
        assert!(vanish(&family));
    });
}

#[test]
fn dropping_a_pool_ends_what_its_ranks_do() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let family = family(&pool);
        let nap = |()| sleep(Duration::from_secs(1000));
        let handles: Vec<_> = (0..5).map(|_| pool.submit(nap, ())).collect();
        sleep(Duration::from_millis(100));
        let start = Instant::now();
        drop(pool);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        for handle in handles {
            assert!(handle.join().unwrap_err().is_cancelled());
        }
        assert!(vanish(&family));
    });
}

#[test]
fn a_program_that_ends_takes_its_job_along() {
    guarded(|| {
        let shown = alone("lifetime::exits_with_a_pool");
        let ids = shown.lines().find_map(|line| line.strip_prefix("family: "));
        let ids = ids
            .unwrap()
            .split_whitespace()
            .map(|id| id.parse().unwrap());
        assert!(vanish(&ids.collect()));
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn exits_with_a_pool() {
    let pool = MpiPool::new(2).unwrap();
    let family: Vec<String> = family(&pool).iter().map(u32::to_string).collect();
    println!("family: {}", family.join(" "));
    for _ in 0..2 {
        drop(pool.submit(|()| sleep(Duration::from_secs(1000)), ()));
    }
    // Nothing is dropped, as when a program is killed.
    std::mem::forget(pool);
}
