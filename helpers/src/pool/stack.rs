//! How deep the stack of a worker is, and what is said when it overflows.
//!
//! In a program Rust itself says so. In a notebook others come before it (a stock kernel prints a page
//! of its own functions), and a worker process is to tell its pool.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

use std::cell::Cell;

use nix::libc::{self, c_int, c_void};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::remote::last_words;
use crate::notebook::is_notebook;

/// Where the system sets no limit, or one beyond reason.
const MOST: usize = 64 << 20;

/// How many bytes the stack of a worker's thread has: as many as that of the main thread, on which a
/// notebook's cells run, so that what works there works in a worker; or more, if that is what
/// `RUST_MIN_STACK` says for threads.
pub(crate) fn depth() -> usize {
    let limit = getrlimit(Resource::RLIMIT_STACK).map_or(8 << 20, |(soft, _)| soft);
    let wanted = std::env::var("RUST_MIN_STACK").ok();
    let wanted = wanted.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    usize::try_from(limit).unwrap_or(MOST).min(MOST).max(wanted)
}

/// What is known of a thread whose stack is watched.
#[derive(Clone, Copy)]
struct Watched {
    /// Addresses just beyond the stack's end.
    beyond: (usize, usize),
    name: [u8; NAME],
    name_len: usize,
}

const NAME: usize = 40;
/// A function touches each page of its frame in turn, so an overflow shows close to the end.
const CLOSE: usize = 64 << 10;

thread_local! {
    static WATCHED: Cell<Option<Watched>> = const { Cell::new(None) };
}

/// The other stack of this thread, on which the handler runs; until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    stack: Option<Vec<u8>>,
}

/// Has an overflow of this thread's stack be told in a notebook, until that is dropped; `name` is the
/// thread's. In a program Rust does.
pub(crate) fn watch(name: &str) -> Watch {
    match is_notebook() {
        true => begin(name),
        false => Watch { stack: None },
    }
}

/// The same for this thread of a worker process, whose pool is to know as well.
pub(crate) fn watch_for_good(name: &str) {
    std::mem::forget(begin(name));
}

#[cfg(target_os = "linux")]
fn begin(name: &str) -> Watch {
    let Some(end) = end_of_stack() else {
        return Watch { stack: None };
    };
    let mut watched = Watched {
        beyond: (end.saturating_sub(CLOSE), end + CLOSE),
        name: [0; NAME],
        name_len: name.len().min(NAME),
    };
    watched.name[..watched.name_len].copy_from_slice(&name.as_bytes()[..watched.name_len]);
    WATCHED.set(Some(watched));
    let stack = (!has_other_stack()).then(use_other_stack).flatten();
    handle_signals();
    Watch { stack }
}

#[cfg(not(target_os = "linux"))]
fn begin(_name: &str) -> Watch {
    Watch { stack: None }
}

/// Where the stack of this thread ends: its lowest address.
#[cfg(target_os = "linux")]
fn end_of_stack() -> Option<usize> {
    let mut about = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut end, mut size) = (std::ptr::null_mut::<c_void>(), 0);
    // SAFETY: the first call fills the structure in, if it gives 0, and the others read and free it.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), about.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(about.as_ptr(), &mut end, &mut size) == 0;
        libc::pthread_attr_destroy(about.as_mut_ptr());
        found.then_some(end.addr())
    }
}

/// Whether the handler of a signal has a stack to run on when this thread's own is full.
fn has_other_stack() -> bool {
    // SAFETY: all-zero bytes are a valid `stack_t`, and the call only fills it in.
    unsafe {
        let mut now: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &mut now) == 0 && now.ss_flags & libc::SS_DISABLE == 0
    }
}

#[cfg(target_os = "linux")]
fn use_other_stack() -> Option<Vec<u8>> {
    let mut stack: Vec<u8> = Vec::with_capacity(64 << 10);
    let other = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.capacity(),
    };
    // SAFETY: the memory is this thread's alone until `Watch` is dropped, which ends its use.
    (unsafe { libc::sigaltstack(&other, std::ptr::null_mut()) } == 0).then_some(stack)
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.set(None);
        if self.stack.is_none() {
            return;
        }
        let none = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 64 << 10,
        };
        // SAFETY: no handler of this thread runs on the other stack, as this code does not.
        if unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) } != 0 {
            // It is still in use, and must stay.
            std::mem::forget(self.stack.take());
        }
    }
}

/// What was done about these signals before.
#[cfg(target_os = "linux")]
static BEFORE: std::sync::OnceLock<[SigAction; 2]> = std::sync::OnceLock::new();

#[cfg(target_os = "linux")]
const SIGNALS: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

#[cfg(target_os = "linux")]
fn handle_signals() {
    let handler = SigHandler::SigAction(on_bad_access);
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let ours = SigAction::new(handler, flags, SigSet::empty());
    BEFORE.get_or_init(|| {
        // SAFETY: the handler only asks for numbers, stores numbers and writes to a file, and then
        // has the signal be dealt with as before.
        SIGNALS.map(|signal| unsafe { sigaction(signal, &ours) }.unwrap_or_else(|_| default()))
    });
}

/// Tells of an overflow. Then what was done before is done about the signal: it comes again when
/// this returns.
#[cfg(target_os = "linux")]
extern "C" fn on_bad_access(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the system hands over what it knows of the signal, which was one about an address.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(watched) = WATCHED.get()
        && (watched.beyond.0..watched.beyond.1).contains(&address)
    {
        last_words::stack_overflow();
        let name = &watched.name[..watched.name_len];
        let before: &[u8] = if name.is_empty() { b"" } else { b" in " };
        let behind = b": a function called itself too often, or has too large arrays of its own\n";
        for part in [b"stack overflow", before, name, behind] {
            // SAFETY: the bytes are there. That nobody hears them is no concern here.
            unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
        }
        before_us(signal, true);
    } else {
        before_us(signal, false);
    }
}

#[cfg(target_os = "linux")]
fn default() -> SigAction {
    SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
}

/// Has the signal be dealt with as before. An overflow was told, so it just ends the process.
#[cfg(target_os = "linux")]
fn before_us(signal: c_int, is_told: bool) {
    let place = usize::from(signal == libc::SIGBUS);
    let before = BEFORE.get().map(|before| before[place]);
    let action = before.filter(|_| !is_told).unwrap_or_else(default);
    // SAFETY: that is what was done about it before this crate was asked, or what the system does.
    let _ = unsafe { sigaction(SIGNALS[place], &action) };
}
