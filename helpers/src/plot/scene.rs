//! A drawing as a list of shapes and texts, before it is SVG or pixels.

use plotters::style::RGBColor as Rgb;

use super::raster::Raster;
use super::style::{INK, MARGIN, TITLE_SIZE, WIDTH};
use super::text;

/// A place in a figure: pixels of the page, to the right and downwards.
pub(super) type Point = (f64, f64);

/// A drawing: first the shapes, in their order, then the pictures, then the texts on top of them.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
    pub(super) pictures: Vec<Picture>,
    pub(super) texts: Vec<Text>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A stroke along points, of some width.
    Path(Vec<Point>, f64, Rgb),
    /// A filled area.
    Polygon(Vec<Point>, Rgb),
    /// A filled rectangle, from its upper left to its lower right corner.
    Rect(Point, Point, Rgb),
    /// A filled circle of some radius.
    Circle(Point, f64, Rgb),
}

/// Pixels stretched from an upper left to a lower right corner, each to a sharp rectangle.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) from: Point,
    pub(super) to: Point,
    pub(super) raster: Raster,
}

#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Where the text starts, has its middle, or ends, halfway up its capital letters.
    pub(super) at: Point,
    pub(super) text: String,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) color: Rgb,
    pub(super) anchor: Anchor,
    /// Whether the text runs upwards.
    pub(super) upwards: bool,
}

/// Which part of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The sign of a series at each of its points: a second hint beside the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Marker {
    pub(super) const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];
}

impl Scene {
    /// Starts a drawing with `title` at its top; gives it with the y below the title.
    ///
    /// The height is not known yet: whoever draws sets it at the end.
    pub(super) fn titled(title: &str) -> (Self, f64) {
        let mut scene = Self {
            width: WIDTH,
            height: 0.0,
            shapes: Vec::new(),
            pictures: Vec::new(),
            texts: Vec::new(),
        };
        let mut y = MARGIN;
        for line in text::wrap(title, TITLE_SIZE, true, WIDTH - 2.0 * MARGIN, 2) {
            let line_height = text::height(1, TITLE_SIZE);
            scene.texts.push(Text {
                at: (MARGIN, y + line_height / 2.0),
                text: line,
                size: TITLE_SIZE,
                bold: true,
                color: INK,
                anchor: Anchor::Start,
                upwards: false,
            });
            y += line_height;
        }
        (scene, y)
    }

    pub(super) fn text(&mut self, text: &str, at: Point, size: f64, color: Rgb, anchor: Anchor) {
        self.texts.push(Text {
            at,
            text: text.to_owned(),
            size,
            bold: false,
            color,
            anchor,
            upwards: false,
        });
    }

    pub(super) fn line(&mut self, from: Point, to: Point, width: f64, color: Rgb) {
        self.shapes.push(Shape::Path(vec![from, to], width, color));
    }

    pub(super) fn rect(&mut self, from: Point, to: Point, color: Rgb) {
        self.shapes.push(Shape::Rect(from, to, color));
    }

    pub(super) fn path(&mut self, points: Vec<Point>, width: f64, color: Rgb) {
        if points.len() > 1 {
            self.shapes.push(Shape::Path(points, width, color));
        }
    }

    /// Draws along `points` with dashes, which go on around corners.
    pub(super) fn dashed(&mut self, points: &[Point], width: f64, color: Rgb) {
        const DASH: f64 = 7.0;
        const GAP: f64 = 5.0;
        let (mut inked, mut rest) = (true, DASH);
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let length = dx.hypot(dy);
            let at = |along: f64| (from.0 + dx * along / length, from.1 + dy * along / length);
            let mut done = 0.0;
            while done < length {
                let step = rest.min(length - done);
                if inked {
                    self.line(at(done), at(done + step), width, color);
                }
                done += step;
                rest -= step;
                if rest <= 0.0 {
                    inked = !inked;
                    rest = if inked { DASH } else { GAP };
                }
            }
        }
    }

    pub(super) fn marker(&mut self, marker: Marker, (x, y): Point, color: Rgb) {
        // The radii make the four signs look equally large: a square of a circle's width looks
        // larger than the circle.
        let corners = match marker {
            Marker::Circle => return self.shapes.push(Shape::Circle((x, y), 4.0, color)),
            Marker::Square => vec![(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)],
            Marker::Triangle => vec![(0.0, -5.0), (4.5, 3.5), (-4.5, 3.5)],
            Marker::Diamond => vec![(0.0, -5.25), (4.5, 0.0), (0.0, 5.25), (-4.5, 0.0)],
        };
        let corners = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.shapes.push(Shape::Polygon(corners, color));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_seven_twelfths_of_a_line() {
        let (mut scene, _) = Scene::titled("");
        // Twelve pieces of 10 pixels each: dashes must go on from piece to piece.
        let points: Vec<Point> = (0..=12).map(|i| (f64::from(i) * 10.0, 0.0)).collect();
        scene.dashed(&points, 1.0, INK);
        let length = |shape: &Shape| match shape {
            Shape::Path(points, ..) => points[1].0 - points[0].0,
            _ => 0.0,
        };
        let inked: f64 = scene.shapes.iter().map(length).sum();
        assert!((inked - 70.0).abs() < 1e-9, "{inked}");
    }
}
