use super::*;

/// A task of worker `worker` that ran from `start` to `end`, in milliseconds after `zero`.
fn task(zero: Instant, pool: PoolTag, worker: usize, (start, end): (u64, u64)) -> Task {
    let at = |ms| zero + Duration::from_millis(ms);
    Task {
        pool,
        worker,
        items: Items::Chunk { first: 0, count: 1 },
        start: at(start),
        end: at(end),
    }
}

/// The timeline of 500 ms in which the tasks ran.
fn timeline(zero: Instant, tasks: Vec<Task>) -> Timeline {
    Timeline::new(zero, zero + Duration::from_millis(500), tasks)
}

#[test]
fn idle_workers_count() {
    let (zero, pool) = (Instant::now(), PoolTag::new(4));
    let tasks = [(0, (0, 300)), (2, (100, 200)), (0, (300, 500))];
    let tasks = tasks.map(|(worker, time)| task(zero, pool, worker, time));
    let timeline = timeline(zero, tasks.to_vec());
    let counts: Vec<usize> = timeline.workers().iter().map(|w| w.tasks).collect();
    assert_eq!(counts, [2, 0, 1, 0]);
    assert_eq!(timeline.busy(), Duration::from_millis(600));
    assert!((timeline.utilisation() - 0.3).abs() < 1e-9);
    assert_eq!(timeline.longest(), Some(&timeline.spans()[0]));
    assert_eq!(
        timeline.to_string(),
        "          tasks       busy       idle  longest task\n\
         worker 0      2     500 ms       0 ns        300 ms\n\
         worker 1      0       0 ns     500 ms          0 ns\n\
         worker 2      1     100 ms     400 ms        100 ms\n\
         worker 3      0       0 ns     500 ms          0 ns\n\
         3 tasks on 4 workers in 500 ms, busy 30 % of that time. \
         The longest task, item 0 on worker 0, took 300 ms."
    );
}

#[test]
fn a_task_inside_of_another_is_not_busy_twice() {
    let (zero, pool) = (Instant::now(), PoolTag::new(1));
    let times = [(0, 300), (100, 200), (150, 160), (250, 400)];
    let tasks = times.map(|time| task(zero, pool, 0, time)).to_vec();
    assert_eq!(timeline(zero, tasks).busy(), Duration::from_millis(400));
}

#[test]
fn pools_stand_in_the_order_in_which_they_were_made() {
    let (zero, first, second) = (Instant::now(), PoolTag::new(2), PoolTag::new(1));
    let tasks = vec![task(zero, second, 0, (0, 1)), task(zero, first, 1, (1, 2))];
    let timeline = timeline(zero, tasks);
    let labels: Vec<&str> = timeline.workers().iter().map(|w| &*w.label).collect();
    let expected = ["pool 0 worker 0", "pool 0 worker 1", "pool 1 worker 0"];
    assert_eq!(labels, expected);
    let rows: Vec<usize> = timeline.spans().iter().map(|s| timeline.row(s)).collect();
    assert_eq!(rows, [2, 1]);
}

#[test]
fn submitted_calls_are_counted_from_the_first_of_their_pool() {
    let (zero, a, b) = (Instant::now(), PoolTag::new(1), PoolTag::new(1));
    let submitted = |pool, number, time| Task {
        items: Items::Submitted { number },
        ..task(zero, pool, 0, time)
    };
    let tasks = vec![
        submitted(a, 8, (0, 1)),
        submitted(b, 3, (0, 1)),
        submitted(a, 7, (1, 2)),
        task(zero, a, 0, (2, 3)),
    ];
    let timeline = timeline(zero, tasks);
    let places: Vec<String> = timeline.spans().iter().map(Span::places).collect();
    assert_eq!(places, ["1", "0", "0", "0"]);
}

#[test]
fn an_empty_timeline_says_so() {
    let empty = timeline(Instant::now(), Vec::new());
    assert_eq!(empty.to_string(), "No task of a pool was recorded.");
    assert_eq!((empty.utilisation(), empty.longest()), (0.0, None));
}

#[test]
fn many_workers_are_cut_short() {
    let (zero, pool) = (Instant::now(), PoolTag::new(100));
    let text = timeline(zero, vec![task(zero, pool, 99, (0, 1))]).to_string();
    assert_eq!(text.lines().count(), 1 + MOST_ROWS + 2, "{text}");
    assert!(text.contains("\nand 68 more workers\n"), "{text}");
}

#[test]
fn a_panic_in_the_work_ends_the_recording() {
    // No other test of this process records.
    let work = || {
        assert!(recorder::is_on());
        panic!("on purpose")
    };
    assert!(!recorder::is_on());
    std::panic::catch_unwind(|| Timeline::record(work).0).unwrap_err();
    assert!(!recorder::is_on());
}

#[test]
fn tasks_that_touch_do_not_run_at_once() {
    let (zero, pool) = (Instant::now(), PoolTag::new(3));
    let times = [(0, 100), (100, 300), (150, 250), (200, 400)];
    let tasks: Vec<Task> = (0..)
        .zip(times)
        .map(|(n, t)| task(zero, pool, n % 3, t))
        .collect();
    assert_eq!(timeline(zero, tasks[..2].to_vec()).most_at_once(), 1);
    assert_eq!(timeline(zero, tasks).most_at_once(), 3);
    assert_eq!(timeline(zero, Vec::new()).most_at_once(), 0);
}
