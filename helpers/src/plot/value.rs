//! Numbers that a plot takes.

use std::time::Duration;

use super::error::PlotError;
use crate::timing::Timing;

/// A number that can be drawn.
///
/// The plot functions take any `Value`, so that counts and times go in as they are.
///
/// ```
/// use helpers::plot::Value;
/// use std::time::Duration;
///
/// assert_eq!(Duration::from_millis(250).value(), 0.25);
/// assert_eq!(4_usize.value(), 4.0);
/// ```
pub trait Value: Copy {
    /// Gives the number to draw; a time gives its seconds.
    fn value(self) -> f64;
}

macro_rules! value_of_number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn value(self) -> f64 {
                self as f64
            }
        }
    )*};
}

value_of_number!(f64, f32, u32, u64, usize, i32);

impl Value for Duration {
    fn value(self) -> f64 {
        self.as_secs_f64()
    }
}

/// A timing stands for its wall time in seconds.
impl Value for Timing {
    fn value(self) -> f64 {
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
