//! Messages between ranks, and the one place that calls MPI's C functions by itself.
//!
//! A message is an envelope: what it says, and a body of bytes if that is short. A longer body
//! follows as messages of its own, straight from where it lies to where it will be read.
//! Nothing that is sent waits for its receiver, who may be at work for long.

use std::fmt;
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::raw::c_int;

use helpers::internals::{Body, Bytes, ShmBuffer, append, from_bytes};
use mpi::ffi;
use mpi::point_to_point::Status;
use mpi::raw::AsRaw;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

const ENVELOPE: c_int = 1;
const BODY: c_int = 2;

/// Longer bodies follow their envelope.
const MOST_INLINE: usize = 32 << 10;

/// MPI counts bytes with 32 bits, so that longer bodies travel in pieces.
const LONGEST_PIECE: usize = 1 << 30;

/// The length of what the envelope says, and of the body; then whether the body is inside.
const HEADER: usize = 16;
const FOLLOWS: u32 = 1 << 31;

/// The messages of this rank on a communicator that nobody else uses.
pub(super) struct Messenger {
    world: ManuallyDrop<SimpleCommunicator>,
    /// Whether a message may still come, so that MPI must keep the communicator.
    pub(super) is_open: bool,
    /// Under way, each with the bytes that MPI reads meanwhile.
    outgoing: Vec<(Vec<Request>, Bytes)>,
}

// SAFETY: communicators and requests are handles that any thread may use, one at a time, as MPI
// was initialised for calls that come from any thread but one by one (`MPI_THREAD_SERIALIZED`).
// The pool makes its calls under a lock, and as long as it makes any, nobody else does: see
// `launched::lease::begin_pool`.
unsafe impl Send for Messenger {}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messenger({} messages under way)", self.outgoing.len())
    }
}

impl Messenger {
    pub(super) fn new(world: SimpleCommunicator) -> Messenger {
        Messenger {
            world: ManuallyDrop::new(world),
            is_open: false,
            outgoing: Vec::new(),
        }
    }

    /// How many ranks there are.
    pub(super) fn size(&self) -> usize {
        self.world.size() as usize
    }

    /// Puts a message on its way to a rank.
    pub(super) fn send<M: Serialize>(
        &mut self,
        to: usize,
        message: &M,
        body: Bytes,
    ) -> io::Result<()> {
        let bytes = body.as_slice().map_err(io::Error::other)?;
        let mut envelope = append(message, vec![0; HEADER]).map_err(io::Error::other)?;
        let follows = bytes.len() > MOST_INLINE;
        let said = (envelope.len() - HEADER) as u32 | if follows { FOLLOWS } else { 0 };
        envelope[..4].copy_from_slice(&said.to_le_bytes());
        envelope[8..HEADER].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        if !follows {
            envelope.extend(bytes);
        }
        let request = self.start(to, ENVELOPE, &envelope)?;
        self.outgoing.push((vec![request], Bytes::Inline(envelope)));
        if follows {
            let pieces = bytes.chunks(LONGEST_PIECE);
            let requests = pieces.map(|piece| self.start(to, BODY, piece));
            let requests = requests.collect::<io::Result<_>>()?;
            self.outgoing.push((requests, body));
        }
        Ok(())
    }

    /// Starts to send bytes, which must stay where they are until the request has ended.
    fn start(&self, to: usize, tag: c_int, bytes: &[u8]) -> io::Result<Request> {
        let mut request = MaybeUninit::uninit();
        // SAFETY: the pointer and the count describe `bytes`, which the caller keeps in
        // `outgoing` (where moving a `Bytes` does not move the bytes: they lie on the heap or in
        // mapped memory) until the request has ended. The datatype and the communicator are
        // valid handles, and MPI writes the request if it succeeds.
        let code = unsafe {
            ffi::MPI_Isend(
                bytes.as_ptr().cast(),
                bytes.len() as c_int,
                u8::equivalent_datatype().as_raw(),
                to as c_int,
                tag,
                self.world.as_raw(),
                request.as_mut_ptr(),
            )
        };
        if code != ffi::MPI_SUCCESS as c_int {
            return Err(io::Error::other(format!("MPI_Isend gave error {code}")));
        }
        // SAFETY: the call has succeeded, so it has written the request.
        Ok(Request(unsafe { request.assume_init() }))
    }

    /// Lets what is under way go on, and forgets what has gone.
    pub(super) fn progress(&mut self) {
        self.outgoing.retain_mut(|(requests, _)| {
            requests.retain_mut(|request| !request.has_ended());
            !requests.is_empty()
        });
    }

    /// Whether all that was sent has gone.
    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Waits until all that was sent has gone.
    pub(super) fn flush(&mut self) {
        while !self.is_flushed() {
            self.progress();
        }
    }

    /// Whether a message has come.
    pub(super) fn has_some(&self) -> bool {
        self.probe().is_some()
    }

    /// The next message that has come.
    fn probe(&self) -> Option<Status> {
        let probe = || self.world.any_process().immediate_probe_with_tag(ENVELOPE);
        // Open MPI looks first among what it has taken in, and takes in more then.
        probe().or_else(probe)
    }

    /// Takes the next message from any rank, if one has come.
    pub(super) fn take<M: DeserializeOwned>(&mut self) -> io::Result<Option<Envelope<M>>> {
        let Some(status) = self.probe() else {
            return Ok(None);
        };
        let from = self.world.process_at_rank(status.source_rank());
        let mut envelope = vec![0u8; length(&status)];
        from.receive_into_with_tag(&mut envelope[..], ENVELOPE);
        let broken = || io::Error::other("a message that is none");
        let (header, rest) = envelope.split_first_chunk::<HEADER>().ok_or_else(broken)?;
        let said = u32::from_le_bytes(header[..4].try_into().unwrap_or_default());
        let len = u64::from_le_bytes(header[8..].try_into().unwrap_or_default()) as usize;
        let (message, inline) = rest
            .split_at_checked((said & !FOLLOWS) as usize)
            .ok_or_else(broken)?;
        let message = from_bytes(message).map_err(io::Error::other)?;
        let inline = inline.to_vec();
        Ok(Some(Envelope {
            from: status.source_rank() as usize,
            message,
            inline,
            follows: (said & FOLLOWS != 0).then_some(len),
        }))
    }

    /// Receives the body of a message.
    pub(super) fn body<M>(&mut self, envelope: &mut Envelope<M>) -> Body {
        let bytes = match envelope.follows.take() {
            None => Bytes::Inline(std::mem::take(&mut envelope.inline)),
            Some(len) => self.receive_body(envelope.from, len),
        };
        Body {
            bytes,
            ..Body::default()
        }
    }

    /// Receives so many bytes into memory that is kept for such messages.
    fn receive_body(&self, from: usize, len: usize) -> Bytes {
        let from = self.world.process_at_rank(from as c_int);
        let receive = |bytes: &mut [u8]| {
            for piece in bytes.chunks_mut(LONGEST_PIECE) {
                from.receive_into_with_tag(piece, BODY);
            }
        };
        match ShmBuffer::new(len) {
            Ok(mut buffer) => {
                receive(&mut buffer.bytes_mut()[..len]);
                Bytes::Shared(buffer, len)
            }
            Err(_) => {
                let mut bytes = vec![0; len];
                receive(&mut bytes);
                Bytes::Inline(bytes)
            }
        }
    }
}

impl Drop for Messenger {
    fn drop(&mut self) {
        self.progress();
        for (_, bytes) in self.outgoing.drain(..) {
            // MPI may still read them.
            std::mem::forget(bytes);
            self.is_open = true;
        }
        if !self.is_open {
            // SAFETY: this is the end of the messenger, so nobody uses the communicator again.
            unsafe { ManuallyDrop::drop(&mut self.world) };
        }
    }
}

/// A message without its body.
#[derive(Debug)]
pub(super) struct Envelope<M> {
    pub(super) from: usize,
    pub(super) message: M,
    inline: Vec<u8>,
    /// The length of the body that is still to be received.
    follows: Option<usize>,
}

impl<M> Envelope<M> {
    /// Whether a long body is still to be received.
    pub(super) fn has_more(&self) -> bool {
        self.follows.is_some()
    }
}

fn length(status: &Status) -> usize {
    status.count(u8::equivalent_datatype()) as usize
}

/// What MPI knows a message under way by.
#[derive(Debug)]
struct Request(ffi::MPI_Request);

impl Request {
    fn has_ended(&mut self) -> bool {
        let mut ended = 0;
        // SAFETY: the request is one that MPI gave, or, after its end, the null request, which MPI
        // allows and calls ended. No status is asked for.
        let code = unsafe { ffi::MPI_Test(&mut self.0, &mut ended, ffi::RSMPI_STATUS_IGNORE) };
        code == ffi::MPI_SUCCESS as c_int && ended != 0
    }
}
