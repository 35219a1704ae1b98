//! How a cell's failure is told: a name, a message, and a few lines.

use evcxr::CompilationError;
use serde_json::Value;

use crate::cells::Panic;
use crate::source::Prepared;

/// More errors than these are only counted.
const MOST: usize = 4;

/// What rustc says with many errors and nobody needs here.
const NOISE: [&str; 5] = [
    "this error originates in",
    "for more information",
    "`#[warn(",
    "`#[deny(",
    "see issue #",
];

/// A failure in Jupyter's terms.
#[derive(Clone, Debug)]
pub struct Failure {
    pub name: String,
    pub message: String,
    pub lines: Vec<String>,
}

impl Failure {
    pub fn new(name: &str, message: impl Into<String>) -> Failure {
        let message = message.into();
        let lines = message.lines().enumerate().map(|(at, line)| match at {
            0 => format!("{name}: {line}"),
            _ => line.to_owned(),
        });
        Failure {
            name: name.to_owned(),
            lines: lines.collect(),
            message,
        }
    }

    pub fn panic(panic: &Panic) -> Failure {
        Failure {
            name: "Panic".to_owned(),
            message: panic.message.clone(),
            lines: panic.lines(),
        }
    }

    /// What the compiler says.
    pub fn compilation(errors: &[CompilationError], cell: &Prepared, source: &str) -> Failure {
        let mut messages: Vec<String> = Vec::new();
        let mut lines = Vec::new();
        let mut count = 0;
        for error in errors {
            // One mistake is often told for each place where it shows.
            if messages.contains(&error.message()) {
                continue;
            }
            messages.push(error.message());
            count += 1;
            if count <= MOST {
                if count > 1 {
                    lines.push(String::new());
                }
                lines.extend(told(error, cell, source));
            }
        }
        if count > MOST {
            lines.push(String::new());
            lines.push(format!("and {} errors more", count - MOST));
        }
        Failure {
            name: "CompileError".to_owned(),
            message: messages.join("\n"),
            lines,
        }
    }

    pub fn with_hint(mut self, hint: &str) -> Failure {
        self.lines.push(format!("  = help: {hint}"));
        self
    }
}

fn told(error: &CompilationError, cell: &Prepared, source: &str) -> Vec<String> {
    let code = error
        .code()
        .map(|code| format!("[{code}]"))
        .unwrap_or_default();
    let mut lines = vec![format!("error{code}: {}", error.message())];
    lines.extend(places(error, cell, source));
    lines.extend(remarks(error));
    lines
}

/// The lines of code that the error is about, with marks under them.
fn places(error: &CompilationError, cell: &Prepared, source: &str) -> Vec<String> {
    let mut marks: Vec<(usize, usize, usize, bool, String)> = Vec::new();
    for said in error.spanned_messages() {
        if let Some(span) = &said.span {
            let from = cell.column(span.start_line, span.start_column);
            let line_length = source
                .lines()
                .nth(span.start_line - 1)
                .map_or(0, |line| line.chars().count());
            let to = match span.end_line == span.start_line {
                true => cell.column(span.end_line, span.end_column),
                // Of what takes several lines, the first is shown.
                false => line_length + 1,
            };
            let fallback = format!("error: {}", error.message());
            let label = match said.label.strip_prefix(&fallback) {
                Some(rest) => rest.trim_start_matches(": ").to_owned(),
                None => said.label.clone(),
            };
            let mark = (
                span.start_line,
                from,
                to.max(from + 1),
                said.is_primary,
                label,
            );
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
    }
    marks.sort_by_key(|mark| (mark.0, std::cmp::Reverse(mark.1)));
    let width = marks.last().map_or(1, |mark| mark.0.to_string().len());
    let mut lines = Vec::new();
    let mut shown = 0;
    for (line, from, to, is_primary, label) in marks {
        if line != shown {
            let text = source.lines().nth(line - 1).unwrap_or_default();
            lines.push(format!(" {line:>width$} │ {text}"));
            shown = line;
        }
        let sign = if is_primary { "^" } else { "-" };
        let mut label = label.lines();
        let first = label.next().unwrap_or_default();
        let under = format!("{}{}", " ".repeat(from - 1), sign.repeat(to - from));
        lines.push(
            format!(" {:width$} │ {under} {first}", "")
                .trim_end()
                .to_owned(),
        );
        for more in label {
            lines.push(format!(" {:width$} │ {}{more}", "", " ".repeat(to)));
        }
    }
    lines
}

/// Notes and help, of which many have no place.
fn remarks(error: &CompilationError) -> Vec<String> {
    let children = error.json["children"].as_array();
    let mut lines = Vec::new();
    for child in children.into_iter().flatten() {
        let level = child["level"].as_str().unwrap_or_default();
        let message = child["message"].as_str().unwrap_or_default();
        let is_noise = NOISE.iter().any(|noise| message.contains(noise));
        if !matches!(level, "note" | "help") || message.is_empty() || is_noise {
            continue;
        }
        let mut told = message.to_owned();
        let suggestions = suggestions(child);
        if let [one] = &suggestions[..]
            && !one.trim().is_empty()
            && !told.contains(&format!("`{}`", one.trim()))
        {
            told.push_str(&format!(": `{}`", one.trim()));
        }
        for (at, line) in told.lines().enumerate() {
            lines.push(match at {
                0 => format!("  = {level}: {line}"),
                _ => format!("    {}  {line}", " ".repeat(level.len())),
            });
        }
    }
    // Of a long list of types that would have done, the first are enough.
    const LONGEST: usize = 14;
    if lines.len() > LONGEST {
        lines.truncate(LONGEST);
        lines.push("    …".to_owned());
    }
    lines
}

fn suggestions(child: &Value) -> Vec<String> {
    let spans = child["spans"].as_array();
    let texts = spans.into_iter().flatten();
    texts
        .filter_map(|span| Some(span["suggested_replacement"].as_str()?.to_owned()))
        .collect()
}

/// Cuts a long value in the middle: its beginning, its end, and how much it is.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 6000;
    const HEAD: usize = 2000;
    const TAIL: usize = 300;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let (head, tail) = (floor(text, HEAD), ceil(text, text.len() - TAIL));
    match items(text) {
        Some((count, ends)) if count > 1 => {
            // Between two items, if there are such places.
            let head = ends.iter().rev().find(|&&end| end <= head).copied();
            let tail = ends.iter().find(|&&end| end >= tail).copied();
            let head = head.unwrap_or_else(|| floor(text, HEAD));
            let tail = tail.unwrap_or_else(|| ceil(text, text.len() - TAIL));
            format!("{} … {}\n({count} items)", &text[..head], &text[tail..])
        }
        _ => format!(
            "{}\n…\n{}\n({} characters)",
            &text[..head],
            &text[tail..],
            text.chars().count()
        ),
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len())
}

/// How many items a printed list has, and the places behind the commas between them.
fn items(text: &str) -> Option<(usize, Vec<usize>)> {
    if !text.starts_with(['[', '{']) || !text.ends_with([']', '}']) {
        return None;
    }
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    let mut ends = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 1 => ends.push(at + 1),
            _ => {}
        }
    }
    Some((ends.len() + 1, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_between_items() {
        let short = format!("{:?}", (0..100).collect::<Vec<_>>());
        assert_eq!(shortened(&short), short);
        let long = shortened(&format!("{:?}", (0..2_000_000).collect::<Vec<_>>()));
        assert!(long.len() < 2500, "{}", long.len());
        assert!(long.starts_with("[0, 1, 2, "), "{long}");
        assert!(
            long.ends_with("1999998, 1999999]\n(2000000 items)"),
            "{long}"
        );
        let nested = shortened(&format!("{:?}", vec![vec![0.0; 1000]; 1000]));
        assert!(
            nested.ends_with("(1000 items)") && nested.len() < 3000,
            "{nested}"
        );
        let text = shortened(&"é".repeat(10_000));
        assert!(text.ends_with("(10000 characters)"), "{text}");
    }

    #[test]
    fn a_failure_begins_with_its_name() {
        assert_eq!(Failure::new("Error", "a\nb").lines, ["Error: a", "b"]);
    }
}
