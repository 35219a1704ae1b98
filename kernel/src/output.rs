//! What comes out of the process that runs the cells, told apart: text, things to show, and evcxr's words.

use std::collections::BTreeMap;

use serde_json::Value;

/// Formats of one thing to show: MIME types and contents.
pub type Bundle = BTreeMap<String, Value>;

/// What evcxr's generated code says by printing it, each on a line.
pub const PANIC: &str = "EVCXR_PANIC_NOTIFICATION";
pub const FAILED: &str = "EVCXR_ERROR_OCCURRED";
const CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
const BEGIN: &str = "EVCXR_BEGIN_CONTENT ";
const END: &str = "EVCXR_END_CONTENT";
/// All of them, and nothing that is not evcxr's, begin so.
const PREFIX: &str = "EVCXR_";

/// The course's own way to show something: see the crate `helpers`, `show`.
const SHOW_BEGIN: &str = "\u{1b}_course ";
const SHOW_END: &str = "\u{1b}\\";

/// Around the text of an error that ends a cell, which evcxr's generated code prints on stderr: see `START`
/// in the set-up's `build_folder`.
const ERROR_BEGIN: char = '\u{2}';
const ERROR_END: char = '\u{3}';

#[derive(Debug, PartialEq)]
pub enum Event {
    Text(String),
    /// Evcxr's convention: one format of a thing.
    Content(String, String),
    Display(Bundle, Option<String>),
    Update(Bundle, String),
    Clear(bool),
    /// A word that evcxr's engine must hear.
    Word(String),
    /// The cell's value was an error.
    Error(String),
}

/// Reads standard output.
#[derive(Debug, Default)]
pub struct Out {
    text: Decoder,
    /// What may be the beginning of something.
    pending: String,
}

impl Out {
    /// Takes bytes and gives what they mean. With `all`, nothing is kept back.
    pub fn take(&mut self, bytes: &[u8], all: bool, events: &mut Vec<Event>) {
        self.text.decode(bytes, all, &mut self.pending);
        let mut rest = std::mem::take(&mut self.pending);
        while let Some((start, found)) = first_mark(&rest) {
            // What begins with a mark may not be there as a whole.
            let Some((length, event)) = parse(&rest[start..], found) else {
                push_text(events, &rest[..start]);
                rest.drain(..start);
                break;
            };
            push_text(events, &rest[..start]);
            events.push(event);
            rest.drain(..start + length);
        }
        let whole = match first_mark(&rest) {
            Some((0, _)) if !all => 0,
            _ if all => rest.len(),
            _ => rest.len() - length_of_beginning(&rest),
        };
        push_text(events, &rest[..whole]);
        rest.drain(..whole);
        self.pending = rest;
    }
}

fn push_text(events: &mut Vec<Event>, text: &str) {
    if !text.is_empty() {
        events.push(Event::Text(text.to_owned()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Evcxr(&'static str),
    Show,
}

/// The first mark in a text, and where it is.
fn first_mark(text: &str) -> Option<(usize, Mark)> {
    let words = [PANIC, FAILED, CHANGED_TYPE, BEGIN];
    let evcxr = text.match_indices(PREFIX).find_map(|(at, _)| {
        let word = words.iter().find(|word| text[at..].starts_with(**word))?;
        Some((at, Mark::Evcxr(word)))
    });
    let show = text.find(SHOW_BEGIN).map(|at| (at, Mark::Show));
    [evcxr, show]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
}

/// What a text that begins with a mark means, and its length; nothing if it is not there as a whole.
fn parse(text: &str, mark: Mark) -> Option<(usize, Event)> {
    let line_end = |from: usize| text[from..].find('\n').map(|at| from + at);
    match mark {
        Mark::Evcxr(BEGIN) => {
            let head = line_end(0)?;
            let mime = text[BEGIN.len()..head].trim_end().to_owned();
            let end = format!("\n{END}");
            // The content may be empty: then its end follows the first line.
            let content_end = head + text[head..].find(&end)?;
            let after = content_end + end.len();
            let length = line_end(after)? + 1;
            let content = text.get(head + 1..content_end).unwrap_or_default();
            Some((length, Event::Content(mime, content.to_owned())))
        }
        Mark::Evcxr(word) => {
            let end = line_end(0)?;
            let said = if word == CHANGED_TYPE {
                &text[..end]
            } else {
                word
            };
            Some((end + 1, Event::Word(said.to_owned())))
        }
        Mark::Show => {
            let end = text.find(SHOW_END)?;
            let event = show(&text[SHOW_BEGIN.len()..end]);
            Some((end + SHOW_END.len(), event))
        }
    }
}

fn show(json: &str) -> Event {
    let Ok(mut order) = serde_json::from_str::<Value>(json) else {
        return Event::Text(json.to_owned());
    };
    let id = order["id"].as_str().map(str::to_owned);
    let data = match order["data"].take() {
        Value::Object(formats) => formats.into_iter().collect(),
        _ => Bundle::new(),
    };
    match (order["do"].as_str(), id) {
        (Some("clear"), _) => Event::Clear(order["wait"].as_bool().unwrap_or_default()),
        (Some("update"), Some(id)) => Event::Update(data, id),
        (_, id) => Event::Display(data, id),
    }
}

/// How many bytes at the end of a text may be the beginning of a mark.
fn length_of_beginning(text: &str) -> usize {
    let longest = SHOW_BEGIN.len().max(CHANGED_TYPE.len());
    let words = [PANIC, FAILED, CHANGED_TYPE, BEGIN, SHOW_BEGIN];
    (1..=longest.min(text.len()))
        .rev()
        .filter(|length| text.is_char_boundary(text.len() - length))
        .find(|length| {
            let tail = &text[text.len() - length..];
            words.iter().any(|word| word.starts_with(tail))
        })
        .unwrap_or(0)
}

/// Reads standard error.
#[derive(Debug, Default)]
pub struct Errors {
    text: Decoder,
    pending: String,
}

impl Errors {
    pub fn take(&mut self, bytes: &[u8], all: bool, events: &mut Vec<Event>) {
        self.text.decode(bytes, all, &mut self.pending);
        let mut rest = std::mem::take(&mut self.pending);
        while let Some(start) = rest.find(ERROR_BEGIN) {
            let Some(length) = rest[start..].find(ERROR_END) else {
                break;
            };
            push_text(events, &rest[..start]);
            events.push(Event::Error(rest[start + 1..start + length].to_owned()));
            // The line end is that of `eprintln!`.
            let after = start + length + 1;
            let after = after + usize::from(rest[after..].starts_with('\n'));
            rest.drain(..after);
        }
        let whole = match rest.find(ERROR_BEGIN) {
            Some(start) if !all => start,
            _ => rest.len(),
        };
        push_text(events, &rest[..whole]);
        rest.drain(..whole);
        self.pending = rest;
    }
}

/// Makes text of bytes that come in pieces, with a replacement character for what is no UTF-8.
#[derive(Debug, Default)]
struct Decoder {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], all: bool, text: &mut String) {
        self.rest.extend(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // Only a character that is cut off has no length of what is wrong.
            Err(_) if all => self.rest.len(),
            Err(_) => whole_characters(&self.rest),
        };
        text.push_str(&String::from_utf8_lossy(&self.rest[..whole]));
        self.rest.drain(..whole);
    }
}

/// The length without a character at the end of which more may come.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for start in (tail..bytes.len()).rev() {
        if bytes[start] & 0xc0 != 0x80 {
            return match std::str::from_utf8(&bytes[start..]) {
                Err(error) if error.error_len().is_none() => start,
                _ => bytes.len(),
            };
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a text that arrives in pieces of every size.
    fn events(text: &[u8]) -> Vec<Event> {
        let mut results: Vec<Vec<Event>> = (1..=text.len().max(1))
            .map(|size| {
                let (mut out, mut events) = (Out::default(), Vec::new());
                for piece in text.chunks(size) {
                    out.take(piece, false, &mut events);
                }
                out.take(b"", true, &mut events);
                joined(events)
            })
            .collect();
        let last = results.pop().unwrap();
        for other in results {
            assert_eq!(other, last);
        }
        last
    }

    fn joined(events: Vec<Event>) -> Vec<Event> {
        let mut joined: Vec<Event> = Vec::new();
        for event in events {
            match (joined.last_mut(), event) {
                (Some(Event::Text(before)), Event::Text(text)) => before.push_str(&text),
                (_, event) => joined.push(event),
            }
        }
        joined
    }

    fn text(text: &str) -> Event {
        Event::Text(text.to_owned())
    }

    #[test]
    fn words_are_found_behind_an_unfinished_line() {
        assert_eq!(
            events(b"a EVCXR_PANIC_NOTIFICATION\nb"),
            [text("a "), Event::Word(PANIC.to_owned()), text("b")]
        );
        assert_eq!(
            events(b"EVCXR_VARIABLE_CHANGED_TYPE:p\n"),
            [Event::Word("EVCXR_VARIABLE_CHANGED_TYPE:p".to_owned())]
        );
        assert_eq!(events(b"EVCXR_OTHER\n"), [text("EVCXR_OTHER\n")]);
    }

    #[test]
    fn contents_are_those_between_two_lines() {
        let printed = b"x: EVCXR_BEGIN_CONTENT text/plain\n1\n2\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT a/b\n\nEVCXR_END_CONTENT\n";
        assert_eq!(
            events(printed),
            [
                text("x: "),
                Event::Content("text/plain".to_owned(), "1\n2".to_owned()),
                Event::Content("a/b".to_owned(), String::new()),
            ]
        );
    }

    #[test]
    fn orders_to_show_are_found_anywhere() {
        let printed = "a\u{1b}_course {\"do\":\"display\",\"data\":{\"text/plain\":\"é\"},\"id\":\"1\"}\u{1b}\\b";
        let data = Bundle::from([("text/plain".to_owned(), Value::from("é"))]);
        assert_eq!(
            events(printed.as_bytes()),
            [
                text("a"),
                Event::Display(data, Some("1".to_owned())),
                text("b")
            ]
        );
        assert_eq!(
            events(b"\x1b_course {\"do\":\"clear\",\"wait\":true}\x1b\\"),
            [Event::Clear(true)]
        );
        // Other programs' sequences are text.
        assert_eq!(
            events(b"\x1b[1mbold\x1b[0m"),
            [text("\u{1b}[1mbold\u{1b}[0m")]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(events(b"caf\xe9\n"), [text("caf\u{fffd}\n")]);
        assert_eq!(events("naïve 🦀".as_bytes()), [text("naïve 🦀")]);
    }

    #[test]
    fn the_text_of_an_error_is_told_apart() {
        let printed = "before\n\u{2}ParseIntError { kind: InvalidDigit }\u{3}\nafter";
        for size in 1..printed.len() {
            let (mut errors, mut events) = (Errors::default(), Vec::new());
            for piece in printed.as_bytes().chunks(size) {
                errors.take(piece, false, &mut events);
            }
            errors.take(b"", true, &mut events);
            // A line end that comes later is kept: it belongs to nobody.
            let events: Vec<_> = joined(events)
                .into_iter()
                .map(|event| match event {
                    Event::Text(text) => Event::Text(text.trim_start_matches('\n').to_owned()),
                    other => other,
                })
                .collect();
            assert_eq!(
                events,
                [
                    text("before\n"),
                    Event::Error("ParseIntError { kind: InvalidDigit }".to_owned()),
                    text("after"),
                ]
            );
        }
    }
}
