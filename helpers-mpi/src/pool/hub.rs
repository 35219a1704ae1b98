//! Rank 0's part: passes messages on to ranks, and knows whom it can wake.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{Body, Bytes};

use super::doorbell::{Doorbell, ring};
use super::message::{FromRank, ToRank, Whereabouts};
use super::messenger::Messenger;

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

    pub(super) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// How many ranks work.
    pub(super) fn workers(&self) -> usize {
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
    pub(super) fn must_look(&self) -> bool {
        self.silent > 0 || self.unheard > 0 || !self.is_flushed()
    }
}
