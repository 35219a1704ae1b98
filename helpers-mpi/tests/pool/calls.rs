//! Calls for all tasks at once: waiting for them, deadlines, maps that are handles, values that go
//! along, and handles that are looked at.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use helpers_mpi::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::{AT_ONCE, as_rank_0, assert_goes_on, guarded, soon};

const SOON: Duration = Duration::from_millis(300);
const LONG: u64 = 60_000;

fn nap(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms));
    ms
}

#[test]
fn wait_all_waits_for_what_was_submitted() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        pool.wait_all().unwrap();
        let handles: Vec<_> = (0..5).map(|_| pool.submit(nap, 20)).collect();
        let map = pool.map_async(nap, [1, 2, 30]);
        pool.wait_all().unwrap();
        assert!(handles.iter().all(JoinHandle::is_finished) && map.is_finished());
        let slow = pool.submit(nap, LONG);
        let error = pool.deadline(SOON).unwrap().wait_all().unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(soon(|| slow.is_running()) && format!("{slow:?}") == "JoinHandle(running)");
        drop(pool);
        assert!(slow.is_cancelled() && slow.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_deadline_ends_a_whole_map_and_stops_what_runs() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let enough = pool.deadline(Duration::from_secs(60)).unwrap();
        assert_eq!(enough.map(nap, [3, 1, 2]).unwrap(), [3, 1, 2]);
        let timed = pool.deadline(SOON).unwrap().chunk_size(1).unwrap();
        let start = Instant::now();
        let error = timed.map(nap, [1, 1, LONG, LONG, LONG]).unwrap_err();
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        assert!(
            error.is_timeout() && error.to_string().contains("of 5 items"),
            "{error}"
        );
        assert_goes_on(&pool);
        let results: Vec<_> = timed.imap(nap, [1, 2, LONG, 3]).collect();
        // On a busy machine not even the first ones may be there in time.
        let (last, before) = results.split_last().unwrap();
        assert!(last.as_ref().unwrap_err().is_timeout() && before.len() <= 2);
        assert_eq!(before, &[Ok(1), Ok(2)][..before.len()]);
    });
}

#[test]
fn a_map_that_is_a_handle() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let squares = pool.map_async(|x: u64| x * x, 0..1000);
        let sums = pool.starmap_async(|x: u64, y: u64| x + y, [(1, 2), (3, 4)]);
        assert_eq!(sums.join().unwrap(), [3, 7]);
        assert_eq!(
            squares.join().unwrap(),
            (0..1000).map(|x| x * x).collect::<Vec<_>>()
        );
        let map = pool.map_async(nap, vec![LONG; 100]);
        assert!(soon(|| map.is_running()));
        assert!(map.cancel() && map.is_cancelled());
        assert_goes_on(&pool);
    });
}

/// Counts how often it is made out of bytes in a process.
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

fn a_value_goes_along(pool: &MpiPool) {
    let with = pool.with(Counted((0..100_000).collect()));
    let find = |table: &Counted, x: usize| (table.0[x], READ.get());
    for _ in 0..3 {
        let found = with.chunk_size(1).unwrap().map(find, 0..50).unwrap();
        for (x, found) in found.into_iter().enumerate() {
            assert_eq!(found, (x as u64, 1));
        }
    }
    let sums = with.starmap(|t: &Counted, x: usize, y: usize| t.0[x] + t.0[y], [(1, 2)]);
    assert_eq!(sums, Ok(vec![3]));
    let handle = with.submit(find, 5);
    drop(with);
    assert_eq!(handle.join(), Ok((5, 1)));
    let found = pool.with(2u64).map(|n, x: u64| n * x, 0..10).unwrap();
    assert_eq!(found, (0..10).map(|x| 2 * x).collect::<Vec<_>>());
}

#[test]
fn a_value_goes_along_once_for_each_rank() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        a_value_goes_along(&pool);
        let array = SharedArray::from_slice(&[1.0, 2.0]).unwrap();
        let with = pool.with(array.slice(0..2));
        let error = with
            .map(|all: &SharedSlice<f64>, x: usize| all[x], [1])
            .unwrap_err();
        assert!(error.is_not_sent(), "{error}");
        assert_goes_on(&pool);
        let error = pool.map(|x: u64| x, 0..).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
    });
}

#[test]
fn a_value_goes_along_where_mpiexec_has_started_the_ranks() {
    as_rank_0(3, "calls::on_rank_0");
}

#[test]
#[ignore = "runs on rank 0 of a job"]
fn on_rank_0() {
    let pool = MpiPool::new(2).unwrap();
    a_value_goes_along(&pool);
    assert_eq!(pool.map_async(nap, [1, 2]).join(), Ok(vec![1, 2]));
    pool.wait_all().unwrap();
}
