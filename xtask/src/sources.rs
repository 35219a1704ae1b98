//! Digests of source files, by which one tells whether something must be compiled again.

use std::ffi::OsStr;
use std::fs;
use std::hash::Hasher;
use std::path::Path;
use std::time::SystemTime;

use crate::Result;

/// A digest that every version of Rust computes alike (FNV-1a), as the standard library's hasher
/// does not promise.
#[derive(Debug)]
pub struct Digest(u64);

impl Digest {
    pub fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Adds the text of a file.
pub fn hash_file(path: &Path, hasher: &mut impl Hasher) -> Result<()> {
    let text = fs::read(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // Its length, so that no two lists of files look like each other.
    hasher.write(&(text.len() as u64).to_le_bytes());
    hasher.write(&text);
    Ok(())
}

/// Adds the names and texts of all files in a folder that decide about what is compiled.
pub fn hash_folder(folder: &Path, hasher: &mut impl Hasher) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        if !decides(&name) {
            continue;
        }
        hasher.write(name.as_encoded_bytes());
        hasher.write(b"\0");
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            hash_file(&path, hasher)?;
        }
    }
    Ok(())
}

/// When the last of the same files was changed, by which cargo tells that it must compile: a file that git has
/// put back is another one to it.
pub fn last_change(folder: &Path) -> Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if decides(&name) {
            last = last.max(match path.is_dir() {
                true => last_change(&path)?,
                false => fs::metadata(&path)?.modified()?,
            });
        }
    }
    Ok(last)
}

/// Whether a file or folder of a crate decides about what is compiled for notebooks. Not what is for programs and
/// tests, nor what an editor or the system keeps beside a file.
fn decides(name: &OsStr) -> bool {
    let is_for_others = ["benches", "examples", "tests"].iter().any(|&n| name == n);
    !is_for_others && !name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_an_editor_leaves_beside_a_source_is_no_change() {
        let folder = std::env::temp_dir().join(format!("course-sources-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
        let digest = || {
            let mut hasher = Digest::new();
            hash_folder(&folder, &mut hasher).map(|()| hasher.finish())
        };
        let before = digest().unwrap();
        // A lock of Emacs is a link to nothing.
        std::os::unix::fs::symlink("me@here.1", folder.join("src/.#lib.rs")).unwrap();
        assert_eq!(digest().unwrap(), before);
        let unchanged = last_change(&folder).unwrap();
        fs::write(folder.join("src/lib.rs"), "// edited").unwrap();
        assert_ne!(digest().unwrap(), before);
        // As git does it when a file comes back.
        let later = unchanged + Duration::from_secs(1);
        let file = fs::File::options()
            .write(true)
            .open(folder.join("src/lib.rs"));
        file.unwrap().set_modified(later).unwrap();
        assert_eq!(last_change(&folder).unwrap(), later);
        // Such a file without a dot is an error that names it.
        std::os::unix::fs::symlink("nothing", folder.join("src/lost.rs")).unwrap();
        let error = digest().unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("src/lost.rs"), "{error}");
    }

    /// Programs that were compiled elsewhere are told by it.
    #[test]
    fn digests_are_those_that_others_compute() {
        let mut digest = Digest::new();
        digest.write(b"foobar");
        assert_eq!(digest.finish(), 0x8594_4171_f739_67e8);
    }
}
