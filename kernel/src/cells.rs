//! The process that runs the cells, from the kernel's side: its start, its output, its interruption.
//!
//! evcxr starts the process and gives it its orders. We give it three channels more: two pipes for what cells print, and
//! a line on which it says what evcxr has no words for (see `runner/main.rs`). A thread reads all three.
//! When a cell has ended it empties the pipes before it lets evcxr know, so everything that a cell has
//! printed is on its way before its reply is.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jupyter_protocol::{InputRequest, JupyterMessage};
use tokio::sync::mpsc::UnboundedSender;

use crate::Result;
use crate::output::{Bundle, Errors, Event, FAILED, Out, PANIC};
use crate::processes;
use crate::show::{Screen, Stream};

/// Where the runner finds its three channels.
const CELL_OUT: RawFd = 200;
const CELL_ERROR: RawFd = 201;
const LINE: RawFd = 202;

/// As much as Linux allows: a cell that prints a lot then rarely waits for us.
const PIPE_SIZE: libc::c_int = 1 << 20;

/// How long a cell may take to end after an interrupt, before its process is ended.
const TIME_TO_END: Duration = Duration::from_millis(800);
/// Between two looks at what an interrupt has done.
const LOOK: Duration = Duration::from_millis(20);

/// What is known of a cell that has run, besides what it has shown.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The panic that ended the cell.
    pub panic: Option<Panic>,
    /// The text of the error that ended it.
    pub error: Option<String>,
    /// What it shows as its value.
    pub result: Bundle,
    /// Wall, user and system time, once it has ended.
    pub times: Option<[Duration; 3]>,
    /// Whether its process was told of an interrupt while it ran: by a signal to the whole group perhaps, of which
    /// we may hear later.
    pub was_interrupted: bool,
    /// Whether it was never begun, or had to be ended, since the reader had interrupted.
    pub was_refused: bool,
    pub was_killed: bool,
}

/// What is known of a panic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panic {
    pub message: String,
    /// The line of code.
    pub place: String,
    /// The name of the thread, if it was not the cell's own.
    pub thread: String,
}

impl Panic {
    fn read(text: &[u8]) -> Panic {
        let text = String::from_utf8_lossy(text);
        // A message may hold anything, and the other two hold no zero.
        let mut parts = text.rsplitn(3, '\0').map(str::to_owned);
        let (thread, place) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        Panic {
            message: parts.next().unwrap_or_default(),
            place,
            thread,
        }
    }

    /// The lines in which it is told.
    pub fn lines(&self) -> Vec<String> {
        let thread = match self.thread.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        };
        let mut lines = vec![format!("panicked{thread}: {}", self.message)];
        if !self.place.is_empty() {
            lines.push(format!("  at {}", self.place));
        }
        lines
    }
}

/// How long a panic of another thread is kept back, as it may turn out to be what ends the cell.
const PANIC_IS_HELD: Duration = Duration::from_millis(300);

/// The cell that runs, or that has run last: whoever prints now prints for it.
#[derive(Debug, Default)]
struct Current {
    allows_questions: bool,
    source: Source,
    /// Its process, while it runs.
    runs_in: Option<u32>,
    asks: bool,
    /// What evcxr must be told.
    words: String,
    has_panicked: bool,
    /// Panics on its thread that may have been caught.
    panics: Vec<Panic>,
    outcome: Outcome,
}

/// What evcxr calls the file that it makes of a cell.
const CELL_FILE: &str = "src/lib.rs:";

/// The code of a cell, as the reader wrote it.
#[derive(Debug, Default)]
struct Source(String);

impl Source {
    /// Replaces places in evcxr's file, as `dbg!` tells them, by lines of the cell.
    fn with_places(&self, text: &str) -> String {
        let folder = std::env::var_os("EVCXR_TMPDIR").unwrap_or_default();
        let file = std::fs::read_to_string(Path::new(&folder).join("src/lib.rs"));
        let file = file.unwrap_or_default();
        let mut told = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(CELL_FILE) {
            let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
            let line = digits(after);
            let column = after[line..]
                .strip_prefix(':')
                .map_or(0, |rest| 1 + digits(rest));
            let of_cell = after[..line]
                .parse()
                .ok()
                .and_then(|line| self.line_of(&file, line));
            let folder = ["cell/with-store/", "cell/"];
            let before = folder
                .iter()
                .find_map(|folder| before.strip_suffix(folder))
                .unwrap_or(before);
            told.push_str(before);
            match of_cell {
                Some(line) => told.push_str(&format!("line {line}")),
                None => told.push_str(&format!("{CELL_FILE}{}", &after[..line + column])),
            }
            rest = &after[line + column..];
        }
        told + rest
    }

    /// The line of the cell with the same text as a line of evcxr's file.
    fn line_of(&self, file: &str, line: usize) -> Option<usize> {
        let text = file.lines().nth(line.checked_sub(1)?)?.trim();
        let same = self.0.lines().position(|own| own.trim() == text);
        // Several statements of one line are lines of their own there.
        let found = same.or_else(|| self.0.lines().position(|own| own.contains(text)))?;
        Some(found + 1)
    }
}

/// What the thread that reads works on.
#[derive(Debug)]
struct Desk {
    out: File,
    error: File,
    line: UnixStream,
    decode_out: Out,
    decode_error: Errors,
    /// An error's text that may yet turn out to have ended the cell.
    held: Option<String>,
    /// The last panic of another thread, which a pool may hand on to the cell.
    held_panic: Option<(Panic, Instant)>,
    screen: Screen,
    /// The process that waits for cells, or runs one.
    process: Option<u32>,
    current: Current,
    questions: UnboundedSender<JupyterMessage>,
    is_interrupted: Arc<AtomicBool>,
}

/// The process that runs the cells.
#[derive(Clone, Debug)]
pub struct Cells {
    desk: Arc<Mutex<Desk>>,
    /// Whether the reader has interrupted what the kernel is doing.
    is_interrupted: Arc<AtomicBool>,
    /// What it is doing, by number; 0 if it is doing nothing.
    is_busy_with: Arc<AtomicU64>,
}

impl Cells {
    /// Makes the channels and the command with which evcxr starts the process.
    pub fn new(
        runner: &Path,
        screen: Screen,
        questions: UnboundedSender<JupyterMessage>,
    ) -> Result<(Cells, Command)> {
        let (out, out_end) = pipe()?;
        let (error, error_end) = pipe()?;
        let (line, line_end) = UnixStream::pair()?;
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            out: File::from(out),
            error: File::from(error),
            line,
            decode_out: Out::default(),
            decode_error: Errors::default(),
            held: None,
            held_panic: None,
            screen,
            process: None,
            current: Current::default(),
            questions,
            is_interrupted: Arc::clone(&is_interrupted),
        };
        // A process that is killed in the middle of a word never ends it.
        desk.line.set_read_timeout(Some(Duration::from_secs(2)))?;
        let files = [
            desk.out.as_raw_fd(),
            desk.error.as_raw_fd(),
            desk.line.as_raw_fd(),
        ];
        let desk = Arc::new(Mutex::new(desk));
        let reader = Arc::clone(&desk);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || read(&reader, files))?;
        let mut command = Command::new(runner);
        command.arg("--cells");
        // What cells start is to find the reader's own tools.
        command.env_remove("COURSE_TOOLCHAIN");
        match std::env::var_os("COURSE_READERS_TOOLCHAIN") {
            Some(toolchain) => command.env("RUSTUP_TOOLCHAIN", toolchain),
            None => command.env_remove("RUSTUP_TOOLCHAIN"),
        };
        let ends = [
            (out_end, CELL_OUT),
            (error_end, CELL_ERROR),
            (line_end.into(), LINE),
        ];
        let hand_over = move || {
            for (end, place) in &ends {
                // SAFETY: a call to the system with two numbers, allowed between fork and exec.
                if unsafe { libc::dup2(end.as_raw_fd(), *place) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: the closure calls `dup2` and nothing else.
        unsafe { command.pre_exec(hand_over) };
        let cells = Cells {
            desk,
            is_interrupted,
            is_busy_with: Arc::new(AtomicU64::new(0)),
        };
        Ok((cells, command))
    }

    /// From now on what is printed belongs to this request.
    pub fn begin(&self, number: u64, request: &JupyterMessage, code: &str, allows_questions: bool) {
        let mut desk = self.desk();
        desk.screen.begin(request);
        desk.current = Current {
            allows_questions,
            source: Source(code.to_owned()),
            ..Current::default()
        };
        self.is_interrupted.store(false, Ordering::SeqCst);
        self.is_busy_with.store(number, Ordering::SeqCst);
    }

    /// Tells what became of the cell; all that it has printed is on its way.
    pub fn end(&self) -> Outcome {
        self.is_busy_with.store(0, Ordering::SeqCst);
        let mut desk = self.desk();
        // If its process has died, it has not said that it ended.
        desk.drain();
        desk.finish();
        desk.current.runs_in = None;
        desk.current.asks = false;
        std::mem::take(&mut desk.current.outcome)
    }

    /// Whether the reader has interrupted what began last.
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Prints a line as if the cell had.
    pub fn say(&self, stream: Stream, text: &str) {
        let mut desk = self.desk();
        desk.screen.text(stream, text);
        desk.screen.flush();
    }

    /// What the kernel is doing now, by number; 0 if nothing.
    pub fn busy_with(&self) -> u64 {
        self.is_busy_with.load(Ordering::SeqCst)
    }

    /// Ends what the kernel is doing under this number, in the background: compilers and commands at once, a cell
    /// when it notices, or after a while. Does nothing if it is doing something else by now, or nothing.
    ///
    /// `spared` are children of this process that are no business of a cell.
    pub fn interrupt(&self, number: u64, spared: &HashSet<u32>) {
        let is_at_it = number != 0 && self.is_busy_with.load(Ordering::SeqCst) == number;
        if !is_at_it || self.is_interrupted.swap(true, Ordering::SeqCst) {
            return;
        }
        let (cells, spared) = (self.clone(), spared.clone());
        thread::spawn(move || cells.end_all(&spared));
    }

    fn end_all(&self, spared: &HashSet<u32>) {
        let mut told: Option<(u32, Instant)> = None;
        while self.is_busy_with.load(Ordering::SeqCst) != 0 && self.is_interrupted() {
            let runs_in = self.desk().current.runs_in;
            match (runs_in, told) {
                (Some(process), Some((same, since))) if process == same => {
                    if since.elapsed() > TIME_TO_END {
                        self.desk().current.outcome.was_killed = true;
                        processes::kill_tree(process);
                    }
                }
                (Some(process), _) => {
                    told = Some((process, Instant::now()));
                    self.desk().stop_asking();
                    processes::signal(process, libc::SIGINT);
                    for child in processes::descendants(process) {
                        processes::signal(child, libc::SIGINT);
                    }
                }
                (None, _) => {
                    // The process of the cells waits for an order.
                    let waiting = self.desk().process;
                    for child in processes::children() {
                        if !spared.contains(&child) && Some(child) != waiting {
                            processes::kill_tree(child);
                        }
                    }
                }
            }
            thread::sleep(LOOK);
        }
    }

    /// Answers the question that a cell has asked; nothing if there is none any more.
    pub fn answer(&self, text: &str) {
        let mut desk = self.desk();
        if std::mem::take(&mut desk.current.asks) {
            desk.tell(b'L', text.as_bytes());
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until this process ends.
fn read(desk: &Mutex<Desk>, files: [RawFd; 3]) {
    let mut about = files.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let mut patience = -1;
    loop {
        // SAFETY: the array has as many entries as is said.
        unsafe { libc::poll(about.as_mut_ptr(), about.len() as libc::nfds_t, patience) };
        let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.read_output();
        if about[2].revents != 0 {
            match desk.obey() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    // Nobody would hear of a cell's end any more.
                    eprintln!(
                        "course-kernel: the line to the process of the cells is broken: {error}"
                    );
                    std::process::exit(1);
                }
            }
        }
        let held = desk.held_panic.as_ref().map(|(_, since)| since.elapsed());
        if held.is_some_and(|held| held >= PANIC_IS_HELD) {
            desk.print_held_panic();
        }
        let held = held.map(|held| PANIC_IS_HELD.saturating_sub(held));
        let due = [desk.screen.due(), held].into_iter().flatten().min();
        patience = due.map_or(-1, |due| due.as_millis() as i32 + 1);
    }
}

impl Desk {
    /// Takes what is in the pipes, as much as fits.
    fn read_output(&mut self) {
        let mut bytes = vec![0; 1 << 16];
        let count = read_some(&mut self.out, &mut bytes);
        self.take(Stream::Out, &bytes[..count], false);
        let count = read_some(&mut self.error, &mut bytes);
        self.take(Stream::Error, &bytes[..count], false);
        self.screen.flush_if_due();
    }

    fn pipe(&mut self, stream: Stream) -> &mut File {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Error => &mut self.error,
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8], all: bool) {
        let mut events = Vec::new();
        match stream {
            Stream::Out => self.decode_out.take(bytes, all, &mut events),
            Stream::Error => self.decode_error.take(bytes, all, &mut events),
        }
        for event in events {
            self.show(stream, event);
        }
    }

    /// Takes all that has been printed before now; who prints without end does not hold it up.
    fn drain(&mut self) {
        let mut bytes = vec![0; 1 << 16];
        for stream in [Stream::Out, Stream::Error] {
            let mut left = available(self.pipe(stream));
            while left > 0 {
                let count = read_some(self.pipe(stream), &mut bytes);
                self.take(stream, &bytes[..count], false);
                left = if count == 0 {
                    0
                } else {
                    left.saturating_sub(count)
                };
            }
            self.take(stream, b"", true);
        }
        self.screen.flush();
    }

    fn show(&mut self, stream: Stream, event: Event) {
        if !matches!(event, Event::Word(_)) {
            self.print_held_panic();
        }
        // What was held back did not end the cell.
        if !matches!((&event, stream), (Event::Word(_), _) | (_, Stream::Out))
            && let Some(held) = self.held.take()
        {
            self.screen.text(Stream::Error, &format!("{held}\n"));
        }
        match event {
            Event::Error(text) => self.held = Some(text),
            Event::Word(word) => self.hear(&word),
            Event::Text(text) if stream == Stream::Error && text.contains(CELL_FILE) => {
                let text = self.current.source.with_places(&text);
                self.screen.text(stream, &text);
            }
            Event::Text(text) => self.screen.text(stream, &text),
            Event::Content(mime, content) => self.screen.content(mime, content),
            Event::Display(data, id) => self.screen.display(data, id),
            Event::Update(data, id) => self.screen.update(data, &id),
            Event::Clear(wait) => self.screen.clear(wait),
        }
    }

    fn print_held_panic(&mut self) {
        if let Some((panic, _)) = self.held_panic.take() {
            self.print_panic(&panic);
        }
    }

    fn print_panic(&mut self, panic: &Panic) {
        let report = panic.lines().join("\n") + "\n";
        self.screen.text(Stream::Error, &report);
    }

    fn hear(&mut self, word: &str) {
        match word {
            PANIC => self.current.has_panicked = true,
            FAILED => {
                // Its text was written before, to the other pipe.
                let mut bytes = vec![0; 1 << 16];
                let count = read_some(&mut self.error, &mut bytes);
                self.take(Stream::Error, &bytes[..count], false);
                let text = self.held.take();
                self.current.outcome.error = Some(text.unwrap_or_default());
            }
            _ => {}
        }
        self.current.words.push_str(word);
        self.current.words.push('\n');
    }

    /// Does what the process of the cells asks for.
    fn obey(&mut self) -> io::Result<()> {
        let mut head = [0; 5];
        self.line.read_exact(&mut head)?;
        let mut text = vec![0; u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize];
        self.line.read_exact(&mut text)?;
        match head[0] {
            b'H' => self.process = number(&text),
            b'S' if self.is_interrupted.load(Ordering::SeqCst) => {
                self.current.outcome.was_refused = true;
                self.tell(b'N', b"");
            }
            b'S' => {
                // A cell that runs a second time tells everything again.
                self.current.panics.clear();
                self.current.has_panicked = false;
                self.current.outcome = Outcome::default();
                self.current.words.clear();
                self.current.runs_in = self.process;
                self.tell(b'G', b"");
            }
            b'P' | b'Q' => {
                // In the order in which it happened.
                self.read_output();
                self.print_held_panic();
                let panic = Panic::read(&text);
                match head[0] {
                    b'P' => self.current.panics.push(panic),
                    _ => self.held_panic = Some((panic, Instant::now())),
                }
            }
            b'A' => {
                self.drain();
                self.ask(&text);
            }
            b'D' => {
                self.drain();
                let numbers = String::from_utf8_lossy(&text);
                let mut times = numbers.split(' ').map(|nanos| nanos.parse().unwrap_or(0));
                let times = [(); 3].map(|()| Duration::from_nanos(times.next().unwrap_or(0)));
                self.current.outcome.times = Some(times);
                let interrupts = numbers.split(' ').nth(3);
                self.current.outcome.was_interrupted = interrupts.is_some_and(|count| count != "0");
                self.current.runs_in = None;
                let mut words = std::mem::take(&mut self.current.words);
                if self.current.outcome.was_refused {
                    // So evcxr does not look for the variables that the cell would have made.
                    words.push_str(PANIC);
                    words.push('\n');
                }
                self.tell(b'W', words.as_bytes());
            }
            _ => {}
        }
        Ok(())
    }

    /// Sorts out what is left when the cell has ended.
    fn finish(&mut self) {
        // Before anything else is shown, which would make it one of several things.
        self.current.outcome.result = self.screen.take_last();
        if let Some(held) = self.held.take() {
            self.screen.text(Stream::Error, &format!("{held}\n"));
        }
        let mut panics = std::mem::take(&mut self.current.panics);
        let has_died = self.current.outcome.times.is_none();
        if self.current.has_panicked || has_died {
            // A pool hands a task's panic on to the cell, where it is none of the cell's own.
            let handed_on = || self.held_panic.take().map(|(panic, _)| panic);
            let known = panics.pop().or_else(handed_on);
            let known = known.or_else(|| self.current.has_panicked.then(Panic::default));
            self.current.outcome.panic = known;
        }
        for panic in panics {
            self.print_panic(&panic);
        }
        self.print_held_panic();
        self.screen.flush();
    }

    fn ask(&mut self, question: &[u8]) {
        let [hidden, prompt @ ..] = question else {
            return self.tell(b'E', b"");
        };
        let request = self.screen.child(InputRequest {
            prompt: String::from_utf8_lossy(prompt).into_owned(),
            password: *hidden != 0,
        });
        match request {
            _ if self.is_interrupted.load(Ordering::SeqCst) => self.tell(b'I', b""),
            Some(request) if self.current.allows_questions => {
                self.current.asks = true;
                if self.questions.send(request).is_err() {
                    self.current.asks = false;
                    self.tell(b'E', b"");
                }
            }
            _ => self.tell(b'E', b""),
        }
    }

    fn stop_asking(&mut self) {
        if std::mem::take(&mut self.current.asks) {
            self.tell(b'I', b"");
        }
    }

    /// Answers the process; one that has died does not hear it.
    fn tell(&mut self, letter: u8, text: &[u8]) {
        let mut message = vec![letter];
        message.extend((text.len() as u32).to_le_bytes());
        message.extend(text);
        let _ = self.line.write_all(&message);
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What can be read without waiting; nothing at the end or after an error.
fn read_some(file: &mut File, bytes: &mut [u8]) -> usize {
    loop {
        match file.read(bytes) {
            Ok(count) => return count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return 0,
        }
    }
}

/// How many bytes are in a pipe.
fn available(file: &File) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the system writes one number.
    unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONREAD, &mut count) };
    count.try_into().unwrap_or(0)
}

/// A pipe that programs do not inherit, and that is read without waiting.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the system writes two numbers.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: calls to the system about two descriptors, which nobody else owns.
    unsafe {
        for end in ends {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        libc::fcntl(ends[0], libc::F_SETFL, libc::O_NONBLOCK);
        // In vain where the system does not allow so much.
        #[cfg(target_os = "linux")]
        libc::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE_SIZE);
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
