//! How long something took: on the clock on the wall, and on the processor.

use std::fmt;
use std::hint::black_box;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::notebook::interrupts;
use crate::pool::remote::scoreboard::cpu_time_of_workers;
use crate::stats::{Stats, format_seconds};

/// The time that a piece of work took, as [`time!`](crate::time) prints it.
///
/// Times add up, so the cost of several steps is the sum of their timings.
///
/// ```
/// use helpers::prelude::*;
///
/// let (_, first) = measure(|| std::thread::sleep(std::time::Duration::from_millis(2)));
/// let (_, second) = measure(|| (1..=1000u64).sum::<u64>());
/// println!("{}", first + second);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Time that passed on the clock on the wall.
    pub wall: Duration,
    /// Processor time spent in the program's own code, summed over all threads.
    pub user: Duration,
    /// Processor time that the operating system spent on the program's behalf.
    pub sys: Duration,
    /// Processor time that the workers of process pools spent, user and system together. It is
    /// not part of `user` and `sys`, which are this process's own.
    pub workers: Duration,
}

impl Timing {
    /// Processor time of this process: user and system.
    pub fn cpu(&self) -> Duration {
        self.user + self.sys
    }

    /// Shows the timing when it is the last expression of a notebook cell.
    pub fn evcxr_display(&self) {
        crate::show::as_result(self);
    }
}

/// Prints the two lines that IPython's `%%time` prints, in the same units. If workers in other
/// processes spent processor time, a line between the two says how much.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |time: Duration| format_seconds(time.as_secs_f64());
        writeln!(
            f,
            "CPU times: user {}, sys: {}, total: {}",
            show(self.user),
            show(self.sys),
            show(self.cpu())
        )?;
        if !self.workers.is_zero() {
            writeln!(f, "CPU time of worker processes: {}", show(self.workers))?;
        }
        write!(f, "Wall time: {}", show(self.wall))
    }
}

impl Add for Timing {
    type Output = Timing;

    fn add(self, other: Timing) -> Timing {
        Timing {
            wall: self.wall + other.wall,
            user: self.user + other.user,
            sys: self.sys + other.sys,
            workers: self.workers + other.workers,
        }
    }
}

impl AddAssign for Timing {
    fn add_assign(&mut self, other: Timing) {
        *self = *self + other;
    }
}

impl Sum for Timing {
    fn sum<I: Iterator<Item = Timing>>(timings: I) -> Timing {
        timings.fold(Timing::default(), Add::add)
    }
}

/// A clock that is running.
///
/// [`time!`](crate::time) and [`measure`] are the usual ways to use it.
#[derive(Debug)]
#[must_use = "a stopwatch does nothing until it is stopped"]
pub struct Stopwatch {
    wall: Instant,
    user: Duration,
    sys: Duration,
    workers: Duration,
}

impl Stopwatch {
    /// Starts the clock.
    pub fn start() -> Stopwatch {
        let (user, sys) = cpu_time();
        Stopwatch {
            workers: cpu_time_of_workers(),
            user,
            sys,
            wall: Instant::now(),
        }
    }

    /// Stops the clock and tells what has passed since the start.
    pub fn stop(self) -> Timing {
        let wall = self.wall.elapsed();
        let (user, sys) = cpu_time();
        Timing {
            wall,
            user: user.saturating_sub(self.user),
            sys: sys.saturating_sub(self.sys),
            workers: cpu_time_of_workers().saturating_sub(self.workers),
        }
    }
}

/// User and system time of this process so far, all threads together.
pub fn cpu_time() -> (Duration, Duration) {
    let duration = |t: TimeVal| {
        Duration::new(
            u64::try_from(t.tv_sec()).unwrap_or(0),
            u32::try_from(t.tv_usec()).unwrap_or(0) * 1000,
        )
    };
    // getrusage fails only for an unknown `who`, which RUSAGE_SELF is not.
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => (duration(usage.user_time()), duration(usage.system_time())),
        Err(_) => (Duration::ZERO, Duration::ZERO),
    }
}

/// Runs `work` once and gives its result together with the time it took.
///
/// ```
/// use helpers::prelude::*;
///
/// let (sum, timing) = measure(|| (1..=1_000_000u64).sum::<u64>());
/// assert_eq!(sum, 500_000_500_000);
/// println!("{timing}");
/// ```
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Timing) {
    let stopwatch = Stopwatch::start();
    // The optimiser may not compute the result before the start or after the stop.
    let result = black_box(work());
    (result, stopwatch.stop())
}

/// How many runs [`timeit!`](crate::timeit) makes, as IPython does.
const RUNS: usize = 7;
/// A run repeats the work until it takes at least this long, so that the clock's own
/// resolution and cost do not matter.
const SHORTEST_RUN: Duration = Duration::from_millis(20);

/// Runs `work` many times and tells how long one call takes; [`timeit!`](crate::timeit) calls this.
///
/// The number of calls in a run (the loops) is found by trying 1, 2, 5, 10, 20, 50, … until a
/// run takes at least 20 ms. Those trials also warm caches and are not counted. Then come 7 runs.
pub fn measure_many<R>(mut work: impl FnMut() -> R) -> Stats {
    let mut run = |loops: u64| {
        interrupts::check();
        let start = Instant::now();
        for _ in 0..loops {
            black_box(work());
        }
        start.elapsed()
    };
    let loops = loop_counts()
        .find(|&loops| run(loops) >= SHORTEST_RUN)
        .unwrap_or(u64::MAX);
    let seconds = (0..RUNS)
        .map(|_| run(loops).as_secs_f64() / loops as f64)
        .collect();
    Stats::new(seconds, loops)
}

/// 1, 2, 5, 10, 20, 50, …
fn loop_counts() -> impl Iterator<Item = u64> {
    (0..19).flat_map(|power| [1, 2, 5].map(|step| step * 10u64.pow(power)))
}

/// Runs an expression once, prints its CPU and wall time as IPython's `%%time` does, and gives
/// its value back.
///
/// A label in front tells several timings of one cell apart. The time is that of running: what
/// the notebook spends on compiling the cell is not in it.
///
/// ```
/// use helpers::prelude::*;
///
/// let sum = time!((1..=1000).sum::<u32>());
/// assert_eq!(sum, 500_500);
/// let text = time!("to text", sum.to_string());
/// assert_eq!(text, "500500");
/// ```
#[macro_export]
macro_rules! time {
    ($work:expr $(,)?) => {{
        // No closure: `?`, `return` and `break` inside the expression keep their meaning.
        let stopwatch = $crate::timing::Stopwatch::start();
        let value = ::std::hint::black_box($work);
        let timing = stopwatch.stop();
        ::std::println!("{timing}");
        value
    }};
    ($label:expr, $work:expr $(,)?) => {{
        let stopwatch = $crate::timing::Stopwatch::start();
        let value = ::std::hint::black_box($work);
        let timing = stopwatch.stop();
        ::std::println!("{}\n{timing}", $label);
        value
    }};
}

/// Runs an expression many times and prints the mean and the standard deviation of one run, as
/// IPython's `%timeit` does; gives the [`Stats`].
///
/// The number of loops is chosen so that a measurement is long against the clock's resolution:
/// see [`timing::measure_many`](crate::timing::measure_many). The expression is evaluated anew each time, so
/// it must not move anything away.
///
/// ```
/// use helpers::prelude::*;
///
/// let values: Vec<f64> = (0..1000).map(f64::from).collect();
/// let stats = timeit!(values.iter().sum::<f64>());
/// assert!(stats.min() <= stats.median() && stats.median() <= stats.max());
/// ```
#[macro_export]
macro_rules! timeit {
    ($work:expr $(,)?) => {{
        let stats = $crate::timing::measure_many(|| $work);
        ::std::println!("{stats}");
        stats
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_ipython_does() {
        let timing = Timing {
            wall: Duration::from_millis(1234),
            user: Duration::from_micros(4_200),
            sys: Duration::from_micros(1_100),
            workers: Duration::ZERO,
        };
        assert_eq!(
            timing.to_string(),
            "CPU times: user 4.2 ms, sys: 1.1 ms, total: 5.3 ms\nWall time: 1.23 s"
        );
        let with_workers = Timing {
            workers: Duration::from_millis(2400),
            ..timing
        };
        assert_eq!(
            with_workers.to_string().lines().nth(1),
            Some("CPU time of worker processes: 2.4 s")
        );
    }

    #[test]
    fn adds_up() {
        let one = Timing {
            wall: Duration::from_secs(3),
            user: Duration::from_secs(2),
            sys: Duration::from_secs(1),
            workers: Duration::ZERO,
        };
        let sum: Timing = [one, one].into_iter().sum();
        assert_eq!(sum.wall, Duration::from_secs(6));
        assert_eq!(sum.cpu(), Duration::from_secs(6));
    }

    #[test]
    fn time_keeps_question_marks_in_the_caller() {
        fn parse(text: &str) -> Result<i32, std::num::ParseIntError> {
            Ok(time!(text.parse::<i32>()?) + 1)
        }
        assert_eq!(parse("41"), Ok(42));
        assert!(parse("x").is_err());
    }

    #[test]
    fn measure_many_calls_runs_times_loops_and_the_trials() {
        // Trials of 1 and 2 calls, then 7 runs of 2; unless the machine is so busy that one call
        // takes as long as two should.
        let expected = |loops| if loops == 1 { 1 + 7 } else { 1 + 2 + 7 * 2 };
        let is_as_expected = (0..5).any(|_| {
            let mut calls = 0u64;
            let stats = measure_many(|| {
                calls += 1;
                std::thread::sleep(Duration::from_millis(12));
            });
            assert_eq!((stats.runs(), calls), (7, expected(stats.loops())));
            stats.loops() == 2
        });
        assert!(is_as_expected);
    }
}
