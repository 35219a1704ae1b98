//! Starts and ends of pools, well and unwell: nothing is left of them.

use std::collections::BTreeSet;
use std::fs;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use helpers::prelude::*;
use nix::sys::resource::{Resource, setrlimit};

use crate::common::{
    AT_ONCE, alone, assert_goes_on, children, crash, guarded, ids, kill_hard, mapped_memory,
    open_files, soon, vanish,
};

fn long(_: u64) {
    sleep(Duration::from_secs(100));
}

#[test]
fn a_pool_that_is_dropped_while_tasks_run() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let workers = ids(&pool);
        let mut handles: Vec<_> = (0..6).map(|x| pool.submit(long, x)).collect();
        let kept = handles.split_off(3);
        let waiters: Vec<_> = handles
            .into_iter()
            .map(|handle| thread::spawn(move || handle.join()))
            .collect();
        sleep(Duration::from_millis(100));
        let start = Instant::now();
        drop(pool);
        for waiter in waiters {
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.is_cancelled(), "{error}");
            assert!(error.to_string().contains("pool was dropped"), "{error}");
        }
        for handle in kept {
            assert!(handle.is_finished());
            assert!(handle.join().unwrap_err().is_cancelled());
        }
        assert!(start.elapsed() < AT_ONCE);
        assert!(vanish(&workers));
    });
}

#[test]
fn an_iterator_that_is_abandoned() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let workers = ids(&pool);
        let slow = |x: u64| {
            sleep(Duration::from_millis(if x < 2 { 1 } else { 100_000 }));
            x
        };
        let mut results = pool.imap(slow, 0..);
        assert_eq!(results.next(), Some(Ok(0)));
        drop(results);
        let start = Instant::now();
        drop(pool);
        assert!(start.elapsed() < AT_ONCE && vanish(&workers));
    });
}

#[test]
fn a_pool_in_a_worker_ends_with_it() {
    guarded(|| {
        let outer = ProcessPool::new(2).unwrap();
        let nested = |x: u64| -> Result<Vec<u64>, String> {
            let inner = ProcessPool::new(2).map_err(|error| error.to_string())?;
            inner
                .map(|x: u64| x * x, [x, x + 1])
                .map_err(|error| error.to_string())
        };
        let squares = outer.map(nested, [1, 5]).unwrap();
        assert_eq!(squares, [Ok(vec![1, 4]), Ok(vec![25, 36])]);
        // One that nobody drops.
        let leak = |()| -> Result<BTreeSet<u32>, String> {
            let inner = ProcessPool::new(2).map_err(|error| error.to_string())?;
            let ids = ids(&inner);
            std::mem::forget(inner);
            Ok(ids)
        };
        let inner = outer.submit(leak, ()).join().unwrap().unwrap();
        assert!(
            inner
                .iter()
                .all(|id| fs::exists(format!("/proc/{id}")).unwrap())
        );
        for id in ids(&outer) {
            kill_hard(id);
        }
        assert!(vanish(&inner), "{inner:?}");
        assert_goes_on(&outer);
    });
}

#[test]
fn two_pools_at_once() {
    guarded(|| {
        let (one, two) = (ProcessPool::new(2).unwrap(), ProcessPool::new(3).unwrap());
        assert!(ids(&one).is_disjoint(&ids(&two)));
        thread::scope(|scope| {
            for pool in [&one, &two, &one, &two] {
                scope.spawn(move || (0..20).for_each(|_| assert_goes_on(pool)));
            }
        });
        drop(one);
        assert_goes_on(&two);
    });
}

#[test]
fn several_threads_that_use_one_pool() {
    guarded(|| {
        let pool = ProcessPool::new(3).unwrap();
        let fails = |x: u64| assert!(x != 7, "seven");
        thread::scope(|scope| {
            for thread in 0..4u64 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..30 {
                        if (thread + round) % 5 == 0 {
                            let error = pool.chunk_size(1).unwrap().map(fails, 0..30).unwrap_err();
                            assert_eq!(error.item(), Some(7));
                        } else {
                            assert_goes_on(pool);
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn many_pools_leave_nothing() {
    guarded(|| {
        alone("lifetime::many_pools");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn many_pools() {
    let use_one = |number: usize| {
        let pool = ProcessPool::builder(1 + number % 2).build().unwrap();
        let text = "x".repeat(50_000);
        assert_eq!(pool.submit(|x: String| x, text.clone()).join(), Ok(text));
        let mut array = SharedArray::<u8>::zeros(10).unwrap();
        pool.map(
            |mut part: SharedSliceMut<u8>| part.fill(1),
            array.chunks_mut(5),
        )
        .unwrap();
        match number % 4 {
            0 => drop(pool.map(|x: u64| assert!(x < 3), 0..5).unwrap_err()),
            1 => drop(pool.submit(long, 1)),
            2 if number % 20 == 2 => drop(pool.map(crash, [()]).unwrap_err()),
            _ => {}
        }
    };
    use_one(1);
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let (files, memory, tasks) = (open_files(), mapped_memory("self"), threads());
    assert_eq!(children(), BTreeSet::new());
    (0..200).for_each(use_one);
    assert!(soon(|| children().is_empty() && threads() == tasks));
    // A little memory may be kept for the next pool.
    assert!(open_files().len() <= files.len() + 4, "{:?}", open_files());
    assert!(mapped_memory("self") <= memory + 4);
}

#[test]
fn pools_whose_workers_are_killed_while_they_start() {
    guarded(|| {
        alone("lifetime::workers_are_killed_while_they_start");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn workers_are_killed_while_they_start() {
    let (mut well, mut refused) = (0, 0);
    for round in 0..40 {
        let is_over = Arc::new(AtomicBool::new(false));
        let killer = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    if let Some(&id) = children().iter().nth(round % 2) {
                        sleep(Duration::from_micros(100 * round as u64));
                        return kill_hard(id);
                    }
                }
            }
        });
        let start = Instant::now();
        let made = match round % 3 {
            0 => ProcessPool::builder(3).initializer(|x: u64| x, 1).build(),
            _ => ProcessPool::new(3),
        };
        is_over.store(true, Ordering::Relaxed);
        match made {
            Ok(pool) => {
                well += 1;
                killer.join().unwrap();
                assert_goes_on(&pool);
            }
            Err(error) => {
                refused += 1;
                assert!(
                    error.is_start() && error.to_string().contains("worker"),
                    "{error}"
                );
                killer.join().unwrap();
            }
        }
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        assert!(soon(|| children().is_empty()), "{:?}", children());
    }
    println!("{well} pools were made, {refused} were not");
}

#[test]
fn a_pool_that_cannot_be_started_leaves_nothing() {
    guarded(|| {
        alone("lifetime::too_many_files");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn too_many_files() {
    let files = open_files();
    for most in [40, 41, 42, 43, 44, 45, 46] {
        setrlimit(Resource::RLIMIT_NOFILE, most, 4096).unwrap();
        let start = Instant::now();
        let error = ProcessPool::new(20).unwrap_err();
        assert!(start.elapsed() < AT_ONCE);
        assert!(error.is_start(), "{error}");
        assert!(error.to_string().contains("Too many open files"), "{error}");
        assert!(soon(|| children().is_empty()));
        assert_eq!(open_files(), files);
    }
}

/// Arguments that wait for a worker must not each keep a file open: many systems allow 1024.
#[test]
fn many_large_arguments_wait_for_workers() {
    guarded(|| {
        alone("lifetime::large_arguments_wait");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn large_arguments_wait() {
    setrlimit(Resource::RLIMIT_NOFILE, 256, 4096).unwrap();
    let pool = ProcessPool::new(2).unwrap();
    let text = "x".repeat(100_000);
    let length = |text: String| {
        sleep(Duration::from_millis(if text.len() < 10 { 500 } else { 0 }));
        text.len()
    };
    for _ in 0..2 {
        drop(pool.submit(length, "wait".to_owned()));
    }
    let handles: Vec<_> = (0..600)
        .map(|_| pool.submit(length, text.clone()))
        .collect();
    for handle in handles {
        assert_eq!(handle.join(), Ok(100_000));
    }
    let lengths = pool.chunk_size(1).unwrap().map(length, vec![text; 600]);
    assert_eq!(lengths, Ok(vec![100_000; 600]));
}

/// Nor must slices of shared arrays.
#[test]
fn many_parts_of_an_array() {
    guarded(|| {
        alone("lifetime::parts_of_an_array");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn parts_of_an_array() {
    setrlimit(Resource::RLIMIT_NOFILE, 100, 4096).unwrap();
    let pool = ProcessPool::new(4).unwrap();
    let mut array = SharedArray::<u8>::zeros(5000).unwrap();
    let add = |mut part: SharedSliceMut<u8>| part[0] += 1;
    for round in 1..4 {
        let added = pool.chunk_size(1).unwrap().map(add, array.chunks_mut(1));
        assert_eq!(added, Ok(vec![(); 5000]));
        assert!(array.iter().all(|&x| x == round));
    }
}

/// Nor must results.
#[test]
fn many_large_results() {
    guarded(|| {
        alone("lifetime::large_results");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn large_results() {
    setrlimit(Resource::RLIMIT_NOFILE, 256, 4096).unwrap();
    let pool = ProcessPool::new(2).unwrap();
    let make = |x: u64| x.to_string().repeat(50_000);
    let handles: Vec<_> = (0..600).map(|x| pool.submit(make, x)).collect();
    for (x, handle) in handles.into_iter().enumerate() {
        assert!(handle.join().unwrap() == x.to_string().repeat(50_000));
    }
    let texts = pool.chunk_size(1).unwrap().map(make, 0..600).unwrap();
    assert_eq!(texts.len(), 600);
}

/// What a worker has sent must not stay in memory when the worker has gone.
#[test]
fn large_results_of_workers_that_have_ended() {
    guarded(|| {
        alone("lifetime::large_results_of_the_dead");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn large_results_of_the_dead() {
    let pool = ProcessPool::builder(2).tasks_per_worker(1).build().unwrap();
    let make = |x: u64| x.to_string().repeat(500_000);
    let run = |count: u64| {
        let texts = pool.chunk_size(1).unwrap().map(make, 0..count).unwrap();
        assert_eq!(texts.len() as u64, count);
    };
    run(4);
    let files = open_files().len();
    run(40);
    assert!(
        open_files().len() <= files + 4,
        "{} and {files}",
        open_files().len()
    );
}

#[test]
fn a_result_whose_end_panics_does_not_stop_the_pool() {
    guarded(|| {
        struct Fragile(u64);
        impl serde::Serialize for Fragile {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }
        impl<'de> serde::Deserialize<'de> for Fragile {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                u64::deserialize(from).map(Fragile)
            }
        }
        impl Drop for Fragile {
            fn drop(&mut self) {
                // In workers as well, which is an item's panic there.
                assert!(self.0 != process::id().into(), "it broke");
            }
        }
        let pool = ProcessPool::new(1).unwrap();
        // A result that nobody wants, so that whoever receives it drops it.
        drop(pool.submit(Fragile, process::id().into()));
        sleep(Duration::from_millis(300));
        assert_goes_on(&pool);
        // Results that nobody waits for are still taken in.
        let task = |x: u64| {
            sleep(Duration::from_millis(50));
            x
        };
        let handle = pool.submit(task, 7);
        let (_, result) = as_completed([handle]).next().unwrap();
        assert_eq!(result, Ok(7));
    });
}
