//! Calls a thread out of its sleep.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A bell that a thread can listen to while it listens to other things.
#[derive(Debug)]
pub struct Bell {
    button: UnixStream,
    ear: UnixStream,
}

impl Bell {
    /// A bell that nobody has rung.
    pub fn new() -> io::Result<Bell> {
        let (button, ear) = UnixStream::pair()?;
        button.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Bell { button, ear })
    }

    /// Wakes whoever listens, now or when they next do.
    pub fn ring(&self) {
        // If its pipe is full, it has been rung often enough.
        let _ = (&self.button).write(&[1]);
    }

    /// Can be read from when the bell was rung.
    pub fn ear(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }

    /// Forgets that it was rung.
    pub fn silence(&self) {
        let mut rings = [0; 64];
        while matches!((&self.ear).read(&mut rings), Ok(count) if count > 0) {}
    }
}
