//! The calls of a pool, and what they give.

use std::collections::BTreeSet;
use std::process;
use std::thread::sleep;
use std::time::Duration;

use helpers::prelude::*;
use helpers_mpi::prelude::*;

use crate::common::{alone, guarded, ids, spin_for};
use crate::flag::{Flag, until};

#[test]
fn map_and_starmap_keep_the_order() {
    guarded(|| {
        let pool = MpiPool::new(3).unwrap();
        assert_eq!(pool.workers(), 3);
        let squares: Vec<u64> = (0..1000).map(|x| x * x).collect();
        assert_eq!(pool.map(|x: u64| x * x, 0..1000), Ok(squares));
        let areas = pool.starmap(|w: u32, h: u32| w * h, [(2, 3), (4, 5)]);
        assert_eq!(areas, Ok(vec![6, 20]));
        assert_eq!(pool.map(|x: u64| x, []), Ok(vec![]));
        assert_eq!(format!("{pool:?}"), "MpiPool(3 workers)");
    });
}

#[test]
fn imap_is_lazy_and_keeps_the_order_and_imap_unordered_does_not() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let first: Vec<u64> = pool
            .imap(|x: u64| x + 1, 0..)
            .take(50)
            .map(Result::unwrap)
            .collect();
        assert_eq!(first, (1..=50).collect::<Vec<_>>());
        let flag = Flag::new("unordered");
        let slow_first = |(flag, x): (String, u64)| {
            until(flag);
            x
        };
        let path = |x| if x == 0 { flag.path() } else { String::new() };
        let mut any = pool.imap_unordered(slow_first, (0..6).map(|x| (path(x), x)));
        let others: BTreeSet<u64> = any.by_ref().take(5).map(Result::unwrap).collect();
        assert_eq!(others, (1..6).collect());
        flag.raise();
        assert_eq!(any.next(), Some(Ok(0)));
    });
}

#[test]
fn handles_can_be_joined_waited_for_and_cancelled() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let nap = |ms: u64| {
            sleep(Duration::from_millis(ms));
            ms
        };
        let flags = [0, 1, 2].map(|place| Flag::new(&format!("submit-{place}")));
        let handles: Vec<_> = flags.iter().map(|f| pool.submit(until, f.path())).collect();
        let mut order = as_completed(handles);
        for place in [1, 2, 0] {
            flags[place].raise();
            assert_eq!(order.next(), Some((place, Ok(()))));
        }
        let handles: Vec<_> = [5, 10_000].map(|ms| pool.submit(nap, ms)).into();
        let waited = wait(
            &handles,
            Until::FirstCompleted,
            Some(Duration::from_secs(5)),
        );
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
        let mut late = pool.submit(nap, 60_000);
        let error = late.join_timeout(Duration::from_millis(50)).unwrap_err();
        assert!(error.is_timeout() && !late.is_finished());
        let waiting = pool.submit(nap, 1);
        assert!(waiting.cancel());
        assert!(waiting.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn all_ranks_work_and_each_is_a_process_of_its_own() {
    guarded(|| {
        let pool = MpiPool::new(3).unwrap();
        let ids = ids(&pool);
        assert_eq!(ids.len(), 3);
        assert!(!ids.contains(&process::id()));
    });
}

#[test]
fn the_initializer_runs_once_on_each_rank() {
    guarded(|| {
        let pool = MpiPool::builder(2)
            .initializer(|text: String| (text, process::id()), "ready".to_owned())
            .env("HELPERS_TEST_WORD", "word")
            .build()
            .unwrap();
        let ask = |()| {
            let (text, id) = worker_value::<(String, u32)>();
            let word = std::env::var("HELPERS_TEST_WORD").unwrap_or_default();
            (text.clone(), *id == process::id(), word)
        };
        let answers = pool.map(ask, vec![(); 8]).unwrap();
        let right = ("ready".to_owned(), true, "word".to_owned());
        assert!(answers.iter().all(|answer| *answer == right), "{answers:?}");
    });
}

#[test]
fn bad_numbers_are_errors_that_name_them() {
    guarded(|| {
        for workers in [0, 5000] {
            let error = MpiPool::new(workers).unwrap_err();
            assert!(error.is_invalid_input() && error.to_string().contains(&workers.to_string()));
        }
        let pool = MpiPool::new(1).unwrap();
        assert!(pool.chunk_size(0).unwrap_err().is_invalid_input());
        assert!(
            pool.time_limit(Duration::ZERO)
                .unwrap_err()
                .is_invalid_input()
        );
    });
}

#[test]
fn a_timeline_shows_what_each_rank_did_and_its_time_counts() {
    // Other tests have pools as well, whose tasks it would show.
    guarded(|| drop(alone("vocabulary::alone_a_timeline")));
}

#[test]
#[ignore = "runs in a process of its own"]
fn alone_a_timeline() {
    let pool = MpiPool::new(2).unwrap();
    ids(&pool);
    let nap = |_: u64| sleep(Duration::from_millis(100));
    let (_, timeline) = Timeline::record(|| pool.map(nap, 0..4).unwrap());
    assert_eq!(timeline.spans().len(), 4, "{timeline}");
    let workers: BTreeSet<_> = timeline.spans().iter().map(|span| span.worker).collect();
    assert_eq!(workers.len(), 2, "{timeline}");
    let (_, timing) = measure(|| pool.map(spin_for, [100, 100]).unwrap());
    assert!(timing.workers >= Duration::from_millis(190), "{timing}");
}

#[test]
fn two_pools_and_two_threads_do_not_disturb_each_other() {
    guarded(|| {
        let pools = [MpiPool::new(1).unwrap(), MpiPool::new(2).unwrap()];
        std::thread::scope(|scope| {
            for pool in &pools {
                for shift in 0..2 {
                    scope.spawn(move || {
                        let items: Vec<u64> = (shift..shift + 200).collect();
                        let expected: Vec<u64> = items.iter().map(|x| x + 1).collect();
                        assert_eq!(pool.map(|x: u64| x + 1, items), Ok(expected));
                    });
                }
            }
        });
    });
}
