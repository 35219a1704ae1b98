//! Work that takes so little time that one call alone says nothing.

use std::time::{Duration, Instant};

/// Gives the seconds that `work` takes, and its result. Work that is short is done again and again,
/// as Python's side does: one call alone would mostly measure how fast sleeping workers wake.
pub fn seconds_for_each<R, E>(mut work: impl FnMut() -> Result<R, E>) -> Result<(f64, R), E> {
    const AT_LEAST: Duration = Duration::from_millis(20);
    let start = Instant::now();
    let mut calls = 0;
    loop {
        let result = work()?;
        calls += 1;
        let time = start.elapsed();
        if time >= AT_LEAST {
            return Ok((time.as_secs_f64() / f64::from(calls), result));
        }
    }
}
