//! Who does what: tasks go to ranks as they become free.

use std::collections::HashMap;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers_mpi::prelude::*;

use crate::common::{guarded, ids};

#[test]
fn the_lessons_items_take_25_units_on_4_ranks() {
    guarded(|| {
        let pool = MpiPool::new(4).unwrap();
        ids(&pool);
        let longest = || {
            let task = |units: u64| {
                sleep(Duration::from_millis(30 * units));
                (process::id(), units)
            };
            let mut busy: HashMap<u32, u64> = HashMap::new();
            for (id, units) in pool.map(task, [3, 5, 10, 15, 17, 20]).unwrap() {
                *busy.entry(id).or_default() += units;
            }
            busy.into_values().max().unwrap()
        };
        // A machine that stands still for a moment hands out an item late: not five times in turn.
        assert!((0..5).any(|_| longest() == 25));
    });
}

#[test]
fn long_tasks_behind_many_tiny_ones_are_shared() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        ids(&pool);
        for _ in 0..3 {
            let mut items = vec![0; 200];
            items.extend([300; 4]);
            let task = |ms: u64| {
                if ms > 0 {
                    sleep(Duration::from_millis(ms));
                }
                (process::id(), ms)
            };
            let results = pool.chunk_size(1).unwrap().map(task, items).unwrap();
            let mut busy: HashMap<u32, u64> = HashMap::new();
            for (id, ms) in results {
                *busy.entry(id).or_default() += ms;
            }
            assert_eq!(busy.values().max(), Some(&600), "{busy:?}");
        }
    });
}

#[test]
fn a_pool_with_nothing_to_do_costs_next_to_nothing() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        ids(&pool);
        let time = || -> Duration {
            let ids = crate::common::family(&pool);
            ids.iter().map(|&id| cpu_time(id)).sum()
        };
        sleep(Duration::from_millis(300));
        let (start, before) = (Instant::now(), time());
        sleep(Duration::from_secs(2));
        // `time` itself asks the ranks once.
        let used = time().saturating_sub(before);
        assert!(used < start.elapsed() / 10, "{used:?}");
    });
}

#[test]
fn sleepers_are_woken() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        ids(&pool);
        let nap = |()| sleep(Duration::from_millis(20));
        let start = Instant::now();
        for _ in 0..30 {
            // All sleep: the caller and rank 0 during the task, the ranks before it.
            sleep(Duration::from_millis(20));
            pool.submit(nap, ()).join().unwrap();
        }
        // Should a ring be lost, a sleeper looks around after a second.
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    });
}

/// The processor time of a process, from its thread's accounts.
fn cpu_time(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return Duration::ZERO;
    };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let ticks = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    Duration::from_millis(10 * ticks)
}
