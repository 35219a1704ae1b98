//! The way between a pool and its worker processes, both ends of it.
//!
//! Each worker has a connection of its own, and can be replaced alone.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::WorkerProcess;
use crate::pool::PoolError;
use crate::pool::error::WorkerKind;
use crate::pool::remote::codec::Body;
use crate::pool::remote::protocol::{Order, Report};
use crate::pool::remote::scoreboard::Scoreboard;
use crate::pool::remote::shm_buffer::{self, IDLE};
use crate::pool::remote::transport::{
    Ended, LIVENESS, LOOKING, PoolLink, Profile, Transport, Watched,
};
use crate::pool::remote::wire::{Arrival, Connection};

/// What the processes of a pool were asked to be.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) tasks_per_worker: Option<usize>,
    /// Where they work, as long as there is such a folder.
    pub(super) folder: Option<PathBuf>,
}

/// The worker processes of a pool.
pub(super) struct Processes {
    settings: Settings,
    workers: Vec<WorkerProcess>,
}

impl Processes {
    /// Starts the workers; they are not ready yet.
    pub(super) fn start(settings: Settings) -> Result<Processes, PoolError> {
        let start = |worker| start(worker, &settings);
        let workers = (0..settings.workers).map(start).collect::<Result<_, _>>()?;
        Ok(Processes { settings, workers })
    }

    fn connection(&mut self, worker: usize) -> &mut Connection {
        &mut self.workers[worker].connection
    }
}

fn start(worker: usize, settings: &Settings) -> Result<WorkerProcess, PoolError> {
    let folder = settings.folder.as_deref().filter(|folder| folder.is_dir());
    WorkerProcess::start(&settings.environment, folder).map_err(|cause| {
        let cause = format!("{cause}; ask for fewer workers");
        PoolError::start(worker + 1, settings.workers, cause)
    })
}

impl Transport for Processes {
    fn profile(&self) -> Profile {
        Profile {
            kind: WorkerKind::Process,
            workers: self.settings.workers,
            together: 1,
            can_replace: true,
            refuses_files: None,
            short_task: Duration::from_micros(50),
            work_ahead: Duration::from_micros(200),
            patience: Duration::from_micros(500),
            time_to_start: Duration::from_secs(30),
            time_to_end: Duration::from_millis(50),
            looking: LOOKING,
            busy_sleep: LIVENESS,
            tasks_per_worker: self.settings.tasks_per_worker,
        }
    }

    fn name(&self, worker: usize) -> String {
        format!("worker {worker}")
    }

    fn scoreboard(&mut self, _worker: usize) -> io::Result<Arc<Scoreboard>> {
        Scoreboard::new()
    }

    fn put(&mut self, worker: usize, order: &Order, body: &Body) -> io::Result<()> {
        self.connection(worker).put(order, body)
    }

    fn flush(&mut self, worker: usize) -> io::Result<()> {
        let connection = self.connection(worker);
        let flushed = connection.flush(false);
        if flushed.is_err() {
            connection.forget_outgoing();
        }
        flushed
    }

    fn is_flushed(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.connection.is_flushed())
    }

    fn receive(&mut self, worker: usize) -> io::Result<Arrival> {
        self.connection(worker).receive()
    }

    fn take(&mut self, worker: usize) -> io::Result<Option<(usize, Report, Body)>> {
        let message = self.connection(worker).take()?;
        Ok(message.map(|(report, body)| (worker, report, body)))
    }

    fn show_output(&mut self, worker: usize, all: bool) {
        self.workers[worker].pass_on_output(all);
    }

    fn watched(&self) -> Vec<Watched> {
        let workers = self.workers.iter();
        workers.flat_map(WorkerProcess::watched).collect()
    }

    fn look_after(&mut self, worker: usize) -> bool {
        self.workers[worker].pass_on_output(false);
        self.workers[worker].has_ended()
    }

    fn end(&mut self, worker: usize, patience: Duration) -> Ended {
        let how = self.workers[worker].end(patience);
        self.workers[worker].pass_on_output(true);
        Ended {
            worker: Some(worker),
            other: None,
            how,
        }
    }

    fn replace(&mut self, worker: usize) -> Result<(), PoolError> {
        self.workers[worker] = start(worker, &self.settings)?;
        Ok(())
    }

    fn shut_down(&mut self, _are_idle: bool) {
        // All at once, before any is waited for.
        self.workers.iter_mut().for_each(WorkerProcess::kill);
        for worker in &mut self.workers {
            worker.end(Duration::ZERO);
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Processes({} workers)", self.workers.len())
    }
}

/// A worker's end of its connection.
#[derive(Debug)]
pub(super) struct ToPool(pub(super) Connection);

impl ToPool {
    /// Sleeps until there is something to receive; false if the time is over before.
    fn sleep(&self, limit: PollTimeout) -> io::Result<bool> {
        let socket = self.0.socket();
        let mut about = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut about, limit) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl PoolLink for ToPool {
    fn take(&mut self) -> io::Result<Option<(Order, Body)>> {
        self.0.take()
    }

    /// Awake for a moment, then asleep.
    fn wait(&mut self) -> io::Result<bool> {
        let start = Instant::now();
        loop {
            match self.0.receive()? {
                Arrival::Nothing => {}
                arrival => return Ok(arrival == Arrival::Some),
            }
            if start.elapsed() < LOOKING {
                thread::yield_now();
            } else {
                let idle = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::MAX);
                if !shm_buffer::is_tidy() && !self.sleep(idle)? {
                    shm_buffer::tidy();
                }
                self.sleep(PollTimeout::NONE)?;
            }
        }
    }

    fn report(&mut self, report: &Report, body: Body) -> io::Result<()> {
        self.0.give(report, body)?;
        self.0.flush(true)
    }
}
