//! What the pool and its ranks say to each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use helpers::internals::{Arrival, Body, Completed, Finished, Task, now};

use super::loss::Loss;
use super::{Ranks, board_name};
use crate::pool::member::Stage;
use crate::pool::message::{Order, Report, Whereabouts};

impl Ranks {
    /// Takes in all that ranks have said.
    pub(super) fn take_in_all(&mut self, completed: &mut Completed) {
        while self.take_in(completed) {}
    }

    /// Takes in what ranks have said; tells whether there may be more.
    pub(super) fn take_in(&mut self, completed: &mut Completed) -> bool {
        let is_open = self.line.receive();
        let mut passed_on = false;
        loop {
            let (rank, report, body) = match self.line.take() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    self.lose(Loss::Noise(error.to_string()), completed);
                    return false;
                }
            };
            if matches!(report, Report::Done { .. })
                && !std::mem::replace(&mut passed_on, true)
                && let Some(job) = self.line.job()
            {
                job.pass_on_output();
            }
            if let Err(loss) = self.take_report(rank, report, body, completed) {
                self.lose(loss, completed);
                return false;
            }
        }
        match is_open {
            Ok(Arrival::Some) => true,
            Ok(Arrival::Nothing) => false,
            Ok(Arrival::Closed) | Err(_) => {
                self.lose(Loss::Gone, completed);
                false
            }
        }
    }

    fn take_report(
        &mut self,
        rank: usize,
        report: Report,
        body: Body,
        completed: &mut Completed,
    ) -> Result<(), Loss> {
        let noise = || Loss::Noise("what nobody asked for".to_owned());
        let place = rank.checked_sub(1).ok_or_else(noise)?;
        let member = self.members.get_mut(place).ok_or_else(noise)?;
        match report {
            Report::Up(place) => self.welcome(rank, place),
            Report::Welcomed { shares_board } => {
                member.shares_board = shares_board;
                if self.plan.initializer.is_some() {
                    self.initialize(rank)
                } else {
                    self.is_ready(rank);
                    Ok(())
                }
            }
            Report::Initialized => {
                self.is_ready(rank);
                Ok(())
            }
            Report::Failed(why) => Err(Loss::Refused(rank, why)),
            Report::Done {
                sequence,
                began,
                ended,
                cpu_time,
            } => {
                let sent = match member.sent.pop_front() {
                    Some(sent) if sent.sequence == sequence => sent,
                    other => {
                        member.sent.extend(other);
                        return Err(noise());
                    }
                };
                member.last_used = Instant::now();
                if let Some((user, system)) = cpu_time {
                    let nanos = Duration::from_nanos;
                    member.board.set_cpu_time((nanos(user), nanos(system)));
                }
                let took = Duration::from_nanos(ended.saturating_sub(began));
                // Another host's clock tells only how much time has passed.
                let ended = if member.shares_board {
                    ended
                } else {
                    now().as_nanos() as u64
                };
                self.pace.note(took);
                if let Some(task) = sent.task {
                    self.diary.note(&task, place, took, ended);
                    let worker = Arc::clone(&member.name);
                    completed.push(task.end(Ok(Finished { body, worker })));
                }
                Ok(())
            }
            Report::Bye => Ok(()),
        }
    }

    /// Tells a new rank what it needs to know.
    fn welcome(&mut self, rank: usize, place: Whereabouts) -> Result<(), Loss> {
        let folder = self.line.job().map(|job| job.folder().to_owned());
        let member = &mut self.members[rank - 1];
        member.name = format!("rank {rank} on {}", place.host).into();
        member.stage = Stage::SettingUp;
        // Elsewhere a file of this name would be a stranger's.
        let folder = folder.filter(|_| place.is_on(&self.machine));
        let board = folder.map(|folder| folder.join(board_name(rank)));
        self.order(rank, &Order::Welcome { board })
    }

    fn initialize(&mut self, rank: usize) -> Result<(), Loss> {
        self.teach(rank, 0)?;
        let order = Order::Initialize { function: 0 };
        let argument = self.plan.initializer.as_ref().map(|(_, argument)| argument);
        let sent = argument.map(|argument| self.line.put(rank, &order, argument));
        sent.unwrap_or(Ok(())).map_err(|_| Loss::Gone)
    }

    fn is_ready(&mut self, rank: usize) {
        self.members[rank - 1].stage = Stage::Ready;
        if self
            .members
            .iter()
            .all(|member| member.stage == Stage::Ready)
        {
            self.failed_starts = 0;
        }
    }

    fn order(&mut self, rank: usize, order: &Order) -> Result<(), Loss> {
        let sent = self.line.put(rank, order, &Body::default());
        sent.map_err(|_| Loss::Gone)
    }

    /// Makes a function known to a rank, unless it knows it.
    fn teach(&mut self, rank: usize, number: u32) -> Result<(), Loss> {
        if !self.members[rank - 1].functions.insert(number) {
            return Ok(());
        }
        let (place, length) = self.functions[number as usize].clone();
        let order = Order::Function {
            number,
            place,
            length,
        };
        self.order(rank, &order)
    }

    pub(super) fn send(&mut self, rank: usize, task: Task) -> Result<(), Loss> {
        self.teach(rank, task.function)?;
        let member = &mut self.members[rank - 1];
        let (function, items) = (task.function, task.items as u32);
        let (stop_at_failure, timed) = (task.stop_at_failure, task.time_limit.is_some());
        let sequence = member.note_sent(task);
        let order = Order::Run {
            function,
            epoch: member.epoch,
            sequence,
            items,
            stop_at_failure,
            timed,
        };
        let task = member.sent.back().and_then(|sent| sent.task.as_ref());
        let sent = task.map_or(Ok(()), |task| self.line.put(rank, &order, &task.body));
        sent.map_err(|_| Loss::Gone)
    }
}
