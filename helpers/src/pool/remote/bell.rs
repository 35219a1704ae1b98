//! Calls a thread out of its sleep.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A bell that a thread can listen to while it listens to other things.
#[derive(Debug)]
pub(crate) struct Bell {
    button: UnixStream,
    ear: UnixStream,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        let (button, ear) = UnixStream::pair()?;
        button.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Bell { button, ear })
    }

    pub(crate) fn ring(&self) {
        // If its pipe is full, it has been rung often enough.
        let _ = (&self.button).write(&[1]);
    }

    /// Can be read from when the bell was rung.
    pub(crate) fn ear(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }

    pub(crate) fn silence(&self) {
        let mut rings = [0; 64];
        while matches!((&self.ear).read(&mut rings), Ok(count) if count > 0) {}
    }
}
