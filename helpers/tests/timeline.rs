//! A recording holds the tasks of all pools of the process, so these tests have one to themselves,
//! and take turns in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use helpers::prelude::*;
use helpers::timeline::Span;

fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lesson's six items; what a unit is does not matter to the order.
const ITEMS: [u32; 6] = [3, 5, 10, 15, 17, 20];
const UNIT: Duration = Duration::from_millis(20);

fn first_items(timeline: &Timeline) -> Vec<usize> {
    timeline
        .spans()
        .iter()
        .map(|span| span.first_item)
        .collect()
}

fn sorted(mut items: Vec<usize>) -> Vec<usize> {
    items.sort_unstable();
    items
}

#[test]
fn the_lessons_items_on_4_workers() {
    let _turn = my_turn();
    let pool = Pool::new(4).unwrap();
    let (slept, timeline) = Timeline::record(|| {
        pool.map(
            |units| {
                thread::sleep(UNIT * units);
                units
            },
            ITEMS,
        )
    });
    assert_eq!(slept, ITEMS);
    // Four begin at once, in any order; then each takes its turn.
    assert_eq!(sorted(first_items(&timeline)[..4].to_vec()), [0, 1, 2, 3]);
    assert_eq!(first_items(&timeline)[4..], [4, 5]);
    for span in timeline.spans() {
        assert_eq!((span.pool, span.items), (0, 1));
        assert!(span.duration() >= UNIT * ITEMS[span.first_item], "{span:?}");
        assert!(span.end <= timeline.wall(), "{span:?}");
    }
    for worker in timeline.workers() {
        let mine = |span: &&Span| span.worker == worker.worker;
        let spans: Vec<&Span> = timeline.spans().iter().filter(mine).collect();
        assert!(spans.is_sorted_by(|a, b| a.end <= b.start), "{spans:?}");
        assert_eq!(spans.len(), worker.tasks);
        let busy: Duration = spans.iter().map(|span| span.duration()).sum();
        assert_eq!(busy, worker.busy);
    }
    assert_eq!(timeline.workers().len(), 4);
    assert_eq!(timeline.longest().unwrap().first_item, 5);
    assert!(timeline.utilisation() > 0.0 && timeline.utilisation() <= 1.0);
}

#[test]
fn one_worker_has_its_chunks_in_order() {
    let _turn = my_turn();
    let pool = Pool::new(1).unwrap();
    let view = pool.chunk_size(3).unwrap();
    let (_, timeline) = Timeline::record(|| view.starmap(|a: u32, b: u32| a + b, vec![(1, 2); 8]));
    let spans = timeline.spans().iter();
    let chunks: Vec<_> = spans.map(|span| (span.first_item, span.items)).collect();
    assert_eq!(chunks, [(0, 3), (3, 3), (6, 2)]);
}

#[test]
fn submitted_calls_and_lazy_ones_are_counted_from_0() {
    let _turn = my_turn();
    let pool = Pool::new(2).unwrap();
    for _ in 0..2 {
        let (_, timeline) = Timeline::record(|| {
            let handles: Vec<_> = (0..5).map(|i| pool.submit(|i| i, i)).collect();
            as_completed(handles).count()
        });
        assert_eq!(sorted(first_items(&timeline)), [0, 1, 2, 3, 4]);
        let (_, timeline) = Timeline::record(|| pool.imap(|i| i, 0..3).count());
        assert_eq!(sorted(first_items(&timeline)), [0, 1, 2]);
    }
}

/// A task that has begun, and goes on until it is sent something.
fn begun(pool: &Pool) -> (JoinHandle<()>, mpsc::Sender<()>) {
    let (release, blocked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let work = move |()| {
        tell.send(()).unwrap();
        blocked.recv().unwrap();
    };
    let task = pool.submit(work, ());
    told.recv().unwrap();
    (task, release)
}

#[test]
fn only_what_lies_in_the_recording_is_recorded() {
    let _turn = my_turn();
    let pool = Pool::new(2).unwrap();
    let (before, release) = begun(&pool);
    let ((after, release), timeline) = Timeline::record(|| {
        release.send(()).unwrap();
        before.join().unwrap();
        pool.map(drop, [1]);
        begun(&pool)
    });
    release.send(()).unwrap();
    after.join().unwrap();
    pool.map(drop, [1, 2, 3]);
    assert_eq!(timeline.spans().len(), 1, "{timeline}");
    let ((), empty) = Timeline::record(|| ());
    assert!(empty.spans().is_empty() && empty.workers().is_empty());
}

#[test]
fn a_task_that_began_before_the_inner_recording_is_in_the_outer_one_only() {
    let _turn = my_turn();
    let pool = Pool::new(1).unwrap();
    let (inner, outer) = Timeline::record(|| {
        let (task, release) = begun(&pool);
        let ((), inner) = Timeline::record(|| {
            release.send(()).unwrap();
            task.join().unwrap();
        });
        inner
    });
    assert_eq!((inner.spans().len(), outer.spans().len()), (0, 1));
}

#[test]
fn two_recordings_at_once_each_get_their_own() {
    let _turn = my_turn();
    let pool = Pool::new(1).unwrap();
    let run = |count| pool.map(drop, vec![(); count]).len();
    let (both_on, one_off) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            Timeline::record(|| {
                run(1);
                both_on.wait();
                one_off.wait();
                run(3);
            })
        });
        both_on.wait();
        let (_, second) = Timeline::record(|| run(2));
        one_off.wait();
        let ((), first) = first.join().unwrap();
        assert_eq!(first_items(&first), [0, 0, 1, 0, 1, 2]);
        assert_eq!(first_items(&second), [0, 1]);
        let (_, inner) = Timeline::record(|| Timeline::record(|| run(2))).0;
        assert_eq!(inner.spans().len(), 2);
    });
}

#[test]
fn a_task_that_panics_is_recorded_and_so_is_what_came_before() {
    let _turn = my_turn();
    let pool = Pool::new(1).unwrap();
    let panicking = || {
        pool.map(
            |i| {
                if i == 1 {
                    panic!("on purpose")
                }
            },
            0..4,
        )
    };
    let work = || drop(Timeline::record(panicking));
    catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    let (result, timeline) = Timeline::record(|| catch_unwind(AssertUnwindSafe(panicking)));
    result.unwrap_err();
    assert_eq!(first_items(&timeline), [0, 1]);
}

#[test]
fn two_pools_have_rows_of_their_own() {
    let _turn = my_turn();
    let (one, two) = (Pool::new(1).unwrap(), Pool::new(2).unwrap());
    let (_, timeline) = Timeline::record(|| {
        let outer = |_| {
            let (begun, has_begun) = mpsc::channel();
            let inner = one.submit(move |()| begun.send(()), ());
            // Or whoever waits for it would run it, if the worker has not come to it.
            has_begun.recv().unwrap();
            inner.join().unwrap().unwrap();
        };
        two.map(outer, [1])
    });
    let pools: Vec<usize> = timeline.spans().iter().map(|span| span.pool).collect();
    assert_eq!(pools, [1, 0], "the outer task, then the inner one");
    let labels: Vec<&str> = timeline.workers().iter().map(|w| &*w.label).collect();
    let expected = ["pool 0 worker 0", "pool 1 worker 0", "pool 1 worker 1"];
    assert_eq!(labels, expected);
}

#[test]
fn a_task_belongs_to_the_worker_that_ran_it() {
    let _turn = my_turn();
    let (busy, helper) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    let (_, timeline) = Timeline::record(|| {
        let (release, blocked) = mpsc::channel::<()>();
        let first = busy.submit(move |()| blocked.recv(), ());
        let second = busy.submit(|()| (), ());
        // A worker that waits for a task which nobody has begun runs it itself.
        helper
            .submit(|()| second.join(), ())
            .join()
            .unwrap()
            .unwrap();
        release.send(()).unwrap();
        first.join().unwrap().unwrap();
    });
    let tasks: Vec<usize> = timeline.workers().iter().map(|w| w.tasks).collect();
    assert_eq!(tasks, [1, 2]);
    let helper = &timeline.workers()[1];
    assert_eq!(helper.busy, helper.longest, "the inner task adds nothing");
}
