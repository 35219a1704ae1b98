use helpers::prelude::*;
use ndarray::{Array1, Array2, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;
use rand::{Rng, SeedableRng, rngs::SmallRng};

fn numbers(count: usize) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(7);
    (0..count).map(|_| rng.random_range(-24.5..72.4)).collect()
}

/// Neumaier's compensated sum: more exact than any of the sums that it judges.
fn exact(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for &value in values {
        let new = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - new) + value
        } else {
            (value - new) + sum
        };
        sum = new;
    }
    sum + lost
}

#[test]
fn the_same_bits_for_any_number_of_workers() {
    let values = numbers(1_234_567);
    let expected = par_sum(&values);
    for workers in 1..=16 {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .build()
            .unwrap();
        let sum = pool.install(|| par_sum(&values));
        assert_eq!(sum.to_bits(), expected.to_bits(), "{workers} workers");
    }
    let pool = Pool::new(3).unwrap();
    let sums = pool.map(|_| par_sum(&values), 0..3);
    assert!(sums.iter().all(|sum| sum.to_bits() == expected.to_bits()));
}

#[test]
fn as_accurate_as_pairwise_summation() {
    for count in [1, 31, 1023, 1025, 100_000, 2_000_001] {
        let values = numbers(count);
        let size: f64 = values.iter().map(|v| v.abs()).sum();
        // Higham's bound: unit roundoff × additions on the longest path × Σ|x|. The path is a
        // leaf's strand (1024 / 32), its tree (5), and the tree of leaves.
        let path = 32.0 + 5.0 + (count as f64 / 1024.0).log2().max(0.0).ceil() + 1.0;
        let bound = path * f64::EPSILON / 2.0 * size;
        let error = (par_sum(&values) - exact(&values)).abs();
        assert!(error <= bound, "{count}: {error} > {bound}");
    }
}

#[test]
fn a_hard_sum_is_better_than_one_after_the_other() {
    let values = vec![0.1f32; 10_000_000];
    let serial: f32 = values.iter().sum();
    let exact = 0.1f32 as f64 * 1e7;
    assert!(
        (f64::from(serial) - exact).abs() / exact > 0.01,
        "the trap is real"
    );
    assert!((f64::from(par_sum(&values)) - exact).abs() / exact < 1e-6);
}

#[test]
fn takes_slices_vectors_arrays_and_views() {
    let array = Array1::range(0.0, 10.0, 1.0);
    assert_eq!(par_sum(&array), 45.0);
    assert_eq!(par_sum(array.as_slice().unwrap()), 45.0);
    assert_eq!(par_sum(&array.to_vec()), 45.0);
    assert_eq!(par_sum(array.view()), 45.0);
    assert_eq!(par_sum(&array.slice(s![..;3])), 18.0, "0 + 3 + 6 + 9");
    assert_eq!(par_sum(&array.slice(s![..;-1])), 45.0);
    let table = Array2::from_shape_vec((2, 3), vec![1.0f32, 2., 3., 4., 5., 6.]).unwrap();
    assert_eq!(par_sum(table.column(1)), 7.0);
    assert_eq!(par_sum(&[0.5f32; 3]), 1.5);
}

#[test]
fn infinities_and_nan_pass_through() {
    assert_eq!(par_sum(&[1.0, f64::INFINITY]), f64::INFINITY);
    assert!(par_sum(&[1.0, f64::NAN]).is_nan());
}

#[test]
fn map_reduce_cuts_the_list_into_one_part_a_worker() {
    let pool = Pool::new(4).unwrap();
    let values: Vec<u32> = (0..10).collect();
    let parts = map_reduce(
        &pool,
        &values,
        |part| vec![part.to_vec()],
        |mut left, right| {
            left.extend(right);
            left
        },
    )
    .unwrap();
    assert_eq!(
        parts,
        [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7], vec![8, 9]]
    );
}

#[test]
fn map_reduce_sums_an_array() {
    let pool = Pool::new(4).unwrap();
    let values = Array1::random(100_000, Uniform::new(-24.5, 72.4).unwrap());
    let sum = map_reduce(
        &pool,
        values.as_slice().unwrap(),
        |part| part.iter().sum::<f64>(),
        |a, b| a + b,
    );
    assert!((sum.unwrap() - values.sum()).abs() < 1e-6);
}
