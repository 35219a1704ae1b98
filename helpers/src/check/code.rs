//! Looking at the code of an answer, where nothing that it does would tell.

use std::collections::BTreeSet;

/// The words of a function's body in a source text, without those of comments and texts; none if it
/// is not there.
///
/// For the order of words; which names a function uses is told by [`names_in_function`]. In a cell, `include_str!("lib.rs")` is
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

/// The names in a function's body and in the functions of the source text that it calls, down to the
/// last one.
///
/// Comments and texts do not count. Where a name stands for another one (`use … as Lock;`,
/// `type Counter = Mutex<u32>;`), both are there. It does not matter how the code is broken into lines,
/// nor what its variables are called. None if the function is not there.
///
/// ```
/// let code = "use std::sync::Mutex as Lock;
///     fn all(list: &[u32]) -> u32 { /* no RwLock */ sum_of(list) }
///     fn sum_of(list: &[u32]) -> u32 { let sum = Lock::new(0); /* … */ 0 }";
/// let names = helpers::check::names_in_function("all", code);
/// assert!(names.contains("Mutex") && !names.contains("RwLock"));
/// ```
#[must_use]
pub fn names_in_function(name: &str, source: &str) -> BTreeSet<String> {
    let code = plain(source);
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::from([name.to_owned()]);
    let mut to_read = vec![function(name, &code)];
    while let Some(function) = to_read.pop() {
        names.extend(words(function));
        for called in names_in(function) {
            if seen.insert(called.to_owned()) {
                to_read.push(self::function(called, &code));
            }
        }
    }
    loop {
        let others = other_names(&code).filter(|(new, _)| names.contains(*new));
        let meant: BTreeSet<String> = others.flat_map(|(_, meant)| words(meant)).collect();
        if meant.is_subset(&names) {
            return names;
        }
        names.extend(meant);
    }
}

/// The names that are given to what has one already, each with what it means.
fn other_names(plain: &str) -> impl Iterator<Item = (&str, &str)> {
    let used = plain.match_indices(" as ").filter_map(|(at, sign)| {
        // The last name of the path before it, and the first one behind.
        let meant = plain[..at].rsplit(is_end).next()?;
        let new = plain[at + sign.len()..].trim_start().split(is_end).next()?;
        Some((new, meant))
    });
    let types = plain.match_indices("type ").filter_map(|(at, sign)| {
        let (new, meant) = plain[at + sign.len()..].split_once('=')?;
        Some((new.trim().split(is_end).next()?, meant.split(';').next()?))
    });
    used.chain(types)
}

fn words(code: &str) -> impl Iterator<Item = String> {
    code.split(is_end)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
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
            comment(rest)
        } else if let Some(length) = raw(rest).filter(|_| !plain.ends_with(is_of_name)) {
            length
        } else if let Some(quoted) = ["'\"'", "'{'", "'}'", "'\\''", "'\\\"'"]
            .into_iter()
            .find(|quoted| rest.starts_with(quoted))
        {
            quoted.len()
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

fn is_of_name(character: char) -> bool {
    !is_end(character)
}

/// How long a comment is that begins here; there may be others in it.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        at += match rest {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// How long the text is, if one begins here in which `\` is nothing special: `r"…"`, `r#"…"#`.
fn raw(text: &str) -> Option<usize> {
    let signs = text.strip_prefix('r')?;
    let quoted = signs.trim_start_matches('#');
    let signs = "#".repeat(signs.len() - quoted.len());
    let begin = 1 + signs.len() + 1;
    let inside = quoted.strip_prefix('"')?;
    let end = inside.find(&format!("\"{signs}"));
    Some(end.map_or(text.len(), |end| begin + end + 1 + signs.len()))
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
        assert_eq!(words_of_function("f", "fn f() { '{' == a }  { b }"), ["a"]);
        let raw = "fn f() { bar + r#\"Mutex \" } Mutex\"# + r\"\\\" + a /* /* */ Mutex */ + b }";
        assert_eq!(words_of_function("f", raw), ["bar", "a", "b"]);
    }

    #[test]
    fn a_name_is_found_whatever_it_is_called() {
        let has = |name: &str, code: &str| names_in_function("f", code).contains(name);
        for code in [
            "fn f() { Mutex::new(0) }",
            "fn f() {\n    std::sync\n        ::Mutex\n::new(0) }",
            "use std::sync::Mutex as M; fn f() { M::new(0) }",
            "fn f() { use std::sync::{Mutex as Lock, Arc}; Lock::new(0) }",
            "type Shared = Arc<Mutex<u8>>; fn f() { let a: Shared = b; }",
            "fn f() { g() } fn g() { h(1) } fn h(n: u8) { Mutex::new(n) }",
            "fn f() { pool.map(g, list) } fn g(n: u8) { Mutex::new(n) }",
            "fn f(counts: &Mutex<u8>) {}",
        ] {
            assert!(has("Mutex", code), "{code}");
        }
        for code in [
            "fn f() { /* Mutex */ let a = \"Mutex\"; } // Mutex",
            "fn f() { g } fn h() { Mutex }",
            "use std::sync::Mutex; fn f() {}",
            "use std::sync::Mutex as M; fn f() { x as u8 }",
            "fn other() { Mutex }",
        ] {
            assert!(!has("Mutex", code), "{code}");
        }
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
