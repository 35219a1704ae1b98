//! What a worker says about its end, where it has no time to report: it stays on the scoreboard.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::scoreboard::Scoreboard;

/// The scoreboard that the pool of this worker reads; null if there is none.
static BOARD: AtomicPtr<Scoreboard> = AtomicPtr::new(ptr::null_mut());

/// The scoreboard to which this process says its last words, until it is dropped.
#[derive(Debug)]
pub(crate) struct Kept(Box<Scoreboard>);

impl Kept {
    /// `is_read`: whether the pool sees the scoreboard.
    pub(crate) fn new(scoreboard: Scoreboard, is_read: bool) -> Kept {
        let kept = Kept(Box::new(scoreboard));
        if is_read {
            BOARD.store(ptr::from_ref(&*kept.0).cast_mut(), Ordering::Release);
        }
        kept
    }

    pub(crate) fn board(&self) -> &Scoreboard {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mine = ptr::from_ref(&*self.0).cast_mut();
        let (set, not_set) = (Ordering::AcqRel, Ordering::Relaxed);
        // Another pool's may be there by now.
        let _ = BOARD.compare_exchange(mine, ptr::null_mut(), set, not_set);
    }
}

/// Writes down that the stack has overflowed. A signal's handler may call it: it only stores
/// numbers.
pub(crate) fn stack_overflow() {
    // SAFETY: the scoreboard lives until `Kept` is dropped, at the end of a pool: no task runs
    // then on the thread that this signal has interrupted, nor on another one.
    if let Some(board) = unsafe { BOARD.load(Ordering::Acquire).as_ref() } {
        board.say_last_words(OVERFLOW);
    }
}

/// Stands for more words, which the pool knows better: it knows the worker's name.
const OVERFLOW: &str = "stack overflow";

/// What a worker of this name said before it ended, in words that follow "it was lost: ".
pub(crate) fn of(board: &Scoreboard, worker: &str) -> Option<String> {
    let words = board.last_words()?;
    Some(match words.as_str() {
        OVERFLOW => format!(
            "stack overflow in {worker}: a function called itself too often, or has too large arrays \
             of its own (`Box` or `Vec` keep them elsewhere)"
        ),
        _ => words,
    })
}

thread_local! {
    /// The last panics of this thread, of which none was caught by the worker.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The panics of this thread have come to their good end: the worker has caught the last one.
pub(crate) fn forget_panics() {
    PANICS.with_borrow_mut(Vec::clear);
}

/// More of a message is not told: there is not much room.
const LONGEST_MESSAGE: usize = 300;

/// What the standard library panics with when it ends the process.
const IN_CLEANUP: &str = "panic in a destructor during cleanup";
const CANNOT_UNWIND: &str = "panic in a function that cannot unwind";

/// Notes a panic, whose place is told by words to follow its message. If it is the one that ends the
/// process, those before it are its cause, and are told; `true` then.
pub(crate) fn note_panic(info: &PanicHookInfo<'_>, place: &str) -> bool {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let words = PANICS.with_borrow_mut(|panics| {
        let last = panics.iter().map(|message| format!("\"{message}\""));
        let last: Vec<String> = last.collect();
        let words = match message {
            IN_CLEANUP => format!(
                "it aborted, as Rust does when a panic meets another: {}",
                last.join(", and while that went by, ")
            ),
            CANNOT_UNWIND => format!(
                "it aborted, as Rust does when a panic leaves a function that cannot unwind: {}",
                last.last()?
            ),
            _ => {
                if panics.len() == 2 {
                    panics.remove(0);
                }
                let end = message.floor_char_boundary(LONGEST_MESSAGE);
                panics.push(format!("{}{place}", &message[..end]));
                return None;
            }
        };
        Some(words)
    });
    let Some(words) = words else { return false };
    // SAFETY: as in `stack_overflow`.
    match unsafe { BOARD.load(Ordering::Acquire).as_ref() } {
        Some(board) => board.say_last_words(&words),
        // Who sees no scoreboard may see this.
        None => eprintln!("{words}"),
    }
    true
}
