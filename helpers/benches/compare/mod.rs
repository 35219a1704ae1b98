//! Rivals at the same work, measured in turns.

use std::time::{Duration, Instant};

/// Times one call of `work`, in seconds.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Runs all rivals in turns, so that what else the machine does hits each alike, and gives the
/// times of each. Stops after `limit`, but not before 5 rounds; the first round only warms up.
pub fn in_turns<const N: usize>(
    limit: Duration,
    mut rivals: [&mut dyn FnMut(); N],
) -> [Vec<f64>; N] {
    let start = Instant::now();
    let mut times = [const { Vec::new() }; N];
    for round in 0.. {
        for (rival, times) in rivals.iter_mut().zip(&mut times) {
            let time = seconds(rival);
            if round > 0 {
                times.push(time);
            }
        }
        if round >= 5 && start.elapsed() > limit {
            break;
        }
    }
    times
}

/// The middle one of some measurements.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// The ratios of two rivals, round by round: neighbours in time met the same machine.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// A quarter of the values are smaller than the first, a quarter larger than the second.
pub fn quartiles(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    (at(0.25), at(0.75))
}
