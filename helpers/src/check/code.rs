//! Looking at the code of an answer, where nothing that it does would tell.

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
    let start = format!("fn {name}");
    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
    let mut places = code.match_indices(&start).map(|(at, _)| at + start.len());
    let Some(at) = places.find(|&at| code[at..].starts_with(is_end)) else {
        return Vec::new();
    };
    let mut depth = 0;
    let mut body = String::new();
    for character in code[at..].chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if depth > 0 {
            body.push(character);
        }
    }
    let words = body.split(is_end).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
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
    }
}
