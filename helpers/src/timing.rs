//! How long something took: on the clock on the wall, and on the processor.

use std::cell::Cell;
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

thread_local! {
    /// Added at each look at the processor's clock, and what was added so far.
    static OTHERS: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

/// Does the work as if, in each measurement of this thread, other threads of the program used the
/// processor for so long, in user and in system time.
///
/// For checks: time on the wall stays what it is, on a machine with one core as well.
///
/// ```
/// use std::time::Duration;
/// use helpers::prelude::*;
///
/// let second = Duration::from_secs(1);
/// let (_, timing) = check::as_if_others_computed(second, || measure(|| ()));
/// assert!(timing.cpu() >= 2 * second && timing.wall < second);
/// ```
pub fn as_if_others_computed<R>(time: Duration, work: impl FnOnce() -> R) -> R {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            OTHERS.set(Default::default());
        }
    }
    let _end = End;
    OTHERS.set((time, Duration::ZERO));
    work()
}

fn time_of_others() -> Duration {
    let (time, so_far) = OTHERS.get();
    OTHERS.set((time, so_far + time));
    so_far
}

/// User and system time of this process so far, all threads together.
pub fn cpu_time() -> (Duration, Duration) {
    let others = time_of_others();
    let duration = |t: TimeVal| {
        Duration::new(
            u64::try_from(t.tv_sec()).unwrap_or(0),
            u32::try_from(t.tv_usec()).unwrap_or(0) * 1000,
        )
    };
    // getrusage fails only for an unknown `who`, which RUSAGE_SELF is not.
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => (
            duration(usage.user_time()) + others,
            duration(usage.system_time()) + others,
        ),
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

/// Of the time in all that a run takes, fresh input may make up so much more than the work.
const LONGEST_INPUT: u32 = 10;

/// Runs `work` many times and tells how long one call takes; [`timeit!`](crate::timeit) does the same.
///
/// The number of calls in a run (the loops) is found by trying 1, 2, 5, 10, 20, 50, … until a
/// run takes at least 20 ms. Those trials also warm caches and are not counted. Then come 7 runs.
pub fn measure_many<R>(mut work: impl FnMut() -> R) -> Stats {
    let mut runs = Runs::new();
    while let Some(loops) = runs.next_run() {
        for _ in 0..loops {
            black_box(work());
        }
        runs.end(0);
    }
    runs.stats()
}

/// The runs of [`timeit!`](crate::timeit), which makes its loops itself: so `?` and `return` keep
/// their meaning in there.
#[doc(hidden)]
#[derive(Debug)]
pub struct Runs {
    trials: usize,
    /// Calls in each run, once they are found by so many trials.
    loops: u64,
    is_found: bool,
    seconds: Vec<f64>,
    /// When the run, or its present batch, began.
    start: Instant,
    /// What the batches of this run have taken, and what their input has.
    took: Duration,
    of_input: Duration,
    calls: u64,
}

impl Runs {
    /// None was made yet.
    #[allow(clippy::new_without_default, reason = "it is for a macro alone")]
    pub fn new() -> Runs {
        Runs {
            trials: 0,
            loops: 0,
            is_found: false,
            seconds: Vec::new(),
            start: Instant::now(),
            took: Duration::ZERO,
            of_input: Duration::ZERO,
            calls: 0,
        }
    }

    /// Begins the next run, of so many calls.
    pub fn next_run(&mut self) -> Option<u64> {
        interrupts::check();
        if self.seconds.len() == RUNS {
            return None;
        }
        if !self.is_found {
            self.loops = loop_counts().nth(self.trials).unwrap_or(u64::MAX);
            self.trials += 1;
        }
        (self.took, self.of_input, self.calls) = Default::default();
        self.start = Instant::now();
        Some(self.loops)
    }

    /// Ends a run, of which so many calls were left out.
    ///
    /// # Panics
    /// If some were: `break` in the work means the loop that this one is.
    pub fn end(&mut self, left: u64) {
        if self.calls == 0 {
            self.took = self.start.elapsed();
        }
        assert!(
            left == 0,
            "`timeit!` runs its work in a loop, which a `break` in there has ended"
        );
        if self.is_found {
            self.seconds
                .push(self.took.as_secs_f64() / self.loops as f64);
        }
        let all = self.took + self.of_input;
        self.is_found |= self.took >= SHORTEST_RUN || all >= LONGEST_INPUT * SHORTEST_RUN;
    }

    /// For how many calls of the `left` ones fresh input is made at once: so many that the clock
    /// does not matter, and so few that memory does not.
    pub fn batch(&mut self, left: u64) -> u64 {
        interrupts::check();
        self.start = Instant::now();
        let each = |time: Duration| time.as_nanos() as u64 / self.calls.max(1);
        let wanted = match self.calls {
            0 => 1,
            _ => 10_000 / each(self.took).max(1),
        };
        let affordable = 1_000_000 / each(self.of_input).max(1);
        wanted.min(affordable).clamp(1, 1000).min(left)
    }

    /// The input of a batch is there.
    pub fn has_input(&mut self) {
        self.of_input += self.start.elapsed();
        self.start = Instant::now();
    }

    /// A batch of so many calls is done.
    pub fn end_batch(&mut self, calls: u64) {
        self.took += self.start.elapsed();
        self.calls += calls;
    }

    /// What the runs say together.
    pub fn stats(self) -> Stats {
        Stats::new(self.seconds, self.loops)
    }
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
/// see [`timing::measure_many`](crate::timing::measure_many). A label in front tells several of one
/// cell apart.
///
/// ```
/// use helpers::prelude::*;
///
/// let values: Vec<f64> = (0..1000).map(f64::from).collect();
/// let stats = timeit!(values.iter().sum::<f64>());
/// assert!(stats.min() <= stats.median() && stats.median() <= stats.max());
/// timeit!("the largest", values.iter().copied().fold(0.0, f64::max));
/// ```
///
/// The expression is evaluated anew each time. What changes its input, or uses it up, needs fresh
/// input: each `let` in front is done before each call, and its time does not count. (To sort a list
/// that is sorted is another thing than to sort it.)
///
/// ```
/// use helpers::prelude::*;
///
/// let values: Vec<u64> = (0..1000).rev().collect();
/// timeit!(let list = values.clone(); list.sort());
/// timeit!("into a sum", let list = values.clone(); list.into_iter().sum::<u64>());
/// ```
///
/// Without it a list would be moved away by the first call, which is no longer there for the second:
///
/// ```compile_fail,E0382
/// use helpers::prelude::*;
///
/// let values: Vec<u64> = (0..1000).rev().collect();
/// timeit!(values.into_iter().sum::<u64>());
/// ```
#[macro_export]
macro_rules! timeit {
    (let $($rest:tt)+) => {{
        let stats = $crate::__timeit!([] [] let $($rest)+);
        ::std::println!("{stats}");
        stats
    }};
    ($label:expr, let $($rest:tt)+) => {{
        let stats = $crate::__timeit!([] [] let $($rest)+);
        ::std::println!("{}\n{stats}", $label);
        stats
    }};
    ($work:expr $(,)?) => {{
        let stats = $crate::__timeit!(once $work);
        ::std::println!("{stats}");
        stats
    }};
    ($label:expr, $work:expr $(,)?) => {{
        let stats = $crate::__timeit!(once $work);
        ::std::println!("{}\n{stats}", $label);
        stats
    }};
    ($label:literal, $($work:tt)+) => { $crate::timeit!($label, { $($work)+ }) };
    () => {
        ::std::compile_error!("`timeit!` needs something to run: `timeit!(work())`")
    };
    ($($work:tt)+) => { $crate::timeit!({ $($work)+ }) };
}

/// The loops of [`timeit!`]: of an expression, or of statements behind those that make its input.
#[doc(hidden)]
#[macro_export]
macro_rules! __timeit {
    (once $work:expr) => {{
        // No closure: `?` and `return` inside the expression keep their meaning.
        let mut runs = $crate::timing::Runs::new();
        while let ::std::option::Option::Some(loops) = runs.next_run() {
            let mut left = loops;
            while left > 0 {
                left -= 1;
                ::std::hint::black_box($work);
            }
            runs.end(left);
        }
        runs.stats()
    }};
    ([$($set:tt)*] [$($name:ident)*] let mut $n:ident $(: $t:ty)? = $e:expr; $($rest:tt)+) => {
        $crate::__timeit!([$($set)* let mut $n $(: $t)? = $e;] [$($name)* $n] $($rest)+)
    };
    ([$($set:tt)*] [$($name:ident)*] let $n:ident $(: $t:ty)? = $e:expr; $($rest:tt)+) => {
        $crate::__timeit!([$($set)* let mut $n $(: $t)? = $e;] [$($name)* $n] $($rest)+)
    };
    ([$($set:tt)*] [$($name:ident)*] let $($rest:tt)+) => {
        ::std::compile_error!(
            "write fresh input as `let name = value;`, and behind it what is to be timed: \
             `timeit!(let list = values.clone(); list.sort())`"
        )
    };
    ([$($set:tt)*] [$($name:ident)*] $($work:tt)+) => {{
        let mut runs = $crate::timing::Runs::new();
        while let ::std::option::Option::Some(loops) = runs.next_run() {
            let mut left = loops;
            while left > 0 {
                let batch = runs.batch(left);
                let mut inputs = ::std::vec::Vec::with_capacity(batch as usize);
                for _ in 0..batch {
                    #[allow(unused_mut, reason = "who needs it is not to write it")]
                    let input = { $($set)* ($($name,)*) };
                    inputs.push(input);
                }
                let mut inputs = inputs.into_iter();
                let before = left;
                runs.has_input();
                #[allow(unused_mut, reason = "who needs it is not to write it")]
                while let ::std::option::Option::Some(($(mut $name,)*)) = inputs.next() {
                    left -= 1;
                    ::std::hint::black_box({ $($work)+ });
                }
                runs.end_batch(before - left);
                if inputs.next().is_some() {
                    break;
                }
            }
            runs.end(left);
        }
        runs.stats()
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
    fn timeit_takes_what_is_written() {
        fn parse(text: &str) -> Result<Stats, std::num::ParseIntError> {
            Ok(timeit!("a label", text.parse::<i32>()?))
        }
        assert_eq!(parse("41").unwrap().runs(), 7);
        assert!(parse("x").is_err());
        let values: Vec<u64> = (0..50).rev().collect();
        let mut sorted = 0;
        let mut calls = 0u64;
        let stats = timeit!(let list = values.clone(); let one: usize = 1; {
            calls += 1;
            sorted += usize::from(list.is_sorted()) * one;
            list.sort();
        });
        assert_eq!(sorted, 0, "each call has a list of its own");
        assert!(calls > 7 * stats.loops());
        let moved = timeit!("moved", let mut list = values.clone(); list.push(1); list.into_iter().sum::<u64>());
        assert!(moved.min() > 0.0);
        timeit!(calls += 1; calls);
        timeit!("statements", calls += 1; calls);
    }

    #[test]
    fn fresh_input_does_not_count_and_does_not_take_for_ever() {
        let start = Instant::now();
        let nap = || std::thread::sleep(Duration::from_millis(5));
        let stats = timeit!(let _input = nap(); 1 + 1);
        assert!(stats.median() < 1e-3, "{stats}");
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    #[should_panic(expected = "`break`")]
    fn a_break_in_the_work_is_told() {
        timeit!({
            if black_box(true) {
                break;
            }
        });
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
