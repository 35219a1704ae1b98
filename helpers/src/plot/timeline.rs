//! Which worker ran which task, and when.

use plotters::style::RGBColor as Rgb;

use super::axis::Axis;
use super::error::PlotError;
use super::figure::Figure;
use super::number::readable_unit;
use super::scene::{Anchor, Scene};
use super::style::{AXIS, CARD, GRID, INK, LABEL_SIZE, MARGIN, MUTED, TICK_SIZE, TONES, WIDTH};
use super::text;
use crate::timeline::{Span, Timeline, percent};

/// The largest number of workers that the text beside the picture lists.
const MOST_LISTED: usize = 12;
/// The width of the columns in which tasks are drawn together that are narrower than this.
const COLUMN: f64 = 2.0;
/// The height that all rows together should not exceed, as long as each can still be seen.
const PLOT_HEIGHT: f64 = 480.0;
/// The least height of a row that has a text of its own.
const TEXT_ROW: f64 = 16.0;

/// Draws a row for each worker and in it a bar for each task, from its start to its end.
///
/// Time runs to the right, from the start of the recording to its end; where a row is empty its
/// worker was idle. A bar bears the place of its item in the list, or of the first and last of
/// its chunk, where there is room. Two blues take turns, so that neighbours can be
/// told apart. Tasks too short for bars of their own are drawn together: the paler the blue, the more
/// of the time between them was idle. At the end of its row is how much of the time a worker was
/// busy.
///
/// # Errors
///
/// A timeline without any task.
///
/// # Examples
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(4)?;
/// let (_, timeline) = Timeline::record(|| pool.map(|x: u64| x * x, 0..6));
/// let figure = plot::timeline("Six tasks on four workers", &timeline)?;
/// assert!(figure.alt().contains("6 tasks on 4 workers"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn timeline(title: &str, timeline: &Timeline) -> Result<Figure, PlotError> {
    if timeline.spans().is_empty() {
        return Err(PlotError::no_data(
            "no task was recorded, so there is nothing to draw: call `map` or `submit` of a pool \
             inside of `Timeline::record`, and wait for the results there",
        ));
    }
    let title = text::clean(title);
    let (alt, scene) = (alt(&title, timeline), scene(&title, timeline));
    Ok(Figure::new(title, alt, scene))
}

/// The area of the bars, in pixels of the page.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    /// The height of a row.
    row: f64,
    /// The seconds that the area is wide.
    wall: f64,
}

impl Area {
    fn x(&self, seconds: f64) -> f64 {
        self.left + seconds / self.wall * (self.right - self.left)
    }

    /// The ends of the bar of `span`.
    fn ends(&self, span: &Span) -> (f64, f64) {
        let [start, end] = [span.start, span.end].map(|time| self.x(time.as_secs_f64()));
        (start, end)
    }

    /// The top and the bottom of the bars in row `row`.
    fn bar(&self, row: usize) -> (f64, f64) {
        let (top, gap) = (self.top + row as f64 * self.row, self.row * 0.14);
        (top + gap, top + self.row - gap)
    }
}

fn scene(title: &str, timeline: &Timeline) -> Scene {
    let (mut scene, top) = Scene::titled(title);
    let workers = timeline.workers();
    let width = |label: &str| text::width(label, LABEL_SIZE, false);
    let labels = workers.iter().map(|worker| width(&worker.label));
    let wall = timeline.wall().as_secs_f64().max(1e-9);
    let area = Area {
        left: MARGIN + labels.fold(0.0, f64::max) + 10.0,
        right: WIDTH - MARGIN - width("100 % busy") - 8.0,
        top: top + if title.is_empty() { 0.0 } else { 10.0 },
        row: (PLOT_HEIGHT / workers.len() as f64).clamp(3.0, 34.0),
        wall,
    };
    let bottom = area.top + area.row * workers.len() as f64;
    draw_ticks(&mut scene, &area, bottom);
    draw_labels(&mut scene, &area, timeline);
    let mut rows = vec![Vec::new(); workers.len()];
    for span in timeline.spans() {
        rows[timeline.row(span)].push(span);
    }
    for (row, spans) in rows.iter().enumerate() {
        draw_row(&mut scene, &area, area.bar(row), spans);
    }
    scene.line((area.left, bottom), (area.right, bottom), 1.0, AXIS);
    scene.line((area.left, area.top), (area.left, bottom), 1.0, AXIS);
    scene.height = (bottom + 46.0 + MARGIN - 6.0).round();
    scene
}

fn draw_ticks(scene: &mut Scene, area: &Area, bottom: f64) {
    let (factor, unit) = readable_unit("s", area.wall);
    for (value, label) in Axis::linear(0.0, area.wall * factor, false).ticks {
        let x = area.x(value / factor);
        scene.line((x, area.top), (x, bottom), 1.0, GRID);
        scene.line((x, bottom), (x, bottom + 5.0), 1.0, AXIS);
        let at = (x, bottom + 16.0);
        scene.text(&label, at, TICK_SIZE, MUTED, Anchor::Middle);
    }
    let at = ((area.left + area.right) / 2.0, bottom + 36.0);
    scene.text(
        &format!("time in {unit}"),
        at,
        LABEL_SIZE,
        INK,
        Anchor::Middle,
    );
}

/// Writes at both ends of the rows: of all, or of each second, third, …, so that none touch.
fn draw_labels(scene: &mut Scene, area: &Area, timeline: &Timeline) {
    let stride = (TEXT_ROW / area.row).ceil() as usize;
    for (row, worker) in timeline.workers().iter().enumerate().step_by(stride) {
        let (top, bottom) = area.bar(row);
        let middle = (top + bottom) / 2.0;
        let at = (area.left - 10.0, middle);
        scene.text(&worker.label, at, LABEL_SIZE, INK, Anchor::End);
        let busy = format!("{} busy", percent(timeline.share_of(worker)));
        let at = (area.right + 8.0, middle);
        scene.text(&busy, at, LABEL_SIZE, MUTED, Anchor::Start);
    }
}

/// Draws the tasks of one worker, which are in the order of their starts.
fn draw_row(scene: &mut Scene, area: &Area, (top, bottom): (f64, f64), spans: &[&Span]) {
    let (wide, narrow): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| {
        let (start, end) = area.ends(span);
        end - start >= COLUMN
    });
    let columns = shares(area, &narrow);
    let columns = columns.iter().enumerate();
    let shaded: Vec<(usize, Rgb)> = columns.filter_map(|(i, &s)| Some((i, shade(s)?))).collect();
    let beside = |a: &(usize, Rgb), b: &(usize, Rgb)| a.0 + 1 == b.0 && a.1 == b.1;
    for run in shaded.chunk_by(beside) {
        let (from, to) = (run[0].0 as f64, (run[0].0 + run.len()) as f64);
        let right = (area.left + to * COLUMN).min(area.right);
        scene.rect((area.left + from * COLUMN, top), (right, bottom), run[0].1);
    }
    let mut until = 0.0_f64;
    for (i, span) in wide.iter().enumerate() {
        let (start, end) = area.ends(span);
        // A task that a worker ran while it waited in another one: a frame sets it off.
        let frame = if start < until { 1.0 } else { 0.0 };
        if frame > 0.0 {
            scene.rect((start, top), (end, bottom), CARD);
        }
        let (from, to) = ((start + frame, top + frame), (end - frame, bottom - frame));
        scene.rect(from, to, TONES[i % 2]);
        until = until.max(end);
    }
    if area.row < TEXT_ROW {
        return;
    }
    for (i, span) in wide.iter().enumerate() {
        let (start, end) = area.ends(span);
        // Not where a task that ran inside of this one has its bar.
        let end = match wide.get(i + 1) {
            Some(next) => area.ends(next).0.min(end),
            None => end,
        };
        let places = span.places();
        if text::width(&places, TICK_SIZE, false) + 6.0 <= end - start {
            let at = ((start + end) / 2.0, (top + bottom) / 2.0);
            scene.text(&places, at, TICK_SIZE, CARD, Anchor::Middle);
        }
    }
}

/// Gives the share of each column, from 0 to 1, that the bars of `spans` cover.
fn shares(area: &Area, spans: &[&Span]) -> Vec<f64> {
    let count = ((area.right - area.left) / COLUMN).ceil() as usize;
    let mut shares = vec![0.0; count];
    for span in spans {
        let (start, end) = area.ends(span);
        let [start, end] = [start, end].map(|x| (x - area.left) / COLUMN);
        // A task lies in two columns at most, and marks its column even if it took no time.
        for column in start as usize..=end as usize {
            let from = start.max(column as f64);
            let to = end.min((column + 1) as f64);
            // The end of the recording may be the end of the last column.
            shares[column.min(count - 1)] += (to - from).max(1e-6);
        }
    }
    shares
}

/// Gives the colour of a column of which `share` is covered: paler if it is less.
///
/// Few shades, so that equal neighbours become one shape, and none that cannot be seen.
fn shade(share: f64) -> Option<Rgb> {
    let tone = match share {
        s if s <= 0.0 => return None,
        s if s < 0.4 => 0.4,
        s if s < 0.7 => 0.6,
        s if s < 0.9 => 0.8,
        _ => 1.0,
    };
    let mix =
        |card: u8, ink: u8| (f64::from(card) * (1.0 - tone) + f64::from(ink) * tone).round() as u8;
    let (Rgb(r, g, b), Rgb(cr, cg, cb)) = (TONES[0], CARD);
    Some(Rgb(mix(cr, r), mix(cg, g), mix(cb, b)))
}

/// Tells what the rows tell: how busy each worker was, and which task took longest.
fn alt(title: &str, timeline: &Timeline) -> String {
    let mut alt = String::from("Timeline");
    if !title.is_empty() {
        alt += &format!(" \"{title}\"");
    }
    let workers = timeline.workers();
    let busy = |i: usize| {
        format!(
            "{} {}",
            workers[i].label,
            percent(timeline.share_of(&workers[i]))
        )
    };
    alt += &format!(": {} Busy:", timeline.summary());
    if workers.len() <= MOST_LISTED {
        let list: Vec<String> = (0..workers.len()).map(busy).collect();
        return alt + &format!(" {}.", list.join(", "));
    }
    let by_busy = |&i: &usize| workers[i].busy;
    let least = (0..workers.len()).min_by_key(by_busy).unwrap_or(0);
    // Of equal workers, the first is the one to name.
    let most = (0..workers.len()).rev().max_by_key(by_busy).unwrap_or(0);
    alt + &format!(" from {} to {}.", busy(least), busy(most))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::scene::Shape;
    use super::*;
    use crate::timeline::recorder::{Items, PoolTag, Task};

    /// A timeline of a second: tasks of one pool, each a worker and its start and end in ms.
    fn second(workers: usize, tasks: impl IntoIterator<Item = (usize, f64, f64)>) -> Timeline {
        let (zero, pool) = (Instant::now(), PoolTag::new(workers));
        let at = |ms: f64| zero + Duration::from_secs_f64(ms / 1000.0);
        let task = |(first, (worker, start, end))| Task {
            pool,
            worker,
            items: Items::Chunk { first, count: 1 },
            start: at(start),
            end: at(end),
        };
        let tasks = tasks.into_iter().enumerate().map(task).collect();
        Timeline::new(zero, at(1000.0), tasks)
    }

    /// The colour and the width of each bar.
    fn bars(timeline: &Timeline) -> Vec<(Rgb, f64)> {
        let bar = |shape: Shape| match shape {
            Shape::Rect(from, to, color) => Some((color, to.0 - from.0)),
            _ => None,
        };
        let shapes = scene("", timeline).shapes;
        shapes.into_iter().filter_map(bar).collect()
    }

    #[test]
    fn neighbours_take_turns_and_long_bars_bear_their_numbers() {
        let timeline = second(2, [(0, 0.0, 500.0), (0, 500.0, 1000.0), (1, 0.0, 10.0)]);
        let colors: Vec<Rgb> = bars(&timeline).iter().map(|bar| bar.0).collect();
        assert_eq!(colors, [TONES[0], TONES[1], TONES[0]]);
        let scene = scene("", &timeline);
        let light = scene.texts.iter().filter(|text| text.color == CARD);
        let numbers: Vec<&str> = light.map(|text| &*text.text).collect();
        assert_eq!(
            numbers,
            ["0", "1"],
            "the last bar is too short for its number"
        );
    }

    #[test]
    fn the_alt_text_tells_how_busy_each_worker_was() {
        let timeline = second(2, [(0, 0.0, 500.0), (1, 0.0, 250.0), (0, 500.0, 950.0)]);
        assert_eq!(
            alt("T", &timeline),
            "Timeline \"T\": 3 tasks on 2 workers in 1 s, busy 60 % of that time. The longest \
             task, item 0 on worker 0, took 500 ms. Busy: worker 0 95 %, worker 1 25 %."
        );
        let many = second(64, (0..64).map(|i| (i, 0.0, 10.0 * i as f64)));
        let busy = "Busy: from worker 0 0 % to worker 63 63 %.";
        assert!(alt("", &many).ends_with(busy), "{}", alt("", &many));
    }

    #[test]
    fn crowds_of_short_tasks_become_few_shapes_as_pale_as_they_are_idle() {
        // 50 000 tasks one after the other, first without a gap, then with as much idle time.
        let dense = (0..25_000).map(|i| (0, 0.02 * f64::from(i), 0.02 * f64::from(i + 1)));
        let half = dense
            .clone()
            .map(|(_, start, end)| (0, 500.0 + start, 500.0 + (start + end) / 2.0));
        let bars = bars(&second(1, dense.chain(half)));
        assert!(bars.len() <= 4, "{bars:?}");
        let width = |color: Rgb| -> f64 {
            bars.iter()
                .filter(|bar| bar.0 == color)
                .map(|bar| bar.1)
                .sum()
        };
        let (full, pale) = (width(TONES[0]), width(shade(0.5).unwrap()));
        assert!((full / pale - 1.0).abs() < 0.05, "{bars:?}");
        assert_ne!(shade(0.5), shade(1.0));
    }

    #[test]
    fn a_task_that_took_no_time_can_be_seen() {
        for at in [0.0, 500.0, 1000.0] {
            let bars = bars(&second(1, [(0, at, at)]));
            assert_eq!(bars.len(), 1, "at {at}");
            assert!(bars[0].1 > 0.0, "{bars:?} at {at}");
        }
    }

    #[test]
    fn a_task_inside_of_another_is_set_off() {
        let colors = bars(&second(
            1,
            [(0, 0.0, 900.0), (0, 100.0, 200.0), (0, 200.0, 800.0)],
        ));
        let colors: Vec<Rgb> = colors.into_iter().map(|bar| bar.0).collect();
        assert_eq!(colors, [TONES[0], CARD, TONES[1], CARD, TONES[0]]);
    }

    #[test]
    fn many_workers_keep_rows_that_can_be_seen_and_labels_that_do_not_touch() {
        for workers in [1, 12, 64, 1024] {
            let timeline = second(workers, (0..workers).map(|i| (i, 0.0, 1000.0)));
            let scene = scene("", &timeline);
            assert!(scene.height > workers as f64 * 3.0 && scene.height < 3200.0);
            let labels = scene.texts.iter().filter(|text| text.anchor == Anchor::End);
            let ys: Vec<f64> = labels.map(|text| text.at.1).collect();
            assert!(
                ys.windows(2).all(|pair| pair[1] - pair[0] >= TEXT_ROW),
                "{workers}"
            );
        }
    }
}
