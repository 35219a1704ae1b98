//! Draws every kind of plot, good and bad, and looks at what comes out.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helpers::ndarray::{Array2, s};
use helpers::plot::{self, Figure, PlotError};
use helpers::{Pool, Timeline};

/// Recorded once: recordings at the same time would see each other's tasks.
static TIMELINE: LazyLock<Timeline> = LazyLock::new(|| {
    let pool = Pool::new(4).unwrap();
    let sleep = |ms| thread::sleep(Duration::from_millis(ms));
    Timeline::record(|| pool.map(sleep, [3, 5, 10, 15, 17, 20])).1
});

/// A figure of a kind.
struct Good {
    name: &'static str,
    figure: Figure,
    /// What its alternative text must tell.
    told: Vec<String>,
}

impl Good {
    fn new(name: &'static str, figure: Result<Figure, PlotError>, told: &[&str]) -> Good {
        let told = told.iter().map(|words| (*words).to_owned()).collect();
        let figure = figure.unwrap();
        Good { name, figure, told }
    }
}

/// One of each kind, but images, which have tests of their own.
fn good_figures() -> Vec<Good> {
    let cubes: Vec<(u64, f64)> = (1..=100).map(|x| (x, (x * x * x) as f64)).collect();
    let squares: Vec<(u64, f64)> = (1..=100).map(|x| (x, (x * x) as f64)).collect();
    let walls = [1.0, 0.53, 0.29, 0.18].map(Duration::from_secs_f64);
    let walls: Vec<(usize, Duration)> = [1, 2, 4, 8].into_iter().zip(walls).collect();
    // On a busy machine it may be another one than the item that sleeps longest.
    let longest = TIMELINE.longest().unwrap();
    let (item, worker) = (longest.first_item, longest.worker);
    let longest = format!("The longest task, item {item} on worker {worker}, took");
    vec![
        Good::new(
            "bars",
            plot::bars("Wall time", "s", [("serial", 7.0), ("4 workers", 2.5)]),
            &["7.00", "2.50", "2.80 times"],
        ),
        Good::new(
            "lines",
            plot::lines("Powers", "x", "y", [("x³", &cubes), ("x²", &squares)]),
            &[
                "from 1 at 1 to 1×10⁶ at 100",
                "10000 at 100",
                "y axis is logarithmic",
            ],
        ),
        Good::new(
            "speedup",
            plot::speedup("Sum", Duration::from_secs(1), &walls),
            &["2 workers 1.89", "8 workers 5.56", "serial part of 5.9"],
        ),
        Good::new(
            "timeline",
            plot::timeline("Six tasks", &TIMELINE),
            &["6 tasks on 4 workers", &longest, "worker 3"],
        ),
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

/// Checks that nothing touches the edges of a PNG: it would be cut.
#[track_caller]
fn check_edges(name: &str, width: u32, pixels: &[[u8; 3]]) {
    let height = pixels.len() as u32 / width;
    let at = |x, y| pixels[(y * width + x) as usize];
    for x in 0..width {
        let ends = [at(x, 4), at(x, height - 5)];
        assert_eq!(ends, [[252; 3]; 2], "{name} at x {x}");
    }
    for y in 0..height {
        let ends = [at(4, y), at(width - 5, y)];
        assert_eq!(ends, [[252; 3]; 2], "{name} at y {y}");
    }
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
    for Good { name, figure, .. } in good_figures() {
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
            "{name}: less than a thousandth of the picture has the colour of the first series"
        );
        assert!(
            share(|pixel| pixel[0] < 60 && pixel[2] < 60) > 0.001,
            "{name} has no text"
        );
        check_edges(name, width, &pixels);
    }
}

#[test]
fn every_kind_saves_as_well_formed_svg_with_a_description() {
    let folder = Folder::new("svg");
    for Good { name, figure, .. } in good_figures() {
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
    for Good { name, figure, told } in good_figures() {
        assert!(!told.is_empty(), "{name}: what must its text tell?");
        for words in told {
            let alt = figure.alt();
            assert!(alt.contains(&words), "{name}: {words} is not in: {alt}");
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

/// The dark, the middle and the bright end of the colours, and what is no number.
const DARK: [u8; 3] = [68, 1, 84];
const BRIGHT: [u8; 3] = [253, 231, 37];
const GREY: [u8; 3] = [178, 178, 178];

#[test]
fn an_image_has_the_colours_of_its_values_in_their_places() {
    // Without a title the picture starts in the corner (20, 20) of the page, and each value gets
    // a square of 48 pixels of the page.
    let values = [[0.0, 8.0, f64::NAN], [10.0, 2.0, f64::NEG_INFINITY]];
    let (width, _, pixels) = decode(&plot::image("", &values).unwrap().png());
    check_edges("image", width, &pixels);
    let at = |x: u32, y: u32| pixels[(2 * y * width + 2 * x) as usize];
    let square = |row: u32, column: u32| {
        let (x, y) = (20 + column * 48, 20 + row * 48);
        let corners = [(1, 1), (46, 1), (1, 46), (46, 46)].map(|(dx, dy)| at(x + dx, y + dy));
        assert_eq!(
            corners,
            [at(x + 24, y + 24); 4],
            "row {row}, column {column}"
        );
        corners[0]
    };
    assert_eq!([square(0, 0), square(1, 0)], [DARK, BRIGHT]);
    assert_eq!([square(0, 2), square(1, 2)], [GREY, GREY]);
    let (green, blue) = (square(0, 1), square(1, 1));
    assert!(green[1] > green[2] && green[1] > 180, "8 is {green:?}");
    assert!(blue[2] > blue[1] && blue[1] < 100, "2 is {blue:?}");
    assert_eq!(
        [at(20 + 3 * 48 + 4, 30), at(30, 20 + 2 * 48 + 4)],
        [[252; 3]; 2]
    );
    // The bar beside it: bright at its top, dark at its bottom.
    let bar = |y: u32| pixels[(y * width + 2 * (20 + 3 * 48 + 18 + 7)) as usize];
    assert_eq!([bar(40), bar(319), bar(320)], [BRIGHT, DARK, [252; 3]]);
}

#[test]
fn an_image_in_an_svg_holds_its_pixels() {
    let figure = plot::image("<Six> \"numbers\"", &[[0, 1, 2], [3, 4, 5]]).unwrap();
    let svg = figure.to_svg();
    check_xml(&svg);
    let start = "href=\"data:image/png;base64,";
    let pictures: Vec<&str> = svg.split(start).skip(1).collect();
    assert_eq!(pictures.len(), 2, "the picture and the bar");
    let (picture, _) = pictures[0].split_once('"').unwrap();
    let (width, height, pixels) = decode(&STANDARD.decode(picture).unwrap());
    assert_eq!((width, height), (3, 2));
    assert_eq!((pixels[0], pixels[5]), (DARK, BRIGHT));
    assert!(svg.contains("<title>&lt;Six&gt; &quot;numbers&quot;</title>"));
    assert!(svg.contains("image-rendering:pixelated"));
}

#[test]
fn the_alt_text_of_an_image_tells_shape_extremes_and_where_they_are() {
    let hill = Array2::from_shape_fn((30, 60), |(row, column)| {
        90.0 - (row as f64 - 29.0).hypot(column as f64 - 59.0)
    });
    assert_eq!(
        plot::image("Hill", &hill).unwrap().alt(),
        "Image \"Hill\" of 30 rows of 60 values, from 24.3 (row 0, column 0) to 90 (row 29, \
         column 59). On average the values are highest at the lower right, and lowest at the \
         upper left."
    );
    let alt = |figure: Result<Figure, PlotError>| figure.unwrap().alt().to_owned();
    let peak = |&(row, column): &(usize, usize)| (row, column) == (4, 4);
    let peak = Array2::from_shape_fn((9, 9), |at| if peak(&at) { 5000 } else { 2 });
    assert_eq!(
        alt(plot::image("", &peak)),
        "Image of 9 rows of 9 values, from 2 (row 0, column 0) to 5000 (row 4, column 4), in \
         colours on a logarithmic scale. On average the values are highest in the centre, and \
         lowest at the upper left."
    );
    assert_eq!(
        alt(plot::image("", &[[7.5, f64::NAN]])),
        "Image of 1 row of 2 values, all of them 7.5. 1 value is NaN or infinite, and grey."
    );
    let board = Array2::from_shape_fn((30, 30), |(row, column)| (row + column) as u32 % 2);
    let told = alt(plot::image("", &board));
    assert_eq!(
        told,
        "Image of 30 rows of 30 values, from 0 (row 0, column 0) to 1 (row 0, column 1). High and \
         low values are spread evenly."
    );
}

#[test]
fn images_of_every_shape_fit_the_page() {
    for (rows, columns) in [(1, 1), (2, 2), (1, 700), (700, 1), (1, 60_000), (60_000, 1)] {
        let values = Array2::from_shape_fn((rows, columns), |(row, column)| row + column);
        let name = format!("{rows} rows of {columns}");
        let figure = plot::image(&name, &values).unwrap();
        check_xml(&figure.to_svg());
        let (width, height, pixels) = decode(&figure.png());
        assert_eq!(width, 1440, "{name}");
        assert!((300..1200).contains(&height), "{name}: {height}");
        check_edges(&name, width, &pixels);
        for end in [DARK, BRIGHT].into_iter().filter(|_| values.len() > 1) {
            // In the picture, not only in the bar beside it.
            let count = pixels.iter().filter(|pixel| **pixel == end).count();
            assert!(count > 50, "{name}: {end:?} in {count} pixels");
        }
    }
}

#[test]
fn a_large_image_is_made_of_means() {
    // Blocks of 3 × 3 values whose mean is the place of their column, and one without numbers.
    let mut values = Array2::from_shape_fn((600, 3000), |(row, column)| {
        (column / 3) as f64 + [-1.0, 0.0, 1.0][(row + column) % 3]
    });
    values.slice_mut(s![..3, ..3]).fill(f64::NAN);
    values[[3, 3]] = f64::NAN;
    let figure = plot::image("", &values).unwrap();
    assert!(figure.to_svg().len() < 100_000);
    let (width, _, pixels) = decode(&figure.png());
    let at = |column: usize, row: usize| pixels[(40 + row) * width as usize + 40 + column];
    assert_eq!([at(0, 0), at(1, 1), at(999, 0)], [GREY, DARK, BRIGHT]);
    assert_eq!(at(1000, 0), [252; 3], "1000 columns of blocks");
    assert_eq!(at(500, 100), at(500, 0));
}

#[test]
fn images_take_arrays_views_and_lists_of_rows() {
    let alt = |figure: Result<Figure, PlotError>| figure.unwrap().alt().to_owned();
    let array = Array2::from_shape_fn((2, 3), |(row, column)| (3 * row + column) as f32);
    let told = alt(plot::image("", &array));
    assert!(
        told.contains("2 rows of 3 values, from 0 (row 0, column 0) to 5 (row 1"),
        "{told}"
    );
    assert_eq!(alt(plot::image("", array.view())), told);
    assert_eq!(alt(plot::image("", &[[0, 1, 2], [3, 4, 5]])), told);
    assert_eq!(alt(plot::image("", &[[0, 1, 2], [3, 4, 5]][..])), told);
    assert_eq!(alt(plot::image("", &vec![[0, 1, 2], [3, 4, 5]])), told);
    let rows = vec![vec![0_u64, 1, 2], vec![3, 4, 5]];
    assert_eq!(alt(plot::image("", &rows)), told);
    assert_eq!(alt(plot::image("", &rows[..])), told);
    let turned = alt(plot::image("", array.t()));
    assert!(
        turned.contains("3 rows of 2 values, from 0 (row 0, column 0) to 5 (row 2"),
        "{turned}"
    );
}

#[test]
fn bad_images_are_named() {
    let none = Array2::<f64>::zeros((0, 3));
    let error = plot::image("T", &none);
    check_error(
        error,
        PlotError::is_no_data,
        &["0 rows of 3 values", "at least one"],
    );
    let empty: Vec<Vec<f64>> = vec![vec![]; 2];
    let error = plot::image("T", &empty);
    check_error(error, PlotError::is_no_data, &["2 rows of 0 values"]);
    let ragged = vec![vec![1, 2, 3], vec![4, 5]];
    let error = plot::image("T", &ragged);
    check_error(
        error,
        PlotError::is_out_of_range,
        &["row 1 has 2", "row 0 has 3"],
    );
    let error = plot::image("T", &[[f64::NAN, f64::INFINITY]]);
    check_error(
        error,
        PlotError::is_not_finite,
        &["none of the 2 values", "NaN"],
    );
    let error = plot::image("T", &[[0.0, 1.0], [2.0, -1e200]]);
    check_error(
        error,
        PlotError::is_out_of_range,
        &["row 1, column 1", "-1e200"],
    );
    // A view without memory behind it: 20 million times the same number.
    let one = Array2::from_elem((1, 1), 1.0_f32);
    let error = plot::image("T", one.broadcast((4000, 5000)).unwrap());
    check_error(
        error,
        PlotError::is_out_of_range,
        &["4000 rows of 5000", "16777216", "s![..;10"],
    );
}

#[test]
fn all_numbers_can_be_drawn() {
    let alt = |figure: Result<Figure, PlotError>| figure.unwrap().alt().to_owned();
    assert!(alt(plot::bars("n", "", [("a", 3i64)])).ends_with("a 3."));
    assert!(alt(plot::bars("n", "", [("a", 3u8), ("b", 4)])).contains("a 3, b 4"));
    assert!(alt(plot::bars("n", "", [("a", 3i128)])).ends_with("a 3."));
    let times = [1, 2].map(Duration::from_secs);
    let named: Vec<(&str, &Duration)> = ["a", "b"].into_iter().zip(&times).collect();
    assert!(alt(plot::bars("n", "s", &named)).contains("a 1 s, b 2 s"));
    let stats = helpers::measure_many(|| thread::sleep(Duration::from_millis(1)));
    let both = [("stats", &stats), ("again", &stats)];
    assert!(alt(plot::bars("n", "s", both)).contains(" ms"));
    assert!(alt(plot::bars("n", "s", vec![("stats", stats.clone())])).contains(" ms"));
    let points: Vec<(i16, &f32)> = vec![(-1, &2.5), (2, &3.5)];
    assert!(alt(plot::lines("n", "", "", [("a", &points)])).contains("2.5 at −1"));
    let by_count = [(1u64, &stats), (2, &stats)];
    assert!(alt(plot::speedup("n", &stats, by_count)).contains("2 workers 1.00"));
    for wrong in [-2.0, 1.5, f64::NAN, f64::INFINITY] {
        let error = plot::speedup("n", 1.0, [(wrong, 1.0)]).unwrap_err();
        assert!(
            error.is_out_of_range() && error.to_string().contains("workers"),
            "{error}"
        );
    }
    assert!(plot::image("n", &[[1i8, 2], [3, 4]]).is_ok());
}

#[test]
fn a_figure_without_its_question_mark_shows_itself_and_an_error_is_one() {
    use helpers::prelude::*;
    plot::bars("n", "", [("a", 3)]).evcxr_display();
    let bad = plot::bars("n", "", [("a", -3)]);
    let panic = thread::spawn(move || bad.evcxr_display())
        .join()
        .unwrap_err();
    assert!(
        panic
            .downcast_ref::<String>()
            .unwrap()
            .contains("\"a\" is -3")
    );
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
    let Good { figure, .. } = good_figures().swap_remove(0);
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
            let image = plot::image(label, &[[value, -value], [1.0, f64::NAN]]);
            for figure in [bars.unwrap(), lines.unwrap(), image.unwrap()] {
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
