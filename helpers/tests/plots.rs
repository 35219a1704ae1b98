//! Draws every kind of plot, good and bad, and looks at what comes out.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use helpers::plot::{self, Figure, PlotError};
use helpers::{Pool, Timeline};

/// Recorded once: recordings at the same time would see each other's tasks.
static TIMELINE: LazyLock<Timeline> = LazyLock::new(|| {
    let pool = Pool::new(4).unwrap();
    let sleep = |ms| thread::sleep(Duration::from_millis(ms));
    Timeline::record(|| pool.map(sleep, [3, 5, 10, 15, 17, 20])).1
});

fn good_figures() -> Vec<(&'static str, Figure)> {
    let cubes: Vec<(u64, f64)> = (1..=100).map(|x| (x, (x * x * x) as f64)).collect();
    let squares: Vec<(u64, f64)> = (1..=100).map(|x| (x, (x * x) as f64)).collect();
    let walls = [1.0, 0.53, 0.29, 0.18].map(Duration::from_secs_f64);
    let walls: Vec<(usize, Duration)> = [1, 2, 4, 8].into_iter().zip(walls).collect();
    vec![
        (
            "bars",
            plot::bars("Wall time", "s", [("serial", 7.0), ("4 workers", 2.5)]).unwrap(),
        ),
        (
            "lines",
            plot::lines("Powers", "x", "y", [("x³", &cubes), ("x²", &squares)]).unwrap(),
        ),
        (
            "speedup",
            plot::speedup("Sum", Duration::from_secs(1), &walls).unwrap(),
        ),
        ("timeline", plot::timeline("Six tasks", &TIMELINE).unwrap()),
    ]
}

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("plots-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Decodes a PNG file to its size and its pixels of 3 bytes.
fn decode(bytes: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(
        frame.color_type,
        png::ColorType::Rgb,
        "the picture is opaque"
    );
    (frame.width, frame.height, pixels.as_chunks().0.to_vec())
}

/// Checks that tags are nested, attributes quoted, and every `&` starts an entity.
///
/// It is no XML parser, but what goes wrong when a label is not escaped does not pass.
fn check_xml(text: &str) {
    let control = |c: &char| c.is_control() && *c != '\n';
    assert_eq!(text.chars().find(control), None, "a control character");
    for (at, _) in text.match_indices('&') {
        let entity = text[at + 1..].split(';').next().unwrap();
        let known = ["amp", "lt", "gt", "quot", "apos", "#39"];
        assert!(known.contains(&entity), "&{entity}");
    }
    let mut open = Vec::new();
    let mut parts = text.split('<');
    assert_eq!(parts.next(), Some(""), "the document starts with a tag");
    for part in parts {
        let (tag, content) = part.split_once('>').expect("each < has its >");
        assert!(!content.contains('>'), "> in {content:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "the end of <{name}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert!(
            !open.is_empty() || content.trim().is_empty(),
            "{content:?} after the end"
        );
    }
    assert_eq!(open, Vec::<&str>::new(), "tags left open");
}

#[test]
fn the_xml_check_finds_faults() {
    check_xml("<a><b x=\"1\"/>text &amp; more</a>");
    for bad in [
        "<a>",
        "<a></b>",
        "<a>x & y</a>",
        "<a>1 > 0</a>",
        "<a x=\"></a>",
        "<a>\u{1}</a>",
    ] {
        assert!(
            std::panic::catch_unwind(|| check_xml(bad)).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn every_kind_saves_as_png_that_is_not_blank() {
    let folder = Folder::new("png");
    for (name, figure) in good_figures() {
        let path = folder.0.join(format!("{name}.PNG"));
        figure.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() < 40_000, "{name} has {} bytes", bytes.len());
        let (width, height, pixels) = decode(&bytes);
        assert_eq!(width, 1440, "{name}");
        assert!(height > 200, "{name}");
        let share = |of: fn(&[u8; 3]) -> bool| {
            pixels.iter().filter(|pixel| of(pixel)).count() as f64 / pixels.len() as f64
        };
        assert!(
            share(|pixel| *pixel == [252; 3]) > 0.4,
            "{name} has no background"
        );
        assert!(
            share(|pixel| *pixel == [0, 114, 178]) > 0.001,
            "{name} has no data"
        );
        assert!(
            share(|pixel| pixel[0] < 60 && pixel[2] < 60) > 0.001,
            "{name} has no text"
        );
        // Nothing may touch the edges: it would be cut.
        let at = |x, y| pixels[(y * width + x) as usize];
        for x in 0..width {
            assert_eq!(
                [at(x, 4), at(x, height - 5)],
                [[252; 3]; 2],
                "{name} at x {x}"
            );
        }
        for y in 0..height {
            assert_eq!(
                [at(4, y), at(width - 5, y)],
                [[252; 3]; 2],
                "{name} at y {y}"
            );
        }
    }
}

#[test]
fn every_kind_saves_as_well_formed_svg_with_a_description() {
    let folder = Folder::new("svg");
    for (name, figure) in good_figures() {
        let path = folder.0.join(format!("{name}.svg"));
        figure.save(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        check_xml(&svg);
        assert!(
            svg.starts_with("<svg ") && svg.contains("role=\"img\""),
            "{name}"
        );
        let alt = figure.alt().replace('"', "&quot;").replace('\'', "&#39;");
        assert!(
            svg.contains(&format!("<desc>{alt}</desc>")),
            "{name}: {svg}"
        );
        assert!(svg.contains("#0072B2"), "{name} has no data");
    }
}

#[test]
fn alt_texts_tell_the_numbers() {
    let alts: Vec<String> = good_figures()
        .iter()
        .map(|(_, f)| f.alt().to_owned())
        .collect();
    for (alt, numbers) in alts.iter().zip([
        &["7.00", "2.50", "2.80 times"][..],
        &[
            "from 1 at 1 to 1×10⁶ at 100",
            "10000 at 100",
            "y axis is logarithmic",
        ],
        &["2 workers 1.89", "8 workers 5.56", "serial part of 5.9"],
        &["6 tasks on 4 workers", "task, item 5 on worker", "worker 3"],
    ]) {
        for number in numbers {
            assert!(alt.contains(number), "{number} is not in: {alt}");
        }
    }
}

#[track_caller]
fn check_error(result: Result<Figure, PlotError>, question: fn(&PlotError) -> bool, told: &[&str]) {
    let error = result.unwrap_err();
    assert!(question(&error), "{error}");
    for part in told {
        assert!(
            error.to_string().contains(part),
            "{part} is not in: {error}"
        );
    }
}

#[test]
fn bad_bars_are_named() {
    let bars = |value: f64| plot::bars("T", "s", [("good", 1.0), ("bad", value)]);
    check_error(
        bars(f64::NAN),
        PlotError::is_not_finite,
        &["\"bad\"", "NaN"],
    );
    check_error(
        bars(f64::INFINITY),
        PlotError::is_not_finite,
        &["\"bad\"", "inf"],
    );
    check_error(bars(-0.5), PlotError::is_out_of_range, &["\"bad\"", "-0.5"]);
    check_error(
        bars(1e200),
        PlotError::is_out_of_range,
        &["\"bad\"", "1e200"],
    );
    let none: [(&str, f64); 0] = [];
    check_error(
        plot::bars("T", "s", none),
        PlotError::is_no_data,
        &["no bars"],
    );
    let many = vec![("x", 1.0); 101];
    check_error(
        plot::bars("T", "s", many),
        PlotError::is_out_of_range,
        &["101", "100"],
    );
}

#[test]
fn bad_lines_are_named() {
    let lines = |x: f64, y: f64| plot::lines("T", "x", "y", [("a", [(1.0, 1.0), (x, y)])]);
    check_error(
        lines(f64::NAN, 0.0),
        PlotError::is_not_finite,
        &["x of point 1", "\"a\"", "NaN"],
    );
    check_error(
        lines(0.0, f64::NEG_INFINITY),
        PlotError::is_not_finite,
        &["y of point 1", "\"a\"", "-inf"],
    );
    let empty: [(i32, i32); 0] = [];
    check_error(
        plot::lines("T", "x", "y", [("hollow", empty)]),
        PlotError::is_no_data,
        &["\"hollow\""],
    );
    let none: [(&str, [(i32, i32); 1]); 0] = [];
    check_error(
        plot::lines("T", "x", "y", none),
        PlotError::is_no_data,
        &["no lines"],
    );
    let many = vec![("x", [(1, 1)]); 29];
    check_error(
        plot::lines("T", "x", "y", many),
        PlotError::is_out_of_range,
        &["29", "28"],
    );
}

#[test]
fn bad_speedups_are_named() {
    let speedup = |serial: f64, workers, wall: f64| plot::speedup("T", serial, [(workers, wall)]);
    check_error(
        speedup(1.0, 0, 1.0),
        PlotError::is_out_of_range,
        &["point 0", "0 workers"],
    );
    check_error(
        speedup(0.0, 2, 1.0),
        PlotError::is_out_of_range,
        &["serial time is 0"],
    );
    check_error(
        speedup(1.0, 2, -1.0),
        PlotError::is_out_of_range,
        &["2 workers is -1"],
    );
    check_error(
        speedup(1.0, 1, f64::NAN),
        PlotError::is_not_finite,
        &["1 worker is NaN"],
    );
    check_error(
        speedup(1e100, 2, 1e-100),
        PlotError::is_out_of_range,
        &["speedup", "2 workers"],
    );
    let none: [(usize, f64); 0] = [];
    check_error(
        plot::speedup("T", 1.0, none),
        PlotError::is_no_data,
        &["no times"],
    );
}

#[test]
fn an_empty_timeline_says_what_to_do() {
    // Wait for the other recording: its tasks would be in this one.
    LazyLock::force(&TIMELINE);
    let ((), empty) = Timeline::record(|| ());
    check_error(
        plot::timeline("T", &empty),
        PlotError::is_no_data,
        &["Timeline::record", "`map`"],
    );
}

#[test]
fn bad_paths_are_named() {
    let folder = Folder::new("paths");
    let (_, figure) = good_figures().swap_remove(0);
    let error = |path: &Path| figure.save(path).unwrap_err();
    for name in ["plot.jpg", "plot", ".svg"] {
        let error = error(&folder.0.join(name));
        assert!(error.is_unknown_ending(), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains(".svg or .png"), "{error}");
    }
    let missing = error(&folder.0.join("missing").join("plot.svg"));
    assert!(
        missing.is_io() && missing.to_string().contains("create_dir_all"),
        "{missing}"
    );
    assert!(
        missing.to_string().contains("missing/plot.svg"),
        "{missing}"
    );
    // A file cannot be a folder, and a folder cannot be overwritten; this holds for root as well.
    let file = folder.0.join("file.svg");
    figure.save(&file).unwrap();
    assert!(error(&file.join("plot.svg")).is_io());
    let taken = folder.0.join("taken.png");
    std::fs::create_dir(&taken).unwrap();
    let error = error(&taken);
    assert!(
        error.is_io() && error.to_string().contains("taken.png"),
        "{error}"
    );
}

#[test]
fn strange_labels_and_values_draw() {
    let long = "word ".repeat(500);
    let wide = "W".repeat(5000);
    let strange = [
        "",
        " ",
        "\n",
        "\0\u{1b}[1m",
        "<&>\"'",
        "并行计算",
        "🦀🦀",
        "e\u{301}",
        "שלום",
        &long,
        &wide,
        "\u{ffff}",
        "]]>",
        "--",
    ];
    let values = [0.0, -0.0, 5e-324, 1e-300, 1e-9, 1.0, 1e6, 1e149];
    for label in strange {
        for value in values {
            let bars = plot::bars(label, label, [(label, value), ("other", 1.0)]);
            let line = [(0.0, value), (value, -value), (1.0, 1.0)];
            let lines = plot::lines(label, label, label, [(label, &line[..]), ("", &line[..1])]);
            for figure in [bars.unwrap(), lines.unwrap()] {
                check_xml(&figure.to_svg());
                assert!(!figure.alt().contains(char::is_control));
            }
        }
        check_xml(&plot::speedup(label, 1.0, [(2, 0.5)]).unwrap().to_svg());
        check_xml(&plot::timeline(label, &TIMELINE).unwrap().to_svg());
    }
    // Pixels take longer, so all labels share a picture.
    let bars = strange.map(|label| (label, 1.0));
    decode(&plot::bars(&long, &wide, bars).unwrap().png());
    let series = strange.map(|label| (label, [(-1e150, 0.0), (1e150, 5e-324)]));
    decode(&plot::lines(&wide, &long, &wide, series).unwrap().png());
    let extreme = [(usize::MAX, 1e-9), (1, 1.0), (2, 1e140)];
    decode(&plot::speedup(&wide, 1.0, extreme).unwrap().png());
}

#[test]
fn one_zero_equal_and_many_bars_draw() {
    let one = vec![("alone", 3.0)];
    let zero = vec![("a", 0.0), ("b", 0.0)];
    let equal = vec![("a", 2.0), ("b", 2.0)];
    let many = vec![("run", 1.0); 40];
    for bars in [one, zero, equal, many] {
        let count = bars.len();
        let figure = plot::bars("", "s", bars).unwrap();
        check_xml(&figure.to_svg());
        // The background is one rectangle more.
        assert_eq!(figure.to_svg().matches("<rect").count(), count + 1);
        let rows = decode(&figure.png()).1 / 2;
        assert!(rows as usize > 24 * count, "{count} bars in {rows} rows");
    }
}

#[test]
fn call_sites_may_use_slices_arrays_and_vectors() {
    fn sent<T: Send + Sync + Clone + 'static>(_: T) {}
    let owned: Vec<(String, Duration)> = vec![("a".into(), Duration::from_millis(3))];
    sent(plot::bars("T", "s", &owned).unwrap());
    sent(plot::bars("T", "s", &owned[..]).unwrap());
    sent(plot::bars("T", "s", owned).unwrap());
    sent(plot::bars("T", "", [("a", 1), ("b", 2)]).unwrap());
    let points = vec![(1_usize, 2.0_f32)];
    sent(plot::lines("T", "x", "y", [("a", &points[..])]).unwrap());
    sent(plot::lines("T", "x", "y", vec![(String::from("a"), points)]).unwrap());
    let walls = [(1, 1.0), (2, 0.6)];
    sent(plot::speedup("T", Duration::from_secs(1), walls).unwrap());
    sent(plot::speedup("T", 1, &walls[..]).unwrap());
}
