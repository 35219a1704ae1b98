use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use helpers::prelude::*;

use crate::common::{block_on, within_seconds};

/// Occupies the single worker of a pool until the sender is used or dropped.
fn block(pool: &Pool) -> (JoinHandle<()>, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let begun = Arc::new(Barrier::new(2));
    let here = Arc::clone(&begun);
    let handle = pool.submit(
        move |()| {
            here.wait();
            let _ = released.recv();
        },
        (),
    );
    begun.wait();
    (handle, release)
}

#[test]
fn submit_gives_the_result_and_the_error() {
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.submit(|x| x + 1, 41).join(), Ok(42));
    let error = pool
        .submit(|()| -> u8 { panic!("out of luck") }, ())
        .join()
        .unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.panic_message(), Some("out of luck"));
    assert!(error.to_string().contains("worker"), "{error}");
}

#[test]
fn a_time_out_loses_nothing() {
    let pool = Pool::new(1).unwrap();
    let (_blocker, release) = block(&pool);
    let mut handle = pool.submit(|()| 7, ());
    let error = handle.join_timeout(Duration::from_millis(5)).unwrap_err();
    assert!(error.is_timeout());
    assert!(error.to_string().contains("5ms"), "{error}");
    assert!(!handle.is_finished());
    drop(release);
    assert_eq!(handle.join_timeout(Duration::MAX), Ok(7));
    assert!(handle.join().is_err(), "a result can be taken once");
}

#[test]
fn cancel_takes_back_what_has_not_started() {
    let pool = Pool::new(1).unwrap();
    let (running, release) = block(&pool);
    let waiting = pool.submit(|()| unreachable!("cancelled"), ());
    assert!(running.is_running() && !running.cancel());
    assert!(waiting.cancel());
    assert!(!waiting.cancel(), "once is enough");
    assert!(waiting.join().unwrap_err().is_cancelled());
    drop(release);
    assert_eq!(running.join(), Ok(()));
}

#[test]
fn tasks_may_wait_for_tasks_of_their_own_pool() {
    for workers in [1, 2] {
        let pool = Arc::new(Pool::new(workers).unwrap());
        let inner = Arc::clone(&pool);
        let sum = pool.submit(
            move |n: u64| {
                let handles: Vec<_> = (0..n).map(|i| inner.submit(|i| i, i)).collect();
                handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
            },
            10,
        );
        assert_eq!(sum.join(), Ok(45));
        let inner = Arc::clone(&pool);
        let sum = pool.submit(
            move |()| inner.imap_unordered(|x| x, 0..10u64).sum::<u64>(),
            (),
        );
        assert_eq!(sum.join(), Ok(45));
    }
}

#[test]
fn as_completed_gives_the_first_to_finish_first() {
    let pool = Pool::new(2).unwrap();
    let (ends, gates): (Vec<_>, Vec<_>) = [mpsc::channel(), mpsc::channel()].into_iter().unzip();
    let wait = |gate: mpsc::Receiver<u64>| gate.recv().unwrap();
    let handles: Vec<_> = gates
        .into_iter()
        .map(|gate| pool.submit(wait, gate))
        .collect();
    let mut order = as_completed(handles);
    for place in [1, 0] {
        ends[place].send(7).unwrap();
        assert_eq!(order.next(), Some((place, Ok(7))));
    }
    assert_eq!(as_completed(Vec::<JoinHandle<u8>>::new()).next(), None);
}

#[test]
fn wait_for_all_the_first_and_the_first_failure() {
    let pool = Pool::new(1).unwrap();
    let quick = pool.submit(|()| (), ());
    let slow = pool.submit(|()| thread::sleep(Duration::from_millis(300)), ());
    let handles = [quick, slow];
    let found = wait(&handles, Until::FirstCompleted, None);
    assert_eq!((found.done, found.pending), (vec![0], vec![1]));
    let found = wait(&handles, Until::All, Duration::from_millis(5));
    assert_eq!(found.pending, [1], "time is up");
    assert_eq!(wait(&handles, Until::All, None).done, [0, 1]);

    let pool = Pool::new(1).unwrap();
    let handles = [
        pool.submit(|()| (), ()),
        pool.submit(|()| panic!("the second fails"), ()),
    ];
    let found = wait(&handles, Until::FirstFailure, None);
    assert_eq!(found.done, [0, 1]);
    let found = wait(&handles, Until::All, None);
    assert_eq!(found.done, [0, 1]);
    let none: [JoinHandle<()>; 0] = [];
    assert!(wait(&none, Until::All, None).done.is_empty());
}

#[test]
fn handles_can_be_awaited() {
    let pool = Pool::new(2).unwrap();
    let sum = block_on(async {
        let slow = pool.submit(
            |x| {
                thread::sleep(Duration::from_millis(20));
                x
            },
            40,
        );
        let quick = pool.submit(|x| x, 2);
        slow.await.unwrap() + quick.await.unwrap()
    });
    assert_eq!(sum, 42);
}

#[test]
fn a_waiting_worker_does_not_start_a_task_that_needs_the_one_it_is_in() {
    within_seconds("a wait", || {
        let pool = Arc::new(Pool::new(2).unwrap());
        let inner = Arc::clone(&pool);
        let first = pool.submit(
            move |()| {
                let slow = inner.submit(|()| thread::sleep(Duration::from_millis(200)), ());
                thread::sleep(Duration::from_millis(50));
                slow.join()
            },
            (),
        );
        thread::sleep(Duration::from_millis(20));
        // Waits in the queue while `first` waits for `slow`, which the other worker has.
        let second = pool.submit(|first: JoinHandle<_>| first.join(), first);
        assert_eq!(second.join(), Ok(Ok(Ok(()))));
    });
}

/// What a task finds that waits for one which it has interrupted, and for one that will end.
fn found_above<R: Send + 'static>(
    wait: impl FnOnce([JoinHandle<u64>; 2]) -> R + Send + 'static,
) -> R {
    within_seconds("a wait", move || {
        let pool = Pool::new(1).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (give, given) = mpsc::channel::<JoinHandle<R>>();
        let (tell, told) = mpsc::channel();
        let below = pool.submit(
            move |()| {
                begun.send(()).unwrap();
                // There is no other worker, so it runs what it waits for.
                tell.send(given.recv().unwrap().join().unwrap()).unwrap();
                1
            },
            (),
        );
        has_begun.recv().unwrap();
        let elsewhere = Pool::new(1).unwrap();
        let other = elsewhere.submit(
            |()| {
                thread::sleep(Duration::from_millis(50));
                2
            },
            (),
        );
        let above = pool.submit(wait, [below, other]);
        give.send(above).unwrap();
        told.recv().unwrap()
    })
}

#[test]
fn a_wait_that_could_never_end_is_an_error() {
    let error = found_above(|[below, _other]| below.join()).unwrap_err();
    assert!(error.is_deadlock(), "{error}");
}

#[test]
fn as_completed_tells_of_a_wait_that_could_never_end() {
    let found = found_above(|handles| as_completed(handles).collect::<Vec<_>>());
    assert_eq!(found[0], (1, Ok(2)));
    assert_eq!(found[1].0, 0);
    let error = found[1].1.as_ref().unwrap_err();
    assert!(error.is_deadlock(), "{error}");
}

#[test]
fn wait_ends_when_nothing_more_can_come() {
    for until in [Until::FirstFailure, Until::All] {
        let found = found_above(move |handles| wait(&handles, until, None));
        assert_eq!((found.done, found.pending), (vec![1], vec![0]));
    }
}

#[test]
fn an_argument_that_panics_when_it_is_dropped_costs_nobody_the_result() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    within_seconds("a wait", || {
        let pool = Pool::new(1).unwrap();
        let (first, release) = block(&pool);
        let second = pool.submit(|_| (), Panics);
        let dropping = thread::spawn(move || drop(pool));
        // The second task is still waiting when the pool is dropped.
        thread::sleep(Duration::from_millis(100));
        release.send(()).unwrap();
        first.join().unwrap();
        let error = second.join().unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
        dropping.join().unwrap();
    });
}

#[test]
fn a_task_may_await_a_task_of_its_own_pool() {
    within_seconds("a wait", || {
        let pool = Arc::new(Pool::new(1).unwrap());
        let inner = Arc::clone(&pool);
        let sum = pool.submit(move |()| block_on(inner.submit(|x| x + 1, 41)), ());
        assert_eq!(sum.join(), Ok(Ok(42)));
    });
}
