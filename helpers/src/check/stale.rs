//! Whether a check speaks of what the reader has written last.
//!
//! A cell that does not compile leaves what it was before. The course's kernel keeps a list of the
//! names whose newest code did not compile, one a line, beside the code of the cells. A stock
//! kernel keeps none.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use super::code::names_used;

/// The file's name, known to `kernel/src/stale.rs` as well.
const FILE: &str = "not_compiled";

/// The names whose newest code did not compile, of those that a check or the answer uses: the check
/// with this code, in this file of a cell.
pub(super) fn names_in(code: &str, file: &str) -> Vec<String> {
    let Some(folder) = env::var_os("EVCXR_TMPDIR") else {
        return Vec::new();
    };
    let folder = Path::new(&folder);
    let listed = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    if listed.is_empty() {
        return Vec::new();
    }
    // The compiler names the file as seen from beside the folder. All functions of the notebook
    // stand in it.
    let source = folder.parent().map(|place| place.join(file));
    let source = source.and_then(|source| fs::read_to_string(source).ok());
    named(&listed, &names_used(code, &source.unwrap_or_default()))
}

fn named(listed: &str, used: &BTreeSet<String>) -> Vec<String> {
    let names = listed.lines().filter(|&name| used.contains(name));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_words() {
        let code = "check.equal(1, || serial(2)); // and median_of";
        let used = names_used(code, "");
        assert_eq!(named("median\nserial\n", &used), ["serial"]);
        assert!(named("", &used).is_empty());
    }
}
