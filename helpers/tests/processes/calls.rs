//! Calls for all tasks at once: waiting for them, deadlines, maps that are handles, values that go
//! along, and handles that are looked at.

use std::cell::Cell;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::{assert_goes_on, guarded, ids, soon};

const SOON: Duration = Duration::from_millis(300);
/// More than short tasks take, even on a busy machine.
const ENOUGH: Duration = Duration::from_secs(3);
/// Less than a task of `LONG` takes, and more than all else.
const MUCH: Duration = Duration::from_secs(40);
const LONG: u64 = 60_000;

fn nap(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms));
    ms
}

#[test]
fn wait_all_waits_for_what_was_submitted() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        pool.wait_all().unwrap();
        let handles: Vec<_> = (0..5).map(|_| pool.submit(nap, 20)).collect();
        let map = pool.map_async(nap, [1, 2, 30]);
        pool.wait_all().unwrap();
        assert!(handles.iter().all(JoinHandle::is_finished) && map.is_finished());
        let slow = pool.submit(nap, LONG);
        let start = Instant::now();
        let error = pool.deadline(SOON).unwrap().wait_all().unwrap_err();
        assert!(error.is_timeout() && start.elapsed() < MUCH, "{error}");
        let waiting: Vec<_> = (0..50).map(|_| pool.submit(nap, LONG)).collect();
        for handle in waiting {
            handle.cancel();
        }
        drop(pool);
        assert!(slow.join().unwrap_err().is_cancelled());
        let pool = ProcessPool::new(1).unwrap();
        drop(pool.submit(|()| -> () { panic!("unheard") }, ()));
        assert_eq!(
            pool.wait_all()
                .unwrap_err()
                .panic_message()
                .map(|m| &m[..7]),
            Some("unheard")
        );
        assert_eq!(pool.wait_all(), Ok(()));
    });
}

#[test]
fn a_deadline_ends_a_whole_map_and_stops_what_runs() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let timed = pool.deadline(MUCH).unwrap();
        assert_eq!(timed.map(nap, [3, 1, 2]).unwrap(), [3, 1, 2]);
        assert_eq!(
            timed.starmap(|x: u64, y: u64| x * y, [(2, 3)]).unwrap(),
            [6]
        );
        let error = timed.map(|x: u64| 1 / x, [1, 0]).unwrap_err();
        assert!(error.is_panic() && error.item() == Some(1), "{error}");
        let start = Instant::now();
        let timed = pool.deadline(ENOUGH).unwrap();
        let view = timed.chunk_size(1).unwrap();
        let error = view.map(nap, [1, 1, LONG, LONG, LONG]).unwrap_err();
        assert!(start.elapsed() < MUCH, "{:?}", start.elapsed());
        assert!(
            error.is_timeout() && error.to_string().contains("2 of 5 items"),
            "{error}"
        );
        assert_goes_on(&pool);
        assert!(
            pool.deadline(Duration::ZERO)
                .unwrap_err()
                .is_invalid_input()
        );
        // Many more items than lie ahead.
        let error = pool
            .deadline(SOON)
            .unwrap()
            .chunk_size(1)
            .unwrap()
            .map(nap, vec![50; 10_000])
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let results: Vec<_> = timed.imap(nap, [1, 2, LONG, 3]).collect();
        assert_eq!(results[..2], [Ok(1), Ok(2)]);
        assert!(results.len() == 3 && results[2].as_ref().unwrap_err().is_timeout());
        // What ran is stopped.
        assert_goes_on(&pool);
        let mixed: Vec<_> = timed.imap_unordered(nap, 0..).collect();
        assert!(mixed.last().unwrap().as_ref().unwrap_err().is_timeout());
        let handles = [LONG, 1].map(|ms| pool.submit(nap, ms));
        let ended: Vec<_> = as_completed(handles).deadline(ENOUGH).collect();
        assert_eq!(ended[0], (1, Ok(1)));
        assert!(ended[1].1.as_ref().unwrap_err().is_timeout());
        // What was given up is stopped.
        assert_eq!(ids(&pool).len(), 2);
        let maps = [vec![1], vec![LONG; 50]].map(|items| pool.map_async(nap, items));
        assert_eq!(as_completed(maps).next(), Some((0, Ok(vec![1]))));
        assert_eq!(ids(&pool).len(), 2);
    });
}

#[test]
fn a_map_that_is_a_handle() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let squares = pool.map_async(|x: u64| x * x, 0..1000);
        let sums = pool.starmap_async(|x: u64, y: u64| x + y, [(1, 2), (3, 4)]);
        assert_eq!(sums.join().unwrap(), [3, 7]);
        assert_eq!(
            squares.join().unwrap(),
            (0..1000).map(|x| x * x).collect::<Vec<_>>()
        );
        assert_eq!(pool.map_async(nap, []).join().unwrap(), []);
        let view = pool.chunk_size(1).unwrap();
        let handles = [view.map_async(nap, [2000, 1]), view.map_async(nap, [1])];
        let order: Vec<_> = as_completed(handles).collect();
        assert_eq!(order, [(1, Ok(vec![1])), (0, Ok(vec![2000, 1]))]);
        let error = view
            .map_async(|x: u64| 6 / x, [3, 2, 0, 1])
            .join()
            .unwrap_err();
        assert!(error.is_panic() && error.item() == Some(2), "{error}");
        let map = view.map_async(nap, vec![LONG; 100]);
        assert!(soon(|| map.is_running()));
        assert!(map.cancel() && !map.cancel() && map.is_cancelled());
        assert!(map.join().unwrap_err().is_cancelled());
        // Those that ran are stopped.
        assert_eq!(ids(&pool).len(), 2);
        let map = view.map_async(|x: u64| nap(LONG / x), [LONG, 1, 0, 1, 1]);
        let error = map.join().unwrap_err();
        assert!(error.is_panic() && error.item() == Some(2), "{error}");
        assert_eq!(ids(&pool).len(), 2);
        let map = view.map_async(nap, vec![LONG; 100]);
        assert!(soon(|| map.is_running()));
        drop(pool);
        assert!(map.join().unwrap_err().is_cancelled());
    });
}

/// Counts how often it is made out of bytes in a process.
#[derive(Debug, PartialEq)]
struct Counted(Vec<u64>);

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Counted, D::Error> {
        READ.set(READ.get() + 1);
        Vec::deserialize(from).map(Counted)
    }
}

#[test]
fn a_value_goes_along_once_for_each_worker() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        // Larger than what goes through a socket.
        let with = pool.with(Counted((0..100_000).collect()));
        let find = |table: &Counted, x: usize| (table.0[x], process::id(), READ.get());
        for _ in 0..3 {
            let view = with.chunk_size(1).unwrap();
            for (x, (found, _, read)) in view.map(find, 0..100).unwrap().into_iter().enumerate() {
                assert_eq!((found, read), (x as u64, 1));
            }
        }
        let sums = with.starmap(|t: &Counted, x: usize, y: usize| t.0[x] + t.0[y], [(1, 2)]);
        assert_eq!(sums, Ok(vec![3]));
        assert_eq!(with.imap(find, [7]).next().unwrap().unwrap().0, 7);
        assert_eq!(with.imap_unordered(find, [8]).next().unwrap().unwrap().0, 8);
        assert_eq!(with.map_async(find, [9]).join().unwrap()[0].0, 9);
        let sums = with.starmap_async(|t: &Counted, x: usize, y: usize| t.0[x] + t.0[y], [(1, 2)]);
        assert_eq!(sums.join(), Ok(vec![3]));
        let timed = with.deadline(ENOUGH).unwrap();
        assert_eq!(timed.map(find, [1]).unwrap()[0].0, 1);
        let nap_of = |table: &Counted, x: usize| nap(table.0[x] * 1000);
        assert!(timed.map(nap_of, [0, 60]).unwrap_err().is_timeout());
        // Workers that took the place of others get it as well; a task outlives the view.
        let handle = with.submit(find, 5);
        drop(with);
        assert_eq!(handle.join().unwrap().0, 5);
        assert_goes_on(&pool);
        // Two at a time, of two types.
        let (one, two) = (pool.with(2u64), pool.with("word".to_owned()));
        assert_eq!(one.map(|n, x: u64| n * x, [3, 4]).unwrap(), [6, 8]);
        assert_eq!(
            two.map(|word, n: usize| word.repeat(n), [2]).unwrap(),
            ["wordword"]
        );
        assert_eq!(one.map(|n, x: u64| n + x, [3]).unwrap(), [5]);
    });
}

#[test]
fn workers_forget_a_value_that_nobody_needs() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let id = *ids(&pool).first().unwrap();
        let memory = || {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("RssAnon:"))
                .unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                / 1024
        };
        let before = memory();
        let with = pool.with(vec![1.5f64; 10_000_000]);
        assert_eq!(with.map(|all, x: usize| all[x], [3]).unwrap(), [1.5]);
        assert!(memory() > before + 60, "{} after {before} MB", memory());
        drop(with);
        assert!(
            soon(|| memory() < before + 40),
            "{} after {before} MB",
            memory()
        );
        let array = SharedArray::from_slice(&[1.0, 2.0, 3.0]).unwrap();
        let with = pool.with(array.slice(0..3));
        let sum = |all: &SharedSlice<f64>, x: usize| all[x] + all[0];
        assert_eq!(with.map(sum, [2, 1]).unwrap(), [4.0, 3.0]);
    });
}

/// A value that makes trouble on its way.
struct Trouble(u8);

impl Serialize for Trouble {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => Err(serde::ser::Error::custom("cannot be written")),
            kind => kind.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Trouble {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Trouble, D::Error> {
        match u8::deserialize(from)? {
            1 => Err(serde::de::Error::custom("cannot be read")),
            2 => panic!("reading panics"),
            kind => Ok(Trouble(kind)),
        }
    }
}

#[test]
fn a_value_that_cannot_go_along_is_an_error_of_the_call() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let work = |trouble: &Trouble, x: u8| trouble.0 + x;
        for kind in 0..3 {
            let with = pool.with(Trouble(kind));
            let error = with.map(work, [1, 2]).unwrap_err();
            assert!(
                error.is_not_sent() && error.to_string().contains("Trouble"),
                "{error}"
            );
            assert!(with.submit(work, 1).join().unwrap_err().is_not_sent());
            let all: Vec<_> = with.imap(work, [1, 2]).collect();
            assert!(all.len() == 2 && all.iter().all(Result::is_err), "{all:?}");
            assert!(with.map_async(work, [1]).join().unwrap_err().is_not_sent());
        }
        assert_eq!(pool.with(Trouble(3)).map(work, [1, 2]), Ok(vec![4, 5]));
        assert_goes_on(&pool);
    });
}

#[test]
fn a_handle_can_be_looked_at() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let running = pool.submit(nap, 2000);
        let waiting = pool.submit(nap, LONG);
        assert!(soon(|| running.is_running()));
        assert_eq!(format!("{running:?}"), "JoinHandle(running)");
        assert!(waiting.cancel());
        assert_eq!(format!("{waiting:?}"), "JoinHandle(cancelled)");
        let failed = pool.submit(|x: u64| 1 / x, 0);
        assert!(soon(|| failed.is_finished()));
        assert!(format!("{failed:?}").starts_with("JoinHandle(failed: the task panicked"));
        assert!(failed.error().unwrap().is_panic() && waiting.is_cancelled());
        assert_eq!(format!("{running:?}"), "JoinHandle(finished)");
        assert_eq!(running.join(), Ok(2000));
    });
}

#[test]
fn a_list_without_end_is_told_at_once() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let of = |x: u64| x;
        let errors = [
            pool.map(of, 0..).unwrap_err(),
            pool.map(of, 0..u64::MAX).unwrap_err(),
            pool.starmap(|x: u64, y: u64| x + y, (0..).zip(0..))
                .unwrap_err(),
            pool.chunk_size(1).unwrap().map(of, 0..).unwrap_err(),
            pool.with(1u64).map(|n, x: u64| n + x, 0..).unwrap_err(),
            pool.map_async(of, 0..).join().unwrap_err(),
        ];
        for error in errors {
            assert!(
                error.is_invalid_input() && error.to_string().contains("`imap`"),
                "{error}"
            );
        }
    });
}
