//! An axis: its range, where its ticks are, and what they say.

use super::number::{minus, plain, power_of_ten};

/// From this ratio of the largest to the smallest value on, an axis is logarithmic.
const LOG_RATIO: f64 = 1000.0;
/// The space before the first and behind the last value of a logarithmic axis, as a part of it.
const ROOM: f64 = 0.04;

/// A range of values along one side of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// The values with a label, upwards.
    pub(super) ticks: Vec<(f64, String)>,
    /// The values with a small tick and no label.
    pub(super) minor: Vec<f64>,
}

impl Axis {
    /// Chooses the axis that suits `values` across the page.
    ///
    /// It is logarithmic where all values are above 0 and the largest is at least 1000 times the
    /// smallest. A few whole numbers, such as numbers of workers, become the ticks themselves.
    pub(super) fn across(values: &[f64]) -> Self {
        const MOST_TICKS: usize = 16;
        let (low, high) = ends(values);
        if is_wide(low, high) {
            return Self::logarithmic(low, high, ROOM);
        }
        let whole = all_whole(values);
        let (from, to) = spread(low, high, whole);
        let mut axis = Self::linear(from, to, whole);
        let mut ticks = values.to_vec();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        // Up to this size whole numbers are written in full.
        if whole && ticks.len() <= MOST_TICKS && low.abs().max(high.abs()) < 1e5 {
            axis.ticks = ticks
                .into_iter()
                .map(|value| (value, plain(value)))
                .collect();
        }
        axis
    }

    /// Chooses the axis that suits `values` up the page.
    ///
    /// It is logarithmic as in [`Axis::across`]. Otherwise it starts at 0 where this does not
    /// waste half of the plot: then heights can be compared.
    pub(super) fn upwards(values: &[f64]) -> Self {
        let (low, high) = ends(values);
        if is_wide(low, high) {
            return Self::logarithmic(low, high, ROOM);
        }
        let whole = all_whole(values);
        let (from, to) = spread(low, high, whole);
        // Where all values are 0, both ends would be.
        match low < high {
            true if low >= 0.0 && low <= high * 0.5 => Self::linear(0.0, to, whole),
            true if high <= 0.0 && high >= low * 0.5 => Self::linear(from, 0.0, whole),
            _ => Self::linear(from, to, whole),
        }
    }

    /// Chooses the axis along a scale of colours, which ends at `low` and `high` themselves.
    ///
    /// It is logarithmic as in [`Axis::across`]. A single value has its place in the middle.
    pub(super) fn between(low: f64, high: f64, whole: bool) -> Self {
        if is_wide(low, high) {
            return Self::logarithmic(low, high, 0.0);
        }
        match is_one_value(low, high) {
            true => Self::across(&[low]),
            false => Self::linear(low, high, whole),
        }
    }

    /// Makes a linear axis from `low` to `high`; `whole` keeps its ticks to whole numbers.
    pub(super) fn linear(low: f64, high: f64, whole: bool) -> Self {
        let step = nice_step((high - low) / 7.0, whole);
        let first = (low / step - 1e-9).ceil();
        // A range has at most 13 nice steps; the bound only guards against rounding.
        let steps = ((high / step + 1e-9).floor() - first).clamp(0.0, 20.0) as i32;
        // Adding 0.0 turns the -0.0 that rounding can leave into 0.0.
        let value = |i: i32| (first + f64::from(i)) * step + 0.0;
        let values: Vec<f64> = (0..=steps).map(value).collect();
        let labels = labels(&values, step);
        Self {
            low,
            high,
            log: false,
            ticks: values.into_iter().zip(labels).collect(),
            minor: Vec::new(),
        }
    }

    /// Makes a logarithmic axis that holds `low` and `high`, both above 0, with some `room` before
    /// and behind them.
    fn logarithmic(low: f64, high: f64, room: f64) -> Self {
        let (first, last) = (low.log10(), high.log10());
        let room = (last - first) * room;
        let (first, last) = (first - room, last + room);
        let (low, high) = (10_f64.powf(first), 10_f64.powf(last));
        // Without room a power of ten at the end must not get lost by rounding.
        let (from, to) = ((first - 1e-9).ceil() as i32, (last + 1e-9).floor() as i32);
        // Labels at each power of ten up to nine of them, else at each second, third, …
        let stride = (to - from) / 9 + 1;
        let labelled = |power: &i32| power.rem_euclid(stride) == 0;
        let tick = |power: i32| (10_f64.powi(power), power_of_ten(power));
        let minor = (from - 1..=to)
            .flat_map(|power| (2..=9).map(move |i| f64::from(i) * 10_f64.powi(power)));
        let minor = match stride {
            1 => minor.filter(|value| (low..=high).contains(value)).collect(),
            _ => (from..=to)
                .filter(|power| !labelled(power))
                .map(|p| 10_f64.powi(p))
                .collect(),
        };
        Self {
            low,
            high,
            log: true,
            ticks: (from..=to).filter(labelled).map(tick).collect(),
            minor,
        }
    }

    /// Tells whether the axis is logarithmic.
    pub(super) fn is_log(&self) -> bool {
        self.log
    }

    /// Gives the place of `value` along the axis, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.log { v.log10() } else { v };
        let (low, high) = (scale(self.low), scale(self.high));
        (scale(value) - low) / (high - low)
    }
}

fn ends(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

fn is_wide(low: f64, high: f64) -> bool {
    low > 0.0 && high / low >= LOG_RATIO
}

fn all_whole(values: &[f64]) -> bool {
    values.iter().all(|value| value.fract() == 0.0)
}

/// Tells whether two values differ only by rounding.
fn is_one_value(low: f64, high: f64) -> bool {
    high - low <= 1e-9 * low.abs().max(high.abs()) || high - low < 1e-300
}

/// Widens a range of values so that none of them sits on the edge of the plot.
fn spread(low: f64, high: f64, whole: bool) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if is_one_value(low, high) {
        // In the middle of the axis.
        let room = if whole || size < 1e-300 {
            1.0
        } else {
            size / 2.0
        };
        // Next to a huge whole number, 1 is nothing.
        let room = room.max(size * 1e-6);
        return (low - room, high + room);
    }
    let room = (high - low) * 0.05;
    (low - room, high + room)
}

/// Rounds `step` up to 1, 2 or 5 times a power of ten, and to at least 1 for whole numbers.
fn nice_step(step: f64, whole: bool) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|nice| nice * power >= step * 0.999);
    let nice = nice.unwrap_or(10.0) * power;
    if whole { nice.max(1.0) } else { nice }
}

/// Writes tick values with as many decimals as `step` needs, and large ones as `10k`, `1M`, `1G`.
fn labels(values: &[f64], step: f64) -> Vec<String> {
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, v| largest.max(v.abs()));
    let (unit, suffix) = match largest {
        l if l < 1e4 => (1.0, ""),
        l if l < 1e6 => (1e3, "k"),
        l if l < 1e9 => (1e6, "M"),
        l if l < 1e12 => (1e9, "G"),
        l if l < 1e15 => (1e12, "T"),
        _ => return values.iter().map(|&value| plain(value)).collect(),
    };
    if largest < 1e-3 {
        return values.iter().map(|&value| plain(value)).collect();
    }
    let decimals = (-(step / unit).log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    let write = |&value: &f64| match value {
        0.0 => "0".to_owned(),
        _ => minus(format!("{:.decimals$}{suffix}", value / unit)),
    };
    values.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(axis: Axis) -> Vec<String> {
        axis.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_up_the_page_are_round_and_short() {
        let ticks = |values: &[f64]| labels_of(Axis::upwards(values));
        assert_eq!(ticks(&[0.5, 10.0]), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(ticks(&[0.4, 1.0]), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            ticks(&[0.0, 50_000.0]),
            ["0", "10k", "20k", "30k", "40k", "50k"]
        );
        assert_eq!(ticks(&[1.0, 4.0]), ["0", "1", "2", "3", "4"]);
        assert_eq!(ticks(&[-1.0, 1.0]), ["−1", "0", "1"]);
        assert_eq!(ticks(&[-1.5, -0.5]), ["−1.5", "−1.0", "−0.5", "0"]);
        assert_eq!(
            ticks(&[0.0, 2e-5]),
            ["0", "5×10⁻⁶", "1×10⁻⁵", "1.5×10⁻⁵", "2×10⁻⁵"]
        );
        assert_eq!(ticks(&[2e6, 5e6]), ["0", "1M", "2M", "3M", "4M", "5M"]);
    }

    #[test]
    fn a_few_whole_numbers_across_the_page_are_the_ticks() {
        let ticks = |values: &[f64]| labels_of(Axis::across(values));
        assert_eq!(ticks(&[1.0, 8.0, 2.0, 4.0, 2.0]), ["1", "2", "4", "8"]);
        assert_eq!(ticks(&[0.5, 2.0]), ["0.5", "1.0", "1.5", "2.0"]);
        let many: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(ticks(&many), ["0", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn wide_ranges_above_zero_are_logarithmic() {
        let ticks = |values: &[f64]| labels_of(Axis::upwards(values));
        assert_eq!(ticks(&[1e3, 1e6]), ["10³", "10⁴", "10⁵", "10⁶"]);
        let widest = ticks(&[1e-150, 1e150]);
        assert!((5..=10).contains(&widest.len()), "{widest:?}");
        assert!(!Axis::upwards(&[0.0, 1e6]).is_log());
        assert!(!Axis::across(&[1.0, 999.0]).is_log());
        assert!(Axis::across(&[1.0, 1000.0]).is_log());
    }

    #[test]
    fn a_scale_of_colours_ends_at_its_values() {
        let axis = Axis::between(-3.0, 17.0, true);
        assert_eq!((axis.place(-3.0), axis.place(17.0)), (0.0, 1.0));
        assert_eq!(labels_of(axis), ["0", "5", "10", "15"]);
        let axis = Axis::between(1.0, 1000.0, true);
        assert_eq!((axis.place(1.0), axis.place(1000.0)), (0.0, 1.0));
        assert_eq!(labels_of(axis), ["10⁰", "10¹", "10²", "10³"]);
        let axis = Axis::between(5.0, 5.0, true);
        assert_eq!(axis.place(5.0), 0.5);
        assert_eq!(labels_of(axis), ["5"]);
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for values in [
            [0.0, 0.0],
            [7.0, 7.0],
            [-3.0, -3.0],
            [1.0, 1.0 + 1e-15],
            [5e-324, 5e-324],
            [0.0, 5e-324],
            [-1e150, 1e150],
            [1e-300, 1e150],
            [1e6, 1e6 + 1.0],
            [-8.0, -1.0],
        ] {
            let axis = Axis::upwards(&values);
            for value in values {
                let [low, high] = values;
                for place in [
                    axis.place(value),
                    Axis::across(&values).place(value),
                    Axis::between(low, high, false).place(value),
                ] {
                    assert!(
                        (0.0..=1.0).contains(&place),
                        "{value} of {values:?}: {place}"
                    );
                }
            }
            assert!(axis.ticks.len() < 22, "{:?}", axis.ticks);
            for (value, label) in &axis.ticks {
                let place = axis.place(*value);
                assert!(
                    (-1e-6..=1.000001).contains(&place),
                    "tick {label} of {values:?}: {place}"
                );
            }
        }
    }
}
