//! A function on its way to ranks: the place of its code, found again in another process.

use std::ffi::c_void;
use std::io;

use helpers::internals::{CodeRef, captures_nothing, conjure, of_address, to_bytes};
use helpers::pool::Portable;
use mpi::topology::SimpleCommunicator;

use crate::library;

/// The code that a rank runs: calls the function, and gives its value as bytes.
pub(crate) type Entry = fn(&SimpleCommunicator) -> Result<Vec<u8>, String>;

/// The entry that runs `F`.
pub(crate) fn entry<F, R>() -> Entry
where
    F: Fn(&SimpleCommunicator) -> R,
    R: Portable,
{
    const { assert_captures_nothing::<F>() }
    |world| {
        // SAFETY: it captures nothing, and the caller of `entry` had one.
        let f = unsafe { conjure::<F>() };
        let value = f(world);
        crate::pmpi::has_returned();
        to_bytes(&value)
    }
}

/// Checks, when the program is compiled, that the type of a function says everything about it.
const fn assert_captures_nothing<F>() {
    assert!(
        captures_nothing::<F>(),
        "a function for ranks cannot capture variables, since a rank is another process, perhaps \
         on another host, and does not have them: write constants into the function, have each \
         rank make the value, or make it on one rank and broadcast it"
    );
}

/// Where an entry is.
pub(crate) fn find(entry: Entry) -> io::Result<CodeRef> {
    let code = of_address(entry as *const c_void);
    code.ok_or_else(|| io::Error::other("the system cannot tell where it is"))
}

/// Finds the entry in this process: in its program, or in a library that is loaded first if need
/// be, and fetched from the owner where this host does not have it.
///
/// # Safety
/// `function` must have been made by [`find`] in a process that runs the same program.
pub(crate) unsafe fn load(function: &CodeRef) -> io::Result<Entry> {
    let there = library::here(function)?;
    // SAFETY: the library is the sender's, byte for byte: the very file, or a copy that the sender
    // sent. There lies an entry, as `find` takes nothing else.
    let entry = unsafe { helpers::internals::load::<Entry>(&there) }?;
    if there != *function {
        library::forget(&there);
    }
    Ok(entry)
}
