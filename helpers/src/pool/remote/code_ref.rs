//! Sending a function to another process: the name of its library and its place in there.
//!
//! A worker runs the same program, or loads the same library of a notebook's cell, at another
//! address. What stays the same is the distance from the start of the library to the function.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fs, io, mem, ptr};

use nix::libc;
use serde::{Deserialize, Serialize};

/// Where code is: its place in a library that this process has loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRef {
    /// The library's path; empty for the program itself.
    pub library: CString,
    /// How far behind the library's start.
    pub offset: u64,
    /// The length of the library's file, so that on another host no other file of this name is taken
    /// for it. `None` for the program itself.
    pub length: Option<u64>,
}

impl CodeRef {
    /// The place at an address, in a library that begins at another one.
    fn new(address: *const c_void, library: CString, base: usize) -> CodeRef {
        let path = Path::new(OsStr::from_bytes(library.as_bytes()));
        let is_program = library.is_empty();
        let about = (!is_program).then(|| fs::metadata(path).ok()).flatten();
        CodeRef {
            offset: (address as usize).wrapping_sub(base) as u64,
            length: about.map(|about| about.len()),
            library,
        }
    }
}

/// Whether the type of a function says everything about it.
pub const fn captures_nothing<F>() -> bool {
    size_of::<F>() == 0 && !mem::needs_drop::<F>()
}

/// Checks that when the program is compiled.
pub const fn assert_captures_nothing<F>() {
    assert!(
        captures_nothing::<F>(),
        "a function for worker processes cannot capture variables, since another process does not \
         have them: have a value go along with each call, `pool.with(value).map(|value, item| …, \
         items)`, or pass it with each item (`starmap` with tuples)"
    );
}

/// A function out of nothing but its type.
///
/// # Safety
/// `F` must capture nothing, and a value of it must have been in the hands of the one who asks.
pub unsafe fn conjure<'a, F>() -> &'a F {
    // SAFETY: a value without size is made of nothing, so any aligned address will do.
    unsafe { &*ptr::dangling::<F>() }
}

/// Finds code, which is of type `E`, and loads its library first if need be.
///
/// # Safety
/// `code` must have been made in a process that runs the same program and has the same library
/// loaded, of a function pointer of type `E`.
pub unsafe fn load<E: Copy>(code: &CodeRef) -> io::Result<E> {
    const { assert!(size_of::<E>() == size_of::<*const c_void>()) }
    let base = base_of(&code.library)?;
    let address: *const c_void =
        ptr::with_exposed_provenance(base.wrapping_add(code.offset as usize));
    // SAFETY: the library is the sender's, byte for byte (the kernel gives each cell's library a
    // name of its own and never writes it again; a program's workers are started from the
    // program's open file; another host has got a copy), so at this distance from its start lies
    // the sender's function, of this type. Libraries are never unloaded.
    Ok(unsafe { mem::transmute_copy::<*const c_void, E>(&address) })
}

/// What the loader tells about a library: the beginning of C's `struct link_map`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[repr(C)]
struct LinkMap {
    /// What is added to the addresses in the file.
    base: usize,
    /// The path; empty for the program.
    name: *const c_char,
}

/// The place of what lies at an address. `None` if the system cannot tell.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the loader looks the address up, and reads nothing there"
)]
pub fn of_address(address: *const c_void) -> Option<CodeRef> {
    // SAFETY: all-zero bytes are a valid `Dl_info` (null pointers).
    let mut info: libc::Dl_info = unsafe { mem::zeroed() };
    let mut map: *mut LinkMap = ptr::null_mut();
    const RTLD_DL_LINKMAP: i32 = 2;
    // SAFETY: `dladdr1` takes any address; with this flag it writes a pointer to a link map, for
    // which `map` has room.
    let found =
        unsafe { libc::dladdr1(address, &mut info, (&raw mut map).cast(), RTLD_DL_LINKMAP) };
    if found == 0 || map.is_null() {
        return None;
    }
    // SAFETY: the loader's link map stays as long as the library, which is never unloaded; its
    // name is a C string.
    let (base, library) = unsafe { ((*map).base, CStr::from_ptr((*map).name).to_owned()) };
    Some(CodeRef::new(address, library, base))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn base_of(library: &CStr) -> io::Result<usize> {
    let handle = open(library)?;
    let mut map: *mut LinkMap = ptr::null_mut();
    // SAFETY: the handle is open, and with this request `dlinfo` writes a pointer to a link map.
    let failed = unsafe { libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) };
    if failed != 0 || map.is_null() {
        return Err(loader_error());
    }
    // SAFETY: as in `of_address`.
    Ok(unsafe { (*map).base })
}

/// The place of what lies at an address. `None` if the system cannot tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
#[allow(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the loader looks the address up, and reads nothing there"
)]
pub fn of_address(address: *const c_void) -> Option<CodeRef> {
    // SAFETY: all-zero bytes are a valid `Dl_info`; `dladdr` takes any address.
    let mut info: libc::Dl_info = unsafe { mem::zeroed() };
    if unsafe { libc::dladdr(address, &mut info) } == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's name is a C string that stays as long as the library.
    let library = unsafe { CStr::from_ptr(info.dli_fname) }.to_owned();
    Some(CodeRef::new(address, library, info.dli_fbase as usize))
}

#[cfg(target_os = "macos")]
fn base_of(library: &CStr) -> io::Result<usize> {
    let images = || {
        // SAFETY: these ask the loader about its images and change nothing; a name is a C string.
        (0..unsafe { libc::_dyld_image_count() }).find(|&image| unsafe {
            let name = libc::_dyld_get_image_name(image);
            !name.is_null() && CStr::from_ptr(name) == library
        })
    };
    if images().is_none() {
        open(library)?;
    }
    match images() {
        // SAFETY: as above.
        Some(image) => Ok(unsafe { libc::_dyld_get_image_header(image) } as usize),
        None => Err(io::Error::other(format!("{library:?} is not loaded"))),
    }
}

#[cfg(not(any(target_os = "macos", all(target_os = "linux", target_env = "gnu"))))]
fn base_of(library: &CStr) -> io::Result<usize> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("functions of {library:?} cannot be found on this system"),
    ))
}

fn open(library: &CStr) -> io::Result<*mut c_void> {
    let name: *const c_char = if library.is_empty() {
        ptr::null()
    } else {
        library.as_ptr()
    };
    // SAFETY: the name is a C string, or null for the program. Loading runs the constructors of
    // a library that the sender's process has loaded as well.
    let handle = unsafe { libc::dlopen(name, libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        Err(loader_error())
    } else {
        Ok(handle)
    }
}

fn loader_error() -> io::Error {
    // SAFETY: `dlerror` gives null or a C string that is good until this thread's next call.
    let text = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    io::Error::other(text.unwrap_or_else(|| "the loader does not say why".to_owned()))
}
