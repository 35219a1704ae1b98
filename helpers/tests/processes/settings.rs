//! Initializers, environments, tasks per worker, and time limits.

use std::collections::{BTreeSet, HashMap};
use std::process;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use helpers::prelude::*;

use crate::common::{AT_ONCE, alone, assert_goes_on, children, crash, guarded, ids, soon};

#[test]
fn an_initializer_runs_once_in_each_worker() {
    guarded(|| {
        let make = |name: String| (name, process::id());
        let pool = ProcessPool::builder(2)
            .initializer(make, "model".to_owned())
            .build()
            .unwrap();
        let task = |()| {
            sleep(Duration::from_millis(1));
            let (name, id) = worker_value::<(String, u32)>();
            (name.clone(), *id == process::id())
        };
        let results = pool.chunk_size(1).unwrap().map(task, [(); 20]).unwrap();
        assert_eq!(results, vec![("model".to_owned(), true); 20]);
        // In a fresh worker as well.
        pool.map(crash, [()]).unwrap_err();
        let results = pool.chunk_size(1).unwrap().map(task, [(); 20]).unwrap();
        assert_eq!(results, vec![("model".to_owned(), true); 20]);
    });
}

#[test]
fn a_fresh_worker_is_initialized_though_nobody_waits_for_it() {
    guarded(|| {
        let file = std::env::temp_dir().join(format!("helpers-test-fresh-{}", process::id()));
        std::fs::write(&file, "").unwrap();
        let note = |path: std::path::PathBuf| {
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, b"here\n").unwrap();
        };
        let pool = ProcessPool::builder(2)
            .initializer(note, file.clone())
            .build()
            .unwrap();
        let workers = || std::fs::read_to_string(&file).unwrap().lines().count();
        assert_eq!(workers(), 2);
        let task = |x: u64| {
            assert!(x == 1, "an item that fails");
            std::thread::sleep(std::time::Duration::from_secs(600));
        };
        // The worker of the other item is stopped, and another one takes its place.
        assert_eq!(pool.map(task, [0, 1]).unwrap_err().item(), Some(0));
        let all_know = soon(|| workers() == 3);
        std::fs::remove_file(&file).unwrap();
        assert!(all_know, "a fresh worker waits for its orders");
    });
}

#[test]
fn an_initializer_that_fails_is_an_error_of_the_start() {
    guarded(|| {
        alone("settings::failing_initializers");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn failing_initializers() {
    for workers in [1, 2, 5] {
        let start = Instant::now();
        let panics = |x: u64| assert!(x == 0, "no model {x}");
        let error = ProcessPool::builder(workers)
            .initializer(panics, 7)
            .build()
            .unwrap_err();
        assert!(error.is_start(), "{error}");
        assert!(error.to_string().contains("no model 7"), "{error}");
        let aborts = |()| process::abort();
        let error = ProcessPool::builder(workers)
            .initializer(aborts, ())
            .build()
            .unwrap_err();
        assert!(error.is_start(), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");
        assert!(start.elapsed() < AT_ONCE);
        assert!(soon(|| children().is_empty()));
    }
}

#[test]
fn an_initializer_that_fails_later_breaks_the_pool_in_plain_words() {
    guarded(|| {
        let file = std::env::temp_dir().join(format!("helpers-test-{}", process::id()));
        std::fs::write(&file, "model").unwrap();
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("the model");
        let pool = ProcessPool::builder(2)
            .initializer(read, file.clone())
            .build()
            .unwrap();
        std::fs::remove_file(file).unwrap();
        pool.map(crash, [()]).unwrap_err();
        let start = Instant::now();
        let handles: Vec<_> = (0..20).map(|x: u64| pool.submit(|x: u64| x, x)).collect();
        for handle in handles {
            if let Err(error) = handle.join() {
                assert!(error.is_start(), "{error}");
            }
        }
        // Sooner or later the pool has given up.
        let broken = soon(|| pool.map(|x: u64| x, 0..4).is_err());
        if broken {
            let error = pool.map(|x: u64| x, 0..4).unwrap_err();
            assert!(error.is_start(), "{error}");
            assert!(error.to_string().contains("the model"), "{error}");
        }
        assert!(start.elapsed() < AT_ONCE);
    });
}

#[test]
fn a_worker_value_of_another_type_or_none() {
    guarded(|| {
        let pool = ProcessPool::builder(1)
            .initializer(|x: u64| x, 7)
            .build()
            .unwrap();
        let wrong = |()| worker_value::<String>().len();
        let error = pool.map(wrong, [()]).unwrap_err();
        let message = error.panic_message().unwrap();
        assert!(
            message.contains("another type than alloc::string::String"),
            "{message}"
        );
        assert_eq!(pool.map(|()| *worker_value::<u64>(), [()]), Ok(vec![7]));
        let pool = ProcessPool::new(1).unwrap();
        let error = pool.map(wrong, [()]).unwrap_err();
        assert!(
            error.panic_message().unwrap().contains("initializer"),
            "{error}"
        );
        assert_goes_on(&pool);
        let here = std::panic::catch_unwind(|| worker_value::<String>().len());
        assert!(here.is_err());
    });
}

#[test]
fn an_initializer_whose_argument_cannot_be_sent() {
    guarded(|| {
        let array = SharedArray::<u8>::zeros(4).unwrap();
        let array: &'static SharedArray<u8> = Box::leak(Box::new(array));
        let sum = |part: SharedSlice<u8>| part.iter().map(|&x| u64::from(x)).sum::<u64>();
        let pool = ProcessPool::builder(2)
            .initializer(sum, array.slice(0..4))
            .build()
            .unwrap();
        assert_eq!(pool.map(|()| *worker_value::<u64>(), [()]), Ok(vec![0]));
    });
}

#[test]
fn a_worker_does_so_many_tasks_and_no_more() {
    guarded(|| {
        for most in [1, 3] {
            let pool = ProcessPool::builder(2)
                .tasks_per_worker(most)
                .build()
                .unwrap();
            let task = |x: u64| (x * x, process::id());
            let results = pool.chunk_size(1).unwrap().map(task, 0..40).unwrap();
            let squares: Vec<u64> = results.iter().map(|result| result.0).collect();
            assert_eq!(squares, (0..40).map(|x| x * x).collect::<Vec<_>>());
            let mut counts: HashMap<u32, usize> = HashMap::new();
            for (_, id) in results {
                *counts.entry(id).or_default() += 1;
            }
            assert!(counts.values().all(|&count| count <= most), "{counts:?}");
            assert!(counts.len() >= 40 / most, "{counts:?}");
            let handles: Vec<_> = (0..20).map(|x| pool.submit(task, x)).collect();
            let ids = handles.into_iter().map(|handle| handle.join().unwrap().1);
            assert!(ids.collect::<BTreeSet<u32>>().len() >= 20 / most);
        }
        let refused = ProcessPool::builder(2).tasks_per_worker(0).build();
        assert!(refused.unwrap_err().is_invalid_input());
    });
}

#[test]
fn the_environment_of_workers() {
    guarded(|| {
        let get = |name: String| std::env::var(name).ok();
        let names = [
            "OMP_NUM_THREADS",
            "RAYON_NUM_THREADS",
            "HELPERS_TEST",
            "PATH",
        ];
        let names = names.map(str::to_owned);
        let cores = thread::available_parallelism().unwrap().get();
        for workers in [1, 2, 3] {
            let pool = ProcessPool::builder(workers)
                .env("HELPERS_TEST", "one = two")
                .build()
                .unwrap();
            let values = pool.map(get, names.clone()).unwrap();
            let threads = (cores / workers).max(1).to_string();
            for (name, value) in names.iter().zip(&values).take(2) {
                let wanted = std::env::var(name).unwrap_or(threads.clone());
                assert_eq!(value.as_ref(), Some(&wanted), "{name}");
            }
            assert_eq!(values[2].as_deref(), Some("one = two"));
            assert_eq!(values[3], std::env::var("PATH").ok());
        }
        let pool = ProcessPool::builder(1)
            .env("OMP_NUM_THREADS", "7")
            .build()
            .unwrap();
        assert_eq!(pool.map(get, names).unwrap()[0].as_deref(), Some("7"));
        let error = ProcessPool::builder(1)
            .env("A\0B", "C")
            .build()
            .unwrap_err();
        assert!(error.is_start(), "{error}");
    });
}

#[test]
fn a_time_limit_is_for_each_item_and_not_for_the_chunk() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let before = ids(&pool);
        let nap = |ms: u64| sleep(Duration::from_millis(ms));
        let view = pool
            .time_limit(Duration::from_millis(400))
            .unwrap()
            .chunk_size(8)
            .unwrap();
        // Twice the limit for each chunk.
        view.map(nap, [100; 16]).unwrap();
        assert_eq!(ids(&pool), before, "no worker was stopped");
        let mut items = [10; 16];
        items[11] = 100_000;
        let error = view.map(nap, items).unwrap_err();
        assert!(error.is_timeout() && error.item() == Some(11), "{error}");
        let after = ids(&pool);
        assert_eq!(after.intersection(&before).count(), 1, "one was stopped");
        let results: Vec<_> = view.chunk_size(1).unwrap().imap(nap, items).collect();
        let late: Vec<_> = results.iter().map(|result| result.is_err()).collect();
        assert_eq!(late.iter().filter(|&&late| late).count(), 1);
        assert!(late[11]);
    });
}

#[test]
fn a_time_limit_holds_though_nobody_waits() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let before = ids(&pool);
        let view = pool.time_limit(Duration::from_millis(100)).unwrap();
        let handle = view.submit(|()| sleep(Duration::from_secs(100)), ());
        let id = before.first().unwrap();
        assert!(soon(
            || std::fs::read_link(format!("/proc/{id}/exe")).is_err()
        ));
        assert!(handle.join().unwrap_err().is_timeout());
        assert!(
            pool.time_limit(Duration::ZERO)
                .unwrap_err()
                .is_invalid_input()
        );
        assert_eq!(
            pool.time_limit(Duration::MAX).unwrap().map(|x: u8| x, [1]),
            Ok(vec![1])
        );
    });
}
