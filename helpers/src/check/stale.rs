//! Whether a check speaks of what the reader has written last.
//!
//! A cell that does not compile leaves what it was before. The course's kernel keeps a list of the
//! names whose newest code did not compile, one a line, beside the code of the cells. A stock
//! kernel keeps none.

use std::env;
use std::fs;
use std::path::Path;

/// The file's name, known to `kernel/src/stale.rs` as well.
const FILE: &str = "not_compiled";

/// The names in a check's code whose newest code did not compile.
pub(super) fn names_in(code: &str) -> Vec<String> {
    let listed = env::var_os("EVCXR_TMPDIR")
        .and_then(|folder| fs::read_to_string(Path::new(&folder).join(FILE)).ok());
    named(&listed.unwrap_or_default(), code)
}

fn named(listed: &str, code: &str) -> Vec<String> {
    let is_word = |name: &str| {
        code.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == name)
    };
    let names = listed.lines().filter(|name| is_word(name));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_words() {
        let code = "check.equal(1, || serial(2)); // and median_of";
        assert_eq!(named("median\nserial\n", code), ["serial"]);
        assert!(named("", code).is_empty());
    }
}
