//! What a worker writes down for its pool to see at any time, even after the worker's death.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::memory::{self, Words};

// The places of the words.
const CLAIM: usize = 0;
const ITEM: usize = 1;
const SINCE: usize = 2;
const USER: usize = 3;
const SYSTEM: usize = 4;
const LENGTH: usize = 5;
const TEXT: usize = 6;
/// How many words there are, with those of the text.
const COUNT: usize = TEXT + LONGEST_TEXT / WORD;

const WORD: usize = size_of::<AtomicU64>();
/// So that all is less than a kilobyte, to which the length of files may be limited.
const LONGEST_TEXT: usize = 896;

/// A few numbers in memory that a worker and its pool share.
///
/// The claim holds the epoch (upper half) and the sequence number of the task that the worker
/// began last (lower half). The worker begins a task by an atomic change that fails if the epoch
/// is another one, and the pool takes tasks back by a new epoch. So both always agree on which
/// tasks have begun.
#[derive(Debug)]
pub struct Scoreboard(Words);

impl Scoreboard {
    /// A scoreboard of a pool of this process, in memory without a name.
    pub fn new() -> io::Result<Arc<Scoreboard>> {
        Ok(Scoreboard::register(Words::new(COUNT)?))
    }

    /// A scoreboard of a pool of this process, in a fresh file that workers find by its name.
    pub fn in_file(file: &File) -> io::Result<Arc<Scoreboard>> {
        memory::make_room(file, COUNT * WORD)?;
        let file = Arc::new(file.try_clone()?.into());
        Ok(Scoreboard::register(Words::open(file)?))
    }

    /// Lets the processor time on the scoreboard count.
    fn register(words: Words) -> Arc<Scoreboard> {
        let scoreboard = Arc::new(Scoreboard(words));
        SCOREBOARDS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .live
            .push(Arc::downgrade(&scoreboard));
        scoreboard
    }

    /// Worker: the scoreboard in this file, which the pool has made.
    pub fn open(file: Arc<OwnedFd>) -> io::Result<Scoreboard> {
        Words::open(file).map(Scoreboard)
    }

    /// The file that it lies in.
    pub fn file(&self) -> &Arc<OwnedFd> {
        self.0.file()
    }

    /// Worker: begins a task, unless the pool has taken it back; tells whether it did.
    pub fn begin(&self, epoch: u32, sequence: u32) -> bool {
        self.begin_item(0, true);
        let next = u64::from(epoch) << 32 | u64::from(sequence);
        let same_epoch = |claim: u64| (claim >> 32 == u64::from(epoch)).then_some(next);
        let claim = self.0.get(CLAIM);
        claim
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, same_epoch)
            .is_ok()
    }

    /// Pool: the sequence number of the task that the worker began last.
    pub fn begun(&self) -> u32 {
        self.0.get(CLAIM).load(Ordering::Acquire) as u32
    }

    /// Pool: takes back what has not begun; gives the number of the task that was begun last.
    pub fn recall(&self) -> u32 {
        self.0.get(CLAIM).fetch_add(1 << 32, Ordering::AcqRel) as u32
    }

    /// Worker: notes the item in work by its place in the chunk; if it is `timed`, also since when.
    pub fn begin_item(&self, place: usize, timed: bool) {
        self.0.get(ITEM).store(place as u64, Ordering::Relaxed);
        if timed {
            let since = now().as_nanos() as u64;
            self.0.get(SINCE).store(since, Ordering::Relaxed);
        }
    }

    /// Pool: the place in its chunk of the item in work.
    pub fn item(&self) -> usize {
        self.0.get(ITEM).load(Ordering::Relaxed) as usize
    }

    /// When the item in work began, on the clock of [`now`], where somebody wants to know; else
    /// when its task began.
    pub fn since(&self) -> Duration {
        Duration::from_nanos(self.0.get(SINCE).load(Ordering::Relaxed))
    }

    /// Worker: writes down the processor time that it has used.
    pub fn set_cpu_time(&self, (user, system): (Duration, Duration)) {
        self.0
            .get(USER)
            .store(user.as_nanos() as u64, Ordering::Relaxed);
        self.0
            .get(SYSTEM)
            .store(system.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Worker: says why it will end. Only numbers are stored, so that a signal's handler may call it.
    pub fn say_last_words(&self, text: &str) {
        let mut end = text.len().min(LONGEST_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for (place, bytes) in text.as_bytes()[..end].chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            word[..bytes.len()].copy_from_slice(bytes);
            let word = u64::from_ne_bytes(word);
            self.0.get(TEXT + place).store(word, Ordering::Relaxed);
        }
        self.0.get(LENGTH).store(end as u64, Ordering::Release);
    }

    /// Pool: what the worker has said about its end.
    pub fn last_words(&self) -> Option<String> {
        let length = self.0.get(LENGTH).load(Ordering::Acquire) as usize;
        let length = Some(length).filter(|length| (1..=LONGEST_TEXT).contains(length))?;
        let words = (0..length.div_ceil(WORD)).map(|place| self.0.get(TEXT + place));
        let bytes = words.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        let bytes: Vec<u8> = bytes.take(length).collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn cpu_time(&self) -> Duration {
        let nanos = |word| self.0.get(word).load(Ordering::Relaxed);
        Duration::from_nanos(nanos(USER).saturating_add(nanos(SYSTEM)))
    }
}

/// The scoreboards of this process's pools, and what those that are gone had counted.
struct Scoreboards {
    live: Vec<Weak<Scoreboard>>,
    ended: Duration,
}

static SCOREBOARDS: Mutex<Scoreboards> = Mutex::new(Scoreboards {
    live: Vec::new(),
    ended: Duration::ZERO,
});

impl Drop for Scoreboard {
    fn drop(&mut self) {
        let mut scoreboards = SCOREBOARDS.lock().unwrap_or_else(PoisonError::into_inner);
        scoreboards
            .live
            .retain(|scoreboard| scoreboard.strong_count() > 0);
        scoreboards.ended += self.cpu_time();
    }
}

/// Processor time that all workers of this process's pools have used so far.
pub fn cpu_time_of_workers() -> Duration {
    // Kept until the lock is free again: dropping the last reference takes the lock as well.
    let scoreboards: Vec<Arc<Scoreboard>>;
    let ended = {
        let all = SCOREBOARDS.lock().unwrap_or_else(PoisonError::into_inner);
        scoreboards = all.live.iter().filter_map(Weak::upgrade).collect();
        all.ended
    };
    scoreboards
        .iter()
        .fold(ended, |sum, scoreboard| sum + scoreboard.cpu_time())
}

/// A clock that all processes of the machine share.
pub fn now() -> Duration {
    // This clock exists on every system that this crate runs on.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_begun_or_taken_back_and_never_both() {
        let scoreboard = Scoreboard::new().unwrap();
        assert!(scoreboard.begin(0, 1));
        assert_eq!(scoreboard.recall(), 1);
        assert!(!scoreboard.begin(0, 2), "task 2 was taken back");
        assert!(scoreboard.begin(1, 3));
        assert_eq!(scoreboard.begun(), 3);
    }

    #[test]
    fn racing_claims_agree() {
        for _ in 0..200 {
            let scoreboard = Scoreboard::new().unwrap();
            let there = Scoreboard::open(Arc::clone(scoreboard.file())).unwrap();
            let worker =
                std::thread::spawn(move || (1..=50).take_while(|&n| there.begin(0, n)).count());
            let begun = scoreboard.recall();
            assert_eq!(worker.join().unwrap(), begun as usize);
        }
    }

    #[test]
    fn last_words_arrive() {
        let scoreboard = Scoreboard::new().unwrap();
        assert_eq!(scoreboard.last_words(), None);
        for text in ["a", "eight ch", "stack overflow", "na\u{ef}ve"] {
            scoreboard.say_last_words(text);
            assert_eq!(scoreboard.last_words().as_deref(), Some(text));
        }
        scoreboard.say_last_words(&"\u{e9}!!".repeat(1000));
        let words = scoreboard.last_words().unwrap();
        assert!(words.len() > 890 && words.ends_with('!'), "{words}");
    }

    #[test]
    fn the_time_of_workers_is_kept_after_their_end() {
        let before = cpu_time_of_workers();
        let scoreboard = Scoreboard::new().unwrap();
        scoreboard.set_cpu_time((Duration::from_secs(2), Duration::from_secs(1)));
        assert!(cpu_time_of_workers() >= before + Duration::from_secs(3));
        drop(scoreboard);
        assert!(cpu_time_of_workers() >= before + Duration::from_secs(3));
    }
}
