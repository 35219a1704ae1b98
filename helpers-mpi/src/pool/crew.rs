//! The ranks of a pool and the tasks that wait for them: who is free, who gets what, and what
//! happens when the job is lost.
//!
//! An MPI job ends with any of its ranks. So when one is lost, or must be stopped, the whole job
//! ends, and a fresh one takes its place. Tasks that no rank had begun go there.

use std::cmp::Reverse;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helpers::PoolError;
use helpers::internals::{
    Arrival, Bell, Board, Body, Completed, Crew, Diary, Finished, LIVENESS, Pace, Place, Queue,
    Sink, Task, Watched, error, is_notebook,
};
use nix::sys::signal::{Signal, raise};

use super::line::Line;
use super::member::{Member, Stage};
use super::message::{Order, Report, Whereabouts, machine};
use super::post::Post;
use super::switch::Switch;
use crate::job::Job;
use crate::joined;
use crate::library;
use crate::link::Role;
use crate::settings::Settings;

/// A job that is not ready after this time is stopped.
const TIME_TO_START: Duration = Duration::from_secs(60);
/// So many starts in a row may fail before the pool gives up.
const FAILED_STARTS: usize = 3;
/// Tasks that take less than this are sent ahead, so that a rank need not wait for the next.
const SHORT_TASK: Duration = Duration::from_micros(500);
/// Work that may lie ahead of a rank.
const WORK_AHEAD: Duration = Duration::from_millis(1);
/// Tasks that were sent ahead are taken back for a free rank after their rank has been at another
/// task for so long.
const PATIENCE: Duration = Duration::from_millis(1);
/// How long a job may take to end by itself when a rank is lost, so that its own account of its
/// end is known.
const TIME_TO_END: Duration = Duration::from_millis(300);

/// How long ranks that cannot be ended may take to finish what they are at.
const TIME_TO_LEAVE: Duration = Duration::from_secs(2);

/// What a pool was asked to be.
#[derive(Debug)]
pub(super) struct Plan {
    /// Of the job: one rank more than there are workers.
    pub(super) settings: Settings,
    /// The initializer and the bytes of its argument.
    pub(super) initializer: Option<(Place, Body)>,
}

impl Plan {
    fn workers(&self) -> usize {
        self.settings.ranks - 1
    }
}

/// The state of a pool.
pub(super) struct Ranks {
    plan: Plan,
    bell: Arc<Bell>,
    line: Line,
    members: Vec<Member>,
    queue: Queue,
    /// Tasks name functions by their place here; an initializer is the first one.
    functions: Vec<(Place, Option<u64>)>,
    pace: Pace,
    /// When the job was started.
    started: Instant,
    /// How many starts have failed in a row.
    failed_starts: usize,
    last_liveness: Instant,
    /// Why nothing goes on: every task ends with this error.
    broken: Option<PoolError>,
    /// The process that started this one.
    parent: u32,
    /// The name of this machine.
    machine: String,
    diary: Diary,
}

impl Ranks {
    /// Starts the job; its ranks are not ready yet.
    pub(super) fn start(plan: Plan, bell: Arc<Bell>) -> Result<Ranks, PoolError> {
        let workers = plan.workers();
        let refused = |cause: String| error::job(workers, cause);
        if let Some(others) = joined::others().filter(|&others| others != workers) {
            return Err(error::invalid_input(format!(
                "{workers} workers were asked for, but this program was started on {} ranks, of \
                 which {others} can be workers: start it with `mpiexec -n {}`, or ask for as many \
                 as there are",
                others + 1,
                workers + 1
            )));
        }
        let line = match joined::begin_pool() {
            Some(world) => {
                let switch = Switch::new(Post::new(world));
                Line::Here(switch.map_err(|cause| refused(cause.to_string()))?)
            }
            None => Line::Job {
                job: Job::start(&plan.settings, Role::Pool)
                    .map_err(|cause| refused(cause.to_string()))?,
                link: None,
            },
        };
        let mut ranks = Ranks {
            functions: Vec::new(),
            bell,
            line,
            members: Vec::new(),
            queue: Queue::default(),
            pace: Pace::new(SHORT_TASK, WORK_AHEAD),
            started: Instant::now(),
            // While none has succeeded, the first start that fails is an error at once.
            failed_starts: FAILED_STARTS - 1,
            last_liveness: Instant::now(),
            broken: None,
            parent: parent_id(),
            machine: machine(),
            diary: Diary::new(workers),
            plan,
        };
        if let Some((place, _)) = &ranks.plan.initializer {
            ranks
                .functions
                .push((place.clone(), library::length(place)));
        }
        ranks.members = ranks
            .members()
            .map_err(|cause| refused(cause.to_string()))?;
        Ok(ranks)
    }

    /// The ranks of a job that has just been started.
    fn members(&mut self) -> io::Result<Vec<Member>> {
        let workers = self.plan.workers();
        let folder = self.line.job().map(|job| job.folder().to_owned());
        (1..=workers)
            .map(|rank| {
                let board = match &folder {
                    Some(folder) => {
                        let path = folder.join(board_name(rank));
                        let mut options = File::options();
                        let options = options.read(true).write(true).create_new(true);
                        Board::in_file(&options.open(path)?)?
                    }
                    None => Board::new()?,
                };
                Ok(Member::new(rank, board))
            })
            .collect()
    }

    /// Takes in all that ranks have said.
    fn take_in_all(&mut self, completed: &mut Completed) {
        while self.take_in(completed) {}
    }

    /// Takes in what ranks have said; tells whether there may be more.
    fn take_in(&mut self, completed: &mut Completed) -> bool {
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
                    helpers::internals::now().as_nanos() as u64
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

    fn send(&mut self, rank: usize, task: Task) -> Result<(), Loss> {
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

    /// Looks for a job that has ended in silence, and for tasks that take too long.
    fn check_limits(&mut self, completed: &mut Completed) {
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
    fn end_lost_work(&mut self) {
        let is_lost = self.members.iter().any(Member::is_at_lost_work);
        if !is_lost || self.members.iter().any(Member::is_wanted) || self.line.job().is_none() {
            return;
        }
        for place in 0..self.members.len() {
            let waiting = self.members[place].leftovers();
            self.queue.take_back(waiting);
        }
        self.restart();
    }

    /// Takes tasks that were sent ahead back from a busy rank when another one is idle.
    fn share_again(&mut self) {
        if !self.queue.is_empty() || !self.members.iter().any(Member::is_idle) {
            return;
        }
        for place in 0..self.members.len() {
            let member = &self.members[place];
            if member.sent.len() > 1 && member.shares_board && member.busy_for() > PATIENCE {
                self.recall(place);
                // Tasks are not as short as they seemed.
                self.pace.forget();
            }
        }
    }

    /// Takes back what a rank has not begun, to where it was in the queue.
    fn recall(&mut self, place: usize) {
        let waiting = self.members[place].recall();
        self.queue.take_back(waiting);
    }

    /// Ends the job, tells whom the tasks belong to that it was at, and starts a fresh one. What
    /// no rank has begun goes back to the queue.
    fn lose(&mut self, loss: Loss, completed: &mut Completed) {
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
            Some(place) if place < self.members.len() => self.members[place].name.to_string(),
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
        self.restart();
        if let Some(error) = self.broken.take() {
            self.give_up(error, completed);
        }
    }

    /// Starts a fresh job in the place of one that has ended or will now. If that fails, the pool
    /// is broken.
    fn restart(&mut self) {
        let workers = self.plan.workers();
        let Line::Job { .. } = self.line else {
            let cause = "this program is a rank of the job that has ended".to_owned();
            self.broken = Some(error::job(workers, cause));
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
            Err(cause) => self.broken = Some(error::job(workers, cause)),
        }
        // Whoever sleeps watches the old one.
        self.bell.ring();
    }
}

/// Lets the task that a rank is at fail, though the rank goes on with it.
fn abandon(member: &mut Member, error: PoolError, completed: &mut Completed) {
    if let Some(task) = member.sent.front_mut().and_then(|sent| sent.task.take()) {
        completed.push(task.end(Err(error)));
    }
}

/// The name of a rank's board in the job's folder.
fn board_name(rank: usize) -> String {
    format!("board{rank}")
}

impl Crew for Ranks {
    fn is_up(&self) -> bool {
        let ready = |member: &Member| member.stage == Stage::Ready;
        self.broken.is_some() || self.members.iter().all(ready)
    }

    fn broken(&self) -> Option<&PoolError> {
        self.broken.as_ref()
    }

    fn is_busy(&self) -> bool {
        !self.queue.is_empty() || self.members.iter().any(|member| !member.sent.is_empty())
    }

    fn queued(&self) -> usize {
        self.queue.len()
    }

    fn depth(&self) -> usize {
        self.pace.depth()
    }

    fn wants_more(&self) -> bool {
        let depth = self.depth();
        let has_little = |member: &Member| member.sent.len() <= member.room(depth) / 2;
        self.members.iter().any(has_little)
    }

    fn is_flushed(&self) -> bool {
        self.line.is_flushed()
    }

    fn patience(&self) -> Duration {
        let someone_idle = self.members.iter().any(Member::is_idle);
        let of_member = |member: &Member| {
            let limit = member.limit().map(|limit| member.time_left(limit));
            let share = (someone_idle && member.sent.len() > 1).then_some(PATIENCE);
            limit.into_iter().chain(share).min()
        };
        let longest = self.line.patience(self.is_busy() || !self.is_up());
        let each = self.members.iter().filter_map(of_member);
        each.fold(longest, Duration::min)
    }

    fn looking(&self) -> Duration {
        self.line.looking()
    }

    fn watched(&self) -> Vec<Watched> {
        self.line.watched()
    }

    fn learn(&mut self, place: Place) -> u32 {
        let length = library::length(&place);
        self.functions.push((place, length));
        self.functions.len() as u32 - 1
    }

    fn enqueue(&mut self, task: Task) {
        self.queue.push(task);
    }

    fn hand_out(&mut self, completed: &mut Completed) {
        self.share_again();
        let depth = self.depth();
        while !self.queue.is_empty() {
            // The one with least to do, and of those the one that is most likely still awake.
            let free = self
                .members
                .iter()
                .filter(|member| member.sent.len() < member.room(depth))
                .filter(|member| !member.is_at_lost_work())
                .min_by_key(|member| (member.sent.len(), Reverse(member.last_used)))
                .map(|member| member.rank);
            let Some(rank) = free else {
                break;
            };
            let Some(task) = self.queue.pop() else {
                break;
            };
            if !task.body.files.is_empty() {
                let why = "cannot be sent to a rank: a slice of a SharedArray stays on its host. \
                           Send the numbers, or use a ProcessPool";
                let error = error::not_sent(task.first_item, why.to_owned());
                completed.push(task.end(Err(error)));
            } else if task.sink.begin(task.place)
                && let Err(loss) = self.send(rank, task)
            {
                self.lose(loss, completed);
                return;
            }
        }
        if self.line.flush().is_err() {
            // What it has said before its end still counts, so the loss is dealt with where the
            // connection is read, which shows the end as well.
            self.bell.ring();
        }
    }

    fn progress(&mut self, all: bool, completed: &mut Completed) {
        if self.broken.is_some() {
            return;
        }
        self.take_in(completed);
        if all {
            self.check_limits(completed);
            self.end_lost_work();
        }
        if self.broken.is_none() {
            self.hand_out(completed);
        }
    }

    fn recall_all(&mut self) {
        for place in (0..self.members.len()).rev() {
            self.recall(place);
        }
    }

    fn stop(&mut self, sink: &Arc<dyn Sink>, completed: &mut Completed) {
        self.recall_all();
        self.take_in_all(completed);
        for member in &mut self.members {
            let front = member.sent.front().and_then(|sent| sent.task.as_ref());
            if front.is_some_and(|task| task.is_for(sink)) {
                let error = error::stopped("another item of the same call failed");
                abandon(member, error, completed);
            }
        }
        self.queue.stop(sink, completed);
        self.end_lost_work();
    }

    fn give_up(&mut self, error: PoolError, completed: &mut Completed) {
        match &mut self.line {
            Line::Job { job, .. } => {
                job.end(Duration::ZERO);
            }
            Line::Here(switch) => switch.close(TIME_TO_LEAVE),
        }
        for member in &mut self.members {
            let waiting = member.leftovers();
            self.queue.take_back(waiting);
            for task in member.sent.drain(..).filter_map(|sent| sent.task) {
                let error = error::stopped("its pool was dropped or is broken");
                completed.push(task.end(Err(error)));
            }
        }
        self.queue.fail_all(&error, completed);
        // What failed first is the reason for what fails then.
        self.broken.get_or_insert(error);
        self.bell.ring();
    }
}

/// Why a job is given up.
#[derive(Debug)]
enum Loss {
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
