//! How far a loop has come.

use std::io::{self, IsTerminal, Write};

use crate::notebook::is_notebook;

/// Cells of the bar in a terminal.
const BAR: usize = 30;
/// Lines that a notebook gets, after the first one: 20 %, 40 %, … 100 %.
const LINES: usize = 5;

/// Passes an iterator's items on and shows how many have gone by: a bar in a terminal, and in a
/// notebook, where a line cannot be overwritten, a few whole lines.
///
/// The total comes from [`Iterator::size_hint`]; where that is unknown, or where the output is
/// neither a terminal nor a notebook (a file, a pipe), nothing is shown.
///
/// ```
/// use helpers::prelude::*;
///
/// let total: u32 = progress(1..=10u32).sum();
/// assert_eq!(total, 55);
/// ```
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    let items = items.into_iter();
    let place = match items.size_hint() {
        (lower, Some(upper)) if lower == upper && lower > 0 => {
            if is_notebook() {
                Place::Notebook
            } else if io::stderr().is_terminal() {
                Place::Terminal
            } else {
                Place::Nowhere
            }
        }
        _ => Place::Nowhere,
    };
    Progress {
        total: items.size_hint().0,
        items,
        done: 0,
        shown: None,
        place,
    }
}

/// An iterator that shows how far it has come, made by [`progress`].
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing until they are consumed"]
pub struct Progress<I> {
    items: I,
    total: usize,
    done: usize,
    /// The step shown last: cells of the bar, or lines.
    shown: Option<usize>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Terminal,
    Notebook,
    Nowhere,
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.items.next();
        // An item counts as done when the next one is asked for.
        if let Some(text) = report(self.place, self.done, self.total, &mut self.shown) {
            match self.place {
                Place::Notebook => println!("{text}"),
                _ => {
                    let _ = write!(io::stderr(), "{text}");
                }
            }
        }
        self.done += usize::from(item.is_some());
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Progress<I> {}

/// The text to show now, if there is news since the step `shown`.
fn report(place: Place, done: usize, total: usize, shown: &mut Option<usize>) -> Option<String> {
    let steps = match place {
        Place::Terminal => BAR,
        Place::Notebook => LINES.min(total),
        Place::Nowhere => return None,
    };
    let step = (done.min(total) as u128 * steps as u128 / total as u128) as usize;
    if *shown == Some(step) {
        return None;
    }
    *shown = Some(step);
    let percent = (done.min(total) as u128 * 100 / total as u128) as usize;
    Some(match place {
        Place::Terminal => {
            let end = if done >= total { "\n" } else { "" };
            format!(
                "\r[{}{}] {done}/{total} {percent:3} %{end}",
                "=".repeat(step),
                " ".repeat(BAR - step)
            )
        }
        _ => format!("{done} of {total} done ({percent} %)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(place: Place, total: usize) -> Vec<String> {
        let mut last = None;
        (0..=total)
            .filter_map(|done| report(place, done, total, &mut last))
            .collect()
    }

    #[test]
    fn a_notebook_gets_a_few_whole_lines() {
        let lines = shown(Place::Notebook, 1000);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], "0 of 1000 done (0 %)");
        assert_eq!(lines[5], "1000 of 1000 done (100 %)");
        assert_eq!(shown(Place::Notebook, 2).len(), 3);
    }

    #[test]
    fn a_terminal_gets_a_bar_that_ends_its_line() {
        let bars = shown(Place::Terminal, 1000);
        assert_eq!(bars.len(), BAR + 1);
        assert!(bars[0].starts_with("\r[ "));
        assert!(bars[BAR].ends_with("100 %\n"));
    }

    #[test]
    fn passes_items_on() {
        assert_eq!(progress([1, 2, 3]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(progress(Vec::<u8>::new()).count(), 0);
        assert_eq!(progress(0..3).len(), 3);
    }
}
