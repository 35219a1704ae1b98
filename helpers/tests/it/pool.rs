use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use helpers::prelude::*;

/// The lesson's six items; what a unit is does not matter to the order.
const ITEMS: [u64; 6] = [3, 5, 10, 15, 17, 20];

/// Time that goes on when nobody has anything else to do: how busy the machine is plays no part.
#[derive(Default)]
struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    now: u64,
    /// When each sleeper is to wake.
    sleepers: Vec<u64>,
    /// Items that are not done.
    left: usize,
}

impl Clock {
    /// Sleeps for so many units among `workers` who do the same until all items are done.
    fn sleep(&self, units: u64, workers: usize) {
        let mut state = self.state.lock().unwrap();
        let end = state.now + units;
        state.sleepers.push(end);
        self.changed.notify_all();
        loop {
            let all_sleep = state.sleepers.len() == workers.min(state.left);
            if all_sleep && state.sleepers.iter().all(|&other| end <= other) {
                break;
            }
            let waited = self.changed.wait_timeout(state, Duration::from_secs(60));
            let (next, timeout) = waited.unwrap();
            assert!(
                !timeout.timed_out(),
                "fewer workers than {workers} take part"
            );
            state = next;
        }
        state.now = end;
        state.left -= 1;
        let place = state.sleepers.iter().position(|&other| other == end);
        state.sleepers.swap_remove(place.unwrap());
        self.changed.notify_all();
    }
}

/// Runs the lesson's items and tells who ran what, in the order of starting.
fn schedule(workers: usize) -> Vec<(String, u64)> {
    let started = Mutex::new(Vec::new());
    let clock = Clock::default();
    clock.state.lock().unwrap().left = ITEMS.len();
    let pool = Pool::new(workers).unwrap();
    let results = pool.map(
        |units| {
            let me = thread::current().name().unwrap().to_owned();
            started.lock().unwrap().push((me, units));
            clock.sleep(units, workers);
            units
        },
        ITEMS,
    );
    assert_eq!(results, ITEMS);
    started.into_inner().unwrap()
}

/// The units of sleep that the busiest worker had.
fn longest(schedule: &[(String, u64)]) -> u64 {
    let mut busy: HashMap<&str, u64> = HashMap::new();
    for (worker, units) in schedule {
        *busy.entry(worker).or_default() += units;
    }
    busy.into_values().max().unwrap()
}

#[test]
fn the_lessons_items_take_25_units_on_4_workers() {
    for _ in 0..5 {
        let schedule = schedule(4);
        assert_eq!(longest(&schedule), 25, "{schedule:?}");
        let late: Vec<u64> = schedule[4..].iter().map(|(_, units)| *units).collect();
        assert_eq!(
            late,
            [17, 20],
            "the last two start last, in order: {schedule:?}"
        );
    }
}

#[test]
fn the_lessons_items_take_20_units_on_8_workers() {
    for _ in 0..5 {
        assert_eq!(longest(&schedule(8)), 20);
    }
}

#[test]
fn one_worker_runs_the_items_in_order() {
    let order = Mutex::new(Vec::new());
    let pool = Pool::new(1).unwrap();
    pool.map(|i| order.lock().unwrap().push(i), 0..1000);
    assert_eq!(order.into_inner().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn results_keep_the_order_of_the_items() {
    for workers in [1, 2, 3, 8] {
        let pool = Pool::new(workers).unwrap();
        for count in [0, 1, 2, 7, 8, 9, 1000] {
            let expected: Vec<usize> = (0..count).map(|i| i * 2).collect();
            assert_eq!(pool.map(|i| i * 2, 0..count), expected);
            for size in [1, 3, 5000] {
                let view = pool.chunk_size(size).unwrap();
                assert_eq!(view.map(|i| i * 2, 0..count), expected);
            }
        }
    }
}

#[test]
fn borrows_the_callers_data() {
    let pool = Pool::new(2).unwrap();
    let words = vec!["map".to_owned(), "reduce".to_owned()];
    let prefix = String::from("to ");
    let phrases = pool.map(|word| format!("{prefix}{word}"), &words);
    assert_eq!(phrases, ["to map", "to reduce"]);
    assert_eq!(words.len(), 2, "the words were lent, not given away");
}

#[test]
fn a_chunk_is_run_by_one_worker_from_front_to_back() {
    let pool = Pool::new(3).unwrap();
    let names = pool
        .chunk_size(10)
        .unwrap()
        .map(|_| thread::current().name().unwrap().to_owned(), 0..95);
    for chunk in names.chunks(10) {
        assert!(chunk.iter().all(|name| *name == chunk[0]));
    }
}

#[test]
fn starmap_unpacks_tuples_of_one_to_eight() {
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.starmap(|a: i32| a, [(1,)]), [1]);
    assert_eq!(
        pool.starmap(|a: i32, b: &str| format!("{a}{b}"), [(1, "a")]),
        ["1a"]
    );
    assert_eq!(
        pool.starmap(|a: i32, b: i32, c: i32| a + b + c, [(1, 2, 3)]),
        [6]
    );
    assert_eq!(pool.starmap(|a, b| a + b, [(1, 2)]), [3]);
    #[allow(clippy::too_many_arguments)]
    fn eight(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> u8 {
        a + b + c + d + e + f + g + h
    }
    assert_eq!(pool.starmap(eight, [(1, 2, 3, 4, 5, 6, 7, 8)]), [36]);
}

#[test]
fn a_panic_reaches_the_caller_with_its_message_and_the_pool_goes_on() {
    let pool = Pool::new(2).unwrap();
    for _ in 0..20 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            pool.chunk_size(1).unwrap().map(
                |i| {
                    assert!(i != 5, "item {i} is not to my taste");
                    i
                },
                0..100,
            )
        }))
        .unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>().unwrap(),
            "item 5 is not to my taste"
        );
        assert_eq!(pool.map(|i| i + 1, [1, 2]), [2, 3]);
    }
}

#[test]
fn after_a_panic_no_further_chunk_starts() {
    let pool = Pool::new(1).unwrap();
    let ran = AtomicUsize::new(0);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        pool.chunk_size(1).unwrap().map(
            |i| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert!(i != 3);
            },
            0..100,
        )
    }));
    assert_eq!(ran.into_inner(), 4);
}

#[test]
fn items_and_results_are_dropped_once_even_when_a_task_panics() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    #[derive(Debug)]
    struct Counted;
    impl Counted {
        fn new() -> Counted {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            Counted
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let pool = Pool::new(2).unwrap();
    drop(pool.map(
        |item| (item, Counted::new()),
        (0..50).map(|_| Counted::new()),
    ));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        pool.map(
            |(i, item)| {
                assert!(i != 20);
                (item, Counted::new())
            },
            (0..50).map(|i| (i, Counted::new())),
        )
    }));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

#[test]
fn a_map_inside_a_map_on_the_same_pool_ends() {
    let pool = Pool::new(2).unwrap();
    let sums = pool.map(
        |i: u64| pool.map(|j| i * j, 0..10).into_iter().sum::<u64>(),
        0..20,
    );
    assert_eq!(sums, (0..20).map(|i| i * 45).collect::<Vec<_>>());
}

#[test]
fn a_map_inside_a_task_of_another_pool_ends() {
    let outer = Pool::new(2).unwrap();
    let inner = Pool::new(2).unwrap();
    let sums = outer.map(
        |i: u64| inner.map(|j| i * j, 0..10).into_iter().sum::<u64>(),
        0..20,
    );
    assert_eq!(sums.len(), 20);
}

#[test]
fn dropping_a_pool_waits_for_what_runs_and_cancels_what_waits() {
    let pool = Pool::new(1).unwrap();
    let (begun, has_begun) = mpsc::channel();
    let running = pool.submit(
        move |()| {
            begun.send(()).unwrap();
            thread::sleep(Duration::from_millis(50));
            "done"
        },
        (),
    );
    has_begun.recv().unwrap();
    let waiting = pool.submit(|()| "never", ());
    drop(pool);
    assert!(running.is_finished(), "drop waits for what runs");
    assert_eq!(running.join(), Ok("done"));
    assert!(waiting.join().unwrap_err().is_cancelled());
}

#[test]
fn a_task_may_hold_the_last_reference_to_its_pool() {
    for workers in [1, 4] {
        let pool = Arc::new(Pool::new(workers).unwrap());
        let mine = Arc::clone(&pool);
        let (begin, may_begin) = mpsc::channel::<()>();
        let mut handle = pool.submit(
            move |()| {
                may_begin.recv().unwrap();
                drop(mine);
                1
            },
            (),
        );
        drop(pool);
        begin.send(()).unwrap();
        assert_eq!(handle.join_timeout(Duration::from_secs(20)), Ok(1));
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped_does_not_end_the_program() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("dropped");
            }
        }
    }
    let pool = Pool::new(1).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let blocker = pool.submit(move |()| released.recv().unwrap_err(), ());
    // Nobody takes this result, so the worker drops it.
    drop(pool.submit(|()| Grenade, ()));
    drop(release);
    blocker.join().unwrap();
    assert_eq!(pool.submit(|x| x, 1).join(), Ok(1));
}

#[test]
fn a_thousand_pools_one_after_the_other_leave_no_threads() {
    for i in 0..1000 {
        let pool = Pool::new(2).unwrap();
        assert_eq!(pool.map(|x| x + i, [1]), [1 + i]);
    }
    if let Ok(threads) = std::fs::read_dir("/proc/self/task") {
        // Other tests run beside this one, with a few threads each.
        assert!(threads.count() < 200);
    }
}

#[test]
fn imap_keeps_order_and_takes_few_items_ahead() {
    let taken = Arc::new(AtomicUsize::new(0));
    let source = {
        let taken = Arc::clone(&taken);
        (0..).inspect(move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
        })
    };
    let pool = Pool::new(2).unwrap();
    let mut squares = pool.imap(|x: u64| x * x, source);
    assert_eq!(
        taken.load(Ordering::SeqCst),
        0,
        "nothing happens before it is asked for"
    );
    for i in 0..100 {
        assert_eq!(squares.next(), Some(i * i));
        let ahead = taken.load(Ordering::SeqCst) as u64 - i;
        assert!(ahead <= 5, "{ahead} items taken for result {i}");
    }
}

#[test]
fn imap_and_imap_unordered_give_every_result() {
    let pool = Pool::new(3).unwrap();
    for size in [1, 7] {
        let view = pool.chunk_size(size).unwrap();
        assert_eq!(
            view.imap(|x| x + 1, 0..100).collect::<Vec<_>>(),
            (1..101).collect::<Vec<_>>()
        );
        let mut any_order: Vec<i32> = view.imap_unordered(|x| x + 1, 0..100).collect();
        any_order.sort_unstable();
        assert_eq!(any_order, (1..101).collect::<Vec<_>>());
    }
    assert_eq!(pool.imap(|x: u8| x, []).next(), None);
    assert_eq!(pool.imap_unordered(|x: u8| x, []).next(), None);
}

#[test]
fn imap_knows_how_many_results_are_to_come() {
    let pool = Pool::new(2).unwrap();
    let mut results = pool.imap(|x| x, 0..10);
    for left in (0..10).rev() {
        results.next();
        assert_eq!(results.size_hint(), (left, Some(left)));
    }
    let mut results = pool.chunk_size(3).unwrap().imap_unordered(|x| x, 0..10);
    results.next();
    assert_eq!(results.size_hint(), (9, Some(9)));
}

#[test]
fn imap_takes_an_endless_source() {
    let pool = Pool::new(2).unwrap();
    let squares: Vec<u64> = pool.imap(|x| x * x, 0..).take(4).collect();
    assert_eq!(squares, [0, 1, 4, 9]);
    assert_eq!(pool.imap_unordered(|x| x, 0..).take(4).count(), 4);
}

#[test]
fn imap_unordered_gives_the_first_to_finish_first() {
    let pool = Pool::new(2).unwrap();
    let mut results = pool.imap_unordered(
        |ms| {
            thread::sleep(Duration::from_millis(ms));
            ms
        },
        [300, 1],
    );
    assert_eq!(results.next(), Some(1));
    assert_eq!(results.next(), Some(300));
}

#[test]
fn a_panic_in_imap_reaches_the_caller_with_its_message() {
    let pool = Pool::new(2).unwrap();
    let mut results = pool.imap(|x| if x == 1 { panic!("no {x}") } else { x }, 0..3);
    assert_eq!(results.next(), Some(0));
    let panic = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "no 1");
    assert_eq!(
        results.next(),
        Some(2),
        "the results behind it are not lost"
    );
}

#[test]
fn an_abandoned_imap_cancels_what_has_not_started() {
    let pool = Pool::new(1).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let mut results = pool.imap(
        move |x| {
            thread::sleep(Duration::from_millis(20));
            count.fetch_add(1, Ordering::SeqCst);
            x
        },
        0..100,
    );
    results.next();
    drop(results);
    drop(pool);
    assert!(ran.load(Ordering::SeqCst) <= 3, "{ran:?} tasks ran");
}

#[test]
fn an_abandoned_imap_leaves_the_rest_of_a_chunk() {
    let pool = Pool::new(2).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let view = pool.chunk_size(1000).unwrap();
    let mut results = view.imap_unordered(
        move |x| {
            if x >= 1000 {
                thread::sleep(Duration::from_millis(5));
                count.fetch_add(1, Ordering::SeqCst);
            }
        },
        0..100_000,
    );
    results.next();
    drop(results);
    drop(pool);
    assert!(ran.load(Ordering::SeqCst) <= 20, "{ran:?} items");
}

#[test]
fn an_imap_whose_source_panics_gives_the_results_before_that() {
    let pool = Pool::new(2).unwrap();
    for size in [1, 2, 5] {
        let source = (0..10).inspect(|item| assert!(*item != 3, "no item {item}"));
        let view = pool.chunk_size(size).unwrap();
        let mut results = view.imap(|x| x * 2, source);
        for item in 0..3 {
            assert_eq!(results.next(), Some(item * 2));
        }
        assert_eq!(results.size_hint(), (0, Some(0)));
        let panic = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "no item 3");
        assert_eq!(results.next(), None);
    }
}

#[test]
fn a_map_does_not_wait_for_a_worker_that_is_at_something_else() {
    let pool = Pool::new(2).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let long = pool.submit(move |()| released.recv().unwrap(), ());
    assert_eq!(pool.map(|x| x + 1, 0..100), (1..101).collect::<Vec<_>>());
    release.send(()).unwrap();
    long.join().unwrap();
}

#[test]
fn maps_in_a_task_leave_nothing_in_the_queue_of_a_busy_pool() {
    let pool = Arc::new(Pool::new(2).unwrap());
    let (release, released) = mpsc::channel::<()>();
    let long = pool.submit(move |()| released.recv().unwrap(), ());
    let inner = Arc::clone(&pool);
    let many = pool.submit(
        move |()| {
            (0..20_000)
                .map(|i| inner.map(|x| x + i, 0..8)[7])
                .sum::<u64>()
        },
        (),
    );
    assert_eq!(many.join(), Ok((0..20_000).map(|i| i + 7).sum()));
    release.send(()).unwrap();
    long.join().unwrap();
}

#[test]
fn a_million_tiny_tasks() {
    let pool = Pool::new(2).unwrap();
    let results = pool
        .chunk_size(1)
        .unwrap()
        .map(|x: u32| x ^ 1, 0..1_000_000);
    assert!(results.iter().enumerate().all(|(i, &x)| x == i as u32 ^ 1));
}
