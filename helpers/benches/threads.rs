//! `Pool` and `par_sum`, and what they are held against in Rust: one measurement, named on the
//! command line with its workers and its size.
//!
//! `cargo xtask bench threads` lets it take turns with Python's pools:
//! `xtask/python/bench/peers/pools.py`.

mod repeat;
mod serve;

use std::hint::black_box;
use std::iter;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use rayon::prelude::*;
use repeat::seconds_for_each;
use serve::{Given, Measure, Result, SetUp};

/// The sleeps of the first lesson.
const SLEEPS: [u32; 6] = [3, 5, 10, 15, 17, 20];
/// Calls of which one after the other is measured.
const CALLS: usize = 1_000;
/// A sum of fewer numbers than this is repeated until it has added so many.
const NUMBERS: usize = 20_000_000;

const MEASUREMENTS: &[(&str, SetUp<String>)] = &[
    ("sleeps-pool", |given| {
        let pool = Pool::new(given.workers)?;
        sleeps(given, move |unit| Ok(pool.map(|n| rest(n, unit), SLEEPS)))
    }),
    ("sleeps-rayon", |given| {
        let pool = rayon_pool(given.workers)?;
        sleeps(given, move |unit| {
            let items = SLEEPS.into_par_iter();
            Ok(pool.install(|| items.map(|n| rest(n, unit)).collect()))
        })
    }),
    ("sleeps-processes", |given| {
        let pool = ProcessPool::new(given.workers)?;
        sleeps(given, move |unit| {
            Ok(pool.starmap(rest, SLEEPS.map(|n| (n, unit)))?)
        })
    }),
    ("round-trip-pool", |given| {
        let pool = Pool::new(given.workers)?;
        round_trip(move |x| Ok(pool.submit(add_one, x).join()?))
    }),
    ("round-trip-rayon", |given| {
        let pool = rayon_pool(given.workers)?;
        round_trip(move |x| Ok(pool.install(|| add_one(x))))
    }),
    ("tiny-pool", |given| {
        let pool = Pool::new(given.workers)?;
        tiny(given, move |items| Ok(pool.map(|&x| add_one(x), items)))
    }),
    ("tiny-rayon", |given| {
        let pool = rayon_pool(given.workers)?;
        tiny(given, move |items| {
            Ok(pool.install(|| items.par_iter().map(|&x| add_one(x)).collect()))
        })
    }),
    ("sum", sums),
];

fn main() -> ExitCode {
    helpers::init_process_pools();
    serve::end(serve::run(MEASUREMENTS))
}

fn rayon_pool(workers: usize) -> Result<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
    Ok(builder.build()?)
}

fn seconds_since(start: Instant) -> String {
    start.elapsed().as_secs_f64().to_string()
}

fn rest(units: u32, unit: Duration) -> u32 {
    sleep(unit * units);
    units
}

/// The six sleeps, whose unit is `given.size` milliseconds.
fn sleeps(
    given: Given,
    mut map: impl FnMut(Duration) -> Result<Vec<u32>> + 'static,
) -> Result<Measure<String>> {
    let unit = Duration::from_millis(given.size as u64);
    Ok(Box::new(move |_| {
        let start = Instant::now();
        let results = map(unit)?;
        let seconds = seconds_since(start);
        assert_eq!(results, SLEEPS);
        Ok(seconds)
    }))
}

fn add_one(x: u64) -> u64 {
    black_box(x) + 1
}

/// A task that does nothing, there and back.
fn round_trip(mut call: impl FnMut(u64) -> Result<u64> + 'static) -> Result<Measure<String>> {
    Ok(Box::new(move |_| {
        let (seconds, sum) =
            seconds_for_each(|| (0..CALLS as u64).map(&mut call).sum::<Result<u64>>())?;
        assert_eq!(sum, (1..=CALLS as u64).sum());
        Ok((seconds / CALLS as f64).to_string())
    }))
}

/// Items that cost nothing; the seconds are those of each.
fn tiny(
    given: Given,
    map: impl Fn(&[u64]) -> Result<Vec<u64>> + 'static,
) -> Result<Measure<String>> {
    let count = given.size as u64;
    let items: Vec<u64> = (0..count).collect();
    Ok(Box::new(move |_| {
        let (seconds, results) = seconds_for_each(|| map(&items))?;
        assert!(results.into_iter().eq(1..=count));
        Ok((seconds / count as f64).to_string())
    }))
}

/// Sums of one array, and the mere reading of it: the line of each turn says which.
fn sums(given: Given) -> Result<Measure<String>> {
    // Multiples of a half, so that their sum is exact in any order.
    let numbers: Vec<f64> = (0..given.size).map(|i| (i % 1000) as f64 * 0.5).collect();
    let expected: f64 = numbers.iter().sum();
    let ours = Pool::new(given.workers)?;
    let rayon = rayon_pool(given.workers)?;
    let part = given.size.div_ceil(given.workers);
    let times = NUMBERS.div_ceil(given.size).max(1);
    Ok(Box::new(move |who| {
        let values = black_box(&numbers[..]);
        let sum = || match who {
            "par_sum" => rayon.install(|| par_sum(values)),
            "map_reduce" => map_reduce(&ours, values, serial_sum, |a, b| a + b).unwrap_or(0.0),
            "rayon" => rayon.install(|| values.par_iter().sum()),
            "serial" => serial_sum(values),
            // Reading gives no sum.
            "read" => {
                let bits = rayon.install(|| values.par_chunks(part).map(read).reduce(|| 0, xor));
                let _: u64 = black_box(bits);
                expected
            }
            _ => f64::NAN,
        };
        let start = Instant::now();
        let sums: Vec<f64> = iter::repeat_with(sum).take(times).collect();
        let seconds = start.elapsed().as_secs_f64() / times as f64;
        if sums.iter().any(|&sum| sum != expected) {
            return Err(format!("{who:?} gives {sums:?} instead of {expected}").into());
        }
        Ok(format!("{seconds} {expected}"))
    }))
}

fn serial_sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

/// Does the least with each value that still needs all of it.
fn read(values: &[f64]) -> u64 {
    values.iter().fold(0, |bits, value| bits ^ value.to_bits())
}

fn xor(a: u64, b: u64) -> u64 {
    a ^ b
}
