//! Which names stand for older code than the reader has written last.
//!
//! A cell that does not compile leaves functions as they were. The checks of exercises say so: they
//! read the list of such names from a file beside the code of the cells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The file's name, known to `helpers/src/check/stale.rs` as well.
const FILE: &str = "not_compiled";

/// Names whose newest code did not compile, and the file that lists them.
#[derive(Debug, Default)]
pub struct Stale {
    names: BTreeSet<String>,
    /// None where nobody has said in which folder cells are compiled.
    file: Option<PathBuf>,
}

impl Stale {
    /// Of a kernel that begins: nothing is old.
    pub fn new() -> Stale {
        let folder = std::env::var_os("EVCXR_TMPDIR");
        Stale::in_folder(folder.as_deref().map(Path::new))
    }

    fn in_folder(folder: Option<&Path>) -> Stale {
        let stale = Stale {
            names: BTreeSet::new(),
            file: folder.map(|folder| folder.join(FILE)),
        };
        stale.write();
        stale
    }

    /// Takes note of a cell that defines these names, and of the name of the error that it ended
    /// with.
    pub fn after(&mut self, names: &BTreeSet<String>, error: Option<&str>) {
        let before = self.names.len();
        match error {
            Some("CompileError") => self.names.extend(names.iter().cloned()),
            // Whatever it was that the cell did, it did compile.
            None | Some("Panic" | "Error") => self.names.retain(|name| !names.contains(name)),
            Some(_) => {}
        }
        if self.names.len() != before {
            self.write();
        }
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        let names: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        // Where nothing can be written, checks speak of what is there, as in a stock kernel.
        let _ = match names.is_empty() {
            true => fs::remove_file(file),
            false => fs::write(file, names),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lists_what_did_not_compile_until_it_does() {
        let folder = std::env::temp_dir().join(format!("stale-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(FILE);
        fs::write(&file, "left behind\n").unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut stale = Stale::in_folder(Some(&folder));
        assert!(!file.exists());
        stale.after(&names(&["one", "two"]), Some("CompileError"));
        stale.after(&names(&["three"]), None);
        stale.after(&names(&["one", "two"]), Some("Interrupted"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\n");
        stale.after(&names(&["two"]), None);
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n");
        stale.after(&names(&["one"]), Some("Panic"));
        assert!(!file.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
