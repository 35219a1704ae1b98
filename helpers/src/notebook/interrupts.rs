//! When the reader interrupts a cell: what waits on the cell's thread looks at this.
//!
//! The course's own kernel counts interrupts, and the cell's thread unwinds by itself, so that
//! variables are kept. A stock kernel ends the process, and a program ends by its signal.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::runner;

/// How long to wait at most without a look. If a cell has not ended 0.8 seconds after an interrupt,
/// the kernel ends its process.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    /// Of the cell that waits for what this thread does.
    static LENT: Cell<Interrupts> = const { Cell::new(Interrupts(None)) };
}

/// Waits for so long, as [`std::thread::sleep`] does, and ends early if the reader interrupts the cell.
///
/// ```
/// use helpers::prelude::*;
/// use std::time::Duration;
///
/// let ((), timing) = measure(|| sleep(Duration::from_millis(20)));
/// assert!(timing.wall >= Duration::from_millis(20));
/// ```
///
/// # Panics
/// If the reader interrupts the cell, with the message `interrupted`: that ends the cell, and variables
/// are kept. So it is in a function that [`Pool::map`](crate::Pool::map) calls.
pub fn sleep(time: Duration) {
    let interrupts = Interrupts::of_this_work();
    let began = Instant::now();
    loop {
        interrupts.check();
        let left = time.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(interrupts.slice(left));
    }
}

/// The interrupts of the cell on whose thread this was made; of nothing elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Interrupts(Option<&'static AtomicU32>);

impl Interrupts {
    /// Of this thread, if it runs a cell. While that unwinds nothing interrupts it.
    pub fn here() -> Interrupts {
        let count = runner::of_cells()
            .filter(|_| is_cell_thread() && !thread::panicking())
            .map(|runner| &runner.interrupts);
        Interrupts(count)
    }

    /// Of the cell that runs on this thread, or that waits for what this thread does.
    fn of_this_work() -> Interrupts {
        let interrupts = Interrupts::here();
        match interrupts.0 {
            Some(_) => interrupts,
            None => LENT.get(),
        }
    }

    /// Does `work` for the cell, on another thread: [`sleep`] in there ends if the cell is interrupted.
    pub(crate) fn lend(self, work: &dyn Fn()) {
        let _returned = Lent(LENT.replace(self));
        work();
    }

    /// Whether there was one.
    #[inline]
    pub fn came(self) -> bool {
        self.0
            .is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// How long to wait until the next look, of all the time that there is to wait.
    pub fn slice(self, wait: Duration) -> Duration {
        match self.0 {
            Some(_) => wait.min(SLICE),
            None => wait,
        }
    }

    /// The same for waits that may have no end.
    pub fn slice_of(self, wait: Option<Duration>) -> Option<Duration> {
        match self.0 {
            Some(_) => Some(wait.map_or(SLICE, |wait| wait.min(SLICE))),
            None => wait,
        }
    }

    /// Goes on, unless there was one.
    ///
    /// # Panics
    /// If there was: that ends the cell.
    pub fn check(self) {
        if self.came() {
            interrupt();
        }
    }
}

/// Takes back what was lent, on a panic as well.
struct Lent(Interrupts);

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.set(self.0);
    }
}

/// Goes on, unless this thread runs a cell that was interrupted.
///
/// Where nothing has happened it costs next to nothing: loops ask at each turn.
pub(crate) fn check() {
    if some_came() {
        Interrupts::here().check();
    }
}

/// Ends the cell, by a panic that the kernel knows by its message.
///
/// Elsewhere nobody is told: the cell will tell.
pub(crate) fn interrupt() -> ! {
    if is_cell_thread() {
        // Without anything to fill in: who catches the panic finds a `&str` here as well.
        panic!("interrupted")
    }
    resume_unwind(Box::new("interrupted"))
}

/// Whether this thread unwinds since its cell was interrupted.
pub(crate) fn unwinds() -> bool {
    some_came() && thread::panicking() && is_cell_thread()
}

fn some_came() -> bool {
    runner::of_cells().is_some_and(|runner| runner.interrupts.load(Ordering::Relaxed) > 0)
}

/// Cells run on the main thread.
fn is_cell_thread() -> bool {
    thread::current().name() == Some("main")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn an_interrupted_cell_panics_with_the_one_word() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let interrupts = Interrupts(Some(&COUNT));
        interrupts.check();
        COUNT.store(2, Ordering::Relaxed);
        let panic = catch_unwind(|| interrupts.check()).unwrap_err();
        assert_eq!(crate::pool::panic::panic_message(&*panic), "interrupted");
    }

    #[test]
    fn waits_are_short_only_where_somebody_may_interrupt() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (long, short) = (Duration::from_secs(9), Duration::from_millis(1));
        let cell = Interrupts(Some(&COUNT));
        assert_eq!((cell.slice(long), cell.slice(short)), (SLICE, short));
        assert_eq!(cell.slice_of(None), Some(SLICE));
        let elsewhere = Interrupts::here();
        assert_eq!(elsewhere.slice(long), long);
        assert_eq!(elsewhere.slice_of(None), None);
        assert!(!elsewhere.came());
    }

    #[test]
    fn sleep_ends_for_the_cell_that_waits_for_it() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cell = Interrupts(Some(&COUNT));
        cell.lend(&|| sleep(Duration::from_millis(1)));
        let far = Duration::MAX;
        let sleeper = thread::spawn(move || {
            let ended = catch_unwind(|| cell.lend(&|| sleep(far)));
            (ended.is_err(), LENT.get().0.is_some())
        });
        COUNT.store(1, Ordering::Relaxed);
        assert_eq!(sleeper.join().unwrap(), (true, false));
        // Nobody lent this thread anything.
        sleep(Duration::from_millis(1));
    }
}
