//! Rank 0's part: passes orders on to ranks, and knows whom it can wake.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{Body, Bytes};

use super::doorbell::{Doorbell, ring};
use super::message::{Order, Report, Whereabouts};
use super::post::Post;

/// The messages between rank 0 and the ranks that work.
#[derive(Debug)]
pub(super) struct Switch {
    post: Post,
    bell: Doorbell,
    own: Whereabouts,
    /// For each rank its process, if it is on this host and can be woken.
    near: Vec<Option<u32>>,
    /// How many ranks have not said where they are.
    silent: usize,
    /// Orders to ranks that answer without a ring.
    unheard: usize,
}

impl Switch {
    /// Says hello to all ranks, who then say where they are.
    pub(super) fn new(mut post: Post) -> io::Result<Switch> {
        let bell = Doorbell::new();
        let own = Whereabouts::own(&bell);
        for rank in 1..post.size() {
            post.send(rank, &Order::Hello(own.clone()), Bytes::default())?;
        }
        Ok(Switch {
            near: vec![None; post.size()],
            silent: post.size() - 1,
            post,
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
        self.post.size() - 1
    }

    /// Sends all ranks back to what they did before, and waits for them, but not for long.
    pub(super) fn close(&mut self, patience: Duration) {
        let mut at_work = 0;
        for rank in 1..=self.workers() {
            at_work += usize::from(self.send(rank, &Order::End, Bytes::default()).is_ok());
        }
        self.post.is_open = true;
        let deadline = Instant::now() + patience;
        while at_work > 0 && Instant::now() < deadline {
            match self.take() {
                Ok(Some((_, Report::Bye, _))) => at_work -= 1,
                Ok(Some(_)) => {}
                Ok(None) => thread::sleep(Duration::from_micros(100)),
                Err(_) => return,
            }
        }
        self.post.is_open = at_work > 0;
    }

    /// Puts an order on its way, and wakes the rank.
    pub(super) fn send(&mut self, rank: usize, order: &Order, body: Bytes) -> io::Result<()> {
        if rank == 0 || rank >= self.near.len() {
            return Err(io::Error::other("an order to a rank that does not exist"));
        }
        self.post.send(rank, order, body)?;
        match self.near[rank] {
            Some(process) => ring(process),
            None => self.unheard += usize::from(order.has_answer()),
        }
        Ok(())
    }

    /// Takes the next report, if one has come.
    pub(super) fn take(&mut self) -> io::Result<Option<(usize, Report, Body)>> {
        let Some(mut envelope) = self.post.take::<Report>()? else {
            return Ok(None);
        };
        let body = self.post.body(&mut envelope);
        let from = envelope.from;
        match &envelope.message {
            Report::Up(place) => {
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
        self.post.progress();
    }

    /// Whether all orders have gone.
    pub(super) fn is_flushed(&self) -> bool {
        self.post.is_flushed()
    }

    /// Whether something may come that nobody announces.
    pub(super) fn must_look(&self) -> bool {
        self.silent > 0 || self.unheard > 0 || !self.is_flushed()
    }
}
