//! Which worker gets which task, and when: all that is decided below the calls that users make.
//!
//! It is written once for worker processes and for ranks, which differ in their
//! [`Transport`]. The submodule `loss` holds what happens when workers are lost, or must be: there limits of time
//! are enforced, what a lost worker was at is told, and a fresh one takes its place.

mod loss;

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::code_ref::CodeRef;
use super::codec::Body;
use super::ledger::{Ledger, Prefetch, Queue, Stage};
use super::protocol::{Order, Report};
use super::shared_value::Values;
use super::task::{Completed, Finished, Task, TaskRecorder};
use super::transport::{LIVENESS, Profile, Transport, Watched};
use super::waker::Waker;
use super::wire::Arrival;
use crate::notebook::evcxr::Kernel;
use crate::pool::PoolError;
use crate::pool::error::WorkerKind;
use crate::pool::handle::TIME_TO_FINISH;

/// So many starts in a row may fail before the pool gives up.
const FAILED_STARTS: usize = 3;

/// The workers of a pool and the tasks that wait for them: who is free, who has died, who gets
/// what.
///
/// The engine calls it under its lock, so nothing here waits for a worker but one that has hung up,
/// and for that one not long.
pub struct Scheduler {
    transport: Box<dyn Transport>,
    profile: Profile,
    ledgers: Vec<Ledger>,
    queue: Queue,
    prefetch: Prefetch,
    /// Tasks name functions by their index here; an initializer is the first one.
    functions: Vec<CodeRef>,
    /// The bytes of the initializer's argument.
    initializer: Option<Body>,
    /// How many starts have failed in a row.
    failed_starts: usize,
    last_liveness: Instant,
    /// When the time is over of a task that nobody wants any more.
    next_stop: Option<Instant>,
    /// Why nothing goes on: every task ends with this error.
    broken: Option<PoolError>,
    /// Those that go along with tasks.
    values: Arc<Values>,
    kernel: Kernel,
    recorder: TaskRecorder,
    /// Calls the leader out of its sleep.
    waker: Arc<Waker>,
}

/// Why a domain is given up.
#[derive(Debug)]
enum Loss {
    /// Its connection has closed or its process has ended.
    Gone,
    /// It sent what is no message.
    Noise(String),
    /// A worker says that it cannot do what it was told.
    Refused(usize, String),
    /// It has not become ready in this time.
    Slow(Duration),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Gone => f.write_str("it ended"),
            Loss::Noise(what) => write!(f, "it sent {what}, and was stopped"),
            Loss::Refused(_, why) => f.write_str(why),
            Loss::Slow(time) => write!(f, "it was not ready after {time:?}"),
        }
    }
}

impl Scheduler {
    /// Takes on workers that were just started; they are not ready yet.
    ///
    /// # Errors
    /// The system refuses what they need.
    pub fn new(
        transport: Box<dyn Transport>,
        initializer: Option<(CodeRef, Body)>,
        waker: Arc<Waker>,
    ) -> Result<Scheduler, PoolError> {
        let profile = transport.profile();
        let mut scheduler = Scheduler {
            transport,
            profile,
            ledgers: Vec::new(),
            queue: Queue::default(),
            prefetch: Prefetch::new(profile.short_task, profile.work_ahead),
            functions: Vec::new(),
            initializer: None,
            // While none has succeeded, the first start that fails is an error at once.
            failed_starts: FAILED_STARTS - 1,
            last_liveness: Instant::now(),
            next_stop: None,
            broken: None,
            values: Arc::default(),
            kernel: Kernel::here(),
            recorder: TaskRecorder::new(profile.workers),
            waker,
        };
        if let Some((function, argument)) = initializer {
            scheduler.learn(function);
            scheduler.initializer = Some(argument);
        }
        match scheduler.fresh_ledgers(0..profile.workers) {
            Ok(ledgers) => scheduler.ledgers = ledgers,
            Err(cause) => {
                // Or ranks that belong to this program would wait for the pool for ever.
                scheduler.transport.shut_down(true);
                return Err(scheduler.not_started(0, cause.to_string()));
            }
        }
        Ok(scheduler)
    }

    fn fresh_ledgers(&mut self, workers: Range<usize>) -> io::Result<Vec<Ledger>> {
        let fresh = workers.map(|worker| {
            let scoreboard = self.transport.scoreboard(worker)?;
            Ok(Ledger::new(self.transport.name(worker), scoreboard))
        });
        fresh.collect()
    }

    /// The workers of a failure domain.
    fn members(&self, domain: usize) -> Range<usize> {
        let together = self.profile.together;
        domain * together..(domain + 1) * together
    }

    /// The failure domain of a worker.
    fn domain_of(&self, worker: usize) -> usize {
        worker / self.profile.together
    }

    fn domains(&self) -> Range<usize> {
        0..self.ledgers.len() / self.profile.together
    }

    /// Whether all workers are ready, or never will be.
    pub fn is_up(&self) -> bool {
        self.broken.is_some() || self.ledgers.iter().all(Ledger::is_ready)
    }

    /// Why nothing goes on: every task ends with this error.
    pub fn broken(&self) -> Option<&PoolError> {
        self.broken.as_ref()
    }

    /// Whether somebody must see to the workers: a task waits or is with one, or a fresh worker
    /// is to be told what to set up, or else it would be held to be slow when the next call comes.
    pub fn is_busy(&self) -> bool {
        let is_waited_for = |ledger: &Ledger| !ledger.is_idle();
        self.broken.is_none() && (!self.queue.is_empty() || self.ledgers.iter().any(is_waited_for))
    }

    /// How many tasks wait for a worker.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many tasks a worker may have at once.
    pub fn depth(&self) -> usize {
        self.prefetch.depth()
    }

    /// Whether some worker has little to do. Others get their next tasks with their next results,
    /// several at a time.
    pub fn wants_more(&self) -> bool {
        let depth = self.depth();
        let has_little = |ledger: &Ledger| ledger.load() <= ledger.room(depth) / 2;
        self.ledgers.iter().any(has_little)
    }

    /// Whether all messages have gone.
    pub fn is_flushed(&self) -> bool {
        self.transport.is_flushed()
    }

    /// For how long whoever waits for a result stays awake after the last one.
    pub fn looking(&self) -> Duration {
        self.profile.looking
    }

    /// What says that there is something to be done.
    pub fn watched(&self) -> Vec<Watched> {
        self.transport.watched()
    }

    /// The longest time until something is to be done though no worker says anything.
    pub fn patience(&self) -> Duration {
        let someone_idle = self.ledgers.iter().any(Ledger::is_idle);
        let of_worker = |ledger: &Ledger| {
            let limit = ledger.limit().map(|limit| ledger.time_left(limit));
            let share = (someone_idle && ledger.load() > 1).then_some(self.profile.patience);
            limit.into_iter().chain(share).min()
        };
        let longest = match self.is_busy() {
            true => self.profile.busy_sleep,
            false => LIVENESS,
        };
        let each = self.ledgers.iter().filter_map(of_worker);
        let stop = self.next_stop;
        let stop = stop.map(|end| end.saturating_duration_since(Instant::now()));
        each.chain(stop).fold(longest, Duration::min)
    }

    /// The number of a function, which is a new one.
    pub fn learn(&mut self, function: CodeRef) -> u32 {
        self.functions.push(function);
        self.functions.len() as u32 - 1
    }

    /// The values that go along with tasks.
    pub fn values(&self) -> &Arc<Values> {
        &self.values
    }

    /// Puts a task at the end of the queue.
    pub fn enqueue(&mut self, task: Task) {
        self.queue.push(task);
    }

    /// Takes in all that workers have said, and gives them what they may do next. A look at
    /// workers that are not expected to say anything is only taken if `all`.
    pub fn progress(&mut self, all: bool, completed: &mut Completed) {
        for domain in self.domains() {
            let is_awaited = |worker: usize| !self.ledgers[worker].is_idle();
            if all || self.members(domain).any(is_awaited) {
                self.take_in(domain, completed);
            }
        }
        if all {
            self.check_liveness(completed);
        }
        if self.next_stop.is_some_and(|end| end <= Instant::now()) {
            self.end_unwanted(TIME_TO_FINISH, completed);
        }
        self.hand_out(completed);
    }

    /// Gives free workers the next tasks, the first in the queue first.
    pub fn hand_out(&mut self, completed: &mut Completed) {
        self.share_again();
        self.forget_values();
        let depth = self.depth();
        while !self.queue.is_empty() {
            // The one with least to do, and of those the one that is most likely still awake.
            let free = (0..self.ledgers.len())
                .filter(|&worker| {
                    let ledger = &self.ledgers[worker];
                    let has_room = ledger.load() < ledger.room(depth);
                    has_room && (ledger.load() == 0 || !self.is_worn_out(ledger))
                })
                .min_by_key(|&worker| {
                    let ledger = &self.ledgers[worker];
                    (ledger.load(), Reverse(ledger.last_used))
                });
            let Some(worker) = free else {
                break;
            };
            if self.is_worn_out(&self.ledgers[worker]) {
                let domain = self.domain_of(worker);
                self.transport.show_output(domain, true);
                self.replace(domain, completed);
                continue;
            }
            let Some(task) = self.queue.pop() else {
                break;
            };
            let value = task.value.as_ref();
            let has_files = !task.body.files.is_empty()
                || value.is_some_and(|value| !value.body.files.is_empty());
            if let (true, Some(why)) = (has_files, self.profile.refuses_files) {
                let error = PoolError::not_sent(task.first_item, why.to_owned());
                completed.push(task.end(Err(error)));
            } else if task.sink.begin(task.index) && self.send(worker, task).is_err() {
                self.lose(self.domain_of(worker), Loss::Gone, completed);
            }
        }
        self.flush();
    }

    /// Whether a worker has done its share.
    fn is_worn_out(&self, ledger: &Ledger) -> bool {
        let limit = self.profile.tasks_per_worker;
        limit.is_some_and(|limit| ledger.done + ledger.load() >= limit)
    }

    /// Takes tasks that were sent ahead back from a busy worker when another one is idle.
    fn share_again(&mut self) {
        if !self.queue.is_empty() || !self.ledgers.iter().any(Ledger::is_idle) {
            return;
        }
        for worker in 0..self.ledgers.len() {
            let ledger = &self.ledgers[worker];
            let can_share = ledger.load() > 1 && ledger.shares_scoreboard;
            if can_share && ledger.busy_for() > self.profile.patience {
                self.recall(worker);
                // Tasks are not as short as they seemed.
                self.prefetch.forget();
            }
        }
    }

    /// Takes back what a worker has not begun, to where it was in the queue.
    fn recall(&mut self, worker: usize) {
        let waiting = self.ledgers[worker].recall();
        self.queue.take_back(waiting);
    }

    /// Takes back all that no worker has begun.
    pub fn recall_all(&mut self) {
        for worker in (0..self.ledgers.len()).rev() {
            self.recall(worker);
        }
    }

    fn flush(&mut self) {
        for domain in self.domains() {
            if self.transport.flush(domain).is_err() {
                // What it has said before its end still counts, so the loss is dealt with where
                // its connection is read, which shows the end as well.
                self.waker.wake();
            }
        }
    }

    /// Sends a task. After an error the worker is of no use, and the task is among those sent.
    fn send(&mut self, worker: usize, task: Task) -> io::Result<()> {
        let mut taught = self.teach(worker, task.function);
        if let Some(value) = &task.value
            && self.ledgers[worker].keeps(value.number)
        {
            let order = Order::Value {
                number: value.number,
            };
            taught = taught.and(self.transport.put(worker, &order, &value.body));
        }
        let (order, task) = self.ledgers[worker].enter(task);
        taught.and(self.transport.put(worker, &order, &task.body))
    }

    /// Makes a function known to a worker, unless it knows it.
    fn teach(&mut self, worker: usize, number: u32) -> io::Result<()> {
        if !self.ledgers[worker].learns(number) {
            return Ok(());
        }
        let code = self.functions[number as usize].clone();
        let order = Order::Function { number, code };
        self.transport.put(worker, &order, &Body::default())
    }

    /// Has workers forget the values that no task will need any more.
    fn forget_values(&mut self) {
        for number in self.values.take_gone() {
            for worker in 0..self.ledgers.len() {
                if self.ledgers[worker].forgets(number) {
                    let order = Order::Forget { number };
                    // A worker that is gone has forgotten it.
                    let _ = self.transport.put(worker, &order, &Body::default());
                }
            }
        }
    }

    /// Takes in all that the workers of a domain have said.
    fn take_in_all(&mut self, domain: usize, completed: &mut Completed) {
        while self.take_in(domain, completed) {}
    }

    /// Takes in what the workers of a domain have said; tells whether there may be more.
    fn take_in(&mut self, domain: usize, completed: &mut Completed) -> bool {
        if self.broken.is_some() {
            return false;
        }
        let arrival = self.transport.receive(domain);
        let mut is_done = false;
        loop {
            let taken = match self.transport.take(domain) {
                Ok(Some((worker, report, body))) => {
                    is_done |= matches!(report, Report::Done { .. });
                    self.take_report(worker, report, body, completed)
                }
                Ok(None) => break,
                Err(error) => Err(Loss::Noise(error.to_string())),
            };
            if let Err(loss) = taken {
                self.lose(domain, loss, completed);
                return false;
            }
        }
        if is_done {
            // A worker that has another task may be in the middle of a line of that one.
            let mut members = self.members(domain);
            let are_idle = members.all(|worker| self.ledgers[worker].load() == 0);
            self.transport.show_output(domain, are_idle);
        }
        match arrival {
            Ok(Arrival::Some) => true,
            Ok(Arrival::Nothing) => false,
            Ok(Arrival::Closed) | Err(_) => {
                self.lose(domain, Loss::Gone, completed);
                false
            }
        }
    }

    fn take_report(
        &mut self,
        worker: usize,
        report: Report,
        body: Body,
        completed: &mut Completed,
    ) -> Result<(), Loss> {
        let noise = || Loss::Noise("what nobody asked for".to_owned());
        let ledger = self.ledgers.get_mut(worker).ok_or_else(noise)?;
        match report {
            Report::Up => self.welcome(worker).map_err(|_| Loss::Gone)?,
            Report::Welcomed { shares_scoreboard } => {
                ledger.shares_scoreboard = shares_scoreboard;
                if self.initializer.is_none() {
                    self.is_ready(worker);
                }
            }
            Report::Initialized => self.is_ready(worker),
            Report::Failed(why) => return Err(Loss::Refused(worker, why)),
            Report::Done {
                sequence,
                began,
                ended,
                cpu_time,
            } => {
                let done = ledger.strike_out(sequence).ok_or_else(noise)?;
                if let Some((user, system)) = cpu_time {
                    let nanos = Duration::from_nanos;
                    ledger.scoreboard.set_cpu_time((nanos(user), nanos(system)));
                }
                let took = Duration::from_nanos(ended.saturating_sub(began));
                self.prefetch.note(took);
                if let Some(task) = done.task {
                    // Another host's clock tells only how much time has passed.
                    let ended = ledger.shares_scoreboard.then_some(ended);
                    self.recorder.note(&task, worker, took, ended);
                    let worker = Arc::clone(&ledger.name);
                    completed.push(task.end(Ok(Finished { body, worker })));
                }
            }
        }
        Ok(())
    }

    /// Tells a new worker what it needs to know.
    fn welcome(&mut self, worker: usize) -> io::Result<()> {
        let ledger = &mut self.ledgers[worker];
        ledger.name = self.transport.name(worker).into();
        ledger.stage = Stage::SettingUp;
        let scoreboard = Body {
            files: vec![Arc::clone(ledger.scoreboard.file())],
            ..Body::default()
        };
        let welcome = Order::Welcome { scoreboard: None };
        self.transport.put(worker, &welcome, &scoreboard)?;
        if self.initializer.is_some() {
            self.teach(worker, 0)?;
        }
        if let Some(argument) = &self.initializer {
            let order = Order::Initialize { function: 0 };
            self.transport.put(worker, &order, argument)?;
        }
        Ok(())
    }

    fn is_ready(&mut self, worker: usize) {
        self.ledgers[worker].stage = Stage::Ready;
        let mut members = self.members(self.domain_of(worker));
        if members.all(|worker| self.ledgers[worker].is_ready()) {
            self.failed_starts = 0;
        }
    }

    /// A worker of a domain could not be started.
    fn not_started(&self, domain: usize, cause: String) -> PoolError {
        match self.profile.kind {
            WorkerKind::Process => PoolError::start(domain + 1, self.profile.workers, cause),
            WorkerKind::Rank => PoolError::job(self.profile.workers, cause),
        }
    }

    /// Ends the tasks that nobody wants any more, those that run as well unless they come to their
    /// end within this time.
    pub fn stop(&mut self, time: Duration, completed: &mut Completed) {
        self.recall_all();
        for domain in self.domains() {
            self.take_in_all(domain, completed);
        }
        self.queue.stop(completed);
        self.end_unwanted(time, completed);
    }

    /// Ends the tasks with workers that nobody has wanted for so long.
    fn end_unwanted(&mut self, time: Duration, completed: &mut Completed) {
        let error = PoolError::stopped("nobody waits for it");
        let mut soonest = None;
        // Where tasks cannot be taken back, some may lie behind the one that a worker is at.
        for ledger in &mut self.ledgers {
            let (stopped, next) = ledger.abandon_unwanted(time);
            completed.extend(stopped.into_iter().map(|task| task.end(Err(error.clone()))));
            soonest = soonest.into_iter().chain(next).min();
        }
        self.next_stop = soonest.map(|left| Instant::now() + left);
        for domain in self.domains() {
            self.end_lost_work(domain, completed);
        }
    }

    /// Ends all workers with what they are doing, as the pool is being dropped.
    pub fn close(&mut self, completed: &mut Completed) {
        let why = "its pool was dropped";
        self.end_all(
            PoolError::stopped(why),
            PoolError::cancelled(why),
            completed,
        );
    }

    /// Lets everything that is still to do fail with `error`, now and in future, and ends all
    /// workers. Nobody has cancelled what they are doing: it fails for the same reason.
    fn give_up(&mut self, error: PoolError, completed: &mut Completed) {
        self.end_all(error.clone(), error, completed);
    }

    fn end_all(&mut self, stopped: PoolError, error: PoolError, completed: &mut Completed) {
        let are_idle = self.ledgers.iter().all(Ledger::is_idle);
        self.transport.shut_down(are_idle);
        for ledger in &mut self.ledgers {
            let waiting = ledger.leftovers();
            self.queue.take_back(waiting);
            completed.extend(ledger.lost().map(|task| task.end(Err(stopped.clone()))));
        }
        self.queue.fail_all(&error, completed);
        // What failed first is the reason for what fails then.
        self.broken.get_or_insert(error);
        self.waker.wake();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheduler({} workers)", self.ledgers.len())
    }
}
