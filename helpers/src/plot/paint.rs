//! A scene painted: as SVG, or as pixels.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, IntoFont, RGBColor as Rgb, ShapeStyle, TextStyle};

use super::encode;
use super::raster::{Raster, SHARPNESS};
use super::scene::{Anchor, Picture, Point, Scene, Shape, Text};
use super::style::CARD;
use super::text::{self, CAP_HEIGHT, X_HEIGHT};

/// How many steps of a backend's whole-number coordinates make one pixel of the page.
const STEPS: f64 = 4.0;

/// A place in these steps.
type Step = (i32, i32);

/// The fonts that SVG asks for: where the first is missing, one that is about as wide.
const FAMILY: &str = "DejaVu Sans, Verdana, Geneva, sans-serif";

/// Writes `scene` as an SVG document that is called `title` and described by `alt`.
pub(super) fn svg(scene: &Scene, title: &str, alt: &str) -> String {
    let mut drawn = String::new();
    let mut backend = SVGBackend::with_string(&mut drawn, steps_of(scene));
    paint_shapes(&mut backend, scene, |backend, steps, width, color| {
        let _ = backend.draw_path(steps, &ShapeStyle::from(color).stroke_width(width));
    });
    for text in &scene.texts {
        paint_text(&mut backend, text);
    }
    // Drawing into a string cannot fail: there is no file behind it.
    let _ = backend.present();
    drop(backend);
    // The backend knows only whole numbers, so it has drawn in steps. Its opening tag is replaced
    // by one that shows the drawing in its true size, and says what it shows to screen readers.
    let body = drawn.split_once('>').map_or("", |(_, body)| body);
    // The backend has no pictures either: they come behind what it has drawn.
    let body = body.trim_end().trim_end_matches("</svg>");
    let pictures: String = scene.pictures.iter().map(svg_picture).collect();
    let (width, height) = (scene.width, scene.height);
    let (steps_wide, steps_high) = steps_of(scene);
    let alt = escape(alt);
    let title = match escape(title) {
        title if title.is_empty() => title,
        title => format!("<title>{title}</title>\n"),
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" stroke-linejoin=\"round\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {steps_wide} {steps_high}\">\n\
         {title}<desc>{alt}</desc>{body}{pictures}</svg>\n"
    )
}

/// Writes a picture as an element of an SVG document, with its pixels inside.
fn svg_picture(picture: &Picture) -> String {
    let step = |length: f64| (length * STEPS).round();
    let (x, y) = (step(picture.from.0), step(picture.from.1));
    let (width, height) = (step(picture.to.0) - x, step(picture.to.1) - y);
    let png = STANDARD.encode(encode::png(&picture.raster, encode::MANY_COLORS));
    format!(
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
         href=\"data:image/png;base64,{png}\"/>\n"
    )
}

/// Paints `scene` as pixels.
pub(super) fn raster(scene: &Scene) -> Raster {
    let (width, height) = steps_of(scene);
    let (width, height) = (width as usize, height as usize);
    let mut fine = vec![0; width * height * 3];
    let mut backend = BitMapBackend::with_buffer(&mut fine, (width as u32, height as u32));
    paint_shapes(&mut backend, scene, paint_path);
    // Drawing into memory cannot fail either.
    let _ = backend.present();
    drop(backend);
    let mut raster = Raster::shrink(&fine, width, height, STEPS as usize);
    for picture in &scene.pictures {
        draw_picture(&mut raster, picture);
    }
    for text in &scene.texts {
        draw_text(&mut raster, text);
    }
    raster
}

/// Puts `picture` over what is there; each of its pixels becomes a rectangle of equal ones.
fn draw_picture(on: &mut Raster, picture: &Picture) {
    let pixel = |length: f64| (length * SHARPNESS as f64).round() as usize;
    let (left, right) = (pixel(picture.from.0), pixel(picture.to.0));
    let (top, bottom) = (pixel(picture.from.1), pixel(picture.to.1));
    let source = &picture.raster;
    for y in top..bottom.min(on.height) {
        let row = (y - top) * source.height / (bottom - top);
        for x in left..right.min(on.width) {
            let column = (x - left) * source.width / (right - left);
            let (from, to) = (row * source.width + column, y * on.width + x);
            on.rgb[to * 3..][..3].copy_from_slice(&source.rgb[from * 3..][..3]);
        }
    }
}

/// Writes `text` over what is there.
fn draw_text(on: &mut Raster, text: &Text) {
    let sharpness = SHARPNESS as f64;
    let size = text.size * sharpness;
    let before = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => text::width(&text.text, size, text.bold) / 2.0,
        Anchor::End => text::width(&text.text, size, text.bold),
    };
    let down = size * CAP_HEIGHT / 2.0;
    let (x, y) = (text.at.0 * sharpness, text.at.1 * sharpness);
    let start = match text.upwards {
        true => (x + down, y + before),
        false => (x - before, y + down),
    };
    let start = (start.0.round() as i32, start.1.round() as i32);
    text::pixels(
        &text.text,
        size,
        text.bold,
        |along, down, coverage| match text.upwards {
            true => on.blend(start.0 + down, start.1 - along, text.color, coverage),
            false => on.blend(start.0 + along, start.1 + down, text.color, coverage),
        },
    );
}

fn steps_of(scene: &Scene) -> (u32, u32) {
    let steps = |length: f64| (length * STEPS).round() as u32;
    (steps(scene.width), steps(scene.height))
}

/// Paints the shapes of `scene`; `path` paints strokes along points, of some width and colour.
fn paint_shapes<B: DrawingBackend>(
    backend: &mut B,
    scene: &Scene,
    path: impl Fn(&mut B, Vec<Step>, u32, Rgb),
) {
    let step = |(x, y): Point| ((x * STEPS).round() as i32, (y * STEPS).round() as i32);
    let all = |points: &[Point]| {
        let mut steps: Vec<_> = points.iter().map(|&point| step(point)).collect();
        // Many points of a long series fall on the same step.
        steps.dedup();
        steps
    };
    let filled = |color: Rgb| ShapeStyle::from(color).filled();
    let card = (scene.width, scene.height);
    let _ = backend.draw_rect((0, 0), step(card), &filled(CARD), true);
    for shape in &scene.shapes {
        // Both backends draw into memory, where nothing can fail.
        let _ = match shape {
            Shape::Path(points, width, color) => {
                let width = (width * STEPS).round().max(1.0) as u32;
                path(backend, all(points), width, *color);
                Ok(())
            }
            Shape::Polygon(points, color) => backend.fill_polygon(all(points), &filled(*color)),
            Shape::Rect(from, to, color) => {
                backend.draw_rect(step(*from), step(*to), &filled(*color), true)
            }
            Shape::Circle(center, radius, color) => {
                let radius = (radius * STEPS).round() as u32;
                backend.draw_circle(step(*center), radius, &filled(*color), true)
            }
        };
    }
}

/// Paints a stroke as pixels: each piece by itself, with round joints.
///
/// The backend would make one outline of the whole stroke, whose corners shoot far out of the plot
/// where a line turns back sharply.
fn paint_path(backend: &mut BitMapBackend<'_>, steps: Vec<Step>, width: u32, color: Rgb) {
    let style = ShapeStyle::from(color).filled();
    let half = f64::from(width) / 2.0;
    for (i, pair) in steps.windows(2).enumerate() {
        let [from, to] = [pair[0], pair[1]];
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy);
        // From the middle of the stroke to its edge.
        let (ex, ey) = (-dy / length * half, dx / length * half);
        let edge = |at: Step, side: f64| {
            let (x, y) = (f64::from(at.0) + side * ex, f64::from(at.1) + side * ey);
            (x.round() as i32, y.round() as i32)
        };
        let outline = [
            edge(from, 1.0),
            edge(to, 1.0),
            edge(to, -1.0),
            edge(from, -1.0),
        ];
        let _ = backend.fill_polygon(outline, &style);
        if i > 0 {
            let _ = backend.draw_circle(from, width / 2, &style, true);
        }
    }
}

/// Writes a text of an SVG document.
fn paint_text(backend: &mut SVGBackend<'_>, text: &Text) {
    let h_pos = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    // The backend centres text at half the height of a small x, a scene at half of a capital.
    let down = text.size * (CAP_HEIGHT - X_HEIGHT) / 2.0;
    let (x, y) = text.at;
    let (at, turn) = match text.upwards {
        true => ((x + down, y), FontTransform::Rotate270),
        false => ((x, y + down), FontTransform::None),
    };
    let at = ((at.0 * STEPS).round() as i32, (at.1 * STEPS).round() as i32);
    // The backend divides sizes by this number to get an em.
    const SIZE_OF_EM: f64 = 1.24;
    let weight = if text.bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let font = (FAMILY, text.size * STEPS * SIZE_OF_EM)
        .into_font()
        .style(weight);
    let style = TextStyle::from(font.transform(turn))
        .color(&text.color)
        .pos(Pos::new(h_pos, VPos::Center));
    let _ = backend.draw_text(&text.text, &style, at);
}

/// Replaces the characters that HTML and XML give a meaning to.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::scene::Marker;
    use super::super::style::{INK, SERIES};
    use super::*;

    fn pixel(raster: &Raster, x: usize, y: usize) -> [u8; 3] {
        let at = (y * SHARPNESS * raster.width + x * SHARPNESS) * 3;
        [raster.rgb[at], raster.rgb[at + 1], raster.rgb[at + 2]]
    }

    #[test]
    fn shapes_lie_where_the_scene_puts_them() {
        let (mut scene, _) = Scene::titled("");
        scene.height = 100.0;
        scene.rect((10.0, 10.0), (30.0, 20.0), SERIES[0]);
        scene.marker(Marker::Diamond, (60.0, 50.0), SERIES[1]);
        scene.line((100.0, 80.0), (200.0, 80.0), 4.0, SERIES[2]);
        let raster = raster(&scene);
        assert_eq!((raster.width, raster.height), (1440, 200));
        for (x, y, color) in [
            (5, 15, CARD),
            (12, 15, SERIES[0]),
            (28, 18, SERIES[0]),
            (32, 15, CARD),
            (60, 50, SERIES[1]),
            (66, 50, CARD),
            (150, 80, SERIES[2]),
            (150, 85, CARD),
        ] {
            assert_eq!(
                pixel(&raster, x, y),
                [color.0, color.1, color.2],
                "at {x}, {y}"
            );
        }
    }

    #[test]
    fn sharp_turns_do_not_shoot_out() {
        let (mut scene, _) = Scene::titled("");
        scene.height = 200.0;
        let zigzag = |i: i32| (100.0 + f64::from(i) * 0.5, 100.0 + f64::from(i % 2) * 20.0);
        scene.path((0..400).map(zigzag).collect(), 2.0, INK);
        let raster = raster(&scene);
        for (at, pixel) in raster.rgb.chunks(3).enumerate() {
            let y = at / raster.width / SHARPNESS;
            assert!(
                (98..=122).contains(&y) || pixel[0] == CARD.0,
                "ink at y {y}"
            );
        }
        assert_eq!(pixel(&raster, 200, 110), [INK.0; 3]);
    }

    #[test]
    fn text_ends_at_its_anchor_and_runs_upwards() {
        let inked = |anchor, upwards| {
            let (mut scene, _) = Scene::titled("");
            scene.height = 400.0;
            scene.text("HHHH", (300.0, 200.0), 20.0, INK, anchor);
            scene.texts[0].upwards = upwards;
            let raster = raster(&scene);
            let dark = |at: &usize| raster.rgb[at * 3] < 100;
            let places = (0..raster.width * raster.height).filter(dark);
            let places: Vec<_> = places
                .map(|at| (at % raster.width, at / raster.width))
                .collect();
            let range = |of: fn(&(usize, usize)) -> usize| {
                let low = places.iter().map(of).min().unwrap();
                (low, places.iter().map(of).max().unwrap())
            };
            (range(|p| p.0), range(|p| p.1))
        };
        let (x, y) = inked(Anchor::End, false);
        assert!(x.1 < 600 && x.1 > 590, "{x:?}");
        assert!(
            y.0.abs_diff(400) <= 16 && (y.0 + y.1).abs_diff(800) <= 3,
            "{y:?}"
        );
        let (x, y) = inked(Anchor::Middle, true);
        assert!((x.0 + x.1).abs_diff(1200) <= 3, "{x:?}");
        assert!((y.0 + y.1).abs_diff(800) <= 4 && y.1 - y.0 > 80, "{y:?}");
    }
}
