//! The same work with different numbers of workers: in turns, and fairly.
//!
//! ```
//! use helpers::prelude::*;
//!
//! let work = |pool: &Pool| pool.map(|x: u64| x * x, 0..1000);
//! let times = times_of(work, &[1, 2, 4])?; // (workers, the fastest of three runs)
//! let speedups = speedups(&times); // (workers, how many times as fast as the first)
//! assert_eq!(speedups[0], (1, 1.0));
//! # Ok::<(), PoolError>(())
//! ```

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::pool::remote::scoreboard::cpu_time_of_workers;
use crate::pool::{Pool, PoolError};
use crate::timing::{cpu_time, measure};

/// How often each work is run. Whatever disturbs a run makes it slower, so the fastest counts.
const TURNS: usize = 3;

/// Runs some work three times and gives the wall time of the fastest run.
///
/// ```
/// use helpers::prelude::*;
///
/// let time = fastest(|| (1..=1_000_000u64).sum::<u64>());
/// println!("{time:?}");
/// ```
pub fn fastest<R>(mut work: impl FnMut() -> R) -> Duration {
    (0..TURNS)
        .map(|_| measure(&mut work).1.wall)
        .min()
        .unwrap_or_default()
}

/// Calls `run` with each of the numbers, three times over, and keeps the shortest time for each.
///
/// The runs take turns (all numbers once, then again), so that a busy moment of the machine does
/// not fall on a single number. `run` says how long it took. At the end a line is printed that
/// tells how many cores other programs kept busy meanwhile.
///
/// ```
/// use helpers::prelude::*;
///
/// let times = in_turns(&[1, 2], |workers| {
///     let pool = Pool::new(workers)?;
///     Ok(measure(|| pool.map(|x: u64| x + 1, 0..100)).1.wall)
/// })?;
/// assert_eq!(times.len(), 2);
/// # Ok::<(), PoolError>(())
/// ```
///
/// # Errors
/// The first error of `run`.
pub fn in_turns(
    counts: &[usize],
    mut run: impl FnMut(usize) -> Result<Duration, PoolError>,
) -> Result<Vec<(usize, Duration)>, PoolError> {
    let others = Others::watch();
    let mut times: Vec<_> = counts.iter().map(|&n| (n, Duration::MAX)).collect();
    for _ in 0..TURNS {
        for (count, shortest) in &mut times {
            *shortest = run(*count)?.min(*shortest);
        }
    }
    println!("{others}");
    Ok(times)
}

/// Measures some work on pools of so many workers each: in turns, the fastest of three runs.
///
/// The pools are started before, so their start is not in the times. As [`in_turns`], it prints
/// how many cores other programs kept busy meanwhile.
///
/// # Errors
/// A number of workers with which there can be no pool.
pub fn times_of<R>(
    work: impl Fn(&Pool) -> R,
    counts: &[usize],
) -> Result<Vec<(usize, Duration)>, PoolError> {
    let mut pools = Vec::new();
    for &workers in counts {
        pools.push(Pool::new(workers)?);
    }
    let places: Vec<_> = (0..pools.len()).collect();
    let times = in_turns(&places, |place| Ok(measure(|| work(&pools[place])).1.wall))?;
    let with_workers = times.into_iter().zip(counts);
    Ok(with_workers.map(|((_, time), &n)| (n, time)).collect())
}

/// How many times as fast as the first each of them is.
///
/// ```
/// use helpers::prelude::*;
/// use std::time::Duration;
///
/// let times = [(1, 40), (2, 20), (4, 16)].map(|(n, ms)| (n, Duration::from_millis(ms)));
/// assert_eq!(speedups(&times), [(1, 1.0), (2, 2.0), (4, 2.5)]);
/// ```
pub fn speedups(times: &[(usize, Duration)]) -> Vec<(usize, f64)> {
    let first = times.first().map_or(Duration::ZERO, |&(_, time)| time);
    times
        .iter()
        .map(|&(workers, time)| (workers, first.div_duration_f64(time)))
        .collect()
}

/// How many cores other programs keep busy, from a moment on.
///
/// It prints a line that says so; a measurement is worth little if the number is not near 0. Only
/// Linux tells; elsewhere the line says that the number is unknown.
///
/// ```
/// use helpers::compare::Others;
///
/// let others = Others::watch();
/// // … measure something …
/// println!("{others}");
/// ```
#[derive(Debug)]
pub struct Others {
    start: Instant,
    own: Duration,
    machine: Option<Machine>,
}

impl Others {
    /// Begins to watch.
    pub fn watch() -> Others {
        Others {
            start: Instant::now(),
            own: own_cpu_time(),
            machine: Machine::now(),
        }
    }

    /// How many cores other programs kept busy since then, on the average; `None` where the
    /// system does not tell, or has not counted long enough.
    pub fn cores(&self) -> Option<f64> {
        let wall = self.start.elapsed().as_secs_f64();
        let own = (own_cpu_time() - self.own).as_secs_f64() / wall;
        let busy = Machine::now()?.busy_since(self.machine.as_ref()?)?;
        Some((busy - own).max(0.0))
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cores(), &self.machine) {
            (Some(cores), Some(machine)) => write!(
                f,
                "Other programs kept {cores:.1} of {} cores busy meanwhile.",
                machine.cores
            ),
            (None, Some(_)) => write!(
                f,
                "Too short to tell how many cores other programs kept busy meanwhile."
            ),
            (_, None) => write!(
                f,
                "How many cores other programs kept busy is unknown on this system."
            ),
        }
    }
}

/// Of this process and the worker processes of its pools.
fn own_cpu_time() -> Duration {
    let (user, sys) = cpu_time();
    user + sys + cpu_time_of_workers()
}

/// What the cores of the machine did since it was started, in the system's ticks.
#[derive(Debug, PartialEq)]
struct Machine {
    cores: usize,
    busy: u64,
    all: u64,
}

/// Ticks of all cores that say enough: 20 of them are a tenth of a second on two cores.
const ENOUGH_TICKS: u64 = 20;

impl Machine {
    fn now() -> Option<Machine> {
        Machine::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// See `man 5 proc`: user, nice, system, idle, iowait, irq, softirq, and what the host of a
    /// virtual machine took for others (steal).
    fn parse(stat: &str) -> Option<Machine> {
        let ticks: Vec<u64> = stat
            .lines()
            .find_map(|line| line.strip_prefix("cpu "))?
            .split_whitespace()
            .take(8)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        let [_, _, _, idle, waiting, ..] = ticks[..] else {
            return None;
        };
        let is_core = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        };
        let all = ticks.iter().sum::<u64>();
        Some(Machine {
            cores: stat.lines().filter(is_core).count(),
            busy: all - idle - waiting,
            all,
        })
    }

    /// How many cores were busy between two looks.
    fn busy_since(&self, before: &Machine) -> Option<f64> {
        let all = self.all.checked_sub(before.all)?;
        let busy = self.busy.checked_sub(before.busy)?;
        (all >= ENOUGH_TICKS).then(|| self.cores as f64 * busy as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 7\n";
    const AFTER: &str = "cpu  160 0 60 820 50 0 0 10 0 0\ncpu0 1\ncpu1 1\nintr 7\n";

    #[test]
    fn tells_how_many_cores_were_busy() {
        let before = Machine::parse(BEFORE).unwrap();
        let after = Machine::parse(AFTER).unwrap();
        assert_eq!((before.cores, before.busy, before.all), (2, 150, 1000));
        // 80 of 100 ticks, on two cores.
        assert_eq!(after.busy_since(&before), Some(1.6));
        assert_eq!(before.busy_since(&after), None);
        assert_eq!(before.busy_since(&before), None, "too early to tell");
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for text in ["", "cpu 1 2", "cpu one two three four five"] {
            assert_eq!(Machine::parse(text), None, "{text}");
        }
        let unknown = Others {
            machine: None,
            ..Others::watch()
        };
        assert!(unknown.to_string().ends_with("is unknown on this system."));
    }

    #[test]
    fn own_work_is_not_that_of_others() {
        let (others, start) = (Others::watch(), Instant::now());
        let own = own_cpu_time();
        while own_cpu_time() - own < Duration::from_millis(300) {}
        if let (Some(cores), Some(machine)) = (others.cores(), &others.machine) {
            let own = 0.3 / start.elapsed().as_secs_f64();
            // However busy the others were, no core was theirs and ours at once.
            assert!(
                cores + own < machine.cores as f64 + 0.3,
                "{cores} and {own}"
            );
        }
    }

    #[test]
    fn every_number_has_its_turn() {
        let mut calls = Vec::new();
        let times = in_turns(&[7, 3], |n| {
            calls.push(n);
            Ok(Duration::from_millis(calls.len() as u64))
        });
        assert_eq!(calls, [7, 3, 7, 3, 7, 3]);
        let first = [(7, 1), (3, 2)].map(|(n, ms)| (n, Duration::from_millis(ms)));
        assert_eq!(times.unwrap(), first);
    }

    #[test]
    fn times_belong_to_the_numbers_of_workers() {
        let times = times_of(|pool| pool.workers(), &[2, 1]).unwrap();
        assert_eq!(times.iter().map(|time| time.0).collect::<Vec<_>>(), [2, 1]);
        assert!(times_of(|_| (), &[0]).is_err());
    }

    #[test]
    fn no_times_no_speedups() {
        assert_eq!(speedups(&[]), []);
    }
}
