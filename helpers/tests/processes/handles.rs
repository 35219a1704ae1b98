//! Handles of process pools: cancelled, waited for in all ways, and mixed with those of threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, sleep};
use std::time::{Duration, Instant};

use helpers::prelude::*;

use crate::common::{AT_ONCE, assert_goes_on, crash, guarded, soon};
use crate::flag::{Flag, until};

fn nap(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms));
    ms
}

#[test]
fn what_has_not_begun_can_be_cancelled() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        for round in 0..2 {
            let first = pool.submit(nap, 500);
            let others: Vec<_> = (0..5).map(|_| pool.submit(nap, 100_000)).collect();
            assert!(soon(|| first.is_running()));
            for handle in &others {
                assert!(handle.cancel(), "round {round}: {handle:?}");
                assert!(!handle.cancel() && handle.is_finished());
            }
            assert_eq!(first.join(), Ok(500));
            for handle in others {
                assert!(handle.join().unwrap_err().is_cancelled());
            }
            // Tiny tasks, after which workers are given several at a time.
            assert_goes_on(&pool);
            pool.chunk_size(1).unwrap().map(|x: u64| x, 0..500).unwrap();
        }
    });
}

#[test]
fn a_wait_with_a_limit() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        // Longer than a machine stands still.
        let mut handle = pool.submit(nap, 3000);
        let start = Instant::now();
        let error = handle.join_timeout(Duration::from_millis(30)).unwrap_err();
        assert!(
            error.is_timeout() && start.elapsed() < Duration::from_secs(3),
            "{error}"
        );
        assert!(!handle.is_finished());
        assert_eq!(handle.join_timeout(AT_ONCE), Ok(3000));
        assert!(handle.join().is_err(), "it was taken");
        let handle = pool.submit(nap, 10);
        assert!(soon(|| handle.is_finished()));
        assert_eq!(handle.join(), Ok(10));
    });
}

#[test]
fn waiting_for_some_of_many() {
    guarded(|| {
        let pool = ProcessPool::new(4).unwrap();
        let task = |ms: u64| {
            nap(ms);
            assert!(ms != 200, "two hundred");
        };
        let handles: Vec<_> = [2000, 200, 10].map(|ms| pool.submit(task, ms)).into();
        let found = wait(&handles, Until::FirstCompleted, None);
        assert!(
            found.done.contains(&2) && !found.done.contains(&0),
            "{found:?}"
        );
        let found = wait(&handles, Until::FirstFailure, None);
        assert_eq!(found.done, [1, 2]);
        let found = wait(&handles, Until::All, Duration::from_millis(10));
        assert_eq!(found.pending, [0]);
        let found = wait(&handles, Until::All, None);
        assert_eq!(found.done, [0, 1, 2]);
    });
}

/// Wakes a thread.
struct Alarm(Thread);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Alarm(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn handles_are_futures() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        for ms in [0, 20, 150] {
            let sum = block_on(async {
                let (one, two) = (pool.submit(nap, ms), pool.submit(nap, 2 * ms));
                one.await.unwrap() + two.await.unwrap()
            });
            assert_eq!(sum, 3 * ms);
            // The background has gone to sleep meanwhile.
            sleep(Duration::from_millis(150));
        }
        let lost = block_on(pool.submit(crash, ()));
        assert!(lost.unwrap_err().is_worker_lost());
        let abandoned = pool.submit(nap, 100_000);
        let waiter = thread::spawn(move || block_on(abandoned));
        sleep(Duration::from_millis(50));
        drop(pool);
        assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn handles_of_several_pools_of_both_kinds() {
    guarded(|| {
        let (one, two) = (ProcessPool::new(2).unwrap(), ProcessPool::new(2).unwrap());
        let threads = Pool::new(2).unwrap();
        let flags = [0, 1, 2, 3, 4].map(|place| Flag::new(&format!("kinds-{place}")));
        let mut order = as_completed(vec![
            one.submit(until, flags[0].path()),
            two.submit(until, flags[1].path()),
            threads.submit(until, flags[2].path()),
            one.submit(until, flags[3].path()),
            threads.submit(until, flags[4].path()),
        ]);
        for place in [2, 3, 1, 4, 0] {
            flags[place].raise();
            assert_eq!(order.next(), Some((place, Ok(()))));
        }
        // From within a thread pool, whose workers wait for processes.
        let sums = threads.map(|x| two.map(|x: u64| x + 1, [x, x]).unwrap()[1], 0..20);
        assert_eq!(sums, (1..21).collect::<Vec<u64>>());
    });
}

#[test]
fn handles_that_nobody_waits_for_are_done_in_the_background() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let file = std::env::temp_dir().join(format!("helpers-count-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        for _ in 0..50 {
            drop(pool.submit(
                |file: std::path::PathBuf| {
                    use std::io::Write;
                    let file = std::fs::OpenOptions::new().append(true).open(file);
                    file.unwrap().write_all(b"x").unwrap();
                },
                file.clone(),
            ));
        }
        assert!(soon(|| std::fs::read(&file).unwrap().len() == 50));
        std::fs::remove_file(file).unwrap();
    });
}
