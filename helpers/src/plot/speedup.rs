//! How many times faster more workers are.

use super::amdahl::{amdahl, fit_amdahl};
use super::axis::Axis;
use super::chart::{Chart, Series};
use super::error::PlotError;
use super::figure::Figure;
use super::number::{plain, short};
use super::scene::Marker;
use super::style::{AXIS, SERIES};
use super::text;
use super::value::{self, Value};

/// Draws the speedup over the serial time for each number of workers.
///
/// The speedup is the wall time `serial` divided by the wall time with `n` workers. The plot shows
/// three lines:
///
/// - the ideal, dashed: `n` workers are `n` times as fast;
/// - what was measured;
/// - Amdahl's law, with the serial part that [`fit_amdahl`](super::fit_amdahl) finds.
///
/// The figure shows itself when it is the last expression of a cell.
///
/// # Errors
///
/// No points, 0 workers, or a time that is not above 0, NaN or infinite.
///
/// # Examples
///
/// ```
/// use helpers::plot;
///
/// let walls = [(1, 8.1), (2, 4.5), (4, 2.6), (8, 1.7)];
/// let figure = plot::speedup("Sum of a large array", 8.0, &walls)?;
/// assert!(figure.alt().contains("8 workers 4.71"));
/// # Ok::<(), plot::PlotError>(())
/// ```
pub fn speedup<S: Value, N: Value, V: Value>(
    title: &str,
    serial: S,
    points: impl AsRef<[(N, V)]>,
) -> Result<Figure, PlotError> {
    let points = points.as_ref().iter().enumerate();
    let points = points.map(|(i, (workers, wall))| Ok((whole(i, workers.value())?, wall.value())));
    draw(
        title,
        serial.value(),
        &points.collect::<Result<Vec<_>, _>>()?,
    )
}

/// A number of workers.
fn whole(point: usize, workers: f64) -> Result<usize, PlotError> {
    if workers >= 0.0 && workers.fract() == 0.0 {
        return Ok(workers as usize);
    }
    Err(PlotError::out_of_range(format!(
        "point {point} has {workers} workers: give the number of threads that worked, 1 or more"
    )))
}

fn draw(title: &str, serial: f64, points: &[(usize, f64)]) -> Result<Figure, PlotError> {
    let title = text::clean(title);
    let measured = check(serial, points)?;
    let serial_part = fit_amdahl(&measured);
    let most_workers = measured.last().map_or(1, |point| point.0) as f64;
    let highest = measured
        .iter()
        .fold(1.0, |highest: f64, point| highest.max(point.1));
    // Far from ideal, the ideal line would press everything else to the bottom: let it leave the
    // plot at the top.
    let top = highest.max(most_workers.min(2.5 * highest)) * 1.05;
    // The laws start at 1 worker, measured or not.
    let workers = measured.iter().map(|point| point.0 as f64).chain([1.0]);
    let workers: Vec<f64> = workers.collect();
    let alt = alt(&title, &measured, serial_part);
    let chart = Chart {
        title: &title,
        x_label: "workers",
        y_label: "speedup over serial",
        x: Axis::across(&workers),
        y: Axis::linear(0.0, top, false),
        series: series(measured, serial_part, most_workers, top),
    };
    let scene = chart.draw();
    Ok(Figure::new(title, alt, scene))
}

/// Checks the times, and gives the speedups by a growing number of workers.
fn check(serial: f64, points: &[(usize, f64)]) -> Result<Vec<(usize, f64)>, PlotError> {
    let time = |wall: f64, what: &dyn Fn() -> String| {
        value::check(wall, what)?;
        match wall > 0.0 {
            true => Ok(wall),
            false => Err(PlotError::out_of_range(format!(
                "{} is {wall}, but a time is above 0: measure more work at once",
                what()
            ))),
        }
    };
    if points.is_empty() {
        let message =
            "there are no times to draw: give at least one number of workers and its time";
        return Err(PlotError::no_data(message));
    }
    let serial = time(serial, &|| "the serial time".to_owned())?;
    let mut speedups = Vec::with_capacity(points.len());
    for (i, &(workers, wall)) in points.iter().enumerate() {
        if workers == 0 {
            return Err(PlotError::out_of_range(format!(
                "point {i} has 0 workers: give the number of threads that worked, 1 or more"
            )));
        }
        let wall = time(wall, &|| format!("the time with {}", count(workers)))?;
        let speedup = serial / wall;
        value::check(speedup, || format!("the speedup with {}", count(workers)))?;
        speedups.push((workers, speedup));
    }
    speedups.sort_by_key(|point| point.0);
    Ok(speedups)
}

fn series(measured: Vec<(usize, f64)>, serial_part: f64, most: f64, top: f64) -> Vec<Series> {
    let line = |name: String, law: &dyn Fn(f64) -> f64, color, dashed| Series {
        name,
        points: curve(law, most, top),
        color,
        width: if dashed { 1.5 } else { 2.0 },
        dashed,
        marker: None,
    };
    let points = measured
        .into_iter()
        .map(|(workers, speedup)| (workers as f64, speedup));
    let mut series = vec![Series {
        name: "measured".to_owned(),
        points: points.collect(),
        color: SERIES[0],
        width: 2.0,
        dashed: false,
        marker: Some(Marker::Circle),
    }];
    // The ideal is drawn above Amdahl's law, which covers it where no part is serial.
    series.push(line("ideal".to_owned(), &|workers| workers, AXIS, true));
    if serial_part.is_finite() {
        let name = format!("Amdahl, serial part {}", percent(serial_part));
        let law = |workers| amdahl(serial_part, workers);
        series.push(line(name, &law, SERIES[1], false));
    }
    series
}

/// Gives points along a growing `law` from 1 to `most` workers, up to where it leaves the plot.
fn curve(law: &dyn Fn(f64) -> f64, most: f64, top: f64) -> Vec<(f64, f64)> {
    const PIECES: i32 = 40;
    // Amdahl's law bends most at few workers, so the pieces are shorter there.
    let at = |i| most.powf(f64::from(i) / f64::from(PIECES));
    let mut points: Vec<(f64, f64)> = Vec::new();
    for workers in (0..=PIECES).map(at) {
        let speedup = law(workers);
        if speedup > top {
            if let Some(&(x, y)) = points.last() {
                points.push((x + (workers - x) * (top - y) / (speedup - y), top));
            }
            break;
        }
        points.push((workers, speedup));
    }
    points
}

fn percent(part: f64) -> String {
    // Below a tenth, the digit after the point matters: 0.4 % and 1.4 % are far apart.
    match part {
        0.0 => "0 %".to_owned(),
        p if p < 0.1 => format!("{:.1} %", p * 100.0),
        p => format!("{:.0} %", p * 100.0),
    }
}

fn count(workers: usize) -> String {
    format!("{workers} worker{}", if workers == 1 { "" } else { "s" })
}

/// Tells what the plot tells: the speedups, the serial part, and the limit that it sets.
fn alt(title: &str, measured: &[(usize, f64)], serial_part: f64) -> String {
    let mut alt = String::from("Speedup plot");
    if !title.is_empty() {
        alt += &format!(" \"{title}\"");
    }
    let tell =
        |&(workers, speedup): &(usize, f64)| format!("{} {}", count(workers), short(speedup));
    let told: Vec<String> = measured.iter().map(tell).collect();
    alt += &format!(", times as fast as serial: {}.", told.join(", "));
    if serial_part.is_finite() {
        let part = percent(serial_part);
        alt += &format!(" Amdahl's law fits best with a serial part of {part}");
        alt += &match serial_part {
            0.0 => ", which sets no limit.".to_owned(),
            part => format!(", which limits the speedup to {}.", short(1.0 / part)),
        };
    }
    let above = measured
        .iter()
        .find(|&&(workers, speedup)| speedup > 1.05 * workers as f64);
    if let Some(&(workers, speedup)) = above {
        let (times, workers) = (plain(speedup), count(workers));
        alt += &format!(" {times} times with {workers} is above the ideal.");
    }
    alt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alt_text_tells_speedups_and_the_limit() {
        let figure = speedup("S", 1.0, [(4, 0.4), (1, 1.0), (2, 0.625)]).unwrap();
        assert_eq!(
            figure.alt(),
            "Speedup plot \"S\", times as fast as serial: 1 worker 1.00, 2 workers 1.60, \
             4 workers 2.50. Amdahl's law fits best with a serial part of 22 %, \
             which limits the speedup to 4.64."
        );
        let figure = speedup("", 1.0, [(2, 0.25)]).unwrap();
        assert!(
            figure
                .alt()
                .ends_with("4 times with 2 workers is above the ideal.")
        );
    }

    #[test]
    fn curves_end_where_the_plot_ends() {
        let points = curve(&|workers| workers, 64.0, 10.0);
        assert_eq!(points.first(), Some(&(1.0, 1.0)));
        let &(x, y) = points.last().unwrap();
        assert!((x - 10.0).abs() < 1e-9 && y == 10.0, "{x}, {y}");
    }
}
