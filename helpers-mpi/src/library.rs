//! The library of a function, on a host that may not have it.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, process};

use helpers::internals::CodeRef;

use crate::owner;

/// The code in a library of this host: the very file, or a copy of it that the caller sends.
pub(crate) fn here(code: &CodeRef) -> io::Result<CodeRef> {
    let Some(path) = path(code) else {
        return Ok(code.clone());
    };
    let is_here = fs::metadata(path)
        .is_ok_and(|about| code.length.is_none_or(|length| about.len() == length));
    if is_here {
        return Ok(code.clone());
    }
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    let library = match copies.get(path) {
        Some(known) => known.clone(),
        None => {
            let copy = fetch(path)?.into_os_string();
            let copy = CString::new(copy.into_vec()).map_err(io::Error::other)?;
            copies.insert(path.to_owned(), copy.clone());
            copy
        }
    };
    Ok(CodeRef {
        library,
        ..code.clone()
    })
}

/// The copies that this process has got, by the paths of what they are copies of: each library is
/// loaded once, as there.
static COPIES: Mutex<BTreeMap<PathBuf, CString>> = Mutex::new(BTreeMap::new());

/// Deletes the file of a copy that was loaded. The loader knows it by its name from now on.
pub(crate) fn forget(copy: &CodeRef) {
    if let Some(path) = path(copy) {
        // If it cannot be deleted it lies among the files that nobody needs.
        let _ = fs::remove_file(path);
    }
}

/// A file of this rank's own that holds a library which this host lacks; the owner sends it.
fn fetch(path: &Path) -> io::Result<PathBuf> {
    let bytes = owner::library(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = env::temp_dir().join(format!("helpers-mpi-{}-{name}", process::id()));
    fs::write(&copy, bytes)?;
    Ok(copy)
}

fn path(code: &CodeRef) -> Option<&Path> {
    let name = code.library.as_bytes();
    (!name.is_empty()).then(|| Path::new(OsStr::from_bytes(name)))
}
