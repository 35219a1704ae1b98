//! The connection between a job's owner and its ranks: addresses, messages, and how they travel.
//!
//! Each rank connects to the owner three times: to be told what to do, and to have what it prints
//! passed on. On one host that is a Unix socket in a private folder, else TCP; whoever connects
//! shows the token of the job first.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use helpers::internals::output::read_available;
use helpers::internals::{Arrival, CodeRef, append, from_bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The variable that tells a rank whose it is.
pub(crate) const JOB: &str = "HELPERS_MPI_JOB";

/// Longer messages than this are none.
const LONGEST: u64 = 1 << 40;

/// How much is read at once.
pub(crate) const READ_AT_ONCE: usize = 64 << 10;

/// How long a rank tries each of the owner's names.
const TIME_TO_CONNECT: Duration = Duration::from_secs(5);

/// What a rank is told in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobSpec {
    pub(crate) role: Role,
    pub(crate) address: Address,
    pub(crate) token: String,
    pub(crate) ranks: usize,
}

/// What ranks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// To run one function.
    Run,
    /// To be the workers of a pool.
    Pool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    /// The names and numbers under which the owner's host may be known.
    Tcp(Vec<String>, u16),
}

impl JobSpec {
    /// As one word.
    pub(crate) fn to_text(&self) -> String {
        let role = match self.role {
            Role::Run => "run",
            Role::Pool => "pool",
        };
        let address = match &self.address {
            Address::Unix(path) => format!("unix={}", path.display()),
            Address::Tcp(names, port) => format!("tcp={}={port}", names.join(",")),
        };
        format!("{role};{};{};{address}", self.ranks, self.token)
    }

    pub(crate) fn from_text(text: &str) -> Option<JobSpec> {
        let mut parts = text.splitn(4, ';');
        let role = match parts.next()? {
            "run" => Role::Run,
            "pool" => Role::Pool,
            _ => return None,
        };
        let ranks = parts.next()?.parse().ok()?;
        let token = parts.next()?.to_owned();
        let address = match parts.next()?.split_once('=')? {
            ("unix", path) => Address::Unix(path.into()),
            ("tcp", place) => {
                let (names, port) = place.split_once('=')?;
                let names = names.split(',').map(str::to_owned).collect();
                Address::Tcp(names, port.parse().ok()?)
            }
            _ => return None,
        };
        Some(JobSpec {
            role,
            address,
            token,
            ranks,
        })
    }

    /// Connects to the owner and says what the connection is for.
    pub(crate) fn connect(&self, rank: usize, channel: Channel) -> io::Result<OwnedFd> {
        let socket: OwnedFd = match &self.address {
            Address::Unix(path) => UnixStream::connect(path)?.into(),
            Address::Tcp(names, port) => connect_by_name(names, *port)?.into(),
        };
        let hello = Hello {
            token: self.token.clone(),
            rank: rank as u32,
            channel,
        };
        send(&socket, &hello)?;
        Ok(socket)
    }
}

fn connect_by_name(names: &[String], port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the owner's host has no name");
    for name in names {
        let addresses = match (name.as_str(), port).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => {
                last = error;
                continue;
            }
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, TIME_TO_CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// Where the owner waits for its ranks.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// For ranks on this host only.
    pub(crate) fn near(folder: &Path) -> io::Result<(Listener, Address)> {
        let path = folder.join("s");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok((Listener::Unix(listener), Address::Unix(path)))
    }

    /// For ranks on other hosts as well.
    pub(crate) fn far() -> io::Result<(Listener, Address)> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((Listener::Tcp(listener), Address::Tcp(own_names(), port)))
    }

    /// The next connection that waits.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        let accepted = match self {
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| {
                // It only costs time if it cannot be set.
                let _ = stream.set_nodelay(true);
                stream.into()
            }),
        };
        match accepted {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// Numbers before names: a name may not be known on other hosts.
fn own_names() -> Vec<String> {
    let mut names = Vec::new();
    for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let address = interface.address.as_ref();
        if let Some(address) = address.and_then(|address| address.as_sockaddr_in())
            && !address.ip().is_loopback()
        {
            names.push(address.ip().to_string());
        }
    }
    if let Ok(name) = nix::unistd::gethostname() {
        names.push(name.to_string_lossy().into_owned());
    }
    names.push(Ipv4Addr::LOCALHOST.to_string());
    names
}

/// What one connection of a rank is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Channel {
    /// Messages of the owner and of the rank.
    Control,
    /// What the rank prints.
    Output,
    /// What it prints as errors.
    Errors,
    /// What rank 0 of a pool has to say.
    Pool,
}

/// The first message on each connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) token: String,
    pub(crate) rank: u32,
    pub(crate) channel: Channel,
}

/// What the owner says to a rank.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OwnerMessage {
    /// To call the function there.
    Run(CodeRef),
    /// What are you doing?
    Ask,
    /// The library that the rank asked for.
    Library(Option<Vec<u8>>),
}

/// What a rank is doing, in words that follow its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) text: String,
    /// Whether it waits for other ranks, or wants nothing more.
    pub(crate) waits: bool,
    /// How many calls it has begun and ended: if the number stays, so does the rank.
    pub(crate) steps: u64,
}

/// What a rank says to the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RankMessage {
    Up {
        host: String,
        /// How many ranks the MPI library sees, and what it calls itself.
        size: u32,
        library: String,
    },
    /// What the owner gets in place of `Up`.
    Ready,
    Activity(Activity),
    NoLibrary(PathBuf),
    Value(Vec<u8>),
    /// The value could not be made into bytes.
    NotSent(String),
    Panicked(String),
    /// The function cannot be run, for this reason.
    Failed(String),
    /// The rank calls `MPI_Abort`.
    Aborts(i32),
    /// The rank's process exits with this status, before all is said; `by_itself` if the MPI library
    /// is not what has it exit, as when it misses another rank.
    Exits {
        status: i32,
        by_itself: bool,
    },
    /// All is said; whatever happens to the process now is no loss.
    Done,
}

/// Sends a message as a whole.
pub(crate) fn send<M: Serialize>(socket: &OwnedFd, message: &M) -> io::Result<()> {
    let mut bytes = append(message, vec![0; 8]).map_err(io::Error::other)?;
    let length = (bytes.len() - 8) as u64;
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    Bytes(socket).write_all(&bytes)
}

/// Waits for a message.
pub(crate) fn receive<M: DeserializeOwned>(socket: &OwnedFd) -> io::Result<M> {
    let mut length = [0; 8];
    Bytes(socket).read_exact(&mut length)?;
    let mut message = vec![0; checked_length(length)?];
    Bytes(socket).read_exact(&mut message)?;
    from_bytes(&message).map_err(io::Error::other)
}

fn checked_length(length: [u8; 8]) -> io::Result<usize> {
    match u64::from_le_bytes(length) {
        length if length <= LONGEST => Ok(length as usize),
        _ => Err(io::Error::other("something that is no message")),
    }
}

/// Bytes that came, until they are a message.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Reads what is there, without waiting.
    pub(crate) fn read_from(&mut self, socket: &OwnedFd) -> Arrival {
        read_available(socket, &mut self.bytes, READ_AT_ONCE)
    }

    pub(crate) fn take<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let length = checked_length(*length)?;
        if rest.len() < length {
            return Ok(None);
        }
        let message = from_bytes(&rest[..length]).map_err(io::Error::other)?;
        self.bytes.drain(..8 + length);
        Ok(Some(message))
    }

    /// Reads no more than one message, without waiting: what follows is for somebody else.
    pub(crate) fn read_one_from(&mut self, socket: &OwnedFd) -> Arrival {
        loop {
            let wanted = match self.bytes.split_first_chunk::<8>() {
                None => 8,
                Some((length, _)) => match checked_length(*length) {
                    Ok(length) => 8 + length,
                    Err(_) => return Arrival::Closed,
                },
            };
            let missing = wanted - self.bytes.len();
            if missing == 0 {
                return Arrival::Some;
            }
            match read_available(socket, &mut self.bytes, missing) {
                Arrival::Some => {}
                other => return other,
            }
        }
    }
}

/// A socket of either kind, read and written.
struct Bytes<'s>(&'s OwnedFd);

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(self.0, buffer)?)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use nix::sys::socket::{MsgFlags, send};
        use std::os::fd::AsRawFd;
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_survives_its_text() {
        let names = vec!["10.0.0.1".to_owned(), "node7".to_owned()];
        for address in [
            Address::Unix("/tmp/a b;c=d".into()),
            Address::Tcp(names, 4711),
        ] {
            let spec = JobSpec {
                role: Role::Pool,
                address,
                token: "secret".to_owned(),
                ranks: 12,
            };
            assert_eq!(JobSpec::from_text(&spec.to_text()), Some(spec));
        }
        assert_eq!(JobSpec::from_text("run;x"), None);
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let (here, there) = (OwnedFd::from(here), OwnedFd::from(there));
        let long = "long ".repeat(10_000);
        send(&here, &"one").unwrap();
        send(&here, &long).unwrap();
        assert_eq!(receive::<String>(&there).unwrap(), "one");
        let mut inbox = Inbox::default();
        let arrived = loop {
            assert_eq!(inbox.read_from(&there), Arrival::Some);
            if let Some(text) = inbox.take::<String>().unwrap() {
                break text;
            }
        };
        assert_eq!(arrived, long);
        drop(here);
        assert_eq!(inbox.read_from(&there), Arrival::Closed);
    }

    #[test]
    fn noise_is_no_message() {
        let mut inbox = Inbox {
            bytes: vec![0xff; 64],
        };
        assert!(inbox.take::<String>().is_err());
    }
}
