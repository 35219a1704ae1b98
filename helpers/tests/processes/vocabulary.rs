//! The calls of a process pool, when all goes well.

use std::process;

use helpers::prelude::*;

use crate::common::ids;
use crate::flag::{Flag, until};

fn square(x: u64) -> u64 {
    x * x
}

#[test]
fn map_keeps_the_order() {
    let pool = ProcessPool::new(3).unwrap();
    let squares: Vec<u64> = (0..1000).map(square).collect();
    assert_eq!(pool.map(square, 0..1000).unwrap(), squares);
    assert_eq!(
        pool.chunk_size(1).unwrap().map(square, 0..1000).unwrap(),
        squares
    );
    assert_eq!(pool.map(|x: u64| x * x, 0..1000).unwrap(), squares);
    assert_eq!(pool.map(square, []).unwrap(), []);
}

#[test]
fn starmap_unpacks() {
    let pool = ProcessPool::new(2).unwrap();
    let words = pool
        .starmap(
            |word: String, times: usize| word.repeat(times),
            [("a".to_owned(), 2), ("b".to_owned(), 3)],
        )
        .unwrap();
    assert_eq!(words, ["aa", "bbb"]);
}

#[test]
fn workers_are_other_processes() {
    let pool = ProcessPool::new(2).unwrap();
    // Asks until both have worked.
    let ids = ids(&pool);
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&process::id()));
}

#[test]
fn submit_gives_handles() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..20).map(|x| pool.submit(square, x)).collect();
    for (x, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), (x * x) as u64);
    }
    let flags = [0, 1, 2].map(|place| Flag::new(&format!("submit-{place}")));
    let handles: Vec<_> = flags.iter().map(|f| pool.submit(until, f.path())).collect();
    let mut order = as_completed(handles);
    for place in [1, 2, 0] {
        flags[place].raise();
        assert_eq!(order.next(), Some((place, Ok(()))));
    }
}

#[test]
fn imap_gives_results_one_by_one() {
    let pool = ProcessPool::new(2).unwrap();
    let squares: Vec<u64> = pool.imap(square, 0..50).map(Result::unwrap).collect();
    assert_eq!(squares, (0..50).map(square).collect::<Vec<_>>());
    let mut squares: Vec<u64> = pool
        .imap_unordered(square, 0..50)
        .map(Result::unwrap)
        .collect();
    squares.sort_unstable();
    assert_eq!(squares, (0..50).map(square).collect::<Vec<_>>());
}

#[test]
fn shared_arrays() {
    let pool = ProcessPool::new(2).unwrap();
    let mut numbers = SharedArray::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    pool.map(
        |mut part: SharedSliceMut<f64>| part.iter_mut().for_each(|x| *x *= 2.0),
        numbers.chunks_mut(2),
    )
    .unwrap();
    assert_eq!(numbers[..], [2.0, 4.0, 6.0, 8.0, 10.0]);
    let sums = pool
        .map(
            |part: SharedSlice<f64>| part.iter().sum::<f64>(),
            numbers.chunks(2),
        )
        .unwrap();
    assert_eq!(sums, [6.0, 14.0, 10.0]);
}
