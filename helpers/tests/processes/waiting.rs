//! Who waits, for whom, and what becomes of what nobody waits for.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use helpers::prelude::*;

use crate::common::{AT_ONCE, alone, assert_goes_on, guarded, ids, open_files, soon};

fn nap(ms: u64) -> u64 {
    thread::sleep(Duration::from_millis(ms));
    ms
}

const LONG: u64 = 200_000;

/// Does something when a task is done, on the thread that hands its result over.
struct OnWake(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for OnWake {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

/// What `act` gives, which is done by the waker of a task of the pool.
fn when_woken<R: Send + 'static>(
    pool: &Arc<ProcessPool>,
    act: impl FnOnce(&ProcessPool) -> R + Send + 'static,
) -> R {
    let (tell, told) = mpsc::channel();
    let inner = Arc::clone(pool);
    let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(move || {
        let _ = tell.send(act(&inner));
    }))))));
    let mut handle = pool.submit(nap, 100);
    assert_eq!(
        Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)),
        Poll::Pending
    );
    // By whoever leads: the background, or somebody who waits for another task.
    told.recv_timeout(AT_ONCE).expect("the waker hangs")
}

#[test]
fn a_waker_that_waits_for_its_own_pool_is_told() {
    guarded(|| {
        let pool = Arc::new(ProcessPool::new(2).unwrap());
        for _ in 0..3 {
            let error = when_woken(&pool, |pool| pool.submit(nap, 1).join().unwrap_err());
            assert!(error.is_deadlock(), "{error}");
            assert_goes_on(&pool);
            let error = when_woken(&pool, |pool| pool.map(nap, [1, 2]).unwrap_err());
            assert!(error.is_deadlock(), "{error}");
            let error = when_woken(&pool, |pool| {
                pool.imap(nap, [1]).next().unwrap().unwrap_err()
            });
            assert!(error.is_deadlock(), "{error}");
            let error = when_woken(&pool, |pool| {
                as_completed([pool.submit(nap, 1)])
                    .next()
                    .unwrap()
                    .1
                    .unwrap_err()
            });
            assert!(error.is_deadlock(), "{error}");
            let error = when_woken(&pool, |pool| {
                pool.map_async(nap, [1, 2]).join().unwrap_err()
            });
            assert!(error.is_deadlock(), "{error}");
            let waited = when_woken(&pool, |pool| wait(&[pool.submit(nap, 1)], Until::All, None));
            assert_eq!(waited.pending, [0]);
            let error = when_woken(&pool, |pool| pool.wait_all().unwrap_err());
            assert!(error.is_deadlock(), "{error}");
            assert_goes_on(&pool);
        }
        // Where the waiting thread itself hands the result over.
        let inner = Arc::clone(&pool);
        let (tell, told) = mpsc::channel();
        let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(move || {
            tell.send(inner.submit(nap, 1).join()).unwrap();
        }))))));
        let mut first = pool.submit(nap, 50);
        let second = pool.submit(nap, 300);
        let _ = Pin::new(&mut first).poll(&mut Context::from_waker(&waker));
        assert_eq!(second.join(), Ok(300));
        let error = told.recv_timeout(AT_ONCE).unwrap().unwrap_err();
        assert!(error.is_deadlock(), "{error}");
        assert_goes_on(&pool);
    });
}

#[test]
fn wakers_of_two_pools_that_wait_for_each_others_are_told() {
    guarded(|| {
        let pools = [1, 1].map(|workers| Arc::new(ProcessPool::new(workers).unwrap()));
        let both = Arc::new(std::sync::Barrier::new(2));
        let (tell, told) = mpsc::channel();
        let mut handles = Vec::new();
        for (place, pool) in pools.iter().enumerate() {
            let (other, both, tell) = (Arc::clone(&pools[1 - place]), both.clone(), tell.clone());
            let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(move || {
                both.wait();
                tell.send(other.submit(nap, 1).join()).unwrap();
            }))))));
            let mut handle = pool.submit(nap, 50);
            let _ = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            handles.push(handle);
        }
        let found: Vec<_> = (0..2)
            .map(|_| told.recv_timeout(AT_ONCE).expect("a hang"))
            .collect();
        let errors = found.iter().filter_map(|found| found.as_ref().err());
        assert!(
            errors.clone().count() >= 1 && errors.clone().all(PoolError::is_deadlock),
            "{found:?}"
        );
        pools.iter().for_each(|pool| assert_goes_on(pool));
    });
}

#[test]
fn a_waker_may_drop_its_pool() {
    guarded(|| {
        let pool = Arc::new(ProcessPool::new(2).unwrap());
        when_woken(&pool, |_| ());
        let (tell, told) = mpsc::channel();
        let inner = Mutex::new(Some(Arc::clone(&pool)));
        let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(move || {
            drop(inner.lock().unwrap().take());
            tell.send(()).unwrap();
        }))))));
        let mut handle = pool.submit(nap, 100);
        let _ = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        drop(pool);
        told.recv_timeout(AT_ONCE).expect("the drop hangs");
    });
}

#[test]
fn what_nobody_asks_for_any_more_is_stopped() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        // Long enough that the other worker has begun.
        let items = [50, LONG, LONG, LONG];
        for how in 0..6 {
            let start = Instant::now();
            match how {
                0 => drop(pool.imap(nap, items).next()),
                1 => drop(pool.imap_unordered(nap, items).next()),
                2 => drop(
                    pool.chunk_size(2)
                        .unwrap()
                        .imap(nap, [50, 0, LONG, 1, LONG, 2])
                        .nth(1),
                ),
                3 => drop(as_completed(items.map(|ms| pool.submit(nap, ms))).next()),
                4 => {
                    let view = pool.time_limit(Duration::from_secs(1000)).unwrap();
                    drop(view.imap_unordered(nap, items).next());
                }
                _ => {
                    let stopped = catch_unwind(AssertUnwindSafe(|| {
                        for result in pool.imap(nap, items) {
                            assert_ne!(result, Ok(50), "a panic of the caller");
                        }
                    }));
                    assert!(stopped.is_err());
                }
            }
            assert_eq!(pool.map(nap, [0; 4]), Ok(vec![0; 4]));
            assert!(start.elapsed() < AT_ONCE, "{how}: {:?}", start.elapsed());
        }
    });
}

#[test]
fn short_items_that_nobody_asks_for_cost_no_worker() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let before = ids(&pool);
        for _ in 0..20 {
            drop(pool.imap(nap, 0..5).next());
            drop(pool.imap_unordered(nap, 0..5).next());
            drop(as_completed((0..5).map(|ms| pool.submit(nap, ms))).next());
        }
        assert_eq!(ids(&pool), before);
    });
}

#[test]
fn what_others_ask_for_goes_on() {
    guarded(|| {
        let pool = ProcessPool::new(3).unwrap();
        let wanted = pool.submit(nap, 1000);
        assert!(soon(|| wanted.is_running()));
        let forgotten = pool.submit(
            |path: String| {
                nap(600);
                fs::write(path, "done").unwrap();
            },
            std::env::temp_dir()
                .join(format!("helpers-{}", std::process::id()))
                .display()
                .to_string(),
        );
        assert!(soon(|| forgotten.is_running()));
        // A handle that is dropped by itself lets its task go on.
        drop(forgotten);
        drop(pool.imap(nap, [0, LONG, LONG]).next());
        assert_eq!(wanted.join(), Ok(1000));
        let path = std::env::temp_dir().join(format!("helpers-{}", std::process::id()));
        assert!(soon(|| path.exists()));
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_source_that_panics_ends_an_imap_behind_the_results_before_it() {
    guarded(|| {
        let pool = ProcessPool::new(4).unwrap();
        let source = || {
            (0..10u64).inspect(|item| {
                assert!(*item != 3, "no item 3");
            })
        };
        for size in [1, 2, 5] {
            let view = pool.chunk_size(size).unwrap();
            let mut results = view.imap(|x: u64| x * 2, source());
            for item in 0..3 {
                assert_eq!(results.next(), Some(Ok(item * 2)), "chunks of {size}");
            }
            assert_eq!(results.size_hint(), (0, Some(0)));
            let panic = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
            assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "no item 3");
            assert_eq!(results.next(), None);
            let mut results = view.imap_unordered(|x: u64| x * 2, source());
            let found: BTreeSet<u64> = results.by_ref().take(3).map(Result::unwrap).collect();
            assert_eq!(found, BTreeSet::from([0, 2, 4]));
            assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        }
        assert_goes_on(&pool);
    });
}

#[test]
fn all_handles_of_a_broken_pool_have_the_cause() {
    guarded(|| {
        let path = std::env::temp_dir().join(format!("helpers-model-{}", std::process::id()));
        fs::write(&path, "model").unwrap();
        let load = |path: String| fs::read_to_string(path).expect("the model cannot be read");
        let pool = ProcessPool::builder(2).initializer(load, path.display().to_string());
        let pool = pool.build().unwrap();
        fs::remove_file(&path).unwrap();
        let sleeping = pool.submit(nap, LONG);
        assert!(soon(|| sleeping.is_running()));
        let aborting = pool.submit(crate::common::crash, ());
        let waiting: Vec<_> = (0..3).map(|_| pool.submit(nap, LONG)).collect();
        let lost = aborting.join().unwrap_err();
        assert!(lost.is_worker_lost(), "{lost}");
        let told = |error: PoolError| {
            assert!(error.is_start() && !error.is_cancelled(), "{error}");
            assert!(
                error.to_string().contains("the model cannot be read"),
                "{error}"
            );
        };
        told(sleeping.join().unwrap_err());
        waiting
            .into_iter()
            .for_each(|handle| told(handle.join().unwrap_err()));
        told(pool.submit(nap, 1).join().unwrap_err());
        told(pool.map(nap, [1]).unwrap_err());
        told(pool.imap(nap, [1]).next().unwrap().unwrap_err());
    });
}

#[test]
fn a_pool_that_is_dropped_says_so() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let running = pool.submit(nap, LONG);
        let waiting = pool.submit(nap, LONG);
        assert!(soon(|| running.is_running()));
        drop(pool);
        for handle in [running, waiting] {
            let error = handle.join().unwrap_err();
            assert!(error.is_cancelled(), "{error}");
            assert!(
                error.to_string().contains("its pool was dropped"),
                "{error}"
            );
        }
    });
}

#[test]
fn handles_that_are_done_hold_no_pool() {
    guarded(|| drop(alone("waiting::alone_handles_hold_no_pool")));
}

#[test]
#[ignore = "runs alone, in a process of its own"]
fn alone_handles_hold_no_pool() {
    // What the first pool leaves open for all that follow.
    drop(ProcessPool::new(4).unwrap().map(nap, [1]));
    let before = open_files();
    let mut kept = Vec::new();
    let mut polled = Vec::new();
    for _ in 0..10 {
        let pool = ProcessPool::new(4).unwrap();
        let ill = |ms: u64| -> u64 { panic!("{ms}") };
        let mut done = vec![pool.submit(nap, 1), pool.submit(ill, 1)];
        assert!(soon(|| done.iter().all(JoinHandle::is_finished)));
        let cancelled = pool.submit(nap, LONG);
        let _ = cancelled.cancel();
        done.push(cancelled);
        let mut awaited = pool.submit(nap, 1);
        let _ = Pin::new(&mut awaited).poll(&mut Context::from_waker(Waker::noop()));
        polled.push(awaited);
        let mut completed = as_completed([pool.submit(nap, 1)]);
        assert!(completed.next().is_some());
        // These end when the pool does.
        done.extend((0..6).map(|_| pool.submit(nap, LONG)));
        done.push(pool.submit(|_: u64| -> u64 { std::process::abort() }, 1));
        kept.extend(done);
        drop(pool);
        drop(completed);
    }
    let after = open_files();
    assert!(
        after.len() <= before.len(),
        "{} files before, {} after: {after:?}",
        before.len(),
        after.len()
    );
    assert_eq!(kept.len(), 100);
    drop(kept);
}

#[test]
fn a_cancelled_task_is_no_failure() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let running = pool.submit(nap, 400);
        let cancelled = pool.submit(nap, 0);
        assert!(cancelled.cancel());
        let handles = [cancelled, running];
        let found = wait(&handles, Until::FirstFailure, None);
        assert_eq!(found.done, [0, 1]);
        let threads = Pool::new(1).unwrap();
        let running = threads.submit(nap, 400);
        let cancelled = threads.submit(nap, 0);
        assert!(cancelled.cancel());
        // Its result was taken, too.
        let mut handles = [cancelled, running];
        assert!(handles[0].join_timeout(AT_ONCE).unwrap_err().is_cancelled());
        assert_eq!(wait(&handles, Until::FirstFailure, None).done, [0, 1]);
    });
}
