//! Calls a thread out of its sleep.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::unistd::read;

/// A waker that a thread can listen to while it listens to other things.
#[derive(Debug)]
pub struct Waker {
    writer: UnixStream,
    reader: Arc<OwnedFd>,
}

impl Waker {
    /// A waker that nobody has used.
    pub fn new() -> io::Result<Waker> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        let reader = Arc::new(reader.into());
        Ok(Waker { writer, reader })
    }

    /// Wakes whoever listens, now or when they next do.
    pub fn wake(&self) {
        // If its pipe is full, it was used often enough.
        let _ = (&self.writer).write(&[1]);
    }

    /// Can be read from when it was used.
    pub fn file(&self) -> &Arc<OwnedFd> {
        &self.reader
    }

    /// Forgets that it was used.
    pub fn clear(&self) {
        let mut calls = [0; 64];
        while matches!(read(&self.reader, &mut calls), Ok(count) if count > 0) {}
    }
}
