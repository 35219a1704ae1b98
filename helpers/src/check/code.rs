//! Looking at the code of an answer, where nothing that it does would tell.

use std::collections::BTreeSet;

/// The words of a function's body in a source text, without those of comments and texts; none if it
/// is not there.
///
/// Calls tell almost everything about an answer. That it takes a lock which nobody else wants is
/// what they do not tell: so a check may look for the word. In a cell, `include_str!("lib.rs")` is
/// the text that holds all functions of the notebook.
///
/// ```
/// let code = "fn one() -> u32 { 1 }
///     fn two() -> u32 { /* no Mutex */ let s = \"lock\"; one() + 1 }";
/// let words = helpers::check::words_of_function("two", code);
/// assert_eq!(words, ["let", "s", "one", "1"]);
/// ```
#[must_use]
pub fn words_of_function(name: &str, source: &str) -> Vec<String> {
    let code = plain(source);
    let function = function(name, &code);
    let body = function.find('{').map_or("", |start| &function[start..]);
    let words = body.split(is_end).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn is_end(character: char) -> bool {
    !character.is_alphanumeric() && character != '_'
}

/// What stands behind a function's name, to the end of its body; nothing if it is not there.
fn function<'c>(name: &str, plain: &'c str) -> &'c str {
    let start = format!("fn {name}");
    let mut places = plain.match_indices(&start).map(|(at, _)| at + start.len());
    let Some(at) = places.find(|&at| plain[at..].starts_with(is_end)) else {
        return "";
    };
    let mut depth = 0;
    for (place, character) in plain[at..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return &plain[at..at + place],
            '}' => depth -= 1,
            _ => {}
        }
    }
    &plain[at..]
}

/// The names that some code uses, and the functions that it calls, down to the last one of those
/// that stand in `source`.
///
/// Comments and texts do not count, nor does what only bears the name: a variable, a parameter, a
/// field or a method.
pub(super) fn names_used(code: &str, source: &str) -> BTreeSet<String> {
    let (code, source) = (plain(code), plain(source));
    let mut used = BTreeSet::new();
    let mut to_read = vec![code.as_str()];
    while let Some(code) = to_read.pop() {
        for name in names_in(code) {
            if used.insert(name.to_owned()) {
                to_read.push(function(name, &source));
            }
        }
    }
    used
}

/// The names in some code without comments and texts that are called, or that are no variables.
fn names_in(plain: &str) -> BTreeSet<&str> {
    let mut called = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut variables = BTreeSet::new();
    let (mut before_last, mut last) = ("", "");
    let mut at = 0;
    for word in plain.split(is_end) {
        let end = at + word.len();
        let (before, behind) = (plain[..at].trim_end(), plain[end..].trim_start());
        at = end + plain[end..].chars().next().map_or(0, char::len_utf8);
        if word.is_empty() {
            continue;
        }
        let is_member = before.ends_with('.') && !before.ends_with("..");
        let is_bound = matches!(last, "let" | "for") || (before_last, last) == ("let", "mut");
        let is_typed = behind.starts_with(':') && !behind.starts_with("::");
        if is_bound || is_typed {
            variables.insert(word);
        } else if !is_member && behind.starts_with('(') {
            called.insert(word);
        } else if !is_member {
            named.insert(word);
        }
        (before_last, last) = (last, word);
    }
    named.retain(|name| !variables.contains(name));
    named.extend(called);
    named
}

/// The code with blanks in place of comments and of what stands between quotes.
fn plain(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if character == '"' {
            quoted(rest)
        } else {
            plain.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        };
        plain.push(' ');
        rest = &rest[length..];
    }
    plain
}

/// How long the text is that begins with a quote.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_function_itself_is_read() {
        let code = "fn count_all() { Mutex }\n\
                    fn count(a: Mutex<u8>) -> u8 {\n\
                    // Mutex\n\
                    let text = \"Mutex } \\\" Mutex\"; { a } /* Mutex */ 1 }\n\
                    fn next() { Mutex }";
        assert_eq!(words_of_function("count", code), ["let", "text", "a", "1"]);
        assert!(words_of_function("coun", code).is_empty());
        assert!(words_of_function("count", "fn count() { \"").is_empty());
        assert_eq!(words_of_function("f", "fn f() { '\"' == a }"), ["a"]);
    }

    #[test]
    fn names_are_used_where_they_are_called_or_handed_on() {
        let source = "fn mean(list: &[f64]) -> f64 { let sum: f64 = total(list); sum / 2.0 }\n\
                      fn total<T>(list: &[T]) -> T { add.fold(list) /* median() */ }\n\
                      fn two() { two(); mean::<u8>() }";
        let used = |name: &str, code: &str| names_used(code, source).contains(name);
        for code in [
            "check.equal(1, || mean(2))",
            "let mean = mean(2);",
            "pool.map(mean, list)",
            "two()",
        ] {
            assert!(used("mean", code) && used("total", code), "{code}");
            assert!(!used("median", code), "{code}");
        }
        for code in [
            "check.hint(\"the mean of all\") // mean(1)",
            "let mean = 1; f(mean, x.mean, x.mean(), mean_of)",
            "for mean in 0..2 { f(mean) }",
            "Point { mean: 2 }",
            "let mut mean: u8 = 2; '\"'; mean += 1; '\"'",
        ] {
            assert!(!used("mean", code), "{code}");
        }
        assert!(used("SIZE", "0..SIZE"));
    }
}
