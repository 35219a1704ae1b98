//! When workers are lost, or must be: what they were at fails, and fresh ones take their place.

use std::time::{Duration, Instant};

use super::{FAILED_STARTS, Loss, Scheduler};
use crate::pool::PoolError;
use crate::pool::error::WorkerKind;
use crate::pool::remote::last_words;
use crate::pool::remote::ledger::Ledger;
use crate::pool::remote::task::Completed;
use crate::pool::remote::transport::LIVENESS;

/// How long workers that cannot be replaced may go on with lost work before the pool gives up.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);

impl Scheduler {
    /// Looks for workers that have ended in silence, and for tasks that take too long.
    pub(super) fn check_liveness(&mut self, completed: &mut Completed) {
        if self.last_liveness.elapsed() >= LIVENESS {
            self.last_liveness = Instant::now();
            // Or the process of the cells would wait here for ever. The workers end with it.
            self.kernel.end_with_it();
        }
        for domain in self.domains() {
            if self.transport.look_after(domain) {
                // What it said before its end counts.
                self.take_in_all(domain, completed);
                if self.transport.look_after(domain) {
                    self.lose(domain, Loss::Gone, completed);
                }
                continue;
            }
            let time = self.profile.time_to_start;
            let is_slow = |ledger: &Ledger| !ledger.is_ready() && ledger.started.elapsed() > time;
            if self.ledgers[self.members(domain)].iter().any(is_slow) {
                self.lose(domain, Loss::Slow(time), completed);
                continue;
            }
            for worker in self.members(domain) {
                self.check_limit(worker, completed);
            }
            self.end_lost_work(domain, completed);
        }
    }

    /// Lets the task fail that a worker has been at for too long, or has not begun in time.
    fn check_limit(&mut self, worker: usize, completed: &mut Completed) {
        let ledger = &mut self.ledgers[worker];
        let is_over = |ledger: &Ledger| {
            let limit = ledger.limit();
            limit.filter(|&limit| ledger.time_left(limit).is_zero())
        };
        let Some(limit) = is_over(ledger) else {
            return;
        };
        let has_begun = ledger.is_at_work();
        let started = ledger.started;
        let name = ledger.name.to_string();
        let kind = self.profile.kind;
        // So that it begins nothing else while it is judged.
        let mut waiting = ledger.recall();
        if !has_begun && ledger.load() == 0 && !waiting.is_empty() {
            ledger.is_stuck = true;
            let task = waiting.remove(0);
            let error = PoolError::time_limit(kind, name.clone(), task.first_item, limit);
            completed.push(task.end(Err(error)));
        }
        self.queue.take_back(waiting);
        self.take_in_all(self.domain_of(worker), completed);
        let ledger = &mut self.ledgers[worker];
        // It may be another worker's by now.
        if ledger.started == started && is_over(ledger) == Some(limit) {
            let error = PoolError::time_limit(kind, name, ledger.item_in_work(), limit);
            let task = ledger.abandon();
            completed.extend(task.map(|task| task.end(Err(error))));
        }
    }

    /// Replaces a domain if all that its workers still do is what nobody wants.
    pub(super) fn end_lost_work(&mut self, domain: usize, completed: &mut Completed) {
        if self.broken.is_some() || !self.does_but_lost_work(domain) {
            return;
        }
        if !self.profile.can_replace {
            // They may still come to an end.
            let mut members = self.ledgers[self.members(domain)].iter();
            if members.all(|ledger| ledger.is_late_for(TIME_TO_LEAVE)) && !self.queue.is_empty() {
                let why = "all ranks are at items that are past their time limit, and a program \
                           that `mpiexec` has started cannot replace them";
                self.give_up(PoolError::fresh_job(why.to_owned()), completed);
            }
            return;
        }
        // So that no worker begins anything else, and what they have done counts.
        for worker in self.members(domain) {
            self.recall(worker);
        }
        self.take_in_all(domain, completed);
        if self.broken.is_some() || !self.does_but_lost_work(domain) {
            return;
        }
        for worker in self.members(domain) {
            let waiting = self.ledgers[worker].leftovers();
            self.queue.take_back(waiting);
        }
        self.replace(domain, completed);
    }

    /// Whether workers of a domain are at work, and all of them at what nobody wants.
    fn does_but_lost_work(&self, domain: usize) -> bool {
        let members = &self.ledgers[self.members(domain)];
        members.iter().any(Ledger::is_at_lost_work) && !members.iter().any(Ledger::is_wanted)
    }

    /// Ends a domain, tells whom the tasks belong to that it was at, and starts a fresh one. What
    /// was not begun goes back to the queue.
    pub(super) fn lose(&mut self, domain: usize, loss: Loss, completed: &mut Completed) {
        if self.broken.is_some() {
            return;
        }
        let members = self.members(domain);
        let was_up = self.ledgers[members.clone()].iter().all(Ledger::is_ready);
        let patience = match loss {
            Loss::Gone => self.profile.time_to_end,
            _ => Duration::ZERO,
        };
        let mut ended = self.transport.end(domain, patience);
        // Whoever has said why it ends is the one that did.
        for worker in members.clone().filter(|_| matches!(loss, Loss::Gone)) {
            let ledger = &self.ledgers[worker];
            if let Some(words) = last_words::of(&ledger.scoreboard, &ledger.name) {
                ended.worker = Some(worker);
                ended.how = words;
            }
        }
        let sole = (members.len() == 1).then_some(members.start);
        let (culprit, other, how) = match &loss {
            Loss::Gone => (ended.worker, ended.other, ended.how),
            Loss::Refused(worker, _) => (Some(*worker), None, loss.to_string()),
            // Its launcher may have said what it waits for.
            Loss::Slow(_) if self.profile.kind == WorkerKind::Rank => {
                (sole, None, format!("{loss}: {}", ended.how))
            }
            _ => (sole, None, loss.to_string()),
        };
        let who = match culprit.map(|worker| &self.ledgers[worker]) {
            Some(ledger) => {
                let item = ledger.item_in_work().map(|item| format!(" at item {item}"));
                Some(format!("{}{}", ledger.name, item.unwrap_or_default()))
            }
            None => other,
        };
        // Only a job has several workers.
        let elsewhere = match &who {
            Some(name) => format!("the job ended with {name}: {how}"),
            None => format!("the job ended: {how}"),
        };
        for worker in members {
            let ledger = &mut self.ledgers[worker];
            let item = ledger.item_in_work();
            let waiting = ledger.leftovers();
            let is_culprit = culprit == Some(worker);
            let how = if is_culprit { &how } else { &elsewhere };
            let name = ledger.name.to_string();
            let error = PoolError::lost(self.profile.kind, name, item, how.clone());
            completed.extend(ledger.lost().map(|task| task.end(Err(error.clone()))));
            if is_culprit && matches!(loss, Loss::Refused(..)) {
                // Another worker would refuse it as well.
                completed.extend(waiting.into_iter().map(|task| task.end(Err(error.clone()))));
            } else {
                self.queue.take_back(waiting);
            }
        }
        if !was_up {
            self.failed_starts += 1;
            if self.failed_starts >= FAILED_STARTS {
                let cause = match (self.profile.kind, who) {
                    (WorkerKind::Rank, Some(name)) => format!("{name}: {how}"),
                    _ => how,
                };
                self.give_up(self.not_started(domain, cause), completed);
                return;
            }
        }
        self.replace(domain, completed);
    }

    /// Starts fresh workers in the place of a domain that has ended or will now. If that fails,
    /// the pool is broken, and all that waits fails.
    pub(super) fn replace(&mut self, domain: usize, completed: &mut Completed) {
        let members = self.members(domain);
        let replaced = self.transport.replace(domain).and_then(|()| {
            let fresh = self.fresh_ledgers(members.clone());
            fresh.map_err(|cause| self.not_started(domain, cause.to_string()))
        });
        match replaced {
            Ok(fresh) => drop(self.ledgers.splice(members, fresh)),
            Err(error) => self.give_up(error, completed),
        }
        // Whoever sleeps watches the old one.
        self.waker.wake();
    }
}
