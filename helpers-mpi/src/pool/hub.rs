//! What a rank does in a pool: rank 0, the hub, passes messages on, and the others work.
//!
//! Where the pool's own process is rank 0, its transport has the hub, and calls it directly.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{
    Arrival, Body, Bytes, CodeRef, Connection, LOOKING, Order, PoolLink, Report, buffers_are_tidy,
    tidy_buffers, work,
};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::{Deserialize, Serialize};

use super::doorbell::{Doorbell, LONG_SLEEP, Nap, ring};
use super::messenger::Messenger;
use crate::library;

/// How long rank 0 looks for messages after the last one, while large ones are under way.
const LOOKING_AFTER_LARGE: Duration = Duration::from_millis(1);

/// The rank that orders come from and reports go to.
const POOL: usize = 0;

/// The part of a rank in a pool, until the pool is gone: rank 0 passes on what comes through its
/// connection to the pool, the others work. `world` is used by nobody else.
pub(crate) fn serve(world: SimpleCommunicator, pool: Option<OwnedFd>) -> io::Result<()> {
    let is_worker = world.rank() > 0;
    let messenger = Messenger::new(world);
    match pool {
        _ if is_worker => work_for_pool(messenger),
        Some(pool) => Hub::new(messenger)?.relay(pool),
        None => Err(io::Error::other("rank 0 without a pool")),
    }
}

/// From rank 0 to a rank that works.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToRank {
    /// The first message: where rank 0 is, so that it can be woken.
    Hello(Whereabouts),
    /// What the pool wants.
    Order(Order),
    /// The pool is gone.
    End,
}

impl ToRank {
    /// Whether the rank says something when it has carried this out.
    fn has_answer(&self) -> bool {
        !matches!(
            self,
            ToRank::Hello(_)
                | ToRank::Order(
                    Order::Function { .. } | Order::Value { .. } | Order::Forget { .. }
                )
        )
    }
}

/// From a rank that works to rank 0, and on to the pool.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromRank {
    /// The rank listens from now on.
    Up(Whereabouts),
    /// What the pool is to know.
    Report(Report),
    /// The rank goes back to what it did before the pool.
    Bye,
}

/// Where a rank runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    /// What the host calls itself.
    pub(super) host: String,
    /// Tells machines apart, whatever they call themselves.
    machine: String,
    /// The number of its process on that machine.
    process: u32,
    /// Whether a ring wakes it; see [`Doorbell`](super::doorbell::Doorbell).
    can_be_rung: bool,
}

impl Whereabouts {
    /// Those of this process.
    fn own(bell: &Doorbell) -> Whereabouts {
        Whereabouts {
            host: crate::rank::host(),
            machine: machine(),
            process: std::process::id(),
            can_be_rung: bell.can_be_rung(),
        }
    }

    /// Whether the other process sees the same files and processes.
    fn is_near(&self, other: &Whereabouts) -> bool {
        self.is_on(&other.machine)
    }

    /// Whether it is the machine of this name.
    pub(super) fn is_on(&self, machine: &str) -> bool {
        !machine.is_empty() && self.machine == machine
    }
}

/// A name that no other running machine has; empty where the system gives none.
pub(super) fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Processes see each other by their numbers only in the same name space.
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() {
        return String::new();
    }
    format!("{} {}", boot.trim(), space.display())
}

/// The messages between rank 0 and the ranks that work.
#[derive(Debug)]
pub(super) struct Hub {
    messenger: Messenger,
    bell: Doorbell,
    own: Whereabouts,
    /// For each rank its process, if it is on this host and can be woken.
    near: Vec<Option<u32>>,
    /// How many ranks have not said where they are.
    silent: usize,
    /// Messages to ranks that answer without a ring.
    unheard: usize,
}

impl Hub {
    /// Says hello to all ranks, who then say where they are.
    pub(super) fn new(mut messenger: Messenger) -> io::Result<Hub> {
        let bell = Doorbell::new();
        let own = Whereabouts::own(&bell);
        for rank in 1..messenger.size() {
            messenger.send(rank, &ToRank::Hello(own.clone()), Bytes::default())?;
        }
        Ok(Hub {
            near: vec![None; messenger.size()],
            silent: messenger.size() - 1,
            messenger,
            bell,
            own,
            unheard: 0,
        })
    }

    /// How many ranks work.
    fn workers(&self) -> usize {
        self.messenger.size() - 1
    }

    /// Sends all ranks back to what they did before, and waits for them, but not for long.
    pub(super) fn close(&mut self, patience: Duration) {
        let mut at_work = 0;
        for rank in 1..=self.workers() {
            at_work += usize::from(self.send(rank, &ToRank::End, Bytes::default()).is_ok());
        }
        self.messenger.is_open = true;
        let deadline = Instant::now() + patience;
        while at_work > 0 && Instant::now() < deadline {
            match self.take() {
                Ok(Some((_, FromRank::Bye, _))) => at_work -= 1,
                Ok(Some(_)) => {}
                Ok(None) => thread::sleep(Duration::from_micros(100)),
                Err(_) => return,
            }
        }
        self.messenger.is_open = at_work > 0;
    }

    /// Puts a message on its way, and wakes the rank.
    pub(super) fn send(&mut self, rank: usize, message: &ToRank, body: Bytes) -> io::Result<()> {
        if rank == 0 || rank >= self.near.len() {
            return Err(io::Error::other("a message to a rank that does not exist"));
        }
        self.messenger.send(rank, message, body)?;
        match self.near[rank] {
            Some(process) => ring(process),
            None => self.unheard += usize::from(message.has_answer()),
        }
        Ok(())
    }

    /// Takes the next report, if one has come.
    pub(super) fn take(&mut self) -> io::Result<Option<(usize, FromRank, Body)>> {
        let Some(mut envelope) = self.messenger.take::<FromRank>()? else {
            return Ok(None);
        };
        let body = self.messenger.body(&mut envelope);
        let from = envelope.from;
        match &envelope.message {
            FromRank::Up(place) => {
                self.silent = self.silent.saturating_sub(1);
                if place.is_near(&self.own) && place.can_be_rung {
                    self.near[from] = Some(place.process);
                }
            }
            _ if self.near[from].is_none() => self.unheard = self.unheard.saturating_sub(1),
            _ => {}
        }
        Ok(Some((from, envelope.message, body)))
    }

    pub(super) fn progress(&mut self) {
        self.messenger.progress();
    }

    /// Whether all orders have gone.
    pub(super) fn is_flushed(&self) -> bool {
        self.messenger.is_flushed()
    }

    /// Whether something may come that nobody announces.
    fn must_look(&self) -> bool {
        self.silent > 0 || self.unheard > 0 || !self.is_flushed()
    }

    /// Passes messages on until the pool's end of the connection closes.
    fn relay(mut self, pool: OwnedFd) -> io::Result<()> {
        let mut pool = Connection::new(pool, false);
        let mut last = Instant::now();
        let mut nap = Nap::new();
        loop {
            let mut is_quiet = true;
            match pool.receive()? {
                Arrival::Nothing => {}
                Arrival::Closed => return self.tell_end(),
                Arrival::Some => is_quiet = false,
            }
            while let Some(((rank, order), body)) = pool.take::<(u32, Order)>()? {
                self.send(rank as usize, &ToRank::Order(order), body.bytes)?;
            }
            while let Some((rank, message, body)) = self.take()? {
                pool.give(&(rank as u32, message), body)?;
                is_quiet = false;
            }
            pool.flush(false)?;
            self.progress();
            if !is_quiet {
                last = Instant::now();
                nap = Nap::new();
                continue;
            }
            let looking = if self.is_flushed() {
                LOOKING
            } else {
                LOOKING_AFTER_LARGE
            };
            if last.elapsed() < looking {
                thread::yield_now();
                continue;
            }
            let mut limit = LONG_SLEEP;
            if self.must_look() {
                limit = nap.next();
            } else if !buffers_are_tidy() && last.elapsed() >= LONG_SLEEP {
                tidy_buffers();
            }
            let socket = pool.socket();
            if self.bell.sleep(&[(socket.as_fd(), pool.events())], limit) {
                last = Instant::now();
            }
        }
    }

    /// Tells the ranks that the pool is gone.
    fn tell_end(&mut self) -> io::Result<()> {
        for rank in 1..=self.workers() {
            self.send(rank, &ToRank::End, Bytes::default())?;
        }
        Ok(())
    }
}

/// Works until the pool is gone.
fn work_for_pool(messenger: Messenger) -> io::Result<()> {
    let mut link = ToPool {
        messenger,
        bell: Doorbell::new(),
        near: None,
        is_over: false,
    };
    work(&mut link)?;
    link.send(&FromRank::Bye, Body::default())
}

/// The way of a rank that works to the pool.
struct ToPool {
    messenger: Messenger,
    bell: Doorbell,
    /// The process of rank 0, if it is on this host and can be woken.
    near: Option<u32>,
    is_over: bool,
}

impl ToPool {
    fn ring(&self) {
        if let Some(process) = self.near {
            ring(process);
        }
    }

    fn send(&mut self, message: &FromRank, body: Body) -> io::Result<()> {
        self.messenger.send(POOL, message, body.bytes)?;
        self.ring();
        self.messenger.flush();
        Ok(())
    }
}

impl PoolLink for ToPool {
    fn take(&mut self) -> io::Result<Option<(Order, Body)>> {
        while let Some(mut envelope) = self.messenger.take::<ToRank>()? {
            if envelope.has_more() {
                // Rank 0 may sleep, and has its part in sending a long body.
                self.ring();
            }
            let body = self.messenger.body(&mut envelope);
            match envelope.message {
                ToRank::Hello(pool) => {
                    let own = Whereabouts::own(&self.bell);
                    let near = own.is_near(&pool) && pool.can_be_rung && own.can_be_rung;
                    self.near = near.then_some(pool.process);
                    self.send(&FromRank::Up(own), Body::default())?;
                }
                ToRank::Order(order) => return Ok(Some((order, body))),
                ToRank::End => {
                    self.is_over = true;
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Awake for a moment, then asleep.
    fn wait(&mut self) -> io::Result<bool> {
        let mut start = Instant::now();
        let mut nap = Nap::new();
        while !self.is_over && !self.messenger.has_some() {
            if start.elapsed() < LOOKING {
                thread::yield_now();
                continue;
            }
            let limit = match self.near {
                Some(_) => LONG_SLEEP,
                None => nap.next(),
            };
            if self.bell.sleep(&[], limit) {
                start = Instant::now();
            } else if !buffers_are_tidy() && start.elapsed() >= LONG_SLEEP {
                tidy_buffers();
            }
        }
        Ok(!self.is_over)
    }

    fn report(&mut self, report: &Report, body: Body) -> io::Result<()> {
        self.send(&FromRank::Report(report.clone()), body)
    }

    fn find(&mut self, function: &CodeRef) -> io::Result<CodeRef> {
        library::here(function)
    }

    fn loaded(&mut self, function: &CodeRef) {
        library::forget(function);
    }
}
