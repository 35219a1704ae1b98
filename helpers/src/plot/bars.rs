//! A few values side by side.

use super::error::PlotError;
use super::figure::Figure;
use super::number::{readable_unit, short, short_together, with_unit};
use super::scene::{Anchor, Scene};
use super::style::{AXIS, INK, LABEL_SIZE, MARGIN, SERIES, WIDTH};
use super::text;
use super::value::{self, Value};

/// The largest number of bars that can still be read.
const MOST_BARS: usize = 100;
/// The largest number of values that the text beside the picture lists.
const MOST_LISTED: usize = 12;

/// Draws one bar for each label and value, from top to bottom.
///
/// Each bar has its value at its end, with `unit` behind it. Seconds (`"s"`) that are all below 1
/// are shown in ms, µs or ns. The figure shows itself when it is the last expression of a cell.
///
/// # Errors
///
/// No bars, more than 100 bars, or a value that is negative, NaN or infinite.
///
/// # Examples
///
/// ```
/// use helpers::plot;
///
/// let figure = plot::bars("Wall time", "s", &[("serial", 7.0), ("4 workers", 2.5)])?;
/// assert!(figure.alt().contains("2.80 times"));
/// # Ok::<(), plot::PlotError>(())
/// ```
pub fn bars<L: AsRef<str>, V: Value>(
    title: &str,
    unit: &str,
    bars: impl AsRef<[(L, V)]>,
) -> Result<Figure, PlotError> {
    // The generic part is compiled once more in each notebook cell that calls it, so it is small.
    let bars = bars.as_ref().iter();
    let bars = bars.map(|(label, value)| (text::clean(label.as_ref()), value.value()));
    draw(title, unit, &bars.collect::<Vec<_>>())
}

fn draw(title: &str, unit: &str, bars: &[(String, f64)]) -> Result<Figure, PlotError> {
    check(bars)?;
    let title = text::clean(title);
    // A unit that is a sentence would leave no room for the bars.
    let unit = text::elide(&text::clean(unit), LABEL_SIZE, false, WIDTH / 6.0);
    let largest = bars
        .iter()
        .fold(0.0, |largest: f64, bar| largest.max(bar.1));
    let (factor, unit) = readable_unit(&unit, largest);
    let values: Vec<f64> = bars.iter().map(|bar| bar.1 * factor).collect();
    let values = short_together(&values)
        .into_iter()
        .map(|value| with_unit(&value, unit));
    let values: Vec<String> = values.collect();
    let alt = alt(&title, bars, &values);
    let scene = scene(&title, bars, &values, largest);
    Ok(Figure::new(title, alt, scene))
}

fn check(bars: &[(String, f64)]) -> Result<(), PlotError> {
    if bars.is_empty() {
        return Err(PlotError::no_data(
            "there are no bars to draw: give at least one label and value",
        ));
    }
    if bars.len() > MOST_BARS {
        let count = bars.len();
        return Err(PlotError::out_of_range(format!(
            "{count} bars are too many to read, {MOST_BARS} are the most: \
             leave some out, or draw lines"
        )));
    }
    for (label, value) in bars {
        value::check(*value, || format!("the bar \"{label}\""))?;
        if *value < 0.0 {
            return Err(PlotError::out_of_range(format!(
                "the bar \"{label}\" is {value}, but a bar starts at 0: \
                 give values from 0 upwards, or draw lines"
            )));
        }
    }
    Ok(())
}

fn scene(title: &str, bars: &[(String, f64)], values: &[String], largest: f64) -> Scene {
    let (mut scene, top) = Scene::titled(title);
    let wrap = |(label, _): &(String, f64)| text::wrap(label, LABEL_SIZE, false, 0.38 * WIDTH, 2);
    let labels: Vec<Vec<String>> = bars.iter().map(wrap).collect();
    let widest = |texts: &mut dyn Iterator<Item = &String>| {
        texts
            .map(|t| text::width(t, LABEL_SIZE, false))
            .fold(0.0, f64::max)
    };
    let label_width = widest(&mut labels.iter().flatten());
    let value_width = widest(&mut values.iter());
    // Without any label the bars start at the margin.
    let gap = if label_width > 0.0 { 10.0 } else { 0.0 };
    let left = MARGIN + label_width + gap;
    let longest = (WIDTH - MARGIN - value_width - 8.0 - left).max(0.0);
    // Many bars get less room each, but never less than their text needs.
    let room: f64 = if bars.len() > 12 { 24.0 } else { 36.0 };
    let mut y = top + if title.is_empty() { 0.0 } else { 10.0 };
    let axis_top = y;
    for (((_, value), label), written) in bars.iter().zip(&labels).zip(values) {
        let height = room.max(text::height(label.len(), LABEL_SIZE) + 6.0);
        let middle = y + height / 2.0;
        let half = (room * 0.36).round();
        let length = if largest > 0.0 {
            longest * (value / largest)
        } else {
            0.0
        };
        scene.rect(
            (left, middle - half),
            (left + length, middle + half),
            SERIES[0],
        );
        let at = (left + length + 8.0, middle);
        scene.text(written, at, LABEL_SIZE, INK, Anchor::Start);
        let first = middle - text::height(label.len() - label.len().min(1), LABEL_SIZE) / 2.0;
        for (row, line) in label.iter().enumerate() {
            let at = (left - 10.0, first + text::height(row, LABEL_SIZE));
            scene.text(line, at, LABEL_SIZE, INK, Anchor::End);
        }
        y += height;
    }
    scene.line((left, axis_top), (left, y), 1.0, AXIS);
    scene.height = (y + MARGIN).round();
    scene
}

/// Tells what the bars tell: the values, and how many times the smallest the largest is.
fn alt(title: &str, bars: &[(String, f64)], values: &[String]) -> String {
    let of = |i: usize| format!("{} {}", bars[i].0, values[i]);
    let by_value = |&a: &usize, &b: &usize| bars[a].1.total_cmp(&bars[b].1);
    let least = (0..bars.len()).min_by(by_value).unwrap_or(0);
    // Of equal bars, the first is the one to name.
    let most = (0..bars.len()).rev().max_by(by_value).unwrap_or(0);
    let mut alt = String::from("Bar plot");
    if !title.is_empty() {
        alt += &format!(" \"{title}\"");
    }
    if bars.len() <= MOST_LISTED {
        let list: Vec<String> = (0..bars.len()).map(of).collect();
        alt += &format!(": {}.", list.join(", "));
    } else {
        let (count, least, most) = (bars.len(), of(least), of(most));
        alt += &format!(" of {count} bars, from {least} to {most}.");
    }
    let ratio = bars[most].1 / bars[least].1;
    if ratio > 1.0 && ratio.is_finite() {
        let (ratio, most, least) = (short(ratio), &bars[most].0, &bars[least].0);
        alt += &format!(" The largest, {most}, is {ratio} times the smallest, {least}.");
    }
    alt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alt_text_compares_the_largest_and_the_smallest() {
        let figure = bars("Sum", "s", [("serial", 7.0), ("4 workers", 2.5)]).unwrap();
        assert_eq!(
            figure.alt(),
            "Bar plot \"Sum\": serial 7.00 s, 4 workers 2.50 s. \
             The largest, serial, is 2.80 times the smallest, 4 workers."
        );
    }

    #[test]
    fn equal_and_zero_bars_are_not_compared() {
        let equal = bars("", "", [("a", 3), ("b", 3)]).unwrap();
        assert_eq!(equal.alt(), "Bar plot: a 3, b 3.");
        let zero = bars("", "s", [("a", 0.0), ("b", 0.0)]).unwrap();
        assert_eq!(zero.alt(), "Bar plot: a 0 s, b 0 s.");
    }

    #[test]
    fn small_times_are_in_a_small_unit() {
        let figure = bars("", "s", [("a", 0.0123), ("b", 0.5)]).unwrap();
        assert!(
            figure.alt().contains("a 12.3 ms, b 500 ms"),
            "{}",
            figure.alt()
        );
    }

    #[test]
    fn many_bars_are_summed_up() {
        let many: Vec<(String, u32)> = (1..=40).map(|i| (format!("run {i}"), i)).collect();
        let figure = bars("", "", &many).unwrap();
        assert_eq!(
            figure.alt(),
            "Bar plot of 40 bars, from run 1 1 to run 40 40. \
             The largest, run 40, is 40.0 times the smallest, run 1."
        );
    }
}
