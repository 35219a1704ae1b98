//! Calls for all tasks at once: waiting for them, deadlines, maps that are handles, values that go
//! along, and handles that are looked at.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use helpers::prelude::*;

use crate::common::within_seconds;

const SOON: Duration = Duration::from_millis(200);
/// More than short tasks take, even on a busy machine.
const ENOUGH: Duration = Duration::from_secs(2);
/// More than all takes that a test does.
const AT_ONCE: Duration = Duration::from_secs(15);
/// A task that does not end before the gate is open.
const CLOSED: u64 = u64::MAX;

fn nap(ms: u64) -> u64 {
    thread::sleep(Duration::from_millis(ms));
    ms
}

/// A nap, or a wait at a gate that opens when it is dropped.
fn gated() -> (
    mpsc::Sender<()>,
    impl Fn(u64) -> u64 + Send + Sync + 'static,
) {
    let (gate, opened) = mpsc::channel::<()>();
    let opened = Mutex::new(opened);
    let work = move |ms| match ms {
        CLOSED => opened.lock().unwrap().recv().map_or(CLOSED, |()| CLOSED),
        ms => nap(ms),
    };
    (gate, work)
}

#[test]
fn wait_all_waits_for_what_was_submitted() {
    within_seconds("wait all waits for what was submitted", || {
        let pool = Pool::new(2).unwrap();
        pool.wait_all().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..5 {
            let count = Arc::clone(&count);
            // Nobody keeps the handle.
            drop(pool.submit(
                move |ms| count.fetch_add(nap(ms) as usize, Ordering::Relaxed),
                20,
            ));
        }
        pool.wait_all().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 100);
        let slow = pool.map_async(nap, [1, 2, 30]);
        pool.wait_all().unwrap();
        assert!(slow.is_finished());
        let (waiting, running) = (pool.submit(nap, 50), pool.submit(nap, 60));
        let cancelled = pool.submit(nap, 100_000);
        assert!(cancelled.cancel());
        pool.wait_all().unwrap();
        assert!(waiting.is_finished() && running.is_finished());
    });
}

#[test]
fn wait_all_tells_the_first_failure_that_nobody_has_heard_of() {
    within_seconds(
        "wait all tells the first failure that nobody has heard of",
        || {
            let pool = Pool::new(1).unwrap();
            let fail = |why: &'static str| -> () { panic!("{why}") };
            let heard = pool.submit(fail, "heard");
            assert!(heard.join().is_err());
            drop(pool.submit(fail, "first"));
            drop(pool.submit(fail, "second"));
            let error = pool.wait_all().unwrap_err();
            assert_eq!(error.panic_message(), Some("first"));
            assert_eq!(pool.wait_all(), Ok(()), "told once");
            let kept = pool.submit(fail, "kept");
            assert!(pool.wait_all().unwrap_err().is_panic());
            assert_eq!(kept.join().unwrap_err().panic_message(), Some("kept"));
        },
    );
}

#[test]
fn wait_all_has_a_deadline_and_is_no_trap_in_a_task() {
    within_seconds("wait all has a deadline and is no trap in a task", || {
        let pool = Arc::new(Pool::new(1).unwrap());
        let (gate, work) = gated();
        let slow = pool.submit(work, CLOSED);
        drop(pool.submit(nap, 1));
        let error = pool
            .deadline(Duration::from_millis(20))
            .unwrap()
            .wait_all()
            .unwrap_err();
        assert!(
            error.is_timeout() && error.to_string().contains("2 tasks"),
            "{error}"
        );
        assert!(!slow.is_finished());
        drop(gate);
        pool.wait_all().unwrap();
        let inner = Arc::clone(&pool);
        let error = pool
            .submit(move |()| inner.wait_all(), ())
            .join()
            .unwrap()
            .unwrap_err();
        assert!(error.is_deadlock(), "{error}");
        let other = Arc::new(Pool::new(1).unwrap());
        drop(other.submit(nap, 10));
        assert_eq!(
            pool.submit(move |()| other.wait_all(), ()).join(),
            Ok(Ok(()))
        );
    });
}

#[test]
fn a_deadline_ends_a_whole_map() {
    within_seconds("a deadline ends a whole map", || {
        let pool = Pool::new(2).unwrap();
        let timed = pool.deadline(AT_ONCE).unwrap();
        assert_eq!(timed.map(nap, [3, 1, 2]).unwrap(), [3, 1, 2]);
        assert_eq!(timed.map(nap, []).unwrap(), []);
        assert_eq!(
            timed.starmap(|x: u64, y: u64| x * y, [(2, 3)]).unwrap(),
            [6]
        );
        let error = timed.map(|x: u64| 1 / x, [1, 2, 0]).unwrap_err();
        assert!(error.is_panic() && error.item() == Some(2), "{error}");
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let (gate, work) = gated();
        let slow = move |ms| {
            count.fetch_add(1, Ordering::Relaxed);
            work(ms)
        };
        let timed = pool.deadline(ENOUGH).unwrap().chunk_size(1).unwrap();
        let error = timed.map(slow, [1, 1, CLOSED, CLOSED, CLOSED, CLOSED]);
        // It has not waited for what runs, which waits for the gate.
        let error = error.unwrap_err();
        assert!(
            error.is_timeout() && error.to_string().contains("2 of 6 items"),
            "{error}"
        );
        drop(gate);
        pool.wait_all().unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 4, "no item begins later");
        assert!(
            pool.deadline(Duration::ZERO)
                .unwrap_err()
                .is_invalid_input()
        );
        assert_eq!(
            pool.deadline(Duration::MAX).unwrap().map(nap, [1]).unwrap(),
            [1]
        );
    });
}

#[test]
fn a_deadline_ends_a_map_of_a_task_in_its_own_pool() {
    within_seconds("a deadline ends a map of a task in its own pool", || {
        let pool = Arc::new(Pool::new(1).unwrap());
        let inner = Arc::clone(&pool);
        let nested = pool.submit(
            move |()| {
                let all = inner.deadline(AT_ONCE).unwrap().map(nap, [1, 2]);
                let some = inner
                    .deadline(SOON)
                    .unwrap()
                    .chunk_size(1)
                    .unwrap()
                    .map(nap, [1, 300, 1]);
                let one_by_one: Vec<_> = inner
                    .deadline(AT_ONCE)
                    .unwrap()
                    .imap_unordered(nap, [1, 2])
                    .collect();
                (all, some, one_by_one)
            },
            (),
        );
        let (all, some, one_by_one) = nested.join().unwrap();
        assert_eq!(all, Ok(vec![1, 2]));
        assert!(some.unwrap_err().is_timeout());
        assert_eq!(one_by_one, [Ok(1), Ok(2)]);
    });
}

#[test]
fn a_deadline_ends_imap() {
    within_seconds("a deadline ends imap", || {
        let pool = Pool::new(2).unwrap();
        let timed = pool.deadline(ENOUGH).unwrap();
        let (gate, work) = gated();
        let results: Vec<_> = timed.imap(work, [1, 2, CLOSED, 3, 4]).collect();
        assert_eq!(results[..2], [Ok(1), Ok(2)]);
        let error = results[2].as_ref().unwrap_err();
        assert!(
            error.is_timeout() && error.to_string().contains("2 results"),
            "{error}"
        );
        assert_eq!(results.len(), 3, "it is over then");
        drop(gate);
        let (gate, work) = gated();
        let results: Vec<_> = timed.imap_unordered(work, [CLOSED, 1, 2]).collect();
        assert!(
            results.contains(&Ok(1)) && results.last().unwrap().is_err(),
            "{results:?}"
        );
        drop(gate);
        let pool = Pool::new(1).unwrap();
        let timed = pool.deadline(SOON).unwrap();
        // An endless list ends as well, even if nobody asks for a while.
        let mut endless = timed.imap(|x: u64| x, 0..);
        assert_eq!(endless.next(), Some(Ok(0)));
        thread::sleep(2 * SOON);
        let rest: Vec<_> = endless.collect();
        assert!(
            rest.len() < 100 && rest.last().unwrap().is_err(),
            "{rest:?}"
        );
        let timed = pool.deadline(AT_ONCE).unwrap();
        let failed: Vec<_> = timed.imap(|x: u64| 1 / x, [1, 0, 1]).collect();
        assert!(failed[0].is_ok() && failed[2].is_ok());
        assert_eq!(failed[1].as_ref().unwrap_err().item(), Some(1));
    });
}

#[test]
fn a_deadline_ends_as_completed() {
    within_seconds("a deadline ends as completed", || {
        let pool = Pool::new(2).unwrap();
        let (gate, work) = gated();
        let work = Arc::new(work);
        let handles = [CLOSED, 1, 2, 3].map(|ms| {
            let work = Arc::clone(&work);
            pool.submit(move |ms| work(ms), ms)
        });
        let mut ended: Vec<_> = as_completed(handles).deadline(ENOUGH).collect();
        assert_eq!(ended.len(), 4);
        ended[..3].sort_by_key(|(place, _)| *place);
        assert_eq!(ended[..3], [(1, Ok(1)), (2, Ok(2)), (3, Ok(3))]);
        let (place, error) = (ended[3].0, ended[3].1.as_ref().unwrap_err());
        assert!(place == 0 && error.is_timeout(), "{error}");
        assert!(error.to_string().contains("3 of 4"), "{error}");
        drop(gate);
        let none = as_completed(Vec::<JoinHandle<u8>>::new());
        assert_eq!(none.deadline(SOON).next(), None);
    });
}

#[test]
fn a_map_that_is_a_handle() {
    within_seconds("a map that is a handle", || {
        let pool = Pool::new(2).unwrap();
        let factor = 3;
        let squares = pool.map_async(move |x: u64| x * factor, 0..1000);
        let words = pool.starmap_async(|w: &str, n: usize| w.repeat(n), [("a", 2), ("b", 1)]);
        assert_eq!(words.join().unwrap(), ["aa", "b"]);
        assert_eq!(
            squares.join().unwrap(),
            (0..1000).map(|x| x * 3).collect::<Vec<_>>()
        );
        assert_eq!(pool.map_async(nap, []).join().unwrap(), []);
        let view = pool.chunk_size(1).unwrap();
        let (gate, work) = gated();
        let handles = [view.map_async(work, [CLOSED, 1]), view.map_async(nap, [1])];
        let found = wait(&handles, Until::FirstCompleted, None);
        assert_eq!((found.done, found.pending), (vec![1], vec![0]));
        let mut order = as_completed(handles);
        assert_eq!(order.next(), Some((1, Ok(vec![1]))));
        drop(gate);
        assert_eq!(order.next(), Some((0, Ok(vec![CLOSED, 1]))));
        assert_eq!(order.next(), None);
        let (gate, work) = gated();
        let mut handle = view.map_async(work, [CLOSED]);
        assert!(
            handle
                .join_timeout(Duration::from_millis(5))
                .unwrap_err()
                .is_timeout()
        );
        drop(gate);
        assert_eq!(handle.join_timeout(AT_ONCE), Ok(vec![CLOSED]));
        let error = view
            .map_async(|x: u64| 6 / x, [3, 2, 0, 1])
            .join()
            .unwrap_err();
        assert!(error.is_panic() && error.item() == Some(2), "{error}");
    });
}

#[test]
fn a_map_that_is_cancelled_begins_nothing_more() {
    within_seconds("a map that is cancelled begins nothing more", || {
        let pool = Pool::new(1).unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let work = move |_: u64| {
            count.fetch_add(1, Ordering::Relaxed);
            tell.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        };
        let map = pool.map_async(work, 0..100);
        told.recv().unwrap();
        assert!(map.is_running() && map.cancel() && !map.cancel());
        assert!(map.is_finished() && map.is_cancelled());
        assert_eq!(format!("{map:?}"), "JoinHandle(cancelled)");
        drop(release);
        pool.wait_all().unwrap();
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        assert!(map.join().unwrap_err().is_cancelled());
        assert_eq!(pool.map(nap, [1]), [1]);
    });
}

#[test]
fn a_map_that_nobody_asks_for_begins_nothing_more() {
    within_seconds("maps that are given up", || {
        let pool = Pool::new(1).unwrap();
        for fails in [false, true] {
            let begun = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&begun);
            let (tell, told) = mpsc::channel();
            let (gate, work) = gated();
            let map = pool.chunk_size(2).unwrap().map_async(
                move |x: u64| {
                    count.fetch_add(1, Ordering::Relaxed);
                    tell.send(()).unwrap();
                    work(CLOSED);
                    assert!(!fails, "item {x} fails");
                },
                0..100,
            );
            told.recv().unwrap();
            if fails {
                drop(gate);
                let error = map.join().unwrap_err();
                assert!(error.is_panic() && error.item() == Some(0), "{error}");
            } else {
                drop(as_completed([map]));
                drop(gate);
            }
            pool.wait_all().unwrap();
            assert_eq!(begun.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn a_map_that_waits_for_who_waits_for_it_is_told() {
    for by_all in [false, true] {
        within_seconds("a circle through a map", move || {
            let pool = Pool::new(2).unwrap();
            let (give, given) = mpsc::channel::<JoinHandle<Vec<()>>>();
            let (tell, told) = mpsc::channel();
            let tell_too = tell.clone();
            let task = pool.submit(
                move |()| {
                    let map = given.recv().unwrap();
                    let end = match by_all {
                        false => map.join(),
                        true => as_completed([map]).next().unwrap().1,
                    };
                    tell.send(end.err()).unwrap();
                },
                (),
            );
            while !task.is_running() {
                thread::yield_now();
            }
            let task = Mutex::new(Some(task));
            let (begin, begun) = mpsc::channel();
            let map = pool.map_async(
                move |_: u64| {
                    let task = task.lock().unwrap().take();
                    begin.send(()).unwrap();
                    let end = task.map(JoinHandle::join);
                    tell_too.send(end.and_then(Result::err)).unwrap();
                },
                0..2,
            );
            // One item waits for the task before the task waits for the map, the other one has not
            // begun.
            begun.recv().unwrap();
            thread::sleep(SOON);
            give.send(map).unwrap();
            pool.wait_all().unwrap();
            let errors: Vec<_> = told.iter().flatten().collect();
            assert!(!errors.is_empty() && errors.iter().all(PoolError::is_deadlock));
        });
    }
}

#[test]
fn a_map_that_is_a_handle_ends_with_its_pool() {
    within_seconds("a map that is a handle ends with its pool", || {
        let pool = Pool::new(1).unwrap();
        let begun = Arc::new(Barrier::new(2));
        let here = Arc::clone(&begun);
        let map = pool.chunk_size(1).unwrap().map_async(
            move |x: u64| {
                if x == 0 {
                    here.wait();
                }
                nap(50)
            },
            0..1000,
        );
        begun.wait();
        drop(pool);
        assert!(map.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_may_wait_for_a_map_in_its_own_pool() {
    for workers in [1, 2] {
        within_seconds("a task may wait for a map in its own pool", move || {
            let pool = Arc::new(Pool::new(workers).unwrap());
            let inner = Arc::clone(&pool);
            let sum = pool.submit(
                move |()| {
                    let joined = inner.map_async(|x: u64| x, 0..50).join().unwrap();
                    let maps = [1, 2].map(|n| inner.map_async(move |x: u64| x * n, 0..50));
                    let sums = as_completed(maps).map(|(_, all)| all.unwrap().iter().sum::<u64>());
                    let maps = [inner.map_async(|x: u64| x, 0..50)];
                    assert_eq!(wait(&maps, Until::All, None).done, [0]);
                    joined.iter().sum::<u64>() + sums.sum::<u64>()
                },
                (),
            );
            assert_eq!(sum.join(), Ok(4 * 1225));
        });
    }
}

#[test]
fn a_map_and_a_task_that_wait_for_each_other_are_told() {
    within_seconds("a map and a task that wait for each other are told", || {
        let pool = Arc::new(Pool::new(2).unwrap());
        let (give, given) = mpsc::channel::<JoinHandle<bool>>();
        let inner = Arc::clone(&pool);
        let task = pool.submit(
            move |()| {
                let given = Mutex::new(given);
                let map = inner.map_async(
                    move |_: u64| given.lock().unwrap().recv().unwrap().join().is_err(),
                    [1],
                );
                // Until the item has begun, on the other worker.
                while !map.is_running() {
                    thread::yield_now();
                }
                thread::sleep(Duration::from_millis(50));
                map.join().is_err()
            },
            (),
        );
        give.send(task).unwrap();
        drop(Arc::into_inner(pool));
    });
}

#[test]
fn maps_that_nobody_asks_for_any_more_are_given_up() {
    within_seconds("maps that nobody asks for any more are given up", || {
        let pool = Pool::new(1).unwrap();
        let view = pool.chunk_size(1).unwrap();
        let maps = [
            view.map_async(nap, [1]),
            view.map_async(nap, vec![20; 1000]),
        ];
        assert_eq!(as_completed(maps).next(), Some((0, Ok(vec![1]))));
        pool.wait_all().unwrap();
    });
}

#[test]
fn a_value_goes_along() {
    let pool = Pool::new(2).unwrap();
    struct Table(Vec<u64>);
    let with = pool.with(Table(vec![1, 10, 100]));
    assert_eq!(with.map(|table, x: usize| table.0[x], [2, 0]), [100, 1]);
    let sums = with.starmap(|t: &Table, x: usize, y: usize| t.0[x] + t.0[y], [(0, 1)]);
    assert_eq!(sums, [11]);
    let found: Vec<u64> = with.imap(|table, x: usize| table.0[x], [1, 0]).collect();
    assert_eq!(found, [10, 1]);
    assert_eq!(
        with.imap_unordered(|table, x: usize| table.0[x], [1])
            .next(),
        Some(10)
    );
    assert_eq!(with.submit(|table, x: usize| table.0[x], 1).join(), Ok(10));
    assert_eq!(
        with.map_async(|table, x: usize| table.0[x], [1]).join(),
        Ok(vec![10])
    );
    let sums = with.starmap_async(|t: &Table, x: usize, y: usize| t.0[x] + t.0[y], [(0, 1)]);
    assert_eq!(sums.join(), Ok(vec![11]));
    let timed = with.deadline(AT_ONCE).unwrap().chunk_size(1).unwrap();
    assert_eq!(
        timed.map(|table, x: usize| table.0[x], [2, 0]),
        Ok(vec![100, 1])
    );
    let timed = pool
        .chunk_size(2)
        .unwrap()
        .deadline(AT_ONCE)
        .unwrap()
        .with(7);
    assert_eq!(
        timed.starmap(|n: &i32, x: i32, y: i32| n * x + y, [(1, 1)]),
        Ok(vec![8])
    );
    // What is borrowed goes along as well.
    let words = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        pool.with(&words).map(|words, x: usize| words[x].len(), [1]),
        [1]
    );
}

#[test]
fn a_handle_can_be_looked_at() {
    within_seconds("a handle can be looked at", || {
        let pool = Pool::new(1).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let running = pool.submit(move |()| released.recv().unwrap(), ());
        let waiting = pool.submit(|()| 7, ());
        let cancelled = pool.submit(|()| 8, ());
        while !running.is_running() {
            thread::yield_now();
        }
        assert!(cancelled.cancel());
        let seen = [
            format!("{running:?}"),
            format!("{waiting:?}"),
            format!("{cancelled:?}"),
        ];
        assert_eq!(
            seen,
            [
                "JoinHandle(running)",
                "JoinHandle(waiting)",
                "JoinHandle(cancelled)"
            ]
        );
        assert!(running.error().is_none() && !running.is_cancelled());
        assert!(cancelled.is_cancelled() && cancelled.error().unwrap().is_cancelled());
        release.send(()).unwrap();
        pool.wait_all().unwrap();
        let failed = pool.submit(|()| -> u8 { panic!("out of luck") }, ());
        assert!(pool.wait_all().is_err());
        let seen = [format!("{waiting:?}"), format!("{failed:?}")];
        assert_eq!(seen[0], "JoinHandle(finished)");
        assert!(
            seen[1].starts_with("JoinHandle(failed: the task panicked in worker 0"),
            "{seen:?}"
        );
        assert!(seen[1].contains("out of luck"));
        assert_eq!(failed.error().unwrap().panic_message(), Some("out of luck"));
        assert!(waiting.error().is_none() && !failed.is_cancelled());
        assert_eq!(waiting.join(), Ok(7), "nothing was taken");
        let mut failed = failed;
        assert!(failed.join_timeout(AT_ONCE).is_err() && failed.error().unwrap().is_panic());
    });
}

#[test]
fn a_list_without_end_is_told_at_once() {
    let pool = Pool::new(1).unwrap();
    let told = |work: &dyn Fn()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(
            message.contains("never end") && message.contains("`imap`"),
            "{message}"
        );
    };
    told(&|| drop(pool.map(|x: u64| x, 0..)));
    told(&|| drop(pool.map(|x: u64| x, 0..u64::MAX)));
    told(&|| {
        drop(
            pool.chunk_size(5)
                .unwrap()
                .map(|x: u8| x, std::iter::repeat(1)),
        )
    });
    told(&|| drop(pool.starmap(|x: u64, y: u64| x + y, (0..).zip(0..))));
    told(&|| drop(pool.with(2).map(|f, x: u64| f * x, 0..)));
    let error = pool
        .deadline(SOON)
        .unwrap()
        .map(|x: u64| x, 0..)
        .unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    let error = pool.map_async(|x: u64| x, 0..).join().unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    told(&|| drop(as_completed((0..).map(|x: u64| pool.submit(|x| x, x)))));
}
