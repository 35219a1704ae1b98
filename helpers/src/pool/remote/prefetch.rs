//! How many tasks may lie ahead of a worker: the more the shorter they are.

use std::time::Duration;

/// How long tasks take, of late, and what follows from it.
#[derive(Debug)]
pub struct Prefetch {
    /// Tasks that take less than this are sent ahead, so that a worker need not wait for the next.
    short: Duration,
    /// Work that may lie ahead of a worker.
    ahead: Duration,
    typical: Option<Duration>,
}

/// The most tasks that may lie ahead of a worker.
const MOST_AHEAD: usize = 32;

impl Prefetch {
    /// Work for the time `ahead` may lie before a worker if tasks take less than `short`.
    pub fn new(short: Duration, ahead: Duration) -> Prefetch {
        Prefetch {
            short,
            ahead,
            typical: None,
        }
    }

    /// How many tasks a worker may have at once.
    pub fn depth(&self) -> usize {
        match self.typical {
            Some(typical) if typical < self.short => {
                let ahead = self.ahead.as_nanos() / typical.as_nanos().max(1);
                (ahead as usize).clamp(1, MOST_AHEAD)
            }
            _ => 1,
        }
    }

    /// Notes how long a task took.
    pub fn note(&mut self, took: Duration) {
        self.typical = Some(match self.typical {
            Some(typical) => (typical * 3 + took) / 4,
            None => took,
        });
    }

    /// Tasks are not as short as they seemed.
    pub fn forget(&mut self) {
        self.typical = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_tasks_are_sent_ahead() {
        let (short, ahead) = (Duration::from_micros(50), Duration::from_micros(200));
        let mut prefetch = Prefetch::new(short, ahead);
        assert_eq!(prefetch.depth(), 1, "nothing is known yet");
        prefetch.note(Duration::from_micros(20));
        assert_eq!(prefetch.depth(), 10);
        prefetch.note(Duration::from_millis(1));
        assert_eq!(prefetch.depth(), 1);
        prefetch.forget();
        prefetch.note(Duration::from_nanos(10));
        assert_eq!(prefetch.depth(), MOST_AHEAD);
    }
}
