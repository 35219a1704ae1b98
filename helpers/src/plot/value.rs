//! Numbers that a plot takes.

use std::time::Duration;

use super::error::PlotError;
use crate::stats::Stats;
use crate::timing::Timing;

/// A number that can be drawn.
///
/// The plot functions take any `Value`, so that counts and times go in as they are: numbers of all
/// kinds, times, timings, and references to them.
///
/// ```
/// use helpers::plot::{self, Value};
/// use helpers::prelude::*;
/// use std::time::Duration;
///
/// assert_eq!(Duration::from_millis(250).value(), 0.25);
/// assert_eq!((&-4_i64).value(), -4.0);
/// let [one, two] = [100, 200].map(|n| timeit!((0..n).map(|x: u64| x * x).sum::<u64>()));
/// let figure = plot::bars("Squares", "s", &[("100", &one), ("200", &two)])?;
/// # assert!(figure.alt().contains("ns") || figure.alt().contains("µs"));
/// # Ok::<(), plot::PlotError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number that a plot can draw",
    label = "numbers, `Duration`, `Timing` and `Stats` can be drawn, and references to them"
)]
pub trait Value {
    /// Gives the number to draw; a time gives its seconds.
    fn value(&self) -> f64;
}

macro_rules! value_of_number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn value(&self) -> f64 {
                *self as f64
            }
        }
    )*};
}

value_of_number!(
    f64, f32, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize
);

impl<V: Value + ?Sized> Value for &V {
    fn value(&self) -> f64 {
        V::value(self)
    }
}

impl Value for Duration {
    fn value(&self) -> f64 {
        self.as_secs_f64()
    }
}

/// Many measurements stand for their mean, in seconds: that is what [`timeit!`](crate::timeit)
/// prints first.
impl Value for Stats {
    fn value(&self) -> f64 {
        self.mean()
    }
}

/// A timing stands for its wall time in seconds.
impl Value for Timing {
    fn value(&self) -> f64 {
        self.wall.value()
    }
}

/// The largest size of a number that axes can still be computed for without overflow.
const LARGEST: f64 = 1e150;

/// Checks that `value` can be drawn; `what` names it in the error.
pub(super) fn check(value: f64, what: impl FnOnce() -> String) -> Result<f64, PlotError> {
    if !value.is_finite() {
        return Err(PlotError::not_finite(&what(), value));
    }
    if value.abs() > LARGEST {
        return Err(PlotError::out_of_range(format!(
            "{} is {value:e}, too large to draw: plot smaller numbers, for example in another unit",
            what()
        )));
    }
    Ok(value)
}
