//! What ranks print: whole lines, each behind its rank's name.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use helpers::internals::Arrival;
use helpers::internals::output::{LineBuffer, Stream, catch_up, is_full, print, read_available};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::control::READ_AT_ONCE;

/// How long whoever reads the output may hold up the owner.
const TIME_TO_PRINT: Duration = Duration::from_millis(500);

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
pub(crate) struct RankStream {
    rank: usize,
    to: Stream,
    socket: Arc<OwnedFd>,
    lines: LineBuffer,
}

impl RankStream {
    pub(crate) fn new(rank: usize, to: Stream, socket: OwnedFd) -> RankStream {
        RankStream {
            rank,
            to,
            socket: Arc::new(socket),
            lines: LineBuffer::default(),
        }
    }
}

/// The texts of all ranks on their way to whoever reads them.
#[derive(Debug)]
pub(crate) struct OutputMux {
    showing: Showing,
    /// The streams that are open.
    streams: Vec<RankStream>,
    outputs: Vec<RankOutput>,
    /// The rank whose lines are shown as they come.
    turn: usize,
}

#[derive(Debug, Default)]
struct RankOutput {
    held: Vec<(Stream, String)>,
    held_bytes: usize,
    /// How many of the two streams are closed.
    closed: usize,
    last_errors: Vec<String>,
}

impl OutputMux {
    pub(crate) fn new(ranks: usize, showing: Showing) -> OutputMux {
        let mut outputs = Vec::new();
        outputs.resize_with(ranks, RankOutput::default);
        OutputMux {
            showing,
            streams: Vec::new(),
            outputs,
            turn: 0,
        }
    }

    /// Adds a stream, whose reading end does not wait.
    pub(crate) fn add(&mut self, stream: RankStream) {
        self.streams.push(stream);
    }

    /// The streams that are open.
    pub(crate) fn sockets(&self) -> Vec<Arc<OwnedFd>> {
        let sockets = self.streams.iter().map(|stream| Arc::clone(&stream.socket));
        sockets.collect()
    }

    /// Takes what ranks have printed so far.
    pub(crate) fn listen_to_all(&mut self) {
        // Whoever reads slowly must not have the memory filled.
        if is_full() {
            return;
        }
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|stream| self.listen(stream));
        self.streams = streams;
    }

    /// Takes what ranks have printed so far, and waits until it is shown, but not for long.
    pub(crate) fn catch_up(&mut self) {
        // Most tasks print nothing, and one question is quicker than many readings in vain.
        let mut about: Vec<_> = self
            .streams
            .iter()
            .map(|stream| PollFd::new(stream.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        if !matches!(poll(&mut about, PollTimeout::ZERO), Ok(0)) {
            self.listen_to_all();
        }
        catch_up(TIME_TO_PRINT);
    }

    /// Takes what a stream has to say; false when no more will come.
    fn listen(&mut self, stream: &mut RankStream) -> bool {
        let arrival = read_available(&stream.socket, stream.lines.bytes(), READ_AT_ONCE);
        if arrival == Arrival::Closed {
            stream.lines.end_line();
        }
        let text = stream.lines.take_lines().unwrap_or_default();
        for line in text.split_terminator('\n') {
            self.say(stream.rank, stream.to, line.to_owned());
        }
        if arrival == Arrival::Closed {
            self.close(stream.rank);
        }
        arrival != Arrival::Closed
    }

    fn say(&mut self, rank: usize, to: Stream, line: String) {
        let is_shown = self.showing == Showing::AsTheyCome || rank <= self.turn;
        let Some(output) = self.outputs.get_mut(rank) else {
            return;
        };
        let labelled = format!("rank {rank}: {line}\n");
        if matches!(to, Stream::Error) {
            if output.last_errors.len() == LAST_LINES {
                output.last_errors.remove(0);
            }
            output.last_errors.push(line);
        }
        if is_shown {
            print(to, labelled);
        } else if output.held_bytes <= MOST_HELD {
            output.held_bytes += labelled.len();
            if output.held_bytes > MOST_HELD {
                let end = format!("rank {rank}: … and more, which is not shown\n");
                output.held.push((to, end));
            } else {
                output.held.push((to, labelled));
            }
        }
    }

    /// Notes that one of a rank's streams is closed.
    fn close(&mut self, rank: usize) {
        if let Some(output) = self.outputs.get_mut(rank) {
            output.closed += 1;
        }
        while self
            .outputs
            .get(self.turn)
            .is_some_and(|output| output.closed == 2)
        {
            self.turn += 1;
            self.show_held(self.turn);
        }
    }

    /// Shows all that was held back, as no more will come.
    pub(crate) fn finish_all(&mut self) {
        for rank in self.turn..self.outputs.len() {
            self.show_held(rank);
        }
        self.turn = self.outputs.len();
        catch_up(TIME_TO_PRINT);
    }

    fn show_held(&mut self, rank: usize) {
        if let Some(output) = self.outputs.get_mut(rank) {
            for (to, line) in output.held.drain(..) {
                print(to, line);
            }
        }
    }

    /// The last lines of errors that a rank has printed.
    pub(crate) fn last_errors(&self, rank: usize) -> &[String] {
        self.outputs
            .get(rank)
            .map_or(&[], |output| &output.last_errors)
    }
}
