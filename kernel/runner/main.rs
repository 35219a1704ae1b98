//! The process that runs a notebook's cells, and the processes that pools and ranks start from it.
//!
//! The kernel compiles each cell to a library. This program loads the library and calls it. It shares
//! Rust's standard library with the cells, so that what they have printed can be flushed from here.
//! It is one file without dependencies, since it is compiled by the reader's own compiler, like the cells.
//!
//! Two ways to be started:
//!
//! - `runner --cells`, by the kernel. Orders come on the standard input and answers go to the standard output, as
//!   evcxr's engine speaks (`LOAD_AND_RUN library function`, `EVCXR_EXECUTION_COMPLETE`). Both are put out
//!   of the way first: cells find an empty input in place of 0, and pipes to the kernel in place of 1 and 2. So
//!   nothing that they print or read can get between the orders. A third channel ([`Line`]) tells
//!   the kernel what evcxr has no words for.
//! - without an argument, as a worker of a pool or as an MPI rank: the order is on the standard input, and 0, 1 and 2 stay as
//!   they are.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::time::{Duration, Instant};
use std::{env, fs, panic, process, ptr, thread};

/// Where the kernel puts the three descriptors that evcxr does not know of.
const CELL_OUT: RawFd = 200;
const CELL_ERROR: RawFd = 201;
const LINE: RawFd = 202;

/// The longest answer that [`ask`] gives, so that its length fits the type everywhere.
const LONGEST_ANSWER: usize = 1 << 30;

/// Keeps the order of what goes to the two streams: who writes to one waits until the kernel has taken what
/// is in the other. The standard library finds this function before the C library's own.
///
/// # Safety
///
/// As for the C library's `write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    if (file == 1 || file == 2) && COURSE_RUNNER.runs_cells.load(Ordering::Relaxed) == 1 {
        wait_until_empty(3 - file);
    }
    let vector = IoVector { bytes, count };
    // SAFETY: one piece, as is said; the rest is the caller's promise.
    unsafe { writev(file, &vector, 1) }
}

#[repr(C)]
struct IoVector {
    bytes: *const c_void,
    count: usize,
}

/// Waits until nothing is in a pipe, for a moment: somebody else may fill it.
fn wait_until_empty(pipe: c_int) {
    let start = Instant::now();
    let mut count: c_int = 0;
    // SAFETY: the system writes one number.
    while unsafe { ioctl(pipe, FIONREAD, &mut count) } == 0 && count > 0 {
        if start.elapsed() > Duration::from_millis(10) {
            break;
        }
        thread::yield_now();
    }
}

#[cfg(target_os = "macos")]
const FIONREAD: c_ulong = 0x4004_667f;
#[cfg(not(target_os = "macos"))]
const FIONREAD: c_ulong = 0x541b;

unsafe extern "C" {
    fn ioctl(file: c_int, request: c_ulong, ...) -> c_int;
    fn writev(file: c_int, vectors: *const IoVector, count: c_int) -> isize;
    fn _exit(status: c_int) -> !;
    fn close(file: c_int) -> c_int;
    fn dlerror() -> *const c_char;
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn fcntl(file: c_int, command: c_int, argument: c_int) -> c_int;
    fn getrusage(who: c_int, usage: *mut Usage) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
}

const RTLD_NOW: c_int = 2;
const SIGINT: c_int = 2;
#[cfg(target_os = "macos")]
const F_DUPFD_CLOEXEC: c_int = 67;
#[cfg(not(target_os = "macos"))]
const F_DUPFD_CLOEXEC: c_int = 1030;

#[repr(C)]
struct DlInfo {
    library: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

/// The beginning of C's `struct rusage`, and room for its rest.
#[repr(C)]
struct Usage {
    user: [i64; 2],
    system: [i64; 2],
    rest: [i64; 14],
}

/// What a library that cells load finds here by `dlsym`: see the crate `helpers`, `notebook`.
#[repr(C)]
pub struct Runner {
    /// Of this structure.
    version: u32,
    /// 1 where the process runs a notebook's cells, 0 in a worker or a rank.
    runs_cells: AtomicU32,
    /// How often the reader has interrupted the cell that runs.
    interrupts: AtomicU32,
    /// Asks the reader for a line.
    ask: extern "C" fn(*const u8, usize, u32, *mut u8, usize) -> isize,
}

// SAFETY: no other library defines this name.
#[unsafe(no_mangle)]
#[used]
pub static COURSE_RUNNER: Runner = Runner {
    version: 1,
    runs_cells: AtomicU32::new(0),
    interrupts: AtomicU32::new(0),
    ask,
};

/// The channel to the kernel: messages of a letter, a length in four bytes, and so many bytes.
///
/// | from here | | answer |
/// | --- | --- | --- |
/// | `H` | it has started: its process id | |
/// | `S` | a cell is loaded | `G`: run it; `N`: do not, the reader has interrupted |
/// | `P`, `Q` | a panic, on the cell's thread or another one: its message, its place, the thread's name, with zeros between | |
/// | `A` | the reader is asked: 1 for a password, the prompt | `L` and the line; `E`: nobody can be asked; `I`: interrupted |
/// | `D` | the cell has ended: wall, user and system time in nanoseconds, and how often it was interrupted | `W` and the words that evcxr must be told |
struct Line {
    socket: UnixStream,
}

impl Line {
    fn send(&mut self, letter: u8, text: &[u8]) -> io::Result<()> {
        let mut message = vec![letter];
        message.extend((text.len() as u32).to_le_bytes());
        message.extend(text);
        self.socket.write_all(&message)
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let mut text = vec![0; length as usize];
        self.socket.read_exact(&mut text)?;
        Ok((head[0], text))
    }

    fn call(&mut self, letter: u8, text: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        self.send(letter, text)?;
        self.receive()
    }
}

static TO_KERNEL: OnceLock<Mutex<Line>> = OnceLock::new();

fn main() {
    // evcxr has some of its commands call the program of its cells in the compiler's place. The kernel's program knows
    // what to do then.
    if env::var_os("EVCXR_RUSTC_WRAPPER").is_some()
        && let Some(kernel) = env::var_os("COURSE_KERNEL")
    {
        use std::os::unix::process::CommandExt;
        let error = process::Command::new(kernel)
            .args(env::args_os().skip(1))
            .exec();
        eprintln!("the kernel's program cannot be called: {error}");
        process::exit(101);
    }
    panic::set_hook(Box::new(report_panic));
    let runs_cells = env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "--cells");
    load_store();
    let result = if runs_cells {
        run_cells()
    } else {
        run(
            &mut byte_by_byte(0),
            &mut ManuallyDrop::into_inner(file(1)),
            None,
        )
    };
    if let Err(error) = result {
        eprintln!("the process that runs the cells ends: {error}");
        process::exit(99);
    }
    process::exit(0);
}

fn run_cells() -> io::Result<()> {
    let orders = moved_away(0)?;
    let answers = moved_away(1)?;
    let line = moved_away(LINE)?;
    let nothing = File::open("/dev/null")?;
    replace(0, std::os::fd::AsRawFd::as_raw_fd(&nothing))?;
    replace(1, CELL_OUT)?;
    replace(2, CELL_ERROR)?;
    for file in [CELL_OUT, CELL_ERROR, LINE] {
        // SAFETY: they are ours, and nothing else refers to them.
        unsafe { close(file) };
    }
    // SAFETY: the descriptor was made for us a moment ago, and nothing else owns it.
    let socket = unsafe { UnixStream::from_raw_fd(line) };
    end_with_the_kernel(socket.try_clone()?);
    // What the kernel may have answered to a process that was here before.
    socket.set_nonblocking(true)?;
    let _ = (&socket).read_to_end(&mut Vec::new());
    socket.set_nonblocking(false)?;
    let mut line = Line { socket };
    line.send(b'H', process::id().to_string().as_bytes())?;
    let _ = TO_KERNEL.set(Mutex::new(line));
    COURSE_RUNNER.runs_cells.store(1, Ordering::Relaxed);
    // SAFETY: the handler only adds to an atomic number.
    unsafe { signal(SIGINT, count_interrupt as extern "C" fn(c_int) as usize) };
    IS_CELL_THREAD.set(true);
    // SAFETY: both were made for us, and nothing else owns them.
    let mut answers = unsafe { File::from_raw_fd(answers) };
    run(&mut byte_by_byte(orders), &mut answers, TO_KERNEL.get())
}

extern "C" fn count_interrupt(_: c_int) {
    COURSE_RUNNER.interrupts.fetch_add(1, Ordering::Relaxed);
}

/// A duplicate of a descriptor that programs which cells start do not inherit.
fn moved_away(descriptor: RawFd) -> io::Result<RawFd> {
    // SAFETY: a call to the system about a number; it fails if there is no such descriptor.
    let copy = unsafe { fcntl(descriptor, F_DUPFD_CLOEXEC, 100) };
    if copy < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(copy)
    }
}

fn replace(descriptor: RawFd, with: RawFd) -> io::Result<()> {
    // SAFETY: as above.
    if unsafe { dup2(with, descriptor) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A descriptor as a file that is not closed with it.
fn file(descriptor: RawFd) -> ManuallyDrop<File> {
    // SAFETY: it is not closed through this value.
    ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) })
}

/// Ends this process when the kernel does, whatever a cell is doing: then the other end of the line closes.
fn end_with_the_kernel(socket: UnixStream) {
    let watch = move || {
        // A thread cannot wait for the end alone without reading, so it looks, without taking anything.
        let mut poll = PollFd {
            file: std::os::fd::AsRawFd::as_raw_fd(&socket),
            wanted: 0,
            came: 0,
        };
        loop {
            // SAFETY: one structure, as is said.
            let count = unsafe { poll_one(&mut poll, 1, -1) };
            if count > 0 && poll.came & (POLLHUP | POLLERR) != 0 {
                // At once: what else would be done at an end may wait for a cell.
                // SAFETY: a call that does not come back.
                unsafe { _exit(0) };
            }
        }
    };
    let _ = thread::Builder::new()
        .name("watch".to_owned())
        .stack_size(64 << 10)
        .spawn(watch);
}

#[repr(C)]
struct PollFd {
    file: c_int,
    wanted: i16,
    came: i16,
}

const POLLERR: i16 = 8;
const POLLHUP: i16 = 16;

unsafe extern "C" {
    #[link_name = "poll"]
    fn poll_one(files: *mut PollFd, count: usize, milliseconds: c_int) -> c_int;
}

/// Lines of an input of which nothing is read that comes after the line.
fn byte_by_byte(descriptor: RawFd) -> impl FnMut() -> io::Result<Option<String>> {
    let mut input = file(descriptor);
    move || {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match input.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte[0] == b'\n' => break,
                Ok(_) => line.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

/// Does what it is told until nobody tells anything any more.
fn run(
    next_order: &mut dyn FnMut() -> io::Result<Option<String>>,
    answers: &mut File,
    line: Option<&Mutex<Line>>,
) -> io::Result<()> {
    let mut variables = ptr::null_mut();
    while let Some(order) = next_order()? {
        let words: Vec<_> = order.split(' ').collect();
        let ["LOAD_AND_RUN", library, function] = words[..] else {
            return Err(io::Error::other(format!("it cannot obey `{order}`")));
        };
        let cell = load(library, function)?;
        let Some(line) = line else {
            // SAFETY: the kernel has compiled the library, whose function takes and gives the variables.
            unsafe { cell(ptr::null_mut()) };
            answers.write_all(b"EVCXR_EXECUTION_COMPLETE\n")?;
            continue;
        };
        keep_source(library);
        COURSE_RUNNER.interrupts.store(0, Ordering::Relaxed);
        let (answer, _) = lock(line).call(b'S', b"")?;
        let before = cpu_time();
        let start = Instant::now();
        if answer == b'G' {
            // SAFETY: as above; the variables are those that the cell before gave back.
            variables = unsafe { cell(variables) };
        }
        let wall = start.elapsed();
        let used = cpu_time();
        // What cells have printed without a line end. A broken pipe means that the kernel is gone.
        let _ = io::stdout().flush();
        let times =
            [wall, used.0 - before.0, used.1 - before.1].map(|time| time.as_nanos().to_string());
        let interrupts = COURSE_RUNNER.interrupts.load(Ordering::Relaxed);
        let report = format!("{} {interrupts}", times.join(" "));
        let (_, mut told) = lock(line).call(b'D', report.as_bytes())?;
        told.extend(b"EVCXR_EXECUTION_COMPLETE\n");
        answers.write_all(&told)?;
    }
    Ok(())
}

/// The line, also if somebody who held it has panicked.
fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

type Entry = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// Loads the store of variables, which lies beside this program.
///
/// Cells look for it as seen from the folder that cargo compiles them in. Where there is nothing to
/// answer from memory yet, evcxr moves them to another folder, from which they do not find it.
fn load_store() {
    let name = match cfg!(target_os = "macos") {
        true => "store/libcourse_store.dylib",
        false => "store/libcourse_store.so",
    };
    let program = env::current_exe().unwrap_or_default();
    let Ok(store) = CString::new(
        program
            .with_file_name(name)
            .into_os_string()
            .into_encoded_bytes(),
    ) else {
        return;
    };
    // SAFETY: a C string. If the library is not there, a cell that needs it says so.
    unsafe { dlopen(store.as_ptr(), RTLD_NOW) };
}

fn load(library: &str, function: &str) -> io::Result<Entry> {
    let (library, function) = (CString::new(library)?, CString::new(function)?);
    // SAFETY: both are C strings. The library is never unloaded: what cells have made may need it.
    let found = unsafe {
        let handle = dlopen(library.as_ptr(), RTLD_NOW);
        if handle.is_null() {
            handle
        } else {
            dlsym(handle, function.as_ptr())
        }
    };
    if found.is_null() {
        // SAFETY: after a failure `dlerror` gives a C string, or a null pointer.
        let why = unsafe { dlerror().as_ref().map(|text| CStr::from_ptr(text)) };
        return Err(io::Error::other(format!(
            "{library:?} cannot be loaded: {why:?}"
        )));
    }
    // SAFETY: a function of this name has this type; the kernel generates it.
    Ok(unsafe { std::mem::transmute::<*mut c_void, Entry>(found) })
}

/// The processor time of this process: its own, and the system's on its behalf.
fn cpu_time() -> (Duration, Duration) {
    let mut usage = Usage {
        user: [0; 2],
        system: [0; 2],
        rest: [0; 14],
    };
    // SAFETY: there is room for the structure. On macOS microseconds have four bytes, and the other
    // four are zero.
    unsafe { getrusage(0, &mut usage) };
    let time = |[seconds, micros]: [i64; 2]| {
        Duration::from_secs(seconds as u64) + Duration::from_micros(micros as u32 as u64)
    };
    (time(usage.user), time(usage.system))
}

/// Asks the reader for a line through the kernel; see [`Runner::ask`].
///
/// Gives the number of bytes of the answer, -1 if nobody can be asked, -2 if the cell was interrupted.
extern "C" fn ask(
    prompt: *const u8,
    length: usize,
    hidden: u32,
    answer: *mut u8,
    capacity: usize,
) -> isize {
    let Some(line) = TO_KERNEL.get() else {
        return -1;
    };
    // SAFETY: the caller gives a text and a place with so much room.
    let prompt = unsafe { std::slice::from_raw_parts(prompt, length) };
    let mut question = vec![u8::from(hidden != 0)];
    question.extend(prompt);
    let _ = io::stdout().flush();
    match lock(line).call(b'A', &question) {
        Ok((b'L', text)) => {
            let count = text.len().min(capacity).min(LONGEST_ANSWER);
            // SAFETY: as above, and `count` is no more than the room.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), answer, count) };
            count as isize
        }
        Ok((b'I', _)) => -2,
        _ => -1,
    }
}

thread_local! {
    static IS_CELL_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Tells of a panic in two lines: the message and the line of code.
///
/// Where cells run, the kernel is told, which prints them, or makes them the cell's error.
fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let place = place(info);
    let current = thread::current();
    let thread = match current.name() {
        _ if IS_CELL_THREAD.get() => "",
        Some(name) if name != "main" => name,
        _ => "",
    };
    if let Some(mut line) = TO_KERNEL.get().and_then(soon) {
        if IS_CELL_THREAD.get() {
            // Another thread may have to wait for it, perhaps on somebody who waits for that thread.
            let _ = io::stdout().flush();
        }
        let text = [message, &place, thread].join("\0");
        let letter = if IS_CELL_THREAD.get() { b'P' } else { b'Q' };
        if line.send(letter, text.as_bytes()).is_ok() {
            return;
        }
    }
    let worker = if thread.is_empty() {
        String::new()
    } else {
        format!(" in {thread}")
    };
    // One write, so that the lines of several workers stay apart.
    let report = format!("panicked{worker}: {message}\n  at {place}\n");
    let _ = io::stderr().write_all(report.as_bytes());
}

/// The line, if it is free soon: a question to the reader may keep it for long.
fn soon(line: &Mutex<Line>) -> Option<std::sync::MutexGuard<'_, Line>> {
    let start = Instant::now();
    loop {
        match line.try_lock() {
            Ok(line) => return Some(line),
            Err(TryLockError::Poisoned(line)) => return Some(line.into_inner()),
            Err(TryLockError::WouldBlock) if start.elapsed() > Duration::from_millis(100) => {
                return None;
            }
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
}

/// The place of a panic: the line of code itself where it is a cell's, else file and line.
///
/// A cell is compiled with lines of the kernel's own around the reader's: the line's number says nothing,
/// its text does.
fn place(info: &PanicHookInfo<'_>) -> String {
    let Some(at) = info.location() else {
        return "an unknown place".to_owned();
    };
    let path = Path::new(at.file());
    let code = Some(at.file())
        .filter(|_| path.is_relative() && path.ends_with("src/lib.rs"))
        .and_then(library_of)
        .and_then(|library| fs::read_to_string(source_of(&library)).ok())
        .and_then(|text| {
            Some(
                text.lines()
                    .nth(at.line().checked_sub(1)? as usize)?
                    .trim()
                    .to_owned(),
            )
        });
    match code {
        Some(code) => format!("`{code}`"),
        None => format!("{}:{}", at.file(), at.line()),
    }
}

/// The library that a text which is compiled into it lies in.
fn library_of(text: &str) -> Option<PathBuf> {
    let mut info = DlInfo {
        library: ptr::null(),
        base: ptr::null_mut(),
        symbol: ptr::null(),
        address: ptr::null_mut(),
    };
    // SAFETY: the address is that of a text; the answer's name lives as long as the library.
    unsafe {
        if dladdr(text.as_ptr().cast(), &mut info) == 0 || info.library.is_null() {
            return None;
        }
        let name = CStr::from_ptr(info.library).to_bytes();
        Some(std::os::unix::ffi::OsStrExt::from_bytes(name))
            .map(|name: &std::ffi::OsStr| PathBuf::from(name))
    }
}

fn source_of(library: &Path) -> PathBuf {
    library.with_extension("rs")
}

/// Keeps the source of a cell beside its library: the kernel overwrites it with the next cell's.
fn keep_source(library: &str) {
    if let Some(folder) = env::var_os("EVCXR_TMPDIR") {
        // Without it a panic is told with a line number.
        let _ = fs::copy(
            Path::new(&folder).join("src/lib.rs"),
            source_of(Path::new(library)),
        );
    }
}
