//! The ranks of a pool: of a job that the pool has started, or of the one that this program is in.
//!
//! An MPI job ends with any of its ranks, so all of them are one failure domain. When one is lost,
//! or must be stopped, the whole job ends, and a fresh one takes its place.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use helpers::PoolError;
use helpers::internals::{
    Arrival, Body, Bytes, Connection, Ended, LIVENESS, LOOKING, Order, Profile, Report, Scoreboard,
    Transport, Watched, WorkerKind, error,
};

use super::hub::{FromRank, Hub, ToRank, Whereabouts, machine};
use super::messenger::Messenger;
use crate::control::Role;
use crate::job::Job;
use crate::launched::lease;
use crate::settings::Settings;

/// How long who waits for a result looks for it, and how long he sleeps then, where nothing can
/// wake him.
const UNANNOUNCED: Duration = Duration::from_millis(1);

/// How long ranks that cannot be ended may take to finish what they are at.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);

/// The ranks that are workers: all but rank 0.
pub(super) struct Ranks {
    /// Of the job: one rank more than there are workers.
    settings: Settings,
    route: Route,
    /// Where the workers are, as far as they have said.
    places: Vec<Option<Whereabouts>>,
    /// The name of this machine.
    machine: String,
}

/// How the pool talks to its ranks.
enum Route {
    /// Through rank 0 of a job of its own, once there is a connection to it.
    Job {
        job: Job,
        connection: Option<Connection>,
    },
    /// By being rank 0 of a job that somebody else has started.
    Here(Hub),
    /// It was that, and has given the other ranks back.
    GivenBack,
}

impl Ranks {
    /// Starts the job; its ranks are not ready yet.
    pub(super) fn start(settings: Settings) -> Result<Ranks, PoolError> {
        let workers = settings.ranks - 1;
        if let Some(others) = lease::others().filter(|&others| others != workers) {
            return Err(error::invalid_input(format!(
                "{workers} workers were asked for, but this program was started on {} ranks, of \
                 which {others} can be workers: start it with `mpiexec -n {}`, or ask for as many \
                 as there are",
                others + 1,
                workers + 1
            )));
        }
        let here = lease::begin_pool().map_err(|error| error::invalid_input(error.to_string()))?;
        let route = match here {
            Some(world) => {
                let hub = Hub::new(Messenger::new(world));
                Route::Here(hub.map_err(|cause| error::job(workers, cause.to_string()))?)
            }
            None => start_job(&settings)?,
        };
        Ok(Ranks {
            settings,
            route,
            places: vec![None; workers],
            machine: machine(),
        })
    }

    /// The file of a worker's scoreboard, in the folder of the job.
    fn scoreboard_path(&self, worker: usize) -> Option<PathBuf> {
        let job = self.job()?;
        Some(job.folder().join(format!("scoreboard{}", worker + 1)))
    }

    fn job(&self) -> Option<&Job> {
        match &self.route {
            Route::Job { job, .. } => Some(job),
            Route::Here(_) | Route::GivenBack => None,
        }
    }
}

fn start_job(settings: &Settings) -> Result<Route, PoolError> {
    let job = Job::start(settings, Role::Pool);
    let job = job.map_err(|cause| error::job(settings.ranks - 1, cause.to_string()))?;
    Ok(Route::Job {
        job,
        connection: None,
    })
}

impl Transport for Ranks {
    fn profile(&self) -> Profile {
        let workers = self.places.len();
        let is_job = self.job().is_some();
        Profile {
            kind: WorkerKind::Rank,
            workers,
            together: workers,
            can_replace: is_job,
            refuses_files: Some(
                "cannot be sent to a rank: a slice of a SharedArray stays on its host. Send the \
                 numbers, or use a ProcessPool",
            ),
            short_task: Duration::from_micros(500),
            work_ahead: Duration::from_millis(1),
            patience: Duration::from_millis(1),
            time_to_start: self.settings.time_to_start(),
            time_to_end: Duration::from_millis(300),
            looking: if is_job { LOOKING } else { UNANNOUNCED },
            busy_sleep: if is_job { LIVENESS } else { UNANNOUNCED },
            tasks_per_worker: None,
        }
    }

    fn name(&self, worker: usize) -> String {
        let rank = worker + 1;
        match &self.places[worker] {
            Some(place) => format!("rank {rank} on {}", place.host),
            None => format!("rank {rank}"),
        }
    }

    fn scoreboard(&mut self, worker: usize) -> io::Result<Arc<Scoreboard>> {
        let Some(path) = self.scoreboard_path(worker) else {
            return Scoreboard::new();
        };
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        Scoreboard::in_file(&options.open(path)?)
    }

    fn put(&mut self, worker: usize, order: &Order, body: &Body) -> io::Result<()> {
        let no_body = Body::default();
        let (order, body) = match order {
            // Files go no further than to rank 0, if as far. Elsewhere than here a file of this
            // name would be a stranger's.
            Order::Welcome { .. } => {
                let place = self.places[worker].as_ref();
                let is_here = place.is_some_and(|place| place.is_on(&self.machine));
                let scoreboard = self.scoreboard_path(worker).filter(|_| is_here);
                (Order::Welcome { scoreboard }, &no_body)
            }
            other => (other.clone(), body),
        };
        let rank = worker + 1;
        match &mut self.route {
            Route::Job { connection, .. } => {
                let connection = connection.as_mut();
                let connection = connection.ok_or_else(|| io::Error::other("no rank 0 yet"))?;
                connection.put(&(rank as u32, order), body)
            }
            Route::Here(hub) => {
                // The task keeps its own, in case it must be sent again.
                let bytes = body.bytes.as_slice().map_err(io::Error::other)?;
                hub.send(rank, &ToRank::Order(order), Bytes::Inline(bytes.to_vec()))
            }
            Route::GivenBack => Err(io::Error::other("no ranks any more")),
        }
    }

    fn flush(&mut self, _job: usize) -> io::Result<()> {
        match &mut self.route {
            Route::Job { connection, .. } => connection
                .as_mut()
                .map_or(Ok(()), |connection| connection.flush(false)),
            Route::Here(hub) => {
                hub.progress();
                Ok(())
            }
            Route::GivenBack => Ok(()),
        }
    }

    fn is_flushed(&self) -> bool {
        match &self.route {
            Route::Job { connection, .. } => connection.as_ref().is_none_or(Connection::is_flushed),
            Route::Here(hub) => hub.is_flushed(),
            Route::GivenBack => true,
        }
    }

    fn receive(&mut self, _job: usize) -> io::Result<Arrival> {
        let Route::Job { job, connection } = &mut self.route else {
            return Ok(Arrival::Nothing);
        };
        job.heard();
        let connection = match connection {
            Some(connection) => connection,
            None => match job.pool_connection() {
                Some(socket) => connection.insert(Connection::new(socket, true)),
                None => return Ok(Arrival::Nothing),
            },
        };
        connection.receive()
    }

    fn take(&mut self, _job: usize) -> io::Result<Option<(usize, Report, Body)>> {
        loop {
            let taken = match &mut self.route {
                Route::Job { connection, .. } => match connection {
                    Some(connection) => connection.take::<(u32, FromRank)>()?,
                    None => None,
                },
                Route::Here(hub) => {
                    let taken = hub.take()?;
                    taken.map(|(rank, message, body)| ((rank as u32, message), body))
                }
                Route::GivenBack => None,
            };
            let Some(((rank, message), body)) = taken else {
                return Ok(None);
            };
            let worker = (rank as usize).checked_sub(1);
            let worker = worker.filter(|&worker| worker < self.places.len());
            let worker = worker.ok_or_else(|| io::Error::other("what no worker says"))?;
            match message {
                FromRank::Up(place) => {
                    self.places[worker] = Some(place);
                    return Ok(Some((worker, Report::Up, body)));
                }
                FromRank::Report(report) => return Ok(Some((worker, report, body))),
                FromRank::Bye => {}
            }
        }
    }

    fn show_output(&mut self, _job: usize, _all: bool) {
        if let Some(job) = self.job() {
            job.pass_on_output();
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let Route::Job { job, connection } = &self.route else {
            return Vec::new();
        };
        let mut watched = vec![Watched::to_read(job.news())];
        watched.extend(connection.as_ref().map(Watched::connection));
        watched
    }

    fn look_after(&mut self, _job: usize) -> bool {
        self.job().is_some_and(Job::has_ended)
    }

    fn end(&mut self, _job: usize, patience: Duration) -> Ended {
        let Some(job) = self.job() else {
            return Ended {
                worker: None,
                other: None,
                how: "it ended".to_owned(),
            };
        };
        let end = job.end(patience);
        let worker = end.rank.and_then(|rank| rank.checked_sub(1));
        let worker = worker.filter(|&worker| worker < self.places.len());
        let other = end.rank.filter(|_| worker.is_none());
        Ended {
            worker,
            other: other.map(|rank| format!("rank {rank}")),
            how: end.how,
        }
    }

    fn replace(&mut self, _job: usize) -> Result<(), PoolError> {
        let Route::Job { .. } = self.route else {
            let cause = "this program is a rank of the job that has ended".to_owned();
            return Err(error::job(self.places.len(), cause));
        };
        self.route = start_job(&self.settings)?;
        self.places.fill(None);
        Ok(())
    }

    fn shut_down(&mut self, are_idle: bool) {
        match &mut self.route {
            Route::Job { job, .. } => drop(job.end(Duration::ZERO)),
            Route::Here(hub) => {
                let patience = match are_idle {
                    true => lease::TIME_TO_HEAR,
                    false => TIME_TO_LEAVE,
                };
                hub.close(patience);
                // Who still has a handle keeps the pool's remains, and they must call MPI no more.
                self.route = Route::GivenBack;
                lease::end_pool(are_idle);
            }
            Route::GivenBack => {}
        }
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ranks({} workers)", self.places.len())
    }
}
