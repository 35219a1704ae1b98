//! Prints what workers have printed, in a thread of its own: whoever holds the standard output's lock,
//! or listens to it slowly, must not hold up the pool.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// More text than this does not wait to be printed.
const MOST_BYTES: usize = 1 << 20;

/// Where a worker's output goes on.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// What a program gives.
    Out,
    /// What it says about itself.
    Error,
}

struct PrintQueue {
    waiting: VecDeque<(Stream, String)>,
    /// The length of the texts that wait.
    bytes: usize,
    /// How many texts have come, and how many of them are printed.
    come: u64,
    printed: u64,
    has_thread: bool,
}

static QUEUE: Mutex<PrintQueue> = Mutex::new(PrintQueue {
    waiting: VecDeque::new(),
    bytes: 0,
    come: 0,
    printed: 0,
    has_thread: false,
});
static CHANGED: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, PrintQueue> {
    // Nothing but moves happens under the lock.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints `text` soon, as a whole.
pub fn print(to: Stream, text: String) {
    let mut queue = queue();
    if !queue.has_thread {
        let thread = thread::Builder::new().name("printer".to_owned());
        queue.has_thread = thread.spawn(print_for_ever).is_ok();
    }
    queue.come += 1;
    queue.bytes += text.len();
    queue.waiting.push_back((to, text));
    CHANGED.notify_all();
}

/// Whether so much waits to be printed that there should not be more.
pub fn is_full() -> bool {
    queue().bytes >= MOST_BYTES
}

/// Waits until all is printed that has come, but not for long.
pub fn catch_up(limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut queue = queue();
    let come = queue.come;
    while queue.printed < come {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let waited = CHANGED.wait_timeout(queue, left);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn print_for_ever() {
    let mut queue = queue();
    loop {
        let Some((to, text)) = queue.waiting.pop_front() else {
            queue = CHANGED.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        // One write, so that the lines of several workers stay apart.
        let _ = match to {
            Stream::Out => io::stdout().write_all(text.as_bytes()),
            Stream::Error => io::stderr().write_all(text.as_bytes()),
        };
        queue = self::queue();
        queue.bytes -= text.len();
        queue.printed += 1;
        CHANGED.notify_all();
    }
}
