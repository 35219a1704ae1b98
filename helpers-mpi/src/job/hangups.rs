//! In which order connections close.
//!
//! When a rank dies, some launchers kill the others within a millisecond. Whoever looks at the
//! connections after that finds all of them closed, and cannot tell who was first. The system can:
//! it keeps a list of what happened, in the order in which it did.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Notes the order in which connections close.
#[derive(Debug)]
pub(crate) struct Hangups {
    #[cfg(target_os = "linux")]
    list: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Hangups {
    pub(crate) fn new() -> io::Result<Hangups> {
        use std::os::fd::FromRawFd;

        // SAFETY: makes a file, and touches no memory.
        let list = unsafe { nix::libc::epoll_create1(nix::libc::EPOLL_CLOEXEC) };
        if list < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just opened it, and nobody else knows it.
        let list = unsafe { OwnedFd::from_raw_fd(list) };
        Ok(Hangups { list })
    }

    /// Notes when this connection closes, under this number.
    pub(crate) fn add(&self, number: usize, connection: &impl AsFd) -> io::Result<()> {
        use nix::libc::{EPOLL_CTL_ADD, EPOLLET, EPOLLRDHUP, epoll_ctl, epoll_event};
        use std::os::fd::AsRawFd;

        let mut wanted = epoll_event {
            events: (EPOLLRDHUP | EPOLLET) as u32,
            u64: number as u64,
        };
        let (list, file) = (self.list.as_raw_fd(), connection.as_fd().as_raw_fd());
        // SAFETY: both files are open, and the system copies what it is shown.
        if unsafe { epoll_ctl(list, EPOLL_CTL_ADD, file, &mut wanted) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// The numbers of the connections that have closed since this was last asked, the first one
    /// first.
    pub(crate) fn closed(&self, most: usize) -> Vec<usize> {
        use nix::libc::{epoll_event, epoll_wait};
        use std::os::fd::AsRawFd;

        let mut events = vec![epoll_event { events: 0, u64: 0 }; most.max(1)];
        // SAFETY: the system writes no more events than there is room for.
        let count = unsafe {
            epoll_wait(
                self.list.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                0,
            )
        };
        events.truncate(count.max(0) as usize);
        events.iter().map(|event| event.u64 as usize).collect()
    }
}

/// Other systems keep such lists, too, but nobody has tried.
#[cfg(not(target_os = "linux"))]
impl Hangups {
    pub(crate) fn new() -> io::Result<Hangups> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn add(&self, _number: usize, _connection: &impl AsFd) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn closed(&self, _most: usize) -> Vec<usize> {
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_first_one_to_close_comes_first() {
        let closing = Hangups::new().unwrap();
        let pairs: Vec<_> = (0..4).map(|_| UnixStream::pair().unwrap()).collect();
        let (here, there): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for (number, socket) in here.iter().enumerate() {
            closing.add(number, socket).unwrap();
        }
        assert!(closing.closed(4).is_empty());
        let mut there: Vec<_> = there.into_iter().map(Some).collect();
        // What is said before does not count.
        let speaker = there[0].as_mut().unwrap();
        speaker.write_all(b"still here").unwrap();
        for number in [2, 0, 3] {
            there[number] = None;
        }
        assert_eq!(closing.closed(4), [2, 0, 3]);
        there[1] = None;
        assert_eq!(closing.closed(4), [1]);
    }
}
