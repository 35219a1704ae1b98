//! Draws the figure of BENCHMARKS.md: `draw_benchmarks MEASURED.json FIGURE.svg`.
//!
//! `cargo xtask bench` starts it. It prints the text that tells what the figure tells.

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

use helpers::plot::{self, Figure};
use serde_json::Value;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The width of every figure of this crate, in pixels of the page.
const WIDTH: f64 = 720.0;
/// A speedup of fewer numbers of workers is no line.
const FEWEST_TEAMS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [measured, figure] => draw(measured, figure),
        _ => Err("say which file holds the measurements, and where the figure goes".into()),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn draw(measured: &str, figure: &str) -> Result<()> {
    let text = fs::read_to_string(measured).map_err(|error| format!("{measured}: {error}"))?;
    let results: Value = serde_json::from_str(&text)?;
    let tables = list(&results["suites"]).flat_map(|suite| list(&suite["tables"]));
    let mut panels = Vec::new();
    for table in tables {
        panels.extend(panel(table)?);
    }
    let alt: Vec<&str> = panels.iter().map(Figure::alt).collect();
    let alt = alt.join(" ");
    fs::write(figure, stacked(&panels, &alt)?).map_err(|error| format!("{figure}: {error}"))?;
    println!("{alt}");
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The plot of a table, if it is to have one and if there is something to draw.
fn panel(table: &Value) -> Result<Option<Figure>> {
    if table["scaling"].is_array() {
        return speedup(table);
    }
    let Some(title) = table["panel"].as_str() else {
        return Ok(None);
    };
    let rows: Vec<&Value> = list(&table["rows"]).collect();
    let ours = rows.first().and_then(|row| median(&row["seconds"]));
    let (Some(ours), Some(name)) = (ours, rows.first().and_then(|row| row["name"].as_str())) else {
        return Ok(None);
    };
    // Of ours there is no ratio: it is one.
    let times = |row: &Value| median(&row["ours_to_this"]).map_or(1.0, |ratio| 1.0 / ratio);
    let bar = |row: &Value| {
        median(&row["seconds"])?;
        Some((row["name"].as_str()?.to_owned(), times(row)))
    };
    let bars: Vec<(String, f64)> = rows.iter().copied().filter_map(bar).collect();
    let title = format!(
        "{title}: times as long as {name}, which takes {}",
        time(ours)
    );
    Ok(Some(plot::bars(&title, "", &bars)?))
}

/// Writes seconds in a unit that suits them.
fn time(seconds: f64) -> String {
    let units = [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)];
    let fits = units.into_iter().find(|&(_, size)| seconds >= size);
    let (unit, size) = fits.unwrap_or(("ns", 1e-9));
    let number = seconds / size;
    let decimals = [(100.0, 0), (10.0, 1)];
    let decimals = decimals.into_iter().find(|&(least, _)| number >= least);
    format!("{number:.*} {unit}", decimals.map_or(2, |(_, count)| count))
}

fn speedup(table: &Value) -> Result<Option<Figure>> {
    let of_pool = list(&table["scaling"]).filter(|row| row["name"] == "Pool");
    let point = |row: &Value| Some((row["workers"].as_u64()? as usize, median(&row["seconds"])?));
    let points: Vec<(usize, f64)> = of_pool.filter_map(point).collect();
    match (median(&table["serial"]), table["title"].as_str()) {
        (Some(serial), Some(machine)) if points.len() >= FEWEST_TEAMS => {
            let title = format!("Mandelbrot on a Pool: {machine}");
            Ok(Some(plot::speedup(&title, serial, &points)?))
        }
        _ => Ok(None),
    }
}

fn median(spread: &Value) -> Option<f64> {
    spread["median"].as_f64()
}

/// One picture with the figures below each other.
fn stacked(figures: &[Figure], alt: &str) -> Result<String> {
    let mut y = 0.0;
    let mut inner = String::new();
    for figure in figures {
        let svg = figure.to_svg();
        let body = svg.strip_prefix("<svg ").ok_or("a figure is an SVG")?;
        let height = body
            .split_once("height=\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let (height, _) = height.ok_or("a figure has a height")?;
        inner += &format!("<svg y=\"{y}\" {body}\n");
        y += height.parse::<f64>()?;
    }
    let alt = alt.replace('&', "&amp;").replace('<', "&lt;");
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\">\n<title>Benchmarks</title>\n<desc>{alt}</desc>\n{inner}</svg>\n"
    ))
}
