//! Values that change along an axis.

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::error::PlotError;
use super::figure::Figure;
use super::number::plain;
use super::scene::Marker;
use super::style::SERIES;
use super::text;
use super::value::{self, Value};

/// The largest number of lines that colours and markers tell apart.
const MOST_SERIES: usize = SERIES.len() * Marker::ALL.len();

type Named = (String, Vec<(f64, f64)>);

/// Draws one line for each name and list of points `(x, y)`.
///
/// Points are joined in their order. An axis is logarithmic where all of its values are above 0
/// and the largest is at least 1000 times the smallest. The figure shows itself when it is the
/// last expression of a cell.
///
/// # Errors
///
/// No series, a series without points, more than 28 series, or a value that is NaN or infinite.
///
/// # Examples
///
/// ```
/// use helpers::plot;
///
/// let serial = [(1_000, 0.002), (100_000, 0.2), (10_000_000, 21.0)];
/// let parallel = [(1_000, 0.010), (100_000, 0.06), (10_000_000, 5.5)];
/// let figure = plot::lines(
///     "Time of one sum",
///     "numbers",
///     "time (ms)",
///     &[("serial", &serial), ("4 workers", &parallel)],
/// )?;
/// assert!(figure.alt().contains("both axes are logarithmic"));
/// # Ok::<(), plot::PlotError>(())
/// ```
pub fn lines<L: AsRef<str>, P: AsRef<[(X, Y)]>, X: Value, Y: Value>(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: impl AsRef<[(L, P)]>,
) -> Result<Figure, PlotError> {
    let point = |(x, y): &(X, Y)| (x.value(), y.value());
    let points = |points: &P| points.as_ref().iter().map(point).collect();
    let series = series.as_ref().iter();
    let series = series.map(|(name, list)| (text::clean(name.as_ref()), points(list)));
    draw(title, x_label, y_label, series.collect())
}

fn draw(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: Vec<Named>,
) -> Result<Figure, PlotError> {
    check(&series)?;
    let [title, x_label, y_label] = [title, x_label, y_label].map(text::clean);
    let all = || series.iter().flat_map(|(_, points)| points);
    let x = Axis::across(&all().map(|point| point.0).collect::<Vec<_>>());
    let y = Axis::upwards(&all().map(|point| point.1).collect::<Vec<_>>());
    let alt = alt(&title, &x_label, &y_label, [&x, &y], &series);
    let styled = |(i, (name, points)): (usize, Named)| Series {
        name,
        points,
        color: SERIES[i % SERIES.len()],
        width: 2.0,
        dashed: false,
        marker: Some(Marker::ALL[i % Marker::ALL.len()]),
    };
    let chart = Chart {
        title: &title,
        x_label: &x_label,
        y_label: &y_label,
        x,
        y,
        series: series.into_iter().enumerate().map(styled).collect(),
    };
    let scene = chart.draw();
    Ok(Figure::new(title, alt, scene))
}

fn check(series: &[Named]) -> Result<(), PlotError> {
    if series.is_empty() {
        let message = "there are no lines to draw: give at least one name and its points";
        return Err(PlotError::no_data(message));
    }
    if series.len() > MOST_SERIES {
        let count = series.len();
        return Err(PlotError::out_of_range(format!(
            "{count} lines are too many to tell apart, {MOST_SERIES} are the most: leave some out"
        )));
    }
    for (name, points) in series {
        if points.is_empty() {
            return Err(PlotError::no_data(format!(
                "the line \"{name}\" has no points: give it at least one, or leave it out"
            )));
        }
        for (i, &(x, y)) in points.iter().enumerate() {
            value::check(x, || format!("x of point {i} of the line \"{name}\""))?;
            value::check(y, || format!("y of point {i} of the line \"{name}\""))?;
        }
    }
    Ok(())
}

/// Tells what the lines tell: where each of them starts, ends, and is highest or lowest.
fn alt(title: &str, x_label: &str, y_label: &str, axes: [&Axis; 2], series: &[Named]) -> String {
    let mut alt = String::from("Line plot");
    if !title.is_empty() {
        alt += &format!(" \"{title}\"");
    }
    match (x_label, y_label) {
        ("", "") => {}
        ("", y) => alt += &format!(" of {y}"),
        (x, "") => alt += &format!(" by {x}"),
        (x, y) => alt += &format!(" of {y} by {x}"),
    }
    match axes.map(Axis::is_log) {
        [true, true] => alt += "; both axes are logarithmic",
        [true, false] => alt += "; the x axis is logarithmic",
        [false, true] => alt += "; the y axis is logarithmic",
        [false, false] => {}
    }
    alt.push(':');
    let told: Vec<String> = series
        .iter()
        .map(|(name, points)| tell(name, points))
        .collect();
    alt + &told.join(";") + "."
}

fn tell(name: &str, points: &[(f64, f64)]) -> String {
    let at = |&(x, y): &(f64, f64)| format!("{} at {}", plain(y), plain(x));
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    if points.len() == 1 {
        return format!(" {name} is {}", at(first));
    }
    let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let mut told = format!(" {name} goes from {} to {}", at(first), at(last));
    let (low, high) = (first.1.min(last.1), first.1.max(last.1));
    if let Some(top) = points.iter().max_by(by_y).filter(|top| top.1 > high) {
        told += &format!(", highest {}", at(top));
    }
    if let Some(bottom) = points.iter().min_by(by_y).filter(|bottom| bottom.1 < low) {
        told += &format!(", lowest {}", at(bottom));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alt_text_tells_ends_and_extremes() {
        let points = [(1, 4.0), (2, 1.5), (4, 9.25), (8, 6.0)];
        let figure = lines(
            "T",
            "workers",
            "time (s)",
            [("a", &points[..]), ("b", &points[..1])],
        );
        assert_eq!(
            figure.unwrap().alt(),
            "Line plot \"T\" of time (s) by workers: a goes from 4 at 1 to 6 at 8, \
             highest 9.25 at 4, lowest 1.5 at 2; b is 4 at 1."
        );
    }
}
