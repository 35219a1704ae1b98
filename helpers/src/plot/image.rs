//! A table of numbers as a picture.

use ndarray::{Array2, s};

use super::axis::Axis;
use super::colormap::{self, NO_NUMBER, SHADES};
use super::error::PlotError;
use super::figure::Figure;
use super::grid::Grid;
use super::number::plain;
use super::raster::{Raster, SHARPNESS};
use super::scene::{Anchor, Picture, Point, Scene};
use super::style::{AXIS, LABEL_SIZE, MARGIN, MUTED, TICK_SIZE, WIDTH};
use super::text;
use super::value;

/// The largest height of a picture, in pixels of the page.
const MOST_HEIGHT: f64 = 480.0;
/// The largest side of a value's square, in pixels of the page.
const LARGEST_SIDE: f64 = 48.0;
/// The least width and height of a picture: what is thinner is drawn thicker.
const THINNEST: f64 = 24.0;
/// The least height of the bar of colours, for the numbers beside it not to touch.
const LEAST_BAR: f64 = 140.0;
const BAR_WIDTH: f64 = 14.0;
/// The space between the picture and the bar.
const GAP: f64 = 18.0;

/// Draws each value of an array as a square, whose colour tells how high it is.
///
/// `values` is a reference to a 2-D array of `ndarray`, or to a list of rows, such as a
/// `Vec<Vec<f64>>`. Row 0 is at the top, column 0 at the left. The colours go from dark (the
/// smallest value) to bright (the largest), and a bar beside the picture tells their numbers. They
/// are those of viridis, which readers with colour-blindness can tell apart. The scale is
/// logarithmic where all values are above 0 and the largest is at least 1000 times the smallest.
/// Values that are NaN or infinite are grey. The figure shows itself when it is the last expression
/// of a cell.
///
/// An array with more values than there is room for is drawn with a square for the mean of each
/// block of 2 × 2, 3 × 3, … values. One that is too long and thin to be seen is drawn thicker.
///
/// # Errors
///
/// No values, rows of different lengths, no value that is finite, a value beyond ±10¹⁵⁰, or more
/// than 4096 × 4096 values.
///
/// # Examples
///
/// ```
/// use helpers::ndarray::Array2;
/// use helpers::plot;
///
/// let distance = Array2::from_shape_fn((60, 90), |(row, column)| {
///     (row as f64 - 30.0).hypot(column as f64 - 45.0)
/// });
/// let figure = plot::image("Distance from the middle", &distance)?;
/// assert!(figure.alt().contains("60 rows of 90 values, from 0 (row 30, column 45)"));
///
/// // The rows that a `map` gave:
/// let rows = vec![vec![1, 2, 3], vec![4, 5, 6]];
/// let figure = plot::image("Six numbers", &rows)?;
/// # Ok::<(), plot::PlotError>(())
/// ```
pub fn image(title: &str, values: impl Grid) -> Result<Figure, PlotError> {
    draw(title, &values.grid()?)
}

fn draw(title: &str, values: &Array2<f64>) -> Result<Figure, PlotError> {
    let range = Range::of(values)?;
    let title = text::clean(title);
    let (alt, scene) = (alt(&title, values, &range), scene(&title, values, &range));
    Ok(Figure::new(title, alt, scene))
}

/// What there is to know about the values as a whole.
struct Range {
    low: Extreme,
    high: Extreme,
    /// How many values are NaN or infinite.
    not_finite: usize,
    /// The places of the values on the scale of colours.
    axis: Axis,
}

/// The smallest or the largest finite value, and the row and column of its first appearance.
#[derive(Clone, Copy)]
struct Extreme {
    value: f64,
    at: (usize, usize),
}

impl Range {
    fn of(values: &Array2<f64>) -> Result<Self, PlotError> {
        let (rows, columns) = values.dim();
        let Some(&first) = values.first() else {
            return Err(PlotError::no_data(format!(
                "{rows} rows of {columns} values leave nothing to show: \
                 give at least one row of one value"
            )));
        };
        let mut ends: Option<(Extreme, Extreme)> = None;
        let (mut not_finite, mut whole) = (0, true);
        for (at, &value) in values.indexed_iter() {
            if !value.is_finite() {
                not_finite += 1;
                continue;
            }
            value::check(value, || {
                format!("the value in row {}, column {}", at.0, at.1)
            })?;
            whole &= value.fract() == 0.0;
            let here = Extreme { value, at };
            let (low, high) = ends.get_or_insert((here, here));
            if value < low.value {
                *low = here;
            }
            if value > high.value {
                *high = here;
            }
        }
        let Some((low, high)) = ends else {
            let count = values.len();
            return Err(PlotError::none_finite(count, first));
        };
        Ok(Self {
            low,
            high,
            not_finite,
            axis: Axis::between(low.value, high.value, whole),
        })
    }
}

fn scene(title: &str, values: &Array2<f64>, range: &Range) -> Scene {
    let (mut scene, top) = Scene::titled(title);
    let top = (top + if title.is_empty() { 0.0 } else { 10.0 }).round();
    let labels = range.axis.ticks.iter();
    let labels = labels.map(|(_, label)| text::width(label, TICK_SIZE, false));
    let beside = GAP + BAR_WIDTH + 8.0 + labels.fold(0.0, f64::max);
    let raster = raster(values, &range.axis, WIDTH - 2.0 * MARGIN - beside);
    let (width, height) = size(&raster, WIDTH - 2.0 * MARGIN - beside);
    let corner = (MARGIN + width, top + height);
    scene.pictures.push(Picture {
        from: (MARGIN, top),
        to: corner,
        raster,
    });
    let bottom = top + height.max(LEAST_BAR);
    draw_bar(&mut scene, (corner.0 + GAP, top), bottom, &range.axis);
    scene.height = bottom;
    if range.not_finite > 0 {
        let y = bottom + 24.0;
        scene.rect((MARGIN, y - 7.0), (MARGIN + 14.0, y + 7.0), NO_NUMBER);
        let told = format!("NaN or infinite: {}", count(range.not_finite));
        scene.text(&told, (MARGIN + 22.0, y), LABEL_SIZE, MUTED, Anchor::Start);
        scene.height = y + 7.0;
    }
    scene.height = (scene.height + MARGIN).round();
    scene
}

/// Paints one pixel for each value, or for the mean of each block of values.
fn raster(values: &Array2<f64>, axis: &Axis, room: f64) -> Raster {
    let (rows, columns) = values.dim();
    let most = most_pixels(room);
    let block = rows.div_ceil(most.1).max(columns.div_ceil(most.0));
    let (height, width) = (rows.div_ceil(block), columns.div_ceil(block));
    let mut rgb = Vec::with_capacity(height * width * 3);
    for row in (0..rows).step_by(block) {
        for column in (0..columns).step_by(block) {
            let (below, behind) = ((row + block).min(rows), (column + block).min(columns));
            let part = values.slice(s![row..below, column..behind]);
            let finite = part.iter().filter(|value| value.is_finite());
            let (sum, count) = finite.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
            let color = match count {
                0 => NO_NUMBER,
                count => colormap::color(axis.place(sum / f64::from(count))),
            };
            rgb.extend([color.0, color.1, color.2]);
        }
    }
    Raster { width, height, rgb }
}

/// The largest width and height of a picture, in pixels of the raster.
fn most_pixels(room: f64) -> (usize, usize) {
    let pixels = |length: f64| length as usize * SHARPNESS;
    (pixels(room), pixels(MOST_HEIGHT))
}

/// Chooses how large a picture is on the page, so that all of its squares are equally large.
fn size(raster: &Raster, room: f64) -> (f64, f64) {
    let (most_width, most_height) = most_pixels(room);
    let largest = LARGEST_SIDE as usize * SHARPNESS;
    let side = (most_width / raster.width).min(most_height / raster.height);
    let side = side.clamp(1, largest);
    let length = |count: usize| (count * side) as f64 / SHARPNESS as f64;
    (
        length(raster.width).max(THINNEST),
        length(raster.height).max(THINNEST),
    )
}

/// Draws the colours from the lowest at the bottom to the highest at the top, and their numbers.
fn draw_bar(scene: &mut Scene, (left, top): Point, bottom: f64, axis: &Axis) {
    let right = left + BAR_WIDTH;
    let shade = |i: usize| colormap::color((i as f64 + 0.5) / SHADES as f64);
    let colors = (0..SHADES).rev().map(shade);
    scene.pictures.push(Picture {
        from: (left, top),
        to: (right, bottom),
        raster: Raster {
            width: 1,
            height: SHADES,
            rgb: colors
                .flat_map(|color| [color.0, color.1, color.2])
                .collect(),
        },
    });
    let y = |value: f64| bottom - axis.place(value) * (bottom - top);
    for (value, label) in &axis.ticks {
        let y = y(*value);
        scene.line((right, y), (right + 4.0, y), 1.0, AXIS);
        scene.text(label, (right + 8.0, y), TICK_SIZE, MUTED, Anchor::Start);
    }
    for value in &axis.minor {
        let y = y(*value);
        scene.line((right, y), (right + 2.5, y), 0.75, AXIS);
    }
}

/// Tells what the picture tells: its shape, its extremes, and where it is bright and dark.
fn alt(title: &str, values: &Array2<f64>, range: &Range) -> String {
    let mut alt = String::from("Image");
    if !title.is_empty() {
        alt += &format!(" \"{title}\"");
    }
    let (rows, columns) = values.dim();
    let s = if rows == 1 { "" } else { "s" };
    alt += &format!(" of {rows} row{s} of {}", count(columns));
    let (low, high) = (range.low, range.high);
    if low.value == high.value {
        alt += &format!(", all of them {}.", plain(low.value));
    } else {
        let tell = |end: Extreme| {
            let (row, column) = end.at;
            format!("{} (row {row}, column {column})", plain(end.value))
        };
        alt += &format!(", from {} to {}", tell(low), tell(high));
        if range.axis.is_log() {
            alt += ", in colours on a logarithmic scale";
        }
        alt += &format!(". {}.", bright_and_dark(values, &range.axis));
    }
    if range.not_finite > 0 {
        alt += &format!(" {} NaN or infinite, and grey.", are(range.not_finite));
    }
    alt
}

/// Tells in which ninth of the picture the mean place on the scale is highest and lowest.
fn bright_and_dark(values: &Array2<f64>, axis: &Axis) -> String {
    const NINTHS: [&str; 9] = [
        "at the upper left",
        "at the top",
        "at the upper right",
        "at the left",
        "in the centre",
        "at the right",
        "at the lower left",
        "at the bottom",
        "at the lower right",
    ];
    // Which third a row or column is in: of one the middle, of two the outer ones.
    let third = |i: usize, count: usize| (2 * i + 1) * 3 / (2 * count);
    let (rows, columns) = values.dim();
    let mut sums = [(0.0, 0_u32); 9];
    for ((row, column), value) in values.indexed_iter() {
        if value.is_finite() {
            let (sum, count) = &mut sums[third(row, rows) * 3 + third(column, columns)];
            *sum += axis.place(*value);
            *count += 1;
        }
    }
    let means = sums.iter().enumerate().filter(|(_, (_, count))| *count > 0);
    let means = means.map(|(i, (sum, count))| (sum / f64::from(*count), NINTHS[i]));
    let means: Vec<(f64, &str)> = means.collect();
    let by_mean = |a: &&(f64, &str), b: &&(f64, &str)| a.0.total_cmp(&b.0);
    let ends = means
        .iter()
        .max_by(by_mean)
        .zip(means.iter().min_by(by_mean));
    match ends {
        Some((bright, dark)) if bright.0 - dark.0 > 0.02 => format!(
            "On average the values are highest {}, and lowest {}",
            bright.1, dark.1
        ),
        _ => "High and low values are spread evenly".to_owned(),
    }
}

fn count(values: usize) -> String {
    format!("{values} value{}", if values == 1 { "" } else { "s" })
}

fn are(values: usize) -> String {
    format!(
        "{} {}",
        count(values),
        if values == 1 { "is" } else { "are" }
    )
}
