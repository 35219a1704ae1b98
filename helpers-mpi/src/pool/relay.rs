//! The loop of rank 0: what the pool says goes to the ranks, what they say goes to the pool.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{
    Arrival, Bytes, Connection, LOOKING, Order, buffers_are_tidy, tidy_buffers,
};
use nix::poll::PollFlags;

use super::doorbell::{LONG_SLEEP, Nap};
use super::hub::Hub;
use super::message::ToRank;

/// How long rank 0 looks for messages after the last one, while large ones are under way.
const LOOKING_AFTER_LARGE: Duration = Duration::from_millis(1);

/// Passes messages on until the pool's end of the connection closes.
pub(super) fn route(mut hub: Hub, pool: OwnedFd) -> io::Result<()> {
    let mut pool = Connection::new(pool, false);
    let mut last = Instant::now();
    let mut nap = Nap::new();
    loop {
        let mut is_quiet = true;
        match pool.receive()? {
            Arrival::Nothing => {}
            Arrival::Closed => return end(hub),
            Arrival::Some => is_quiet = false,
        }
        while let Some(((rank, order), body)) = pool.take::<(u32, Order)>()? {
            hub.send(rank as usize, &ToRank::Order(order), body.bytes)?;
        }
        while let Some((rank, message, body)) = hub.take()? {
            pool.put(&(rank as u32, message), &body)?;
            if let Bytes::Shared(buffer, _) = body.bytes {
                // The pool will say when it has read it.
                buffer.leave();
            }
            is_quiet = false;
        }
        pool.flush(false)?;
        hub.progress();
        if !is_quiet {
            last = Instant::now();
            nap = Nap::new();
            continue;
        }
        let looking = if hub.is_flushed() {
            LOOKING
        } else {
            LOOKING_AFTER_LARGE
        };
        if last.elapsed() < looking {
            thread::yield_now();
            continue;
        }
        let mut limit = LONG_SLEEP;
        if hub.must_look() {
            limit = nap.next();
        } else if !buffers_are_tidy() && last.elapsed() >= LONG_SLEEP {
            tidy_buffers();
        }
        let mut events = PollFlags::POLLIN;
        if !pool.is_flushed() {
            events |= PollFlags::POLLOUT;
        }
        let socket = pool.socket();
        if hub.bell().sleep(&[(socket.as_fd(), events)], limit) {
            last = Instant::now();
        }
    }
}

/// Tells the ranks that the pool is gone.
fn end(mut hub: Hub) -> io::Result<()> {
    for rank in 1..=hub.workers() {
        hub.send(rank, &ToRank::End, Bytes::default())?;
    }
    Ok(())
}
