//! Tasks that crash, vanish or never end: an error says which, and the pool goes on.

use std::hint::black_box;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use helpers::prelude::*;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};

use crate::common::{AT_ONCE, assert_goes_on, guarded, ids, kill_hard, vanish};

/// The item that goes wrong.
const ILL: u64 = 5;

const PANIC: usize = 0;
const EXIT: usize = 1;
const ABORT: usize = 2;
const SEGFAULT: usize = 3;
const STACK: usize = 4;
const KILL: usize = 5;
const MEMORY: usize = 6;
const CLOSE_FILES: usize = 7;
const CHILD: usize = 8;
const FORK: usize = 9;
const TERMINATE: usize = 10;

/// A task that commits a fault if its item is the ill one.
fn ill<const FAULT: usize>(item: u64) -> u64 {
    if item == ILL {
        commit(FAULT);
    }
    item * 10
}

fn commit(fault: usize) {
    match fault {
        PANIC => panic!("item {ILL} is ill"),
        EXIT => std::process::exit(3),
        ABORT => std::process::abort(),
        // SAFETY: none: this is to crash, in a process that exists for nothing else.
        SEGFAULT => unsafe {
            black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1)
        },
        STACK => {
            black_box(deep(1));
        }
        KILL => raise(Signal::SIGKILL).unwrap(),
        TERMINATE => raise(Signal::SIGTERM).unwrap(),
        MEMORY => {
            let limit = 4 << 30;
            setrlimit(Resource::RLIMIT_AS, limit, limit).unwrap();
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(Vec::with_capacity(64 << 20)));
            }
        }
        CLOSE_FILES => {
            for file in 0..1000 {
                // SAFETY: none: whoever owns the files will be surprised, which is the test.
                unsafe { libc::close(file) };
            }
        }
        CHILD => {
            // It has the worker's output and error streams.
            Command::new("sleep").arg("25").spawn().unwrap();
            std::process::abort();
        }
        FORK => {
            // It has all that the worker has, the connection too.
            // SAFETY: the child calls nothing but functions of the system.
            unsafe {
                if libc::fork() == 0 {
                    libc::sleep(25);
                    libc::_exit(0);
                }
            }
            std::process::abort();
        }
        other => unreachable!("fault {other}"),
    }
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn deep(n: u64) -> u64 {
    let frame = black_box([n; 128]);
    deep(frame[7] + 1) + frame[9]
}

/// What must be so whatever a task does: the error names item and worker and comes at once, the
/// other items of an `imap` have their results, and the pool goes on.
#[track_caller]
fn check_fault<const FAULT: usize>(words: &str) {
    let pool = ProcessPool::new(2).unwrap();
    let before = ids(&pool);
    for size in [1, 4] {
        let view = pool.chunk_size(size).unwrap();
        let start = Instant::now();
        let error = view.map(ill::<FAULT>, 0..20).unwrap_err();
        assert!(start.elapsed() < AT_ONCE, "{:?}: {error}", start.elapsed());
        if FAULT == CLOSE_FILES {
            // Shows only when the chunk's results are sent.
            assert!(matches!(error.item(), Some(5..8)), "{error}");
        } else {
            check_error(&error, Some(ILL as usize), words);
        }
        assert_goes_on(&pool);
    }
    for (item, result) in pool.imap(ill::<FAULT>, 0..20).enumerate() {
        match result {
            Ok(result) => assert_eq!(result, item as u64 * 10),
            Err(error) => {
                assert_eq!(item as u64, ILL, "{error}");
                check_error(&error, Some(item), words);
            }
        }
    }
    let failed = pool.imap_unordered(ill::<FAULT>, 0..20);
    let failed: Vec<_> = failed.filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    check_error(&failed[0], Some(ILL as usize), words);
    let handles: Vec<_> = (3..7).map(|x| pool.submit(ill::<FAULT>, x)).collect();
    for (place, handle) in handles.into_iter().enumerate() {
        match handle.join() {
            Ok(result) => assert_eq!(result, (place as u64 + 3) * 10),
            Err(error) if place == 2 => check_error(&error, None, words),
            Err(error) => panic!("{place}: {error}"),
        }
    }
    assert_goes_on(&pool);
    let after = ids(&pool);
    drop(pool);
    assert!(vanish(&before) && vanish(&after));
}

#[track_caller]
fn check_error(error: &PoolError, item: Option<usize>, words: &str) {
    let text = error.to_string();
    assert_eq!(error.item(), item, "{text}");
    assert!(text.contains("worker ") && text.contains(words), "{text}");
    assert!(error.is_panic() || error.is_worker_lost(), "{text}");
}

#[test]
fn a_task_that_panics() {
    guarded(|| check_fault::<PANIC>("item 5 is ill"));
}

#[test]
fn a_task_that_exits() {
    guarded(|| check_fault::<EXIT>("exited with status 3"));
}

#[test]
fn a_task_that_aborts() {
    guarded(|| check_fault::<ABORT>("SIGABRT"));
}

#[test]
fn a_task_that_touches_foreign_memory() {
    guarded(|| check_fault::<SEGFAULT>("SIGSEGV"));
}

#[test]
fn a_task_that_overflows_its_stack() {
    guarded(|| check_fault::<STACK>("stack overflow"));
}

#[test]
fn a_task_that_is_killed() {
    guarded(|| check_fault::<KILL>("SIGKILL"));
}

#[test]
fn a_task_that_is_asked_to_end() {
    guarded(|| check_fault::<TERMINATE>("SIGTERM"));
}

#[test]
fn a_task_that_fills_the_memory() {
    guarded(|| check_fault::<MEMORY>("memory runs out"));
}

#[test]
fn a_task_that_closes_all_files() {
    guarded(|| check_fault::<CLOSE_FILES>("it "));
}

#[test]
fn a_task_whose_child_holds_its_pipes() {
    guarded(|| check_fault::<CHILD>("SIGABRT"));
}

#[test]
fn a_task_whose_child_holds_its_connection() {
    guarded(|| check_fault::<FORK>("SIGABRT"));
}

#[test]
fn a_task_that_never_ends() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let before = ids(&pool);
        let stuck = |x: u64| {
            while black_box(x) == ILL {}
            x
        };
        let limit = Duration::from_millis(200);
        for size in [1, 4, 20] {
            let view = pool.time_limit(limit).unwrap().chunk_size(size).unwrap();
            let start = Instant::now();
            let error = view.map(stuck, 0..20).unwrap_err();
            assert!(start.elapsed() < AT_ONCE);
            assert!(error.is_timeout() && error.item() == Some(5), "{error}");
            assert!(error.to_string().contains("worker "), "{error}");
            assert_goes_on(&pool);
        }
        let results: Vec<_> = pool.time_limit(limit).unwrap().imap(stuck, 0..20).collect();
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(result) => assert_eq!(result, item as u64),
                Err(error) => assert!(error.is_timeout() && item == 5, "{item}: {error}"),
            }
        }
        let handle = pool.time_limit(limit).unwrap().submit(stuck, ILL);
        assert!(handle.join().unwrap_err().is_timeout());
        let after = ids(&pool);
        drop(pool);
        assert!(vanish(&before) && vanish(&after));
    });
}

#[test]
fn a_failed_map_does_not_wait_for_long_items() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let start = Instant::now();
        let task = |x: u64| {
            assert!(x != 1, "one");
            sleep(Duration::from_secs(100));
        };
        let error = pool.chunk_size(1).unwrap().map(task, 0..6).unwrap_err();
        assert!(start.elapsed() < AT_ONCE);
        assert!(error.is_panic() && error.item() == Some(1), "{error}");
        assert_goes_on(&pool);
    });
}

#[test]
fn a_worker_that_dies_idle_costs_nothing() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        for all in [false, true] {
            for id in ids(&pool).into_iter().take(if all { 2 } else { 1 }) {
                kill_hard(id);
            }
            assert_goes_on(&pool);
            for id in ids(&pool) {
                kill_hard(id);
            }
            sleep(Duration::from_millis(50));
            assert_eq!(pool.submit(|x: u64| x, 7).join(), Ok(7));
        }
    });
}

#[test]
fn a_worker_that_dies_while_its_result_is_on_its_way() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let big = |(letter, times): (char, usize)| letter.to_string().repeat(times);
        let mut lost = 0;
        for round in 0..40u64 {
            let victim = *ids(&pool).first().unwrap();
            // The larger one is more than a connection takes in at once.
            let times = [30_000, 1_000_000][round as usize % 2];
            let handles: Vec<_> = ('a'..'g').map(|x| pool.submit(big, (x, times))).collect();
            let killer = thread::spawn(move || {
                sleep(Duration::from_micros(150 * round));
                kill_hard(victim);
            });
            for (handle, letter) in handles.into_iter().zip('a'..'g') {
                match handle.join() {
                    Ok(text) => {
                        assert!(text.len() == times && text.chars().all(|other| other == letter));
                    }
                    Err(error) => {
                        assert!(error.is_worker_lost(), "{error}");
                        lost += 1;
                    }
                }
            }
            killer.join().unwrap();
        }
        assert!(lost <= 40, "each death costs one task: {lost}");
        assert_goes_on(&pool);
    });
}

/// A result that takes its owner long to read.
struct Slow(String);

impl serde::Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Slow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "slow" {
            sleep(Duration::from_millis(700));
        }
        Ok(Slow(text))
    }
}

/// Results of tasks that were done before their worker died, and lie in the socket unread.
#[test]
fn a_worker_that_dies_after_many_results_that_nobody_has_read() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        pool.chunk_size(1).unwrap().map(|x: u64| x, 0..500).unwrap();
        let id = *ids(&pool).first().unwrap();
        pool.chunk_size(1).unwrap().map(|x: u64| x, 0..500).unwrap();
        let text = |x: u64| {
            Slow(if x == 0 {
                "slow".into()
            } else {
                "x".repeat(30_000)
            })
        };
        let handles: Vec<_> = (0..40).map(|x| pool.submit(text, x)).collect();
        let killer = thread::spawn(move || {
            sleep(Duration::from_millis(400));
            kill_hard(id);
        });
        let mut lost = 0;
        for handle in handles {
            match handle.join() {
                Ok(text) => assert!(text.0.len() == 30_000 || text.0 == "slow"),
                Err(error) => {
                    assert!(error.is_worker_lost(), "{error}");
                    lost += 1;
                }
            }
        }
        killer.join().unwrap();
        assert!(lost <= 1, "{lost} tasks were lost");
        assert_goes_on(&pool);
    });
}

/// A worker that was stopped, as a debugger or a system that runs out of memory does.
#[test]
fn a_worker_that_stands_still_is_a_matter_for_the_time_limit() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let id = *ids(&pool).first().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), Signal::SIGSTOP).unwrap();
        let start = Instant::now();
        let view = pool.time_limit(Duration::from_millis(300)).unwrap();
        let mut handle = view.submit(|x: u64| x, 1);
        match handle.join_timeout(AT_ONCE) {
            Ok(result) => assert_eq!(result, 1),
            Err(error) => assert!(error.to_string().contains("worker "), "{error}"),
        }
        assert!(start.elapsed() < AT_ONCE);
    });
}
