//! The library of a function, on a host that may not have it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use helpers::internals::Place;

use crate::rank;

/// The length of a library's file, for ranks to know it by. `None` for the program itself.
pub(crate) fn length(place: &Place) -> Option<u64> {
    fs::metadata(path(place)?).ok().map(|about| about.len())
}

/// The place in a library of this host: the very file, or a copy of it that the caller sends.
pub(crate) fn here(place: &Place, length: Option<u64>) -> io::Result<Place> {
    let Some(path) = path(place) else {
        return Ok(place.clone());
    };
    let is_here = fs::metadata(path).is_ok_and(|about| length.is_none_or(|len| about.len() == len));
    if is_here {
        return Ok(place.clone());
    }
    let copy = rank::library(path)?;
    let library = CString::new(copy.into_os_string().into_vec()).map_err(io::Error::other)?;
    Ok(Place {
        library,
        offset: place.offset,
    })
}

fn path(place: &Place) -> Option<&Path> {
    let name = place.library.as_bytes();
    (!name.is_empty()).then(|| Path::new(OsStr::from_bytes(name)))
}
