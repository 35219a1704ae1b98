//! The library of a function, on a host that may not have it.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use helpers::internals::Place;

use crate::rank;

/// The place in a library of this host: the very file, or a copy of it that the caller sends.
pub(crate) fn here(place: &Place, length: Option<u64>) -> io::Result<Place> {
    let Some(path) = path(place) else {
        return Ok(place.clone());
    };
    let is_here = fs::metadata(path).is_ok_and(|about| length.is_none_or(|len| about.len() == len));
    if is_here {
        return Ok(place.clone());
    }
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    let library = match copies.get(path) {
        Some(known) => known.clone(),
        None => {
            let copy = rank::library(path)?.into_os_string();
            let copy = CString::new(copy.into_vec()).map_err(io::Error::other)?;
            copies.insert(path.to_owned(), copy.clone());
            copy
        }
    };
    let offset = place.offset;
    Ok(Place { library, offset })
}

/// The copies that this process has got, by the paths of what they are copies of: each library is
/// loaded once, as there.
static COPIES: Mutex<BTreeMap<PathBuf, CString>> = Mutex::new(BTreeMap::new());

/// Deletes the file of a copy that was loaded. The loader knows it by its name from now on.
pub(crate) fn forget(copy: &Place) {
    if let Some(path) = path(copy) {
        // If it cannot be deleted it lies among the files that nobody needs.
        let _ = fs::remove_file(path);
    }
}

fn path(place: &Place) -> Option<&Path> {
    let name = place.library.as_bytes();
    (!name.is_empty()).then(|| Path::new(OsStr::from_bytes(name)))
}
