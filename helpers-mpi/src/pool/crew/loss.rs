//! When a job is lost, or must be: what its ranks were at fails, and a fresh job takes its place.

use std::fmt;
use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use helpers::PoolError;
use helpers::internals::{Completed, Crew, LIVENESS, error, is_notebook};
use nix::sys::signal::{Signal, raise};

use super::{Ranks, TIME_TO_LEAVE};
use crate::job::Job;
use crate::link::Role;
use crate::pool::line::Line;
use crate::pool::member::{Member, Stage};

/// A job that is not ready after this time is stopped.
const TIME_TO_START: Duration = Duration::from_secs(60);
/// So many starts in a row may fail before the pool gives up.
pub(super) const FAILED_STARTS: usize = 3;
/// How long a job may take to end by itself when a rank is lost, so that its own account of its
/// end is known.
const TIME_TO_END: Duration = Duration::from_millis(300);

impl Ranks {
    /// Looks for a job that has ended in silence, and for tasks that take too long.
    pub(super) fn check_limits(&mut self, completed: &mut Completed) {
        if self.last_liveness.elapsed() >= LIVENESS {
            self.last_liveness = Instant::now();
            // A kernel that was killed leaves the process of its cells behind, which would wait
            // here for ever. The job ends with it.
            if is_notebook() && parent_id() != self.parent {
                let _ = raise(Signal::SIGKILL);
            }
        }
        if self.line.job().is_some_and(|job| job.has_ended()) {
            // What it said before its end counts.
            self.take_in_all(completed);
            if self.line.job().is_some_and(|job| job.has_ended()) {
                self.lose(Loss::Gone, completed);
            }
            return;
        }
        let is_up = self
            .members
            .iter()
            .all(|member| member.stage == Stage::Ready);
        if !is_up && self.started.elapsed() > TIME_TO_START {
            self.lose(Loss::Slow, completed);
            return;
        }
        for place in 0..self.members.len() {
            let Some(limit) = self.members[place].limit() else {
                continue;
            };
            if !self.members[place].time_left(limit).is_zero() {
                continue;
            }
            // So that it begins nothing else while it is judged.
            self.recall(place);
            self.take_in_all(completed);
            let Some(member) = self.members.get_mut(place) else {
                return;
            };
            if member.limit() == Some(limit) && member.time_left(limit).is_zero() {
                let (name, item) = (member.name.to_string(), member.item_in_work());
                let error = error::time_limit(name, item, limit);
                abandon(member, error, completed);
            }
        }
    }

    /// Ends the job if all that its ranks still do is what nobody wants.
    pub(super) fn end_lost_work(&mut self, completed: &mut Completed) {
        if !self.does_but_lost_work() {
            return;
        }
        if self.line.job().is_none() {
            // They cannot be replaced, but may still come to an end.
            let are_late = self
                .members
                .iter()
                .all(|member| member.is_late_for(TIME_TO_LEAVE));
            if are_late && !self.queue.is_empty() {
                let why = "all ranks are at items that are past their time limit, and a program \
                           that `mpiexec` has started cannot replace them";
                self.give_up(error::cancelled(why), completed);
            }
            return;
        }
        // So that no rank begins anything else, and what they have done counts.
        self.recall_all();
        self.take_in_all(completed);
        if !self.does_but_lost_work() {
            return;
        }
        for place in 0..self.members.len() {
            let waiting = self.members[place].leftovers();
            self.queue.take_back(waiting);
        }
        self.restart(completed);
    }

    /// Whether ranks are at work, and all of them at what nobody wants.
    fn does_but_lost_work(&self) -> bool {
        let is_lost = self.members.iter().any(Member::is_at_lost_work);
        is_lost && !self.members.iter().any(Member::is_wanted)
    }

    /// Ends the job, tells whom the tasks belong to that it was at, and starts a fresh one. What
    /// no rank has begun goes back to the queue.
    pub(super) fn lose(&mut self, loss: Loss, completed: &mut Completed) {
        if self.broken.is_some() {
            return;
        }
        let was_up = self
            .members
            .iter()
            .all(|member| member.stage == Stage::Ready);
        let patience = match loss {
            Loss::Gone => TIME_TO_END,
            _ => Duration::ZERO,
        };
        let end = self.line.job().map(|job| job.end(patience));
        let (rank, how) = match (&loss, end) {
            (Loss::Refused(rank, _), _) => (Some(*rank), loss.to_string()),
            (Loss::Gone, Some(end)) => (end.rank, end.how),
            _ => (None, loss.to_string()),
        };
        let culprit = rank.map(|rank| match rank.checked_sub(1) {
            Some(place) if place < self.members.len() => {
                let member = &self.members[place];
                let item = member.item_in_work().map(|item| format!(" at item {item}"));
                format!("{}{}", member.name, item.unwrap_or_default())
            }
            _ => format!("rank {rank}"),
        });
        let elsewhere = match &culprit {
            Some(name) => format!("the job ended with {name}: {how}"),
            None => format!("the job ended: {how}"),
        };
        for place in 0..self.members.len() {
            let member = &mut self.members[place];
            let is_culprit = rank == Some(member.rank);
            let item = member.item_in_work();
            let waiting = member.leftovers();
            let how = if is_culprit { &how } else { &elsewhere };
            let error = error::rank_lost(member.name.to_string(), item, how.clone());
            for task in member.sent.drain(..).filter_map(|sent| sent.task) {
                completed.push(task.end(Err(error.clone())));
            }
            if is_culprit && matches!(loss, Loss::Refused(..)) {
                // Another rank would refuse it as well.
                completed.extend(waiting.map(|task| task.end(Err(error.clone()))));
            } else {
                self.queue.take_back(waiting);
            }
        }
        if !was_up {
            self.failed_starts += 1;
            if self.failed_starts >= FAILED_STARTS {
                let cause = match culprit {
                    Some(name) => format!("{name}: {how}"),
                    None => how,
                };
                self.give_up(error::job(self.plan.workers(), cause), completed);
                return;
            }
        }
        self.restart(completed);
    }

    /// Starts a fresh job in the place of one that has ended or will now. If that fails, the pool
    /// is broken, and all that waits fails.
    fn restart(&mut self, completed: &mut Completed) {
        let workers = self.plan.workers();
        let Line::Job { .. } = self.line else {
            let cause = "this program is a rank of the job that has ended".to_owned();
            self.give_up(error::job(workers, cause), completed);
            return;
        };
        let fresh = Job::start(&self.plan.settings, Role::Pool).map_err(|cause| cause.to_string());
        let members = fresh.and_then(|job| {
            self.line = Line::Job { job, link: None };
            self.started = Instant::now();
            self.members().map_err(|cause| cause.to_string())
        });
        match members {
            Ok(members) => self.members = members,
            Err(cause) => self.give_up(error::job(workers, cause), completed),
        }
        // Whoever sleeps watches the old one.
        self.bell.ring();
    }
}

/// Lets the task that a rank is at fail, though the rank goes on with it.
pub(super) fn abandon(member: &mut Member, error: PoolError, completed: &mut Completed) {
    if let Some(task) = member.sent.front_mut().and_then(|sent| sent.task.take()) {
        completed.push(task.end(Err(error)));
    }
}

/// Why a job is given up.
#[derive(Debug)]
pub(super) enum Loss {
    /// It has ended, or rank 0 has hung up.
    Gone,
    /// A rank sent what is no message.
    Noise(String),
    /// A rank says that it cannot do what it was told.
    Refused(usize, String),
    /// It has not become ready.
    Slow,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Gone => f.write_str("it ended"),
            Loss::Noise(what) => write!(f, "a rank sent {what}, and the job was stopped"),
            Loss::Refused(_, why) => f.write_str(why),
            Loss::Slow => write!(f, "its ranks were not ready after {TIME_TO_START:?}"),
        }
    }
}
