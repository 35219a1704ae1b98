//! How a pool talks to its ranks: through rank 0 of a job that it has started, or by being rank 0.

use std::io;
use std::time::Duration;

use helpers::internals::{Arrival, Body, Bytes, Connection, LOOKING, Watched};
use nix::poll::PollFlags;

use super::message::{Order, Report};
use super::switch::Switch;
use crate::job::Job;

/// How long who waits for a result looks for it, where nothing can wake him.
const LOOKING_HERE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) enum Line {
    /// A job of this pool, and the connection to its rank 0 once there is one.
    Job { job: Job, link: Option<Connection> },
    /// This program is rank 0 of a job that somebody else has started.
    Here(Switch),
    /// It was, and has given the other ranks back.
    GivenBack,
}

impl Line {
    pub(super) fn put(&mut self, rank: usize, order: &Order, body: &Body) -> io::Result<()> {
        match self {
            Line::Job { link, .. } => {
                let link = link
                    .as_mut()
                    .ok_or_else(|| io::Error::other("no rank 0 yet"))?;
                link.put(&(rank as u32, order), body)
            }
            Line::Here(switch) => {
                // The task keeps its own, in case it must be sent again.
                let bytes = body.bytes.as_slice().map_err(io::Error::other)?;
                switch.send(rank, order, Bytes::Inline(bytes.to_vec()))
            }
            Line::GivenBack => Err(io::Error::other("no ranks any more")),
        }
    }

    /// Sends what is on its way, as much as goes without waiting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Job { link, .. } => link.as_mut().map_or(Ok(()), |link| link.flush(false)),
            Line::Here(switch) => {
                switch.progress();
                Ok(())
            }
            Line::GivenBack => Ok(()),
        }
    }

    /// Whether all messages have gone.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Line::Job { link, .. } => link.as_ref().is_none_or(Connection::is_flushed),
            Line::Here(switch) => switch.is_flushed(),
            Line::GivenBack => true,
        }
    }

    /// Takes in what is there.
    pub(super) fn receive(&mut self) -> io::Result<Arrival> {
        let Line::Job { job, link } = self else {
            return Ok(Arrival::Nothing);
        };
        job.heard();
        let connection = match link {
            Some(connection) => connection,
            None => match job.pool_connection() {
                Some(socket) => link.insert(Connection::new(socket, true)),
                None => return Ok(Arrival::Nothing),
            },
        };
        connection.receive()
    }

    /// Takes the next report, if it is there as a whole.
    pub(super) fn take(&mut self) -> io::Result<Option<(usize, Report, Body)>> {
        match self {
            Line::Job { link, .. } => {
                let Some(link) = link else {
                    return Ok(None);
                };
                let message = link.take::<(u32, Report)>()?;
                Ok(message.map(|((rank, report), body)| (rank as usize, report, body)))
            }
            Line::Here(switch) => switch.take(),
            Line::GivenBack => Ok(None),
        }
    }

    /// What says that there is something to be received.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let Line::Job { job, link } = self else {
            return Vec::new();
        };
        let mut watched = vec![Watched::to_read(job.bell())];
        if let Some(link) = link {
            let mut events = PollFlags::POLLIN;
            if !link.is_flushed() {
                events |= PollFlags::POLLOUT;
            }
            let file = link.socket();
            watched.push(Watched { file, events });
        }
        watched
    }

    /// For how long whoever waits for a result stays awake.
    pub(super) fn looking(&self) -> Duration {
        match self {
            Line::Job { .. } => LOOKING,
            Line::Here(_) | Line::GivenBack => LOOKING_HERE,
        }
    }

    /// How long nobody needs to look for messages, since they wake who sleeps.
    pub(super) fn patience(&self, is_busy: bool) -> Duration {
        match self {
            Line::Here(_) if is_busy => Duration::from_millis(1),
            _ => helpers::internals::LIVENESS,
        }
    }

    /// The job, where it is the pool's own.
    pub(super) fn job(&self) -> Option<&Job> {
        match self {
            Line::Job { job, .. } => Some(job),
            Line::Here(_) | Line::GivenBack => None,
        }
    }
}
