//! Two pieces of work for the processor, serial and on the workers of each kind of pool.
//!
//! `cargo xtask bench work` lets it take turns with the same work in Python:
//! `xtask/python/bench/peers/work.py`.

mod mandelbrot;
mod repeat;
mod serve;

use std::fmt;
use std::hint::black_box;
use std::process::ExitCode;

use helpers::prelude::*;
use mandelbrot::{height, row};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use repeat::seconds_for_each;
use serve::{Given, Measure, Result, SetUp};

/// Tasks into which the points of the Monte Carlo method are split, whoever does them.
const TASKS: usize = 64;

const MEASUREMENTS: &[(&str, SetUp<Answer>)] = &[
    ("mandelbrot-serial", |given| {
        mandelbrot(given, |width| {
            Ok((0..height(width)).map(|y| row(y, width)).collect())
        })
    }),
    ("mandelbrot-pool", |given| {
        let pool = Pool::new(given.workers)?;
        mandelbrot(given, move |width| {
            Ok(pool.map(|y| row(y, width), 0..height(width)))
        })
    }),
    ("mandelbrot-rayon", |given| {
        let pool = rayon_pool(given.workers)?;
        mandelbrot(given, move |width| {
            let rows = (0..height(width)).into_par_iter();
            Ok(pool.install(|| rows.map(|y| row(y, width)).collect()))
        })
    }),
    ("mandelbrot-processes", |given| {
        let pool = ProcessPool::new(given.workers)?;
        mandelbrot(given, move |width| {
            let rows = (0..height(width)).map(|y| (y, width));
            Ok(pool.starmap(row, rows)?)
        })
    }),
    ("pi-serial", |given| {
        pi(given, |points| {
            Ok((0..TASKS).map(|task| hits(task, points)).sum())
        })
    }),
    ("pi-pool", |given| {
        let pool = Pool::new(given.workers)?;
        pi(given, move |points| {
            let hits = pool.map(|task| hits(task, points), 0..TASKS);
            Ok(hits.iter().sum())
        })
    }),
    ("pi-rayon", |given| {
        let pool = rayon_pool(given.workers)?;
        pi(given, move |points| {
            let tasks = (0..TASKS).into_par_iter();
            Ok(pool.install(|| tasks.map(|task| hits(task, points)).sum()))
        })
    }),
    ("pi-processes", |given| {
        let pool = ProcessPool::new(given.workers)?;
        pi(given, move |points| {
            let tasks = (0..TASKS).map(|task| (task, points));
            Ok(pool.starmap(hits, tasks)?.iter().sum())
        })
    }),
];

/// The seconds, and what the work gave: those who take turns must agree on it.
struct Answer {
    seconds: f64,
    result: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seconds, self.result)
    }
}

fn main() -> ExitCode {
    helpers::init_process_pools();
    serve::end(serve::run(MEASUREMENTS))
}

fn rayon_pool(workers: usize) -> Result<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
    Ok(builder.build()?)
}

/// The whole picture, `given.size` points wide.
fn mandelbrot(
    given: Given,
    mut draw: impl FnMut(usize) -> Result<Vec<Vec<u16>>> + 'static,
) -> Result<Measure<Answer>> {
    Ok(Box::new(move |_| {
        let (seconds, rows) = seconds_for_each(|| draw(black_box(given.size)))?;
        Ok(Answer {
            seconds,
            result: digest(&rows).to_string(),
        })
    }))
}

/// A number that changes with each count and with its place.
fn digest(rows: &[Vec<u16>]) -> u64 {
    rows.iter()
        .flatten()
        .zip(1u64..)
        .fold(0, |sum: u64, (&count, place)| {
            sum.wrapping_add(place.wrapping_mul(u64::from(count)))
        })
}

/// Estimates π with `given.size` random points.
fn pi(
    given: Given,
    mut count_hits: impl FnMut(usize) -> Result<u64> + 'static,
) -> Result<Measure<Answer>> {
    let points = given.size / TASKS;
    Ok(Box::new(move |_| {
        let (seconds, hits) = seconds_for_each(|| count_hits(black_box(points)))?;
        let pi = 4.0 * hits as f64 / (points * TASKS) as f64;
        Ok(Answer {
            seconds,
            result: pi.to_string(),
        })
    }))
}

/// How many of a task's points in the unit square lie in the quarter of a circle.
fn hits(task: usize, points: usize) -> u64 {
    let mut random = SmallRng::seed_from_u64(task as u64);
    let mut point = || (random.random::<f64>(), random.random::<f64>());
    let is_hit = |(x, y): (f64, f64)| u64::from(x * x + y * y <= 1.0);
    (0..points).map(|_| is_hit(point())).sum()
}
