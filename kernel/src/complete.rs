//! What *Tab* and *Shift+Tab* ask: positions in characters there, in bytes here.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use evcxr::CommandContext;
use serde_json::{Map, Value, json};

use jupyter_protocol::{CompleteReply, InspectReply, ReplyStatus};

use crate::show::media;

thread_local! {
    static EXPECTS_PANIC: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that are caught here out of the log, where each would be a page.
pub fn set_panic_hook() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !EXPECTS_PANIC.get() {
            usual(info);
        }
    }));
}

fn without_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    EXPECTS_PANIC.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTS_PANIC.set(false);
    result.ok()
}

/// Completes the name before the cursor.
///
/// rust-analyzer may panic over it (its issue 22659). Then names that are known otherwise are offered.
pub fn complete(context: &mut CommandContext, code: &str, position: usize) -> CompleteReply {
    let code = &blanked(code);
    let at = byte_of(code, position);
    let found = without_panic(|| context.completions(code, at));
    let (start, end, mut found) = match found {
        Some(Ok(found)) => {
            let items = found.completions.into_iter();
            let items = items.map(|item| (item.code, item.label, item.kind));
            (found.start_offset, found.end_offset, items.collect())
        }
        _ => known_names(context, code, at),
    };
    let of_a_value = code[..start.min(code.len())].ends_with('.');
    if of_a_value {
        // First the value's own methods, then those that every value has, then fields, many of which are private.
        found.sort_by_key(|(code, _, kind)| {
            let name = code.split('(').next().unwrap_or_default();
            (*kind != "function", OF_EVERY_VALUE.contains(&name))
        });
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|(code, _, _)| !code.starts_with("evcxr_") && seen.insert(code.clone()));
    let (cursor_start, cursor_end) = (characters(code, start), characters(code, end));
    let types = found.iter().map(|(code, label, kind)| {
        json!({"text": code, "type": kind, "signature": label, "start": cursor_start, "end": cursor_end})
    });
    let types: Value = types.collect();
    CompleteReply {
        matches: found.iter().map(|(code, _, _)| code.clone()).collect(),
        cursor_start,
        cursor_end,
        metadata: Map::from_iter([("_jupyter_types_experimental".to_owned(), types)]),
        status: ReplyStatus::Ok,
        error: None,
    }
}

const OF_EVERY_VALUE: [&str; 7] = [
    "borrow",
    "borrow_mut",
    "clone_into",
    "into",
    "to_owned",
    "try_into",
    "type_id",
];

type Found = Vec<(String, String, &'static str)>;

/// Variables and items that begin as the word before the cursor does.
fn known_names(context: &CommandContext, code: &str, at: usize) -> (usize, usize, Found) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let start = code[..at].trim_end_matches(word).len();
    let begun = &code[start..at];
    let path = code[..start].ends_with(['.', ':']);
    let variables = context.variables_and_types().map(|(name, _)| name);
    let mut names: Vec<_> = variables
        .chain(context.defined_item_names())
        .filter(|name| !path && name.starts_with(begun))
        .map(|name| (name.to_owned(), name.to_owned(), "instance"))
        .collect();
    names.sort();
    (start, at, names)
}

/// Gives the documentation of the name at the cursor.
pub fn inspect(context: &mut CommandContext, code: &str, position: usize) -> InspectReply {
    let code = &blanked(code);
    let at = byte_of(code, position);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // The whole name, wherever in it the cursor is.
    let rest = code[at..].trim_start_matches(word);
    let end = code.len() - rest.len();
    let found = without_panic(|| context.hover_at(code, end));
    match found {
        Some(Ok((plain, html))) if plain != "No documentation found" => InspectReply {
            found: true,
            data: media(
                [("text/plain", plain), ("text/html", html)]
                    .map(|(mime, text)| (mime.to_owned(), Value::from(text)))
                    .into(),
            ),
            ..InspectReply::default()
        },
        _ => InspectReply::default(),
    }
}

/// The code with spaces in place of a magic, so that all else keeps its place.
fn blanked(code: &str) -> String {
    match code.lines().next() {
        Some(first) if first.starts_with('%') => {
            let spaces: String = first.chars().map(|_| ' ').collect();
            // Only where a character is a byte do places stay.
            match first.is_ascii() {
                true => spaces + &code[first.len()..],
                false => code.to_owned(),
            }
        }
        _ => code.to_owned(),
    }
}

/// The byte at which a character begins; the end for what is beyond.
fn byte_of(code: &str, character: usize) -> usize {
    code.char_indices()
        .nth(character)
        .map_or(code.len(), |(at, _)| at)
}

/// How many characters begin before a byte.
fn characters(code: &str, byte: usize) -> usize {
    code.char_indices().take_while(|(at, _)| *at < byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_characters() {
        let code = "é🦀.x";
        assert_eq!(byte_of(code, 2), 6);
        assert_eq!(byte_of(code, 99), code.len());
        assert_eq!(characters(code, 6), 2);
        assert_eq!(characters(code, code.len()), 4);
    }

    #[test]
    fn a_magic_leaves_places_as_they_are() {
        assert_eq!(blanked("%%time\nx"), "      \nx");
        assert_eq!(blanked("x"), "x");
    }
}
