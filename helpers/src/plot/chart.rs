//! A plot of lines over two axes: what `lines` and `speedup` have in common.

use plotters::style::RGBColor as Rgb;

use super::axis::Axis;
use super::scene::{Anchor, Marker, Point, Scene};
use super::style::{AXIS, GRID, INK, LABEL_SIZE, MARGIN, MUTED, TICK_SIZE, WIDTH};
use super::text;

/// The height of the area between the axes.
const PLOT_HEIGHT: f64 = 270.0;
/// The length of a line in the legend.
const SAMPLE: f64 = 28.0;

/// A plot of lines, with values instead of pixels.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// One line of a chart, and its name in the legend.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) color: Rgb,
    pub(super) width: f64,
    pub(super) dashed: bool,
    pub(super) marker: Option<Marker>,
}

/// The area between the axes, in pixels of the page.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Chart<'_> {
    pub(super) fn draw(&self) -> Scene {
        let (mut scene, top) = Scene::titled(self.title);
        let top = self.draw_legend(&mut scene, top + 6.0) + 12.0;
        let label_width = |(_, label): &(f64, String)| text::width(label, TICK_SIZE, false);
        let widest = self.y.ticks.iter().map(label_width).fold(0.0, f64::max);
        let name_height = if self.y_label.is_empty() {
            0.0
        } else {
            LABEL_SIZE + 10.0
        };
        let area = Area {
            left: MARGIN + name_height + widest + 8.0,
            right: WIDTH - MARGIN - 8.0,
            top,
            bottom: top + PLOT_HEIGHT,
        };
        self.draw_axes(&mut scene, &area);
        // The first series ends up on top of the others: it is the one that a plot is about.
        for series in self.series.iter().rev() {
            self.draw_series(&mut scene, &area, series);
        }
        scene
    }

    /// Draws the names of the series in rows, and gives the y below them.
    ///
    /// The legend is above the plot, where it never covers a line.
    fn draw_legend(&self, scene: &mut Scene, top: f64) -> f64 {
        const ROW: f64 = 22.0;
        const GAP: f64 = 22.0;
        let room = WIDTH - 2.0 * MARGIN - SAMPLE - 8.0;
        let (mut x, mut y) = (MARGIN, top + ROW / 2.0);
        for series in &self.series {
            let name = text::elide(&series.name, LABEL_SIZE, false, room);
            let width = SAMPLE + 8.0 + text::width(&name, LABEL_SIZE, false);
            if x > MARGIN && x + width > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + ROW);
            }
            series.draw_line(scene, vec![(x, y), (x + SAMPLE, y)]);
            if let Some(marker) = series.visible_marker() {
                scene.marker(marker, (x + SAMPLE / 2.0, y), series.color);
            }
            scene.text(&name, (x + SAMPLE + 8.0, y), LABEL_SIZE, INK, Anchor::Start);
            x += width + GAP;
        }
        y + ROW / 2.0
    }

    fn draw_axes(&self, scene: &mut Scene, area: &Area) {
        let mut last = f64::NEG_INFINITY;
        for (value, label) in &self.y.ticks {
            let y = area.y(self.y.place(*value));
            scene.line((area.left, y), (area.right, y), 1.0, GRID);
            scene.text(label, (area.left - 8.0, y), TICK_SIZE, MUTED, Anchor::End);
        }
        for (value, label) in &self.x.ticks {
            let x = area.x(self.x.place(*value));
            scene.line((x, area.bottom), (x, area.bottom + 5.0), 1.0, AXIS);
            // Labels that would touch the one before them are left out; their ticks stay.
            let half = text::width(label, TICK_SIZE, false) / 2.0;
            if x - half > last + 8.0 {
                scene.text(
                    label,
                    (x, area.bottom + 16.0),
                    TICK_SIZE,
                    MUTED,
                    Anchor::Middle,
                );
                last = x + half;
            }
        }
        for value in &self.x.minor {
            let x = area.x(self.x.place(*value));
            scene.line((x, area.bottom), (x, area.bottom + 3.0), 0.75, AXIS);
        }
        for value in &self.y.minor {
            let y = area.y(self.y.place(*value));
            scene.line((area.left - 3.0, y), (area.left, y), 0.75, AXIS);
        }
        scene.line(
            (area.left, area.bottom),
            (area.right, area.bottom),
            1.0,
            AXIS,
        );
        scene.line((area.left, area.top), (area.left, area.bottom), 1.0, AXIS);
        scene.height = area.bottom + 26.0;
        let x_label = text::elide(self.x_label, LABEL_SIZE, false, area.right - area.left);
        if !x_label.is_empty() {
            let middle = (area.left + area.right) / 2.0;
            scene.text(
                &x_label,
                (middle, scene.height + 10.0),
                LABEL_SIZE,
                INK,
                Anchor::Middle,
            );
            scene.height += 20.0;
        }
        scene.height = (scene.height + MARGIN - 6.0).round();
        let y_label = text::elide(self.y_label, LABEL_SIZE, false, PLOT_HEIGHT + 40.0);
        if !y_label.is_empty() {
            let middle = (area.top + area.bottom) / 2.0;
            let at = (MARGIN + LABEL_SIZE / 2.0, middle);
            scene.text(&y_label, at, LABEL_SIZE, INK, Anchor::Middle);
            if let Some(text) = scene.texts.last_mut() {
                text.upwards = true;
            }
        }
    }

    fn draw_series(&self, scene: &mut Scene, area: &Area, series: &Series) {
        let place = |&(x, y): &(f64, f64)| (area.x(self.x.place(x)), area.y(self.y.place(y)));
        let points: Vec<Point> = series.points.iter().map(place).collect();
        series.draw_line(scene, thin(&points));
        if let Some(marker) = series.visible_marker() {
            for point in points {
                scene.marker(marker, point, series.color);
            }
        }
    }
}

/// Leaves out points that nobody can see: those between the ends, the top and the bottom of what
/// a line does within one pixel across.
///
/// Without this a long series takes seconds to paint, and megabytes of SVG.
fn thin(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.round() == b.0.round()) {
        let by_y = |&a: &usize, &b: &usize| column[a].1.total_cmp(&column[b].1);
        let top = (0..column.len()).min_by(by_y).unwrap_or(0);
        let bottom = (0..column.len()).max_by(by_y).unwrap_or(0);
        let mut places = vec![0, top, bottom, column.len() - 1];
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|place| column[place]));
    }
    kept
}

impl Series {
    /// Gives the marker, if the points are so few that markers do not touch and hide the line.
    fn visible_marker(&self) -> Option<Marker> {
        const MOST: usize = 60;
        self.marker.filter(|_| self.points.len() <= MOST)
    }

    fn draw_line(&self, scene: &mut Scene, points: Vec<Point>) {
        match self.dashed {
            true => scene.dashed(&points, self.width, self.color),
            false => scene.path(points, self.width, self.color),
        }
    }
}

impl Area {
    fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_outline() {
        let apart: Vec<Point> = (0..100).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        assert_eq!(thin(&apart), apart);
        let mut crowd: Vec<Point> = vec![(5.1, 3.0); 1000];
        crowd[10].1 = -8.0;
        crowd[900] = (5.2, 9.0);
        crowd.push((7.0, 0.0));
        let outline = [(5.1, 3.0), (5.1, -8.0), (5.2, 9.0), (5.1, 3.0), (7.0, 0.0)];
        assert_eq!(thin(&crowd), outline);
        assert_eq!(thin(&[]), []);
    }
}
