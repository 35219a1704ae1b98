//! A rank that works, and its way to the pool.

use std::io::{self, Write};
use std::thread;
use std::time::Instant;

use helpers::internals::{
    Body, CodeRef, LOOKING, Order, PoolLink, Report, buffers_are_tidy, tidy_buffers, work,
};

use super::doorbell::{Doorbell, LONG_SLEEP, Nap, ring};
use super::message::{FromRank, ToRank, Whereabouts};
use super::messenger::Messenger;
use crate::library;

/// The rank that orders come from and reports go to.
const POOL: usize = 0;

/// Works until the pool is gone.
pub(super) fn run(messenger: Messenger) -> io::Result<()> {
    let mut link = Link {
        messenger,
        bell: Doorbell::new(),
        near: None,
        is_over: false,
    };
    work(&mut link)?;
    link.send(&FromRank::Bye, Body::default())
}

struct Link {
    messenger: Messenger,
    bell: Doorbell,
    /// The process of rank 0, if it is on this host and can be woken.
    near: Option<u32>,
    is_over: bool,
}

impl Link {
    fn ring(&self) {
        if let Some(process) = self.near {
            ring(process);
        }
    }

    fn send(&mut self, message: &FromRank, body: Body) -> io::Result<()> {
        // What a task has printed must be on its way before its result is.
        let _ = io::stdout().flush();
        self.messenger.send(POOL, message, body.bytes)?;
        self.ring();
        self.messenger.flush();
        Ok(())
    }
}

impl PoolLink for Link {
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

    fn find(&mut self, function: &CodeRef, length: Option<u64>) -> io::Result<CodeRef> {
        library::here(function, length)
    }

    fn loaded(&mut self, function: &CodeRef) {
        library::forget(function);
    }
}
