//! How far a loop has come.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use crate::notebook::interrupts;
use crate::notebook::is_notebook;
use crate::notebook::runner;
use crate::show::{self, Order};

/// Cells of a bar that is made of characters.
const BAR: usize = 30;
/// Lines that a stock kernel gets, after the first one: 20 %, 40 %, … 100 %.
const LINES: usize = 5;
/// A bar in a notebook moves no more often than this.
const PACE: Duration = Duration::from_millis(100);

/// Passes an iterator's items on and shows how many have gone by: a bar that moves, in a notebook and
/// in a terminal.
///
/// The total comes from [`Iterator::size_hint`]. Where that does not tell, a notebook shows the number
/// of items so far, and a terminal nothing. In a stock kernel, where nothing can move, there are a few
/// whole lines, and where the output is neither a notebook nor a terminal (a file, a pipe) there is
/// nothing. A notebook's reader may interrupt the loop.
///
/// ```
/// use helpers::prelude::*;
///
/// let total: u32 = progress(1..=10u32).sum();
/// assert_eq!(total, 55);
/// ```
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    let items = items.into_iter();
    let total = match items.size_hint() {
        (lower, Some(upper)) if lower == upper => Some(lower),
        _ => None,
    };
    let place = match total {
        Some(0) => Place::Nowhere,
        _ if runner::of_cells().is_some() => Place::Kernel,
        None => Place::Nowhere,
        Some(_) if is_notebook() => Place::StockKernel,
        Some(_) if io::stderr().is_terminal() => Place::Terminal,
        Some(_) => Place::Nowhere,
    };
    Progress {
        items,
        meter: Meter {
            place,
            total,
            taken: 0,
            step: None,
            bar: Bar::default(),
        },
    }
}

/// An iterator that shows how far it has come, made by [`progress`].
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing until they are consumed"]
pub struct Progress<I> {
    items: I,
    meter: Meter,
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        interrupts::check();
        let item = self.items.next();
        self.meter.count(item.is_some());
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Progress<I> {}

#[derive(Clone, Copy, Debug)]
enum Place {
    Terminal,
    /// The course's own.
    Kernel,
    StockKernel,
    Nowhere,
}

/// Counts items, and shows their number. Only this is not compiled anew for each iterator.
#[derive(Clone, Debug)]
struct Meter {
    place: Place,
    total: Option<usize>,
    /// Items that were handed out.
    taken: usize,
    /// The step shown last: cells of the bar, or lines.
    step: Option<usize>,
    bar: Bar,
}

impl Meter {
    /// Notes that the next item was asked for, and whether there was one. The one before it is done
    /// now.
    fn count(&mut self, is_one: bool) {
        match (self.place, self.total) {
            (Place::Kernel, total) => self.bar.show(self.taken, total, !is_one),
            (Place::StockKernel, Some(total)) => {
                if let Some(line) = line(self.taken, total, &mut self.step) {
                    println!("{line}");
                }
            }
            (Place::Terminal, Some(total)) => {
                if let Some(bar) = terminal_bar(self.taken, total, &mut self.step) {
                    let _ = write!(io::stderr(), "{bar}");
                }
            }
            _ => {}
        }
        self.taken += usize::from(is_one);
    }
}

/// If the loop is left early, shows how far it came.
impl Drop for Meter {
    fn drop(&mut self) {
        if self.bar.is_under_way() {
            // Whoever knows the number need not ask whether there is one more item.
            let is_over = self.total == Some(self.taken) && !thread::panicking();
            let at_work = usize::from(!is_over);
            let done = self.taken.saturating_sub(at_work);
            self.bar.put(done, self.total, is_over);
        }
    }
}

/// A bar in a notebook of the course's own kernel.
#[derive(Debug, Default)]
struct Bar {
    /// By which the notebook knows it, once it is there.
    id: Option<String>,
    /// When it last moved.
    moved: Option<Instant>,
    /// What it shows: how many are done, and whether there will be no more.
    shown: (usize, bool),
}

/// A clone goes its own way, and has a bar of its own.
impl Clone for Bar {
    fn clone(&self) -> Bar {
        Bar::default()
    }
}

impl Bar {
    fn is_under_way(&self) -> bool {
        self.id.is_some() && !self.shown.1
    }

    /// Shows how many are done, at its pace; at the end (`is_over`) in any case.
    fn show(&mut self, done: usize, total: Option<usize>, is_over: bool) {
        if !is_over && self.moved.is_some_and(|then| then.elapsed() < PACE) {
            return;
        }
        self.put(done, total, is_over);
    }

    /// The same at once.
    fn put(&mut self, done: usize, total: Option<usize>, is_over: bool) {
        if self.id.is_some() && self.shown == (done, is_over) {
            return;
        }
        let (plain, rich) = match total {
            Some(total) => (bar(done, total), vec![("text/html", html_bar(done, total))]),
            None if is_over => (format!("{done} in all"), Vec::new()),
            None => (format!("{done} so far"), Vec::new()),
        };
        let (plain, rich) = (plain.as_str(), rich.as_slice());
        match &self.id {
            Some(id) => show::send(&Order::Update { plain, rich, id }),
            None => {
                let id = new_id();
                let named = Some(id.as_str());
                show::send(&Order::Display {
                    plain,
                    rich,
                    id: named,
                });
                self.id = Some(id);
            }
        }
        self.moved = Some(Instant::now());
        self.shown = (done, is_over);
    }
}

/// A name that no other bar of the notebook has, as the kernel may be another process next time.
fn new_id() -> String {
    static BARS: AtomicUsize = AtomicUsize::new(0);
    let number = BARS.fetch_add(1, Ordering::Relaxed);
    format!("progress-{}-{number}", process::id())
}

/// How many of `steps` are done, if `done` of `total` items are.
fn steps_done(done: usize, total: usize, steps: usize) -> usize {
    (done.min(total) as u128 * steps as u128 / total as u128) as usize
}

/// `[======    ] 12/30  40 %`
fn bar(done: usize, total: usize) -> String {
    let (cells, percent) = (steps_done(done, total, BAR), steps_done(done, total, 100));
    format!(
        "[{}{}] {done}/{total} {percent:3} %",
        "=".repeat(cells),
        " ".repeat(BAR - cells)
    )
}

/// The same as HTML. The element is the browser's own, so it suits dark pages and screen readers, and
/// the text beside it is its label. It stays in notebooks that are not trusted.
fn html_bar(done: usize, total: usize) -> String {
    let percent = steps_done(done, total, 100);
    let value = done.min(total);
    format!(
        "<label><progress max=\"{total}\" value=\"{value}\" style=\"width:20em\"></progress> \
         {done}/{total} ({percent} %)</label>"
    )
}

/// The bar that overwrites the one before, if there is news since the step `shown`.
fn terminal_bar(done: usize, total: usize, shown: &mut Option<usize>) -> Option<String> {
    let step = Some(steps_done(done, total, BAR));
    let is_news = std::mem::replace(shown, step) != step;
    let end = if done >= total { "\n" } else { "" };
    is_news.then(|| format!("\r{}{end}", bar(done, total)))
}

/// The line to print, if there is news since the step `shown`.
fn line(done: usize, total: usize, shown: &mut Option<usize>) -> Option<String> {
    let step = Some(steps_done(done, total, LINES.min(total)));
    let is_news = std::mem::replace(shown, step) != step;
    let percent = steps_done(done, total, 100);
    is_news.then(|| format!("{done} of {total} done ({percent} %)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Report = fn(usize, usize, &mut Option<usize>) -> Option<String>;

    fn shown(report: Report, total: usize) -> Vec<String> {
        let mut last = None;
        (0..=total)
            .filter_map(|done| report(done, total, &mut last))
            .collect()
    }

    #[test]
    fn a_stock_kernel_gets_a_few_whole_lines() {
        let lines = shown(line, 1000);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], "0 of 1000 done (0 %)");
        assert_eq!(lines[5], "1000 of 1000 done (100 %)");
        assert_eq!(shown(line, 2).len(), 3);
    }

    #[test]
    fn a_terminal_gets_a_bar_that_ends_its_line() {
        let bars = shown(terminal_bar, 1000);
        assert_eq!(bars.len(), BAR + 1);
        assert!(bars[0].starts_with("\r[ "));
        assert!(bars[BAR].ends_with("100 %\n"));
    }

    #[test]
    fn a_bar_says_how_far_it_is() {
        let cells = |full: usize| format!("[{}{}]", "=".repeat(full), " ".repeat(BAR - full));
        assert_eq!(bar(12, 30), format!("{} 12/30  40 %", cells(12)));
        assert_eq!(bar(30, 30), format!("{} 30/30 100 %", cells(30)));
        assert!(html_bar(12, 30).contains("<progress max=\"30\" value=\"12\""));
        assert!(html_bar(12, 30).ends_with("> 12/30 (40 %)</label>"));
        // An iterator that has said too little.
        assert_eq!(bar(31, 30), format!("{} 31/30 100 %", cells(30)));
    }

    #[test]
    fn passes_items_on() {
        assert_eq!(progress([1, 2, 3]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(progress(Vec::<u8>::new()).count(), 0);
        assert_eq!(progress(0..3).len(), 3);
    }
}
