//! What `Pool::map` costs over rayon's own `par_iter` on the same number of threads, and what a
//! recording of a timeline adds to it.

mod compare;

use std::hint::black_box;
use std::time::{Duration, Instant};

use compare::{in_turns, median, quartiles, ratios};
use helpers::prelude::*;
use rayon::prelude::*;

/// Work of about `steps` processor cycles times four, which the optimiser cannot shorten.
fn spin(seed: u64, steps: u64) -> u64 {
    (0..steps).fold(seed, |x, _| {
        black_box(x.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1)
    })
}

/// The steps that take about `wanted` on this machine.
fn steps_for(wanted: Duration) -> u64 {
    const TRIAL: u64 = 10_000_000;
    let start = Instant::now();
    black_box(spin(1, TRIAL));
    (wanted.as_secs_f64() / start.elapsed().as_secs_f64() * TRIAL as f64) as u64
}

fn main() {
    let workers = environment().cores;
    let pool = Pool::new(workers).expect("the pool starts");
    against_rayon(workers, &pool);
    recorded(workers, &pool);
}

fn against_rayon(workers: usize, pool: &Pool) {
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .build()
        .expect("rayon starts");
    println!("Pool::map and rayon's par_iter, {workers} workers each");
    println!(
        "{:>8} {:>9} {:>12} {:>12} {:>8}  {:<17} extra an item",
        "a task", "items", "Pool::map", "par_iter", "ratio", "quartiles"
    );
    for (name, wanted, count) in [
        ("~1 ns", 0, 2_000_000u64),
        ("100 ns", 100, 200_000),
        ("1 µs", 1_000, 20_000),
        ("10 µs", 10_000, 4_000),
        ("100 µs", 100_000, 400),
    ] {
        let steps = steps_for(Duration::from_nanos(wanted));
        let items: Vec<u64> = (0..count).collect();
        let [ours, theirs] = in_turns(
            Duration::from_secs(3),
            [
                &mut || drop(black_box(pool.map(|&x| spin(x, steps), &items))),
                &mut || {
                    let results: Vec<u64> =
                        rayon.install(|| items.par_iter().map(|&x| spin(x, steps)).collect());
                    drop(black_box(results));
                },
            ],
        );
        let ratios = ratios(&ours, &theirs);
        let (low, high) = quartiles(&ratios);
        let extra = (median(&ours) - median(&theirs)) / count as f64 * 1e9;
        println!(
            "{name:>8} {count:>9} {:>9.3} ms {:>9.3} ms {:>8.3}  {low:.3} to {high:.3}    {extra:+.1} ns",
            median(&ours) * 1e3,
            median(&theirs) * 1e3,
            median(&ratios),
        );
    }
}

/// Chunks of one item are the worst case: each item is a task of its own in the timeline.
fn recorded(workers: usize, pool: &Pool) {
    println!("\nPool::map with chunks of 1, recorded and not, {workers} workers each");
    println!(
        "{:>8} {:>9} {:>12} {:>12} {:>8}  {:<17} extra a task",
        "a task", "items", "recorded", "not", "ratio", "quartiles"
    );
    for (name, wanted, count) in [
        ("1 µs", 1_000, 20_000u64),
        ("10 µs", 10_000, 4_000),
        ("100 µs", 100_000, 400),
    ] {
        let steps = steps_for(Duration::from_nanos(wanted));
        let items: Vec<u64> = (0..count).collect();
        let map = || {
            let view = pool.chunk_size(1).expect("1 is a size");
            black_box(view.map(|&x| spin(x, steps), &items))
        };
        let [on, off] = in_turns(
            Duration::from_secs(3),
            [&mut || drop(Timeline::record(map)), &mut || drop(map())],
        );
        let ratios = ratios(&on, &off);
        let (low, high) = quartiles(&ratios);
        // The workers share the tasks, and each has to record its own.
        let extra = (median(&on) - median(&off)) / count as f64 * workers as f64 * 1e9;
        println!(
            "{name:>8} {count:>9} {:>9.3} ms {:>9.3} ms {:>8.3}  {low:.3} to {high:.3}    {extra:+.1} ns",
            median(&on) * 1e3,
            median(&off) * 1e3,
            median(&ratios),
        );
    }
}
