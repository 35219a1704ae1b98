//! Who does what: long lists, tiny tasks, and long ones behind them.

use std::collections::HashMap;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers::prelude::*;

use crate::common::{guarded, ids};

/// The units of sleep that the busiest of so many workers has with the lesson's items.
fn longest(workers: usize) -> u64 {
    let pool = ProcessPool::new(workers).unwrap();
    ids(&pool);
    let task = |units: u64| {
        sleep(Duration::from_millis(30 * units));
        (process::id(), units)
    };
    let mut busy: HashMap<u32, u64> = HashMap::new();
    for (id, units) in pool.map(task, [3, 5, 10, 15, 17, 20]).unwrap() {
        *busy.entry(id).or_default() += units;
    }
    busy.into_values().max().unwrap()
}

#[test]
fn the_lessons_items_take_25_units_on_4_workers_and_20_on_8() {
    guarded(|| {
        // A machine that stands still for a moment hands out an item late: not five times in turn.
        let takes = |workers, units| (0..5).any(|_| longest(workers) == units);
        assert!(takes(4, 25) && takes(8, 20));
    });
}

#[test]
fn long_tasks_behind_many_tiny_ones_are_shared() {
    // In milliseconds. A worker may be kept waiting for less than that by what else the machine does.
    const LONG: u64 = 800;
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        ids(&pool);
        for _ in 0..3 {
            let mut items = vec![0; 200];
            items.extend([LONG; 4]);
            let task = |ms: u64| {
                if ms > 0 {
                    sleep(Duration::from_millis(ms));
                }
                (process::id(), ms)
            };
            let start = Instant::now();
            let results = pool.chunk_size(1).unwrap().map(task, items).unwrap();
            let elapsed = start.elapsed();
            let mut busy: HashMap<u32, u64> = HashMap::new();
            for (id, ms) in results {
                *busy.entry(id).or_default() += ms;
            }
            let longest = busy.values().max().unwrap();
            assert_eq!(*longest, 2 * LONG, "{busy:?}");
            // One after the other they would take four times as long as one.
            assert!(
                elapsed < Duration::from_millis(4 * LONG - 200),
                "{elapsed:?}"
            );
        }
    });
}

#[test]
fn a_million_items_and_20_000_tasks() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let flip = |x: u32| x ^ 1;
        let is_right = |(x, result): (usize, &u32)| *result == x as u32 ^ 1;
        let results = pool.map(flip, 0..1_000_000).unwrap();
        assert!(results.len() == 1_000_000 && results.iter().enumerate().all(is_right));
        let results = pool.chunk_size(1).unwrap().map(flip, 0..20_000).unwrap();
        assert!(results.len() == 20_000 && results.iter().enumerate().all(is_right));
        let handles: Vec<_> = (0..10_000).map(|x| pool.submit(flip, x)).collect();
        for (x, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join(), Ok(x as u32 ^ 1));
        }
        let results: Vec<u32> = pool.imap(flip, 0..5_000).map(Result::unwrap).collect();
        assert!(results.iter().enumerate().all(is_right));
        assert_eq!(pool.imap_unordered(flip, 0..5_000).count(), 5_000);
    });
}
