//! The loop of a rank that works: carries orders out and reports what came of them.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{
    Board, Body, Desk, Errand, Place, cpu_time, now, parcels_are_tidy, tidy_parcels,
};

use super::doorbell::{Doorbell, LONG_SLEEP, Nap, ring};
use super::message::{Order, Report, Whereabouts};
use super::post::Post;
use crate::library;

/// How long a rank looks for its next task before it sleeps.
const LOOKING: Duration = Duration::from_micros(50);

/// The time of shorter tasks is written down when there is nothing else to do.
const NOTABLE: Duration = Duration::from_micros(100);

/// The rank that orders come from and reports go to.
const POOL: usize = 0;

pub(super) struct Worker {
    post: Post,
    bell: Doorbell,
    desk: Desk,
    board: Board,
    /// Whether the pool reads the board.
    shares_board: bool,
    /// The process of rank 0, if it is on this host and can be woken.
    near: Option<u32>,
}

impl Worker {
    pub(super) fn new(post: Post) -> io::Result<Worker> {
        let own = Board::new()?;
        Ok(Worker {
            post,
            bell: Doorbell::new(),
            desk: Desk::open(),
            board: Board::open(Arc::clone(own.file()))?,
            shares_board: false,
            near: None,
        })
    }

    /// Works until the pool is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let Some(mut envelope) = self.post.take::<Order>()? else {
                if self.shares_board {
                    self.board.set_cpu_time(cpu_time());
                }
                self.wait()?;
                continue;
            };
            if envelope.has_more() {
                // Rank 0 may sleep, and has its part in sending a long body.
                self.ring();
            }
            let body = self.post.body(&mut envelope);
            if let Order::End = envelope.message {
                self.report(&Report::Bye, Body::default())?;
                return Ok(());
            }
            self.carry_out(envelope.message, body)?;
        }
    }

    /// Waits for orders: awake for a moment, then asleep.
    fn wait(&mut self) -> io::Result<()> {
        let mut start = Instant::now();
        let mut nap = Nap::new();
        while !self.post.has_some() {
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
            } else if !parcels_are_tidy() && start.elapsed() >= LONG_SLEEP {
                tidy_parcels();
            }
        }
        Ok(())
    }

    fn ring(&self) {
        if let Some(process) = self.near {
            ring(process);
        }
    }

    fn report(&mut self, report: &Report, body: Body) -> io::Result<()> {
        // What a task has printed must be on its way before its result is.
        let _ = io::stdout().flush();
        self.post.send(POOL, report, body.bytes)?;
        self.ring();
        self.post.flush();
        Ok(())
    }

    fn carry_out(&mut self, order: Order, body: Body) -> io::Result<()> {
        match order {
            Order::Hello(pool) => {
                let own = Whereabouts::own(&self.bell);
                let near = own.is_near(&pool) && pool.can_be_rung && own.can_be_rung;
                self.near = near.then_some(pool.process);
                self.report(&Report::Up(own), Body::default())
            }
            Order::Welcome { board } => {
                self.shares_board = board.is_some_and(|path| self.share(path).is_ok());
                let shares_board = self.shares_board;
                self.report(&Report::Welcomed { shares_board }, Body::default())
            }
            Order::Function {
                number,
                place,
                length,
            } => match self.learn(number, &place, length) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let why = format!("{:?} cannot be loaded: {error}", place.library);
                    self.report(&Report::Failed(why), Body::default())
                }
            },
            Order::Initialize { function } => {
                let report = match self.desk.initialize(function, body, &self.board)? {
                    Ok(()) => Report::Initialized,
                    Err(why) => Report::Failed(why),
                };
                self.report(&report, Body::default())
            }
            Order::Run {
                function,
                epoch,
                sequence,
                items,
                stop_at_failure,
                timed,
            } => {
                let errand = Errand {
                    function,
                    items,
                    stop_at_failure,
                    timed,
                };
                // On a board of its own nobody takes tasks back.
                let epoch = if self.shares_board { epoch } else { 0 };
                if !self.board.begin(epoch, sequence) {
                    return Ok(());
                }
                let began = self.board.since().as_nanos() as u64;
                let body = self.desk.call(errand, body, &self.board)?;
                let ended = now().as_nanos() as u64;
                let mut used = None;
                if !self.shares_board {
                    let (user, system) = cpu_time();
                    used = Some((user.as_nanos() as u64, system.as_nanos() as u64));
                } else if ended.saturating_sub(began) >= NOTABLE.as_nanos() as u64 {
                    // Whoever measures a call sees it with its result.
                    self.board.set_cpu_time(cpu_time());
                }
                let done = Report::Done {
                    sequence,
                    began,
                    ended,
                    cpu_time: used,
                };
                self.report(&done, body)
            }
            Order::End => Ok(()),
        }
    }

    fn share(&mut self, path: PathBuf) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        self.board = Board::open(Arc::new(file.into()))?;
        Ok(())
    }

    fn learn(&mut self, number: u32, place: &Place, length: Option<u64>) -> io::Result<()> {
        let there = library::here(place, length)?;
        // SAFETY: the pool made the place in a process of the same program, or with the same
        // library of a notebook's cell loaded: this rank was started from its program, and the
        // library is either the very file or has come from there byte for byte.
        let learned = unsafe { self.desk.learn(number, &there) };
        if there != *place {
            library::forget(&there);
        }
        learned
    }
}
