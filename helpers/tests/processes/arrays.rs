//! Shared arrays: what may be done with them, what may not, and that their memory is given back.

use std::process;

use helpers::prelude::*;
use serde::{Serialize, Serializer};

use crate::common::{assert_goes_on, guarded, ids, mapped_memory, soon};

#[test]
fn parts_are_written_and_the_whole_is_read() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let mut numbers = SharedArray::<u32>::zeros(100_000).unwrap();
        let fill = |mut part: SharedSliceMut<u32>, value: u32| part.fill(value);
        for round in 1..4 {
            pool.starmap(fill, numbers.chunks_mut(7_000).zip(round..))
                .unwrap();
            let wanted = |place: usize| round + (place / 7_000) as u32;
            assert!(
                numbers
                    .iter()
                    .enumerate()
                    .all(|(place, &x)| x == wanted(place))
            );
            let sum = |part: SharedSlice<u32>| part.iter().map(|&x| u64::from(x)).sum::<u64>();
            let sums = pool.map(sum, vec![numbers.slice(0..100_000); 3]).unwrap();
            let all: u64 = numbers.iter().map(|&x| u64::from(x)).sum();
            assert_eq!(sums, [all; 3]);
        }
        pool.starmap(fill, [(numbers.slice_mut(99_999..100_000), 77)])
            .unwrap();
        assert_eq!(numbers[99_999], 77);
    });
}

#[test]
fn arrays_of_no_elements() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let mut none = SharedArray::<f64>::from_slice(&[]).unwrap();
        assert_eq!(none.len(), 0);
        let len = |part: SharedSlice<f64>| part.len();
        assert_eq!(pool.map(len, [none.slice(0..0)]), Ok(vec![0]));
        assert_eq!(pool.map(len, none.chunks(3)), Ok(vec![]));
        let len = |part: SharedSliceMut<f64>| part.len();
        assert_eq!(pool.map(len, [none.slice_mut(0..0)]), Ok(vec![0]));
        let some = SharedArray::<f64>::zeros(4).unwrap();
        assert_eq!(
            pool.map(|part: SharedSlice<f64>| part.len(), [some.slice(4..4)]),
            Ok(vec![0])
        );
        let error = SharedArray::<u128>::zeros(usize::MAX / 8).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
    });
}

#[test]
fn a_slice_is_no_result() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let array = SharedArray::<u8>::zeros(4).unwrap();
        let array: &'static SharedArray<u8> = Box::leak(Box::new(array));
        let error = pool.map(|part: SharedSlice<'static, u8>| part, [array.slice(0..4)]);
        let error = error.map(|_| ()).unwrap_err();
        assert!(error.is_not_sent() && error.item() == Some(0), "{error}");
        assert!(
            error.to_string().contains("can only be an argument"),
            "{error}"
        );
        assert_goes_on(&pool);
    });
}

/// Sends what it holds twice.
struct Twice<'a>(SharedSliceMut<'a, u8>);

impl Serialize for Twice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, &self.0).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Twice<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SharedSliceMut::deserialize(deserializer).map(Twice)
    }
}

#[test]
fn a_part_that_is_written_is_sent_once() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let mut array = SharedArray::<u8>::zeros(4).unwrap();
        let error = pool.map(|part: Twice| part.0.len(), [Twice(array.slice_mut(0..4))]);
        let error = error.unwrap_err();
        assert!(error.is_not_sent() && error.item() == Some(0), "{error}");
        assert!(error.to_string().contains("sent before"), "{error}");
        assert_goes_on(&pool);
    });
}

#[test]
fn as_many_arrays_as_one_task_can_have() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let arrays: Vec<_> = (0..300u16)
            .map(|x| SharedArray::from_slice(&[x]).unwrap())
            .collect();
        let sum = |parts: Vec<SharedSlice<u16>>| parts.iter().map(|part| part[0]).sum::<u16>();
        let parts = |count: usize| arrays.iter().map(|array| array.slice(0..1)).take(count);
        assert_eq!(
            pool.map(sum, [parts(250).collect()]),
            Ok(vec![(0..250).sum()])
        );
        // Many parts of one array are one array.
        let many: Vec<_> = vec![arrays[1].slice(0..1); 1000];
        assert_eq!(pool.map(sum, [many]), Ok(vec![1000]));
        let error = pool.map(sum, [parts(251).collect()]).unwrap_err();
        assert!(error.is_not_sent() && error.item() == Some(0), "{error}");
        assert!(error.to_string().contains("more than 250"), "{error}");
        assert_goes_on(&pool);
        // What counts is the chunk.
        let first = |part: SharedSlice<u16>| part[0];
        let view = pool.chunk_size(300).unwrap();
        let error = view.map(first, parts(300)).unwrap_err();
        assert_eq!(error.item(), Some(250), "{error}");
        let view = pool.chunk_size(100).unwrap();
        assert_eq!(view.map(first, parts(300)), Ok((0..300).collect()));
    });
}

#[test]
fn arrays_of_another_type() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let array = SharedArray::<u8>::zeros(4096).unwrap();
        #[derive(Serialize)]
        struct Wide<'a>(SharedSlice<'a, u8>);
        impl<'de> serde::Deserialize<'de> for Wide<'_> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // More elements of eight bytes than the array has bytes.
                SharedSlice::<u64>::deserialize(deserializer).map(|_| unreachable!("it fits"))
            }
        }
        let error = pool
            .map(|wide: Wide| wide.0.len(), [Wide(array.slice(0..4096))])
            .unwrap_err();
        assert_eq!(error.item(), Some(0), "{error}");
        assert_goes_on(&pool);
    });
}

/// The shared memory in use on this machine, in bytes.
fn shared_memory() -> usize {
    let about = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = about
        .lines()
        .find(|line| line.starts_with("Shmem:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[test]
fn the_memory_of_arrays_is_given_back() {
    guarded(|| {
        const BYTES: usize = 200 << 20;
        let pool = ProcessPool::new(1).unwrap();
        let before = shared_memory();
        let mut array = SharedArray::<u8>::zeros(BYTES).unwrap();
        pool.map(
            |mut part: SharedSliceMut<u8>| part.fill(1),
            array.chunks_mut(BYTES),
        )
        .unwrap();
        assert!(shared_memory() > before + BYTES / 2);
        drop(array);
        assert!(soon(|| shared_memory() < before + BYTES / 2));
        let worker = ids(&pool).first().unwrap().to_string();
        let mapped = mapped_memory(&worker);
        for _ in 0..20 {
            let array = SharedArray::<u8>::zeros(10).unwrap();
            pool.map(|part: SharedSlice<u8>| part.len(), array.chunks(5))
                .unwrap();
        }
        assert!(
            mapped_memory(&worker) <= mapped + 1,
            "{}",
            mapped_memory(&worker)
        );
        assert_goes_on(&pool);
    });
}

#[test]
fn an_array_survives_its_workers() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let mut array = SharedArray::<u64>::zeros(8).unwrap();
        let task = |mut part: SharedSliceMut<u64>| {
            part[0] = 7;
            if part.len() == 3 {
                process::abort();
            }
        };
        let parts = vec![array.slice_mut(0..3)];
        assert!(pool.map(task, parts).unwrap_err().is_worker_lost());
        assert_eq!(array[..4], [7, 0, 0, 0]);
        pool.map(task, array.chunks_mut(2)).unwrap();
        assert_eq!(array[..], [7, 0, 7, 0, 7, 0, 7, 0]);
    });
}

#[test]
fn a_part_that_is_written_does_not_go_on_to_another_pool() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let mut array = SharedArray::<u64>::zeros(2).unwrap();
        let task = |part: SharedSliceMut<u64>| -> Result<Vec<()>, String> {
            let inner = ProcessPool::new(1).map_err(|error| error.to_string())?;
            let write = |mut part: SharedSliceMut<u64>| part.fill(1);
            inner.map(write, [part]).map_err(|error| error.to_string())
        };
        let results = pool.map(task, array.chunks_mut(2)).unwrap();
        let error = results[0].as_ref().unwrap_err();
        assert!(error.contains("one task only may write"), "{error}");
        assert_eq!(array[..], [0, 0]);
    });
}

#[test]
fn a_pool_in_a_worker_reads_the_array() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let array = SharedArray::<u64>::from_slice(&[1, 2, 3, 4]).unwrap();
        let task = |part: SharedSlice<u64>| -> Result<Vec<u64>, String> {
            let inner = ProcessPool::new(1).map_err(|error| error.to_string())?;
            let sum = |part: SharedSlice<u64>| part.iter().sum();
            inner
                .map(sum, [part, part])
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            pool.map(task, array.chunks(2)),
            Ok(vec![Ok(vec![3, 3]), Ok(vec![7, 7])])
        );
    });
}
