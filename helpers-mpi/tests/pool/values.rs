//! Values of all sizes travel, there and back.

use helpers::prelude::*;
use helpers_mpi::prelude::*;

use crate::common::guarded;

#[test]
fn arrays_of_all_sizes_arrive_as_they_are() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        // Around what fits into one message, and what several libraries send at once.
        let mut lengths = vec![
            0, 1, 511, 512, 513, 4000, 4096, 4100, 8192, 100_000, 1_250_000,
        ];
        lengths.extend(4060..4100);
        for len in lengths {
            let numbers: Vec<f64> = (0..len).map(|n| n as f64).collect();
            let double = |numbers: Vec<f64>| numbers.iter().map(|x| 2.0 * x).collect::<Vec<_>>();
            let doubled = pool.map(double, [numbers.clone()]).unwrap();
            assert_eq!(doubled[0].len(), len);
            assert!(doubled[0].iter().zip(&numbers).all(|(d, x)| *d == 2.0 * x));
        }
    });
}

#[test]
fn many_large_arrays_are_under_way_at_once() {
    guarded(|| {
        let pool = MpiPool::new(3).unwrap();
        let arrays = (0..24).map(|n| vec![n as u64; 500_000]);
        let results = pool
            .chunk_size(1)
            .unwrap()
            .map(|array: Vec<u64>| (array[0], array), arrays)
            .unwrap();
        for (n, (first, array)) in results.iter().enumerate() {
            assert_eq!((*first, array.len()), (n as u64, 500_000));
            assert!(array.iter().all(|&x| x == n as u64));
        }
    });
}

#[test]
fn small_questions_with_large_answers_and_the_other_way_round() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let grow = |len: usize| vec![7u8; len];
        let grown = pool.map(grow, [1 << 24, 3, 1 << 22]).unwrap();
        let lengths: Vec<usize> = grown.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1 << 24, 3, 1 << 22]);
        assert!(grown.iter().flatten().all(|&byte| byte == 7));
        let sum = |bytes: Vec<u8>| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        assert_eq!(
            pool.map(sum, [vec![1; 1 << 24], vec![2; 10]]),
            Ok(vec![1 << 24, 20])
        );
    });
}

#[test]
fn what_cannot_travel_is_an_error_that_says_so() {
    guarded(|| {
        let pool = MpiPool::new(1).unwrap();
        let array = SharedArray::from_slice(&[1.0f64, 2.0, 3.0]).unwrap();
        let sum = |slice: SharedSlice<'_, f64>| slice.iter().sum::<f64>();
        let error = pool.map(sum, [array.slice(0..3)]).unwrap_err();
        assert!(
            error.is_not_sent() && error.to_string().contains("SharedArray"),
            "{error}"
        );
        let bad = |()| std::path::PathBuf::from("a").join(not_unicode());
        let error = pool.submit(bad, ()).join().unwrap_err();
        assert!(error.is_not_sent(), "{error}");
    });
}

fn not_unicode() -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(vec![0xff])
}
