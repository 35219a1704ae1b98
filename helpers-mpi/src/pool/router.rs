//! The loop of rank 0: what the pool says goes to the ranks, what they say goes to the pool.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{Arrival, Bytes, Connection, LOOKING, parcels_are_tidy, tidy_parcels};
use nix::poll::PollFlags;

use super::doorbell::{LONG_SLEEP, Nap};
use super::message::Order;
use super::switch::Switch;

/// How long rank 0 looks for messages after the last one, while large ones are under way.
const LOOKING_AFTER_LARGE: Duration = Duration::from_millis(1);

/// Passes messages on until the pool's end of the connection closes.
pub(super) fn route(mut switch: Switch, pool: OwnedFd) -> io::Result<()> {
    let mut pool = Connection::new(pool, false);
    let mut last = Instant::now();
    let mut nap = Nap::new();
    loop {
        let mut is_quiet = true;
        match pool.receive()? {
            Arrival::Nothing => {}
            Arrival::Closed => return end(switch),
            Arrival::Some => is_quiet = false,
        }
        while let Some(((rank, order), body)) = pool.take::<(u32, Order)>()? {
            switch.send(rank as usize, &order, body.bytes)?;
        }
        while let Some((rank, report, body)) = switch.take()? {
            pool.put(&(rank as u32, report), &body)?;
            if let Bytes::Parcel(parcel, _) = body.bytes {
                // The pool will say when it has read it.
                parcel.leave();
            }
            is_quiet = false;
        }
        pool.flush(false)?;
        switch.progress();
        if !is_quiet {
            last = Instant::now();
            nap = Nap::new();
            continue;
        }
        let looking = if switch.is_flushed() {
            LOOKING
        } else {
            LOOKING_AFTER_LARGE
        };
        if last.elapsed() < looking {
            thread::yield_now();
            continue;
        }
        let mut limit = LONG_SLEEP;
        if switch.must_look() {
            limit = nap.next();
        } else if !parcels_are_tidy() && last.elapsed() >= LONG_SLEEP {
            tidy_parcels();
        }
        let mut events = PollFlags::POLLIN;
        if !pool.is_flushed() {
            events |= PollFlags::POLLOUT;
        }
        let socket = pool.socket();
        if switch.bell().sleep(&[(socket.as_fd(), events)], limit) {
            last = Instant::now();
        }
    }
}

/// Tells the ranks that the pool is gone.
fn end(mut switch: Switch) -> io::Result<()> {
    for rank in 1..=switch.workers() {
        switch.send(rank, &Order::End, Bytes::default())?;
    }
    Ok(())
}
