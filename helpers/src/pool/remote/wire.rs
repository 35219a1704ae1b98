//! Messages through a socket: a head that says what it is, a body, and files.

use std::collections::{HashSet, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, send, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Body, Bytes, MOST_FILES, append, from_bytes};
use super::mapped;
use super::shm_buffer::ShmView;

/// Longer heads and bodies are not sent, so what claims to be longer is no message.
const LONGEST_HEAD: usize = 1 << 20;
const LONGEST: usize = 1 << 40;
const FRAME_HEADER: usize = 24;
/// Most heads are shorter.
const USUAL_HEAD: usize = 32;
const READ_AT_ONCE: usize = 64 << 10;

/// One end of the connection between a pool and a worker.
#[derive(Debug)]
pub struct Connection {
    socket: Arc<OwnedFd>,
    buffer: Vec<u8>,
    /// The part of the buffer that was received and not taken.
    received: Range<usize>,
    received_files: VecDeque<Arc<OwnedFd>>,
    /// Where the system puts what it says about files.
    control: Vec<u8>,
    /// The buffers whose files the other end has.
    known: HashSet<u64>,
    /// The buffers of the other end that this process has mapped.
    mapped: Vec<u64>,
    /// Whether this end says when a buffer that it got has been read.
    marks_free: bool,
    /// Messages on their way out, each with the files that go with its first byte.
    outgoing: VecDeque<(Vec<u8>, Vec<Arc<OwnedFd>>)>,
    /// How much of the first one has gone.
    sent: usize,
}

/// What came of an attempt to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Something came.
    Some,
    /// Nothing is there.
    Nothing,
    /// The other end is closed.
    Closed,
}

impl Connection {
    /// The pool's end says when it has read a buffer; a worker's reading ends with its task.
    pub fn new(socket: impl Into<OwnedFd>, is_pool: bool) -> Connection {
        Connection {
            known: HashSet::new(),
            mapped: Vec::new(),
            marks_free: is_pool,
            socket: Arc::new(socket.into()),
            buffer: vec![0; READ_AT_ONCE],
            received: 0..0,
            received_files: VecDeque::new(),
            control: cmsg_space!([RawFd; MOST_FILES + 1]),
            outgoing: VecDeque::new(),
            sent: 0,
        }
    }

    /// The socket, to be watched.
    pub fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// For what.
    pub fn events(&self) -> PollFlags {
        match self.is_flushed() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        }
    }

    /// Puts a message on its way; [`flush`](Connection::flush) sends it. The body is copied, so
    /// that it can be sent again elsewhere.
    pub fn put<M: Serialize>(&mut self, head: &M, body: &Body) -> io::Result<()> {
        let (bytes, buffer): (&[u8], _) = match &body.bytes {
            Bytes::Inline(bytes) => (bytes, None),
            Bytes::Shared(buffer, len) => (&[], Some((buffer, *len))),
            Bytes::View(_) | Bytes::Unreadable(_) => {
                return Err(io::Error::other("a body that is another's"));
            }
        };
        let mut files = Vec::new();
        let (mut len, mut id) = (bytes.len() as u64, 0);
        if let Some((buffer, used)) = buffer {
            (len, id) = (used as u64 | IN_SHM, buffer.id());
            if self.known.insert(id) {
                len |= WITH_FILE;
                files.push(Arc::clone(buffer.file()));
            }
        }
        files.extend(body.files.iter().cloned());
        // Files go with the first byte of a message, so it cannot be joined to one before.
        let joined = match self.outgoing.back() {
            Some((message, _)) if files.is_empty() && message.len() < READ_AT_ONCE => {
                self.outgoing.pop_back()
            }
            _ => None,
        };
        let (mut message, files) = joined.unwrap_or((Vec::new(), files));
        message.reserve(FRAME_HEADER + USUAL_HEAD + bytes.len());
        let start = message.len();
        message.extend([0; FRAME_HEADER]);
        message = append(head, message).map_err(io::Error::other)?;
        let head_len = (message.len() - start - FRAME_HEADER) as u32;
        let header = &mut message[start..start + FRAME_HEADER];
        header[..4].copy_from_slice(&head_len.to_le_bytes());
        header[4..8].copy_from_slice(&(body.files.len() as u32).to_le_bytes());
        header[8..16].copy_from_slice(&len.to_le_bytes());
        header[16..].copy_from_slice(&id.to_le_bytes());
        message.extend(bytes);
        self.outgoing.push_back((message, files));
        Ok(())
    }

    /// The same, and leaves the body to the other end, which says when it has read it.
    pub fn give<M: Serialize>(&mut self, head: &M, body: Body) -> io::Result<()> {
        self.put(head, &body)?;
        if let Bytes::Shared(buffer, _) = body.bytes {
            buffer.leave();
        }
        Ok(())
    }

    /// Whether all messages have gone.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Gives up what is on its way, since nobody will take it.
    pub fn forget_outgoing(&mut self) {
        self.outgoing.clear();
        self.sent = 0;
    }

    /// Sends what is on its way. Without `wait` only as much as the socket takes now.
    pub fn flush(&mut self, wait: bool) -> io::Result<()> {
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        if !wait {
            flags |= MsgFlags::MSG_DONTWAIT;
        }
        while let Some((message, files)) = self.outgoing.front_mut() {
            let (socket, rest) = (self.socket.as_raw_fd(), &message[self.sent..]);
            let result = if files.is_empty() {
                send(socket, rest, flags)
            } else {
                let raw: Vec<RawFd> = files.iter().map(|file| file.as_raw_fd()).collect();
                let rights = [ControlMessage::ScmRights(&raw)];
                sendmsg::<()>(socket, &[IoSlice::new(rest)], &rights, flags, None)
            };
            match result {
                Ok(count) => {
                    files.clear();
                    self.sent += count;
                    if self.sent == message.len() {
                        self.outgoing.pop_front();
                        self.sent = 0;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives what is there.
    pub fn receive(&mut self) -> io::Result<Arrival> {
        if self.received.is_empty() {
            self.received = 0..0;
        } else if self.received.end == self.buffer.len() {
            // Moves the beginning of a message to the front, and makes room for the rest.
            let waiting = self.received.len();
            self.buffer.copy_within(self.received.clone(), 0);
            self.received = 0..waiting;
            self.buffer.resize(waiting + READ_AT_ONCE, 0);
        }
        let arrived = receive_into(
            self.socket.as_fd(),
            &mut self.buffer[self.received.end..],
            &mut self.control,
            &mut self.received_files,
        )?;
        self.received.end += arrived.unwrap_or(0);
        Ok(match arrived {
            None => Arrival::Nothing,
            Some(0) => Arrival::Closed,
            Some(_) => Arrival::Some,
        })
    }

    /// Takes the next message, if it is there as a whole.
    pub fn take<M: DeserializeOwned>(&mut self) -> io::Result<Option<(M, Body)>> {
        let waiting = &self.buffer[self.received.clone()];
        let Some((header, rest)) = waiting.split_first_chunk::<FRAME_HEADER>() else {
            return Ok(None);
        };
        let number =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or([0; 4]));
        let (head_len, file_count) = (number(0) as usize, number(4) as usize);
        let wide = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        let (len, id) = (wide(8), wide(16));
        let buffer = (len & IN_SHM != 0).then_some((len & !(IN_SHM | WITH_FILE)) as usize);
        let inline = if buffer.is_some() { 0 } else { len as usize };
        if head_len > LONGEST_HEAD || inline > LONGEST || file_count > MOST_FILES {
            return Err(io::Error::other("something that is no message"));
        }
        if rest.len() < head_len + inline {
            return Ok(None);
        }
        let (head, rest) = rest.split_at(head_len);
        let head = from_bytes(head).map_err(io::Error::other)?;
        let mut next_file = || {
            let file = self.received_files.pop_front();
            file.ok_or_else(|| io::Error::other("a message without its files"))
        };
        let bytes = match buffer {
            Some(used) => {
                let file = (len & WITH_FILE != 0).then(&mut next_file).transpose()?;
                if file.is_some() {
                    self.mapped.push(id);
                }
                let unknown = || io::Error::other("a buffer without its file");
                let file = || file.ok_or_else(unknown);
                // It may be a task that was taken back, which nobody will read.
                match ShmView::open(id, used, self.marks_free, file) {
                    Ok(delivery) => Bytes::View(delivery),
                    Err(error) => Bytes::Unreadable(error.to_string()),
                }
            }
            None => Bytes::Inline(rest[..inline].to_vec()),
        };
        let files = (0..file_count)
            .map(|_| next_file())
            .collect::<io::Result<_>>()?;
        self.received.start += FRAME_HEADER + head_len + inline;
        Ok(Some((head, Body { bytes, files })))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        mapped::forget(self.mapped.drain(..));
    }
}

/// Marks the length of a body that lies in a buffer.
const IN_SHM: u64 = 1 << 63;
/// Marks that the buffer's file comes along.
const WITH_FILE: u64 = 1 << 62;

/// Receives bytes and files. `None` if there is nothing yet, 0 bytes if the other end is closed.
fn receive_into(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut [u8],
    files: &mut VecDeque<Arc<OwnedFd>>,
) -> io::Result<Option<usize>> {
    let flags = MsgFlags::MSG_DONTWAIT;
    #[cfg(target_os = "linux")]
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut parts = [IoSliceMut::new(buffer)];
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(Errno::ECONNRESET) => return Ok(Some(0)),
        Err(error) => return Err(error.into()),
    };
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the system has just opened these for this process; nobody else knows them.
            let opened = |fd| Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
            files.extend(raw.into_iter().map(opened));
        }
    }
    Ok(Some(message.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::remote::codec::{Reader, Writer};
    use std::os::unix::net::UnixStream;

    fn body(text: &str) -> Body {
        let mut writer = Writer::default();
        writer.write(text).unwrap();
        writer.finish()
    }

    #[test]
    fn messages_arrive_in_order_with_their_files() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut here, mut there) = (Connection::new(a, true), Connection::new(b, false));
        let long = "long ".repeat(100_000);
        for (number, text) in ["one", &long, "three"].into_iter().enumerate() {
            let mut body = body(text);
            if number == 2 {
                let file = std::fs::File::open("/dev/null").unwrap();
                body.files.push(Arc::new(file.into()));
            }
            here.put(&(number as u32), &body).unwrap();
        }
        here.flush(true).unwrap();
        for (number, text) in ["one", &long, "three"].into_iter().enumerate() {
            let (head, body) = loop {
                if let Some(message) = there.take::<u32>().unwrap() {
                    break message;
                }
                there.receive().unwrap();
            };
            assert_eq!(head as usize, number);
            assert_eq!(body.files.len(), usize::from(number == 2));
            assert_eq!(Reader::new(body).read::<String>().unwrap(), text);
        }
        assert_eq!(there.receive().unwrap(), Arrival::Nothing);
        drop(here);
        assert_eq!(there.receive().unwrap(), Arrival::Closed);
    }

    #[test]
    fn noise_is_no_message() {
        let (a, b) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &a, &[0xff; 64]).unwrap();
        let mut there = Connection::new(b, true);
        there.receive().unwrap();
        assert!(there.take::<u32>().is_err());
    }
}
