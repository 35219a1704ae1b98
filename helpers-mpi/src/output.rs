//! What ranks print: whole lines, each behind its rank's name.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use helpers::internals::output::{Stream, catch_up, harmless, is_full, print};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::job::TIME_TO_PRINT;
use crate::link::{Arrival, read_available};

/// A longer line is broken here, so that it cannot fill the memory.
const LONGEST_LINE: usize = 64 << 10;

/// So much of a rank's text waits for its turn; what comes behind it is not shown.
const MOST_HELD: usize = 8 << 20;

/// So many of the last lines of errors are kept, to tell of a rank's end.
const LAST_LINES: usize = 40;

/// In which order the lines of ranks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Showing {
    /// All lines of rank 0, then all of rank 1, and so on: the first rank that has not finished is
    /// shown as it prints.
    ByRank,
    /// As they come.
    AsTheyCome,
}

/// One stream of one rank.
#[derive(Debug)]
pub(crate) struct Voice {
    rank: usize,
    to: Stream,
    socket: Arc<OwnedFd>,
    text: Vec<u8>,
}

impl Voice {
    pub(crate) fn new(rank: usize, to: Stream, socket: OwnedFd) -> Voice {
        Voice {
            rank,
            to,
            socket: Arc::new(socket),
            text: Vec::new(),
        }
    }
}

/// The texts of all ranks on their way to whoever reads them.
#[derive(Debug)]
pub(crate) struct Chorus {
    showing: Showing,
    /// The streams that are open.
    voices: Vec<Voice>,
    parts: Vec<Part>,
    /// The rank whose lines are shown as they come.
    turn: usize,
}

#[derive(Debug, Default)]
struct Part {
    held: Vec<(Stream, String)>,
    held_bytes: usize,
    /// How many of the two streams are closed.
    closed: usize,
    last_errors: Vec<String>,
}

impl Chorus {
    pub(crate) fn new(ranks: usize, showing: Showing) -> Chorus {
        let mut parts = Vec::new();
        parts.resize_with(ranks, Part::default);
        Chorus {
            showing,
            voices: Vec::new(),
            parts,
            turn: 0,
        }
    }

    /// Adds a stream, whose reading end does not wait.
    pub(crate) fn add(&mut self, voice: Voice) {
        self.voices.push(voice);
    }

    /// The streams that are open.
    pub(crate) fn sockets(&self) -> Vec<Arc<OwnedFd>> {
        let sockets = self.voices.iter().map(|voice| Arc::clone(&voice.socket));
        sockets.collect()
    }

    /// Takes what ranks have printed so far.
    pub(crate) fn listen_to_all(&mut self) {
        // Whoever reads slowly must not have the memory filled.
        if is_full() {
            return;
        }
        let mut voices = std::mem::take(&mut self.voices);
        voices.retain_mut(|voice| self.listen(voice));
        self.voices = voices;
    }

    /// Takes what ranks have printed so far, and waits until it is shown, but not for long.
    pub(crate) fn catch_up(&mut self) {
        // Most tasks print nothing, and one question is quicker than many readings in vain.
        let mut about: Vec<_> = self
            .voices
            .iter()
            .map(|voice| PollFd::new(voice.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        if !matches!(poll(&mut about, PollTimeout::ZERO), Ok(0)) {
            self.listen_to_all();
        }
        catch_up(TIME_TO_PRINT);
    }

    /// Takes what a stream has to say; false when no more will come.
    fn listen(&mut self, voice: &mut Voice) -> bool {
        let arrival = read_available(&voice.socket, &mut voice.text);
        if arrival == Arrival::Closed && !voice.text.is_empty() {
            voice.text.push(b'\n');
        }
        while let Some(end) = end_of_line(&voice.text) {
            let line: Vec<u8> = voice.text.drain(..end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = harmless(line, helpers::internals::is_notebook());
            self.say(voice.rank, voice.to, line);
        }
        if arrival == Arrival::Closed {
            self.close(voice.rank);
        }
        arrival != Arrival::Closed
    }

    fn say(&mut self, rank: usize, to: Stream, line: String) {
        let is_shown = self.showing == Showing::AsTheyCome || rank <= self.turn;
        let Some(part) = self.parts.get_mut(rank) else {
            return;
        };
        let labelled = format!("rank {rank}: {line}\n");
        if matches!(to, Stream::Error) {
            if part.last_errors.len() == LAST_LINES {
                part.last_errors.remove(0);
            }
            part.last_errors.push(line);
        }
        if is_shown {
            print(to, labelled);
        } else if part.held_bytes <= MOST_HELD {
            part.held_bytes += labelled.len();
            if part.held_bytes > MOST_HELD {
                let end = format!("rank {rank}: … and more, which is not shown\n");
                part.held.push((to, end));
            } else {
                part.held.push((to, labelled));
            }
        }
    }

    /// Notes that one of a rank's streams is closed.
    fn close(&mut self, rank: usize) {
        if let Some(part) = self.parts.get_mut(rank) {
            part.closed += 1;
        }
        while self
            .parts
            .get(self.turn)
            .is_some_and(|part| part.closed == 2)
        {
            self.turn += 1;
            self.show_held(self.turn);
        }
    }

    /// Shows all that was held back, as no more will come.
    pub(crate) fn finish_all(&mut self) {
        for rank in self.turn..self.parts.len() {
            self.show_held(rank);
        }
        self.turn = self.parts.len();
        catch_up(TIME_TO_PRINT);
    }

    fn show_held(&mut self, rank: usize) {
        if let Some(part) = self.parts.get_mut(rank) {
            for (to, line) in part.held.drain(..) {
                print(to, line);
            }
        }
    }

    /// The last lines of errors that a rank has printed.
    pub(crate) fn last_errors(&self, rank: usize) -> &[String] {
        self.parts.get(rank).map_or(&[], |part| &part.last_errors)
    }
}

fn end_of_line(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| byte == b'\n');
    match end {
        Some(end) => Some(end + 1),
        None => (text.len() >= LONGEST_LINE).then_some(LONGEST_LINE),
    }
}
