//! How close `par_sum` comes to merely reading the array.

mod compare;

use std::hint::black_box;
use std::time::Duration;

use compare::{in_turns, median, quartiles, ratios};
use helpers::prelude::*;
use rayon::prelude::*;

/// Reads every value and does the least with it: one exclusive-or of its bits.
fn read(values: &[f64]) -> u64 {
    values.iter().fold(0, |bits, value| bits ^ value.to_bits())
}

fn main() {
    let threads = rayon::current_num_threads();
    println!("par_sum, a plain parallel read, and serial sums of f64, {threads} threads");
    println!(
        "{:>12} {:>10} {:>10} {:>10} {:>10} {:>10}  par_sum's bandwidth / read's (quartiles)",
        "numbers", "par_sum", "read", "1 thread", "ndarray", "loop"
    );
    for count in [100_000usize, 2_000_000, 100_000_000] {
        let values = ndarray::Array1::from_iter((0..count).map(|i| (i % 1000) as f64 * 0.1));
        let slice = values.as_slice().expect("one piece of memory");
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a thread starts");
        let part = count.div_ceil(threads);
        let [ours, plain, single, ndarray, naive] = in_turns(
            Duration::from_secs(6),
            [
                &mut || {
                    black_box(par_sum(slice));
                },
                &mut || {
                    let bits = slice.par_chunks(part).map(read).reduce(|| 0, |a, b| a ^ b);
                    let _ = black_box(bits);
                },
                &mut || {
                    black_box(one.install(|| par_sum(slice)));
                },
                &mut || {
                    black_box(values.sum());
                },
                &mut || {
                    black_box(slice.iter().fold(0.0, |sum, value| sum + value));
                },
            ],
        );
        let gigabytes = |times: &[f64]| count as f64 * 8.0 / median(times) / 1e9;
        let ratios = ratios(&plain, &ours);
        let (low, high) = quartiles(&ratios);
        println!(
            "{count:>12} {:>6.1} GB/s {:>5.1} GB/s {:>5.1} GB/s {:>5.1} GB/s {:>5.1} GB/s  {:.2} ({low:.2} to {high:.2})",
            gigabytes(&ours),
            gigabytes(&plain),
            gigabytes(&single),
            gigabytes(&ndarray),
            gigabytes(&naive),
            median(&ratios),
        );
    }
}
