//! Waits that could never end: none hangs, and none is made by the crate itself.

use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use helpers::prelude::*;
use rayon::prelude::*;

use crate::common::{block_on, within_seconds};

/// Enough numbers that a sum is split many times.
fn numbers() -> Vec<f64> {
    vec![1.0; 500_000]
}

/// What may be done while a lock is held that other tasks of the pool want.
type Sum = fn(&Pool, &[f64]) -> f64;

const UNDER_THE_LOCK: [(&str, Sum); 9] = [
    ("par_sum", |_, data| par_sum(data)),
    ("par_sum of an array", |_, data| {
        par_sum(ndarray::ArrayView1::from(&data[1..]).slice(ndarray::s![..;2])) + 1.0
    }),
    ("map", |pool, data| {
        pool.map(|part: &[f64]| part.iter().sum::<f64>(), data.chunks(1000))
            .iter()
            .sum()
    }),
    ("starmap", |pool, data| {
        pool.chunk_size(1)
            .unwrap()
            .starmap(
                |a: &f64, b: f64| a + b,
                data[..500].iter().map(|a| (a, 1.0)),
            )
            .len() as f64
    }),
    ("imap", |pool, _| pool.imap(f64::from, 0..500).sum()),
    ("imap_unordered", |pool, _| {
        pool.imap_unordered(f64::from, 0..500).sum()
    }),
    ("submit and join", |pool, _| {
        let handles: Vec<_> = (0..50).map(|x| pool.submit(f64::from, x)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum()
    }),
    ("map_reduce", |pool, data| {
        map_reduce(pool, data, |part| part.len(), |a, b| a + b).unwrap() as f64
    }),
    ("rayon", |_, data| data.par_iter().map(|x| x * 2.0).sum()),
];

#[test]
fn a_task_that_waits_takes_up_no_other_task() {
    for (name, work) in UNDER_THE_LOCK {
        within_seconds(name, move || {
            let data = Arc::new(numbers());
            for _ in 0..5 {
                let pool = Arc::new(Pool::new(2).unwrap());
                let lock = Arc::new(Mutex::new(0.0));
                let (tell, told) = mpsc::channel();
                let (inner, held, data) = (pool.clone(), lock.clone(), data.clone());
                let first = pool.submit(
                    move |()| {
                        let mut sum = held.lock().unwrap();
                        tell.send(()).unwrap();
                        for _ in 0..20 {
                            *sum += work(&inner, &data);
                        }
                    },
                    (),
                );
                told.recv().unwrap();
                // These come while the first one waits for its parts, of which the other worker
                // has some.
                let others: Vec<_> = (0..20)
                    .map(|_| {
                        let lock = Arc::clone(&lock);
                        pool.submit(move |()| *lock.lock().unwrap() += 1.0, ())
                    })
                    .collect();
                pool.chunk_size(1)
                    .unwrap()
                    .map(|_| *lock.lock().unwrap() += 1.0, 0..6);
                first.join().unwrap();
                others.into_iter().for_each(|other| other.join().unwrap());
            }
        });
    }
}

#[test]
fn a_sum_takes_up_no_item_of_rayons() {
    // One task sums while it holds a lock, and rayon's items want that lock.
    within_seconds("a sum beside rayon", || {
        let pool = Pool::new(2).unwrap();
        let data = numbers();
        let lock = Mutex::new(0.0);
        for _ in 0..20 {
            pool.map(
                |task| match task {
                    0 => *lock.lock().unwrap() += par_sum(&data),
                    _ => (0..200)
                        .into_par_iter()
                        .for_each(|_| *lock.lock().unwrap() += 1.0),
                },
                0..2,
            );
        }
    });
}

/// What `how` finds where tasks of a pool wait for each other in a ring, until each has told.
fn found_in_a_ring(
    count: usize,
    pools: bool,
    how: fn(JoinHandle<()>) -> Option<PoolError>,
) -> Vec<Option<PoolError>> {
    within_seconds("a ring", move || {
        let pools: Vec<Pool> = match pools {
            true => (0..count).map(|_| Pool::new(1).unwrap()).collect(),
            false => vec![Pool::new(count).unwrap()],
        };
        let all_run = Arc::new(Barrier::new(count + 1));
        let (tell, told) = mpsc::channel();
        let mut givers = Vec::new();
        let mut handles = Vec::new();
        for place in 0..count {
            let (give, given) = mpsc::channel::<JoinHandle<()>>();
            let (all_run, tell) = (Arc::clone(&all_run), tell.clone());
            givers.push(give);
            handles.push(pools[place % pools.len()].submit(
                move |()| {
                    let next = given.recv().unwrap();
                    all_run.wait();
                    tell.send(how(next)).unwrap();
                },
                (),
            ));
        }
        drop(tell);
        for (place, handle) in handles.into_iter().enumerate() {
            givers[(place + 1) % count].send(handle).unwrap();
        }
        all_run.wait();
        // The drop waits for them, and must end as well.
        drop(pools);
        told.iter().collect()
    })
}

#[track_caller]
fn assert_one_is_told(found: &[Option<PoolError>]) {
    let told: Vec<_> = found.iter().flatten().collect();
    assert_eq!(told.len(), 1, "{found:?}");
    assert!(told[0].is_deadlock(), "{}", told[0]);
}

#[test]
fn tasks_that_wait_for_each_other_are_told() {
    for count in [1, 2, 3, 7] {
        for pools in [false, true] {
            for _ in 0..10 {
                let found = found_in_a_ring(count, pools, |next| next.join().err());
                assert_one_is_told(&found);
                let found = found_in_a_ring(count, pools, |next| {
                    as_completed([next]).next().unwrap().1.err()
                });
                assert_one_is_told(&found);
            }
        }
    }
}

#[test]
fn a_wait_that_can_never_end_comes_back_with_what_is_pending() {
    for until in [Until::All, Until::FirstCompleted, Until::FirstFailure] {
        for count in [2, 3] {
            let found = found_in_a_ring(
                count,
                false,
                match until {
                    Until::All => |next| pending(next, Until::All),
                    Until::FirstCompleted => |next| pending(next, Until::FirstCompleted),
                    Until::FirstFailure => |next| pending(next, Until::FirstFailure),
                },
            );
            assert_one_is_told(&found);
        }
    }
}

/// An error where the wait came back and the task was not done.
fn pending(next: JoinHandle<()>, until: Until) -> Option<PoolError> {
    let waited = wait(&[next], until, None);
    let deadlock = |_| found_in_a_ring(1, false, |next| next.join().err()).remove(0);
    waited.pending.first().and_then(deadlock)
}

#[test]
fn a_wait_for_one_that_ends_and_one_that_cannot_gives_the_first() {
    within_seconds("a wait for two", || {
        let pool = Pool::new(3).unwrap();
        let (give, given) = mpsc::channel::<[JoinHandle<u64>; 2]>();
        let (tell, told) = mpsc::channel();
        let first = pool.submit(
            move |()| {
                tell.send(as_completed(given.recv().unwrap()).collect::<Vec<_>>())
                    .unwrap();
                1
            },
            (),
        );
        let second = pool.submit(
            |first: JoinHandle<u64>| first.join().map_or(0, |x| x + 1),
            first,
        );
        let third = pool.submit(
            |()| {
                thread::sleep(Duration::from_millis(100));
                3
            },
            (),
        );
        while !(second.is_running() && third.is_running()) {
            thread::yield_now();
        }
        give.send([second, third]).unwrap();
        let found = told.recv().unwrap();
        assert_eq!(found[0], (1, Ok(3)));
        assert!(
            found[1].1.as_ref().is_err_and(PoolError::is_deadlock),
            "{found:?}"
        );
    });
}

#[test]
fn an_item_of_a_map_that_waits_for_the_task_that_maps_is_told() {
    within_seconds("a map", || {
        let pool = Arc::new(Pool::new(2).unwrap());
        let (give, given) = mpsc::channel::<JoinHandle<Vec<bool>>>();
        let inner = Arc::clone(&pool);
        let outer = pool.submit(
            move |()| {
                let own = Mutex::new(Some(given.recv().unwrap()));
                let own = &own;
                inner.chunk_size(1).unwrap().map(
                    |_| {
                        let own = own.lock().unwrap().take();
                        own.is_some_and(|own| own.join().is_err_and(|error| error.is_deadlock()))
                    },
                    0..4,
                );
                vec![]
            },
            (),
        );
        give.send(outer).unwrap();
        drop(pool);
    });
}

#[test]
fn a_pool_that_is_dropped_by_a_task_that_its_own_tasks_wait_for() {
    within_seconds("a drop", || {
        let outer = Pool::new(1).unwrap();
        let inner = Pool::new(1).unwrap();
        let (give, given) = mpsc::channel::<JoinHandle<()>>();
        let waiting = inner.submit(move |()| given.recv().unwrap().join(), ());
        let (begin, begun) = mpsc::channel::<()>();
        let dropping = outer.submit(
            move |inner: Pool| {
                begun.recv().unwrap();
                drop(inner);
            },
            inner,
        );
        give.send(dropping).unwrap();
        thread::sleep(Duration::from_millis(50));
        begin.send(()).unwrap();
        assert_eq!(waiting.join(), Ok(Ok(())));
    });
}

#[test]
fn a_task_that_awaits_itself_is_told() {
    let found = found_in_a_ring(1, false, |own| block_on(own).err());
    assert_one_is_told(&found);
}

#[test]
fn no_false_alarm_where_tasks_hand_results_on() {
    within_seconds("a chain", || {
        for _ in 0..50 {
            let pool = Arc::new(Pool::new(3).unwrap());
            let mut last = pool.submit(|x: u64| x, 1);
            for _ in 0..40 {
                last = pool.submit(|before: JoinHandle<u64>| before.join().unwrap() + 1, last);
            }
            assert_eq!(last.join(), Ok(41));
        }
    });
}

#[test]
fn a_wait_for_all_that_could_never_end_is_told() {
    within_seconds("wait_all", || {
        // In a task, on another pool's thread too.
        let pool = Arc::new(Pool::new(1).unwrap());
        let other = Pool::new(1).unwrap();
        let (inner, blocker) = (Arc::clone(&pool), mpsc::channel::<()>());
        let busy = pool.submit(move |()| blocker.1.recv().unwrap(), ());
        let own = pool.submit(move |()| inner.wait_all(), ());
        // Runs it, as nobody has begun it.
        let found = other.submit(|own: JoinHandle<Result<(), PoolError>>| own.join(), own);
        let found = found.join().unwrap().unwrap();
        assert!(found.is_err_and(|error| error.is_deadlock()));
        blocker.0.send(()).unwrap();
        busy.join().unwrap();
        assert_eq!(pool.wait_all(), Ok(()));
        // Tasks of two pools that wait for all of the other one's.
        let pools = [1, 1].map(|workers| Arc::new(Pool::new(workers).unwrap()));
        let both = Arc::new(Barrier::new(2));
        let tasks = [0, 1].map(|place| {
            let (other, both) = (Arc::clone(&pools[1 - place]), Arc::clone(&both));
            pools[place].submit(
                move |()| {
                    both.wait();
                    other.wait_all()
                },
                (),
            )
        });
        let found = tasks.map(|task| task.join().unwrap());
        let told = found.iter().filter_map(|found| found.as_ref().err());
        assert_eq!(told.clone().count(), 1, "{found:?}");
        assert!(told.clone().all(PoolError::is_deadlock), "{found:?}");
    });
}

/// Waits for handles in one of several ways; says how many were told that it could never end.
fn wait_somehow(pool: &Pool, how: u32, mut handles: Vec<JoinHandle<usize>>) -> usize {
    let told = |result: Result<usize, PoolError>| match result {
        Ok(_) => 0,
        Err(error) => {
            assert!(error.is_deadlock() || error.is_cancelled(), "{error}");
            1
        }
    };
    match how % 5 {
        0 => handles.into_iter().map(|handle| told(handle.join())).sum(),
        1 => as_completed(handles).map(|(_, result)| told(result)).sum(),
        2 => wait(&handles, Until::All, None).pending.len(),
        3 => {
            // By the items of a map on the same pool.
            let handles: Vec<_> = handles
                .into_iter()
                .map(|handle| Mutex::new(Some(handle)))
                .collect();
            let join = |handle: &Mutex<Option<JoinHandle<usize>>>| {
                let handle = handle.lock().unwrap().take();
                told(handle.unwrap().join())
            };
            pool.chunk_size(1)
                .unwrap()
                .map(join, &handles)
                .into_iter()
                .sum()
        }
        _ => {
            let first = handles.pop().map_or(0, |handle| told(handle.join()));
            drop(as_completed(handles).next());
            first
        }
    }
}

#[test]
fn tasks_that_wait_for_each_other_at_random_all_end() {
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    for seed in 0..150 {
        within_seconds(&format!("round {seed}"), move || {
            let mut random = SmallRng::seed_from_u64(seed);
            let pools: Vec<Arc<Pool>> = (0..random.random_range(1..4))
                .map(|_| Arc::new(Pool::new(random.random_range(1..5)).unwrap()))
                .collect();
            let count = random.random_range(1..12);
            let mut gives = Vec::new();
            let mut handles = Vec::new();
            for _ in 0..count {
                let (give, given) = mpsc::channel::<Vec<JoinHandle<usize>>>();
                let how = random.random();
                let own = &pools[random.random_range(0..pools.len())];
                let other = Arc::clone(&pools[random.random_range(0..pools.len())]);
                gives.push((give, Vec::new()));
                handles.push(own.submit(
                    move |()| wait_somehow(&other, how, given.recv().unwrap_or_default()),
                    (),
                ));
            }
            // The first is watched from outside, or else all may be held by each other.
            let watched = handles.remove(0);
            for handle in handles {
                gives[random.random_range(0..count)].1.push(handle);
            }
            for (give, handles) in gives {
                let _ = give.send(handles);
            }
            watched.join().unwrap();
            // Waits for all that has begun.
            drop(pools);
        });
    }
}
