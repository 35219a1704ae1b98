//! What workers print, on its way to the cell: whole lines, and never words of command.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::printer::{self, Stream};
use crate::notebook::evcxr::harmless;
use crate::notebook::is_notebook;

/// A line that is longer is broken here, so that it cannot fill the memory.
const LONGEST_LINE: usize = 64 << 10;

const READ_AT_ONCE: usize = 8 << 10;

/// More than a pipe holds, so that all is read that was printed before now.
const READS_AT_ONCE: usize = 16;

/// Passes on what comes out of a worker's pipe.
#[derive(Debug)]
pub(crate) struct Relay {
    pipe: Arc<OwnedFd>,
    to: Stream,
    line: Vec<u8>,
    /// Where the system puts what comes.
    buffer: Vec<u8>,
    open: bool,
}

impl Relay {
    pub(crate) fn new(pipe: impl Into<OwnedFd>, to: Stream) -> io::Result<Relay> {
        let pipe = pipe.into();
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Relay {
            pipe: Arc::new(pipe),
            to,
            line: Vec::new(),
            buffer: vec![0; READ_AT_ONCE],
            open: true,
        })
    }

    /// The pipe, while more can come out of it.
    pub(crate) fn pipe(&self) -> Option<Arc<OwnedFd>> {
        self.open.then(|| Arc::clone(&self.pipe))
    }

    /// Passes on what is in the pipe, but for an unfinished last line.
    fn pass_on_lines(&mut self) {
        // Whoever prints without end must not keep the pool from its other work.
        for _ in 0..READS_AT_ONCE {
            // Nor may its lines fill the memory, while somebody listens slowly.
            if !self.open || printer::is_full() {
                break;
            }
            match nix::unistd::read(&self.pipe, &mut self.buffer) {
                Ok(0) => self.open = false,
                Ok(count) => {
                    self.line.extend(&self.buffer[..count]);
                    self.write_lines();
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    self.open = error == Errno::EAGAIN;
                    break;
                }
            }
        }
    }

    /// Passes on the unfinished last line.
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.line.push(b'\n');
            self.write_lines();
        }
    }

    fn write_lines(&mut self) {
        let whole = match self.line.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.line.len() >= LONGEST_LINE => {
                let end = end_of_characters(&self.line);
                self.line.insert(end, b'\n');
                end + 1
            }
            None => return,
        };
        let text = harmless(&self.line[..whole], is_notebook());
        printer::print(self.to, text);
        self.line.drain(..whole);
    }
}

/// Passes on all lines that are there. With `all`, unfinished last lines as well.
pub(crate) fn pass_on(relays: &mut [Relay; 2], all: bool) {
    // Most tasks print nothing, and one question is quicker than two readings in vain.
    let mut about = relays
        .each_ref()
        .map(|relay| PollFd::new(relay.pipe.as_fd(), PollFlags::POLLIN));
    let nothing_came = matches!(poll(&mut about, PollTimeout::ZERO), Ok(0));
    for relay in relays {
        if !nothing_came {
            relay.pass_on_lines();
        }
        if all {
            relay.end_line();
        }
    }
}

/// Where the last character ends that is there as a whole.
fn end_of_characters(line: &[u8]) -> usize {
    // The bytes of a character that follow its first one begin with the bits 10; there are three
    // at most.
    let tail = line.len().saturating_sub(4);
    let last = line[tail..].iter().rposition(|byte| byte & 0xc0 != 0x80);
    match last.map(|last| tail + last) {
        Some(start) if std::str::from_utf8(&line[start..]).is_err() && start > 0 => start,
        _ => line.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_characters() {
        for (text, end) in [("abc", 3), ("ab\u{e9}", 4), ("a\u{1f600}", 5)] {
            let bytes = text.as_bytes();
            assert_eq!(end_of_characters(bytes), end);
            let cut = &bytes[..bytes.len() - 1];
            let whole = if text == "abc" {
                2
            } else {
                text.chars().count() - 1
            };
            assert_eq!(end_of_characters(cut), whole);
        }
    }
}
