//! What workers print, on its way to the cell: whole lines, and never words of command.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use super::printer::{self, Stream};
use super::wire::Arrival;
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
    line: LineBuffer,
    open: bool,
}

impl Relay {
    pub(crate) fn new(pipe: impl Into<OwnedFd>, to: Stream) -> io::Result<Relay> {
        let pipe = pipe.into();
        set_nonblocking(&pipe)?;
        Ok(Relay {
            pipe: Arc::new(pipe),
            to,
            line: LineBuffer::default(),
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
            match read_available(&self.pipe, self.line.bytes(), READ_AT_ONCE) {
                Arrival::Some => self.write_lines(),
                Arrival::Nothing => break,
                Arrival::Closed => self.open = false,
            }
        }
    }

    /// Passes on the unfinished last line.
    fn end_line(&mut self) {
        self.line.end_line();
        self.write_lines();
    }

    fn write_lines(&mut self) {
        if let Some(text) = self.line.take_lines() {
            printer::print(self.to, text);
        }
    }
}

/// Has reads not wait.
pub fn set_nonblocking(file: &impl AsFd) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads once what is there, so many bytes at most, and appends it. Does not wait if the file does
/// not.
pub fn read_available(file: &impl AsFd, to: &mut Vec<u8>, most: usize) -> Arrival {
    let before = to.len();
    to.resize(before + most, 0);
    let result = loop {
        match read(file, &mut to[before..]) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    to.truncate(before + *result.as_ref().unwrap_or(&0));
    match result {
        Ok(0) => Arrival::Closed,
        Ok(_) => Arrival::Some,
        Err(Errno::EAGAIN) => Arrival::Nothing,
        Err(_) => Arrival::Closed,
    }
}

/// What came of a stream and was not passed on: whole lines are taken out, as text that no kernel
/// obeys.
#[derive(Debug, Default)]
pub struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// Where what comes is put, at the end.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Ends the unfinished last line, as no more will come of it.
    pub fn end_line(&mut self) {
        if !self.0.is_empty() {
            self.0.push(b'\n');
        }
    }

    /// Takes the whole lines that are there, each with its end. A line that is too long is broken.
    pub fn take_lines(&mut self) -> Option<String> {
        let whole = match self.0.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.0.len() >= LONGEST_LINE => {
                let end = end_of_characters(&self.0);
                self.0.insert(end, b'\n');
                end + 1
            }
            None => return None,
        };
        let text = harmless(&self.0[..whole], is_notebook());
        self.0.drain(..whole);
        Some(text)
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
