//! The workers of a pool and the tasks that wait for them: who is free, who has died, who gets
//! what. Everything here happens under the engine's lock. It waits for no worker but one that has
//! closed its connection, and for that one not long.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};

use super::message::{Order, Report};
use super::worker::{Stage, Worker};
use crate::notebook;
use crate::pool::PoolError;
use crate::pool::remote::bell::Bell;
use crate::pool::remote::codec::Body;
use crate::pool::remote::crew::{Completed, Crew, Diary, Finished, LIVENESS, Sink, Task, Watched};
use crate::pool::remote::engine::LOOKING;
use crate::pool::remote::pace::Pace;
use crate::pool::remote::queue::Queue;
use crate::pool::remote::ship::Place;
use crate::pool::remote::wire::Arrival;

/// A worker that is not ready after this time is stopped.
const TIME_TO_START: Duration = Duration::from_secs(30);
/// So many starts in a row may fail before the pool gives up.
const FAILED_STARTS: usize = 3;
/// Tasks that take less than this are sent ahead, so that a worker need not wait for the next.
const SHORT_TASK: Duration = Duration::from_micros(50);
/// Work that may lie ahead of a worker.
const WORK_AHEAD: Duration = Duration::from_micros(200);
/// Tasks that were sent ahead are taken back for a free worker after their worker has been at
/// another task for so long.
const PATIENCE: Duration = Duration::from_micros(500);

/// What a pool was asked to be.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) tasks_per_worker: Option<usize>,
    /// The initializer and the bytes of its argument.
    pub(crate) initializer: Option<(Place, Body)>,
}

/// The workers of a pool that are processes, and the tasks that wait for them.
pub(super) struct Processes {
    settings: Settings,
    bell: Arc<Bell>,
    workers: Vec<Worker>,
    queue: Queue,
    /// Tasks name functions by their place here; an initializer is the first one.
    functions: Vec<Place>,
    pace: Pace,
    /// How many starts have failed in a row.
    failed_starts: usize,
    last_liveness: Instant,
    /// Why nothing goes on: every task ends with this error.
    broken: Option<PoolError>,
    /// The process that started this one.
    parent: u32,
    diary: Diary,
}

impl Processes {
    /// Starts the workers; they are not ready yet.
    pub(super) fn start(settings: Settings, bell: Arc<Bell>) -> Result<Processes, PoolError> {
        let count = settings.workers;
        let workers = (0..count)
            .map(|number| {
                Worker::start(number, &settings.environment)
                    .map_err(|cause| refused(number, count, &cause))
            })
            .collect::<Result<_, _>>()?;
        let functions = settings.initializer.iter().map(|(place, _)| place.clone());
        Ok(Processes {
            functions: functions.collect(),
            settings,
            bell,
            workers,
            queue: Queue::default(),
            pace: Pace::new(SHORT_TASK, WORK_AHEAD),
            // While none has succeeded, the first start that fails is an error at once.
            failed_starts: FAILED_STARTS - 1,
            last_liveness: Instant::now(),
            broken: None,
            parent: parent_id(),
            diary: Diary::new(count),
        })
    }

    /// Takes in all that one worker has said.
    fn take_in_all(&mut self, place: usize, completed: &mut Completed) {
        while self.take_in(place, completed) {}
    }

    /// Takes in what one worker has said; tells whether there may be more.
    fn take_in(&mut self, place: usize, completed: &mut Completed) -> bool {
        let worker = &mut self.workers[place];
        let arrival = worker.link.receive();
        if matches!(arrival, Ok(Arrival::Nothing)) {
            return false;
        }
        let mut is_done = false;
        loop {
            let worker = &mut self.workers[place];
            let (report, body) = match worker.link.take::<Report>() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    self.lose(place, Loss::Noise(error.to_string()), completed);
                    return false;
                }
            };
            match report {
                Report::Up => self.set_up(place, completed),
                Report::Ready => {
                    worker.stage = Stage::Ready;
                    self.failed_starts = 0;
                }
                Report::Failed(why) => {
                    self.lose(place, Loss::Refused(why), completed);
                    return false;
                }
                Report::Done {
                    sequence,
                    began,
                    ended,
                } => {
                    is_done = true;
                    match worker.sent.pop_front() {
                        Some(sent) if sent.sequence == sequence => {
                            worker.done += 1;
                            worker.last_used = Instant::now();
                            let finished = Finished {
                                body,
                                worker: worker.name(),
                            };
                            let number = worker.number;
                            self.note_time(&sent.task, number, began, ended);
                            completed.push(sent.task.end(Ok(finished)));
                        }
                        other => {
                            worker.sent.extend(other);
                            let noise = "a result that nobody asked for".to_owned();
                            self.lose(place, Loss::Noise(noise), completed);
                            return false;
                        }
                    }
                }
            }
        }
        if is_done {
            // A worker that has another task may be in the middle of a line of that one.
            let worker = &mut self.workers[place];
            worker.pass_on_output(worker.sent.is_empty());
        }
        if matches!(arrival, Ok(Arrival::Some)) {
            return true;
        }
        self.lose(place, Loss::Gone, completed);
        false
    }

    /// Notes how long a task took, in nanoseconds on the clock that processes share.
    fn note_time(&mut self, task: &Task, worker: usize, began: u64, ended: u64) {
        let took = Duration::from_nanos(ended.saturating_sub(began));
        self.pace.note(took);
        self.diary.note(task, worker, took, ended);
    }

    /// Tells a new worker what it needs to know.
    fn set_up(&mut self, place: usize, completed: &mut Completed) {
        let worker = &mut self.workers[place];
        let orders = worker
            .welcome()
            .and_then(|()| match &self.settings.initializer {
                Some((_, argument)) => {
                    worker.stage = Stage::SettingUp;
                    worker.learn(0, &self.functions[0])?;
                    worker
                        .link
                        .put(&Order::Initialize { function: 0 }, argument)
                }
                None => {
                    worker.stage = Stage::Ready;
                    Ok(())
                }
            });
        if worker.stage == Stage::Ready {
            self.failed_starts = 0;
        }
        let worker = &mut self.workers[place];
        if orders.and_then(|()| worker.link.flush(false)).is_err() {
            self.lose(place, Loss::Gone, completed);
        }
    }

    /// Looks for workers that have died in silence, and for tasks that take too long.
    fn check_limits(&mut self, completed: &mut Completed) {
        let look_at_processes = self.last_liveness.elapsed() >= LIVENESS;
        if look_at_processes {
            self.last_liveness = Instant::now();
            // A kernel that was killed leaves the process of its cells behind, which would wait
            // here for ever. The workers end with it.
            if notebook::is_notebook() && parent_id() != self.parent {
                let _ = raise(Signal::SIGKILL);
            }
        }
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            worker.pass_on_output(false);
            if look_at_processes && worker.has_ended() {
                // What it said before its end counts.
                self.take_in_all(place, completed);
                if self.workers[place].has_ended() {
                    self.lose(place, Loss::Gone, completed);
                }
                continue;
            }
            if worker.stage != Stage::Ready && worker.started.elapsed() > TIME_TO_START {
                self.lose(place, Loss::Slow, completed);
                continue;
            }
            let limit = worker.sent.front().and_then(|sent| sent.task.time_limit);
            if let Some(limit) = limit
                && worker.time_left(limit).is_zero()
            {
                let had_not_begun = !worker.is_at_work();
                // So that it begins nothing else while it is judged.
                self.recall(place);
                self.take_in_all(place, completed);
                let worker = &self.workers[place];
                if worker.sent.is_empty() && had_not_begun {
                    self.fail_first(limit, place, completed);
                } else if !worker.sent.is_empty() && worker.time_left(limit).is_zero() {
                    self.lose(place, Loss::TimeLimit(limit), completed);
                }
            }
        }
    }

    /// Gives up the first task, which its worker has not begun in time, and the worker.
    fn fail_first(&mut self, limit: Duration, place: usize, completed: &mut Completed) {
        if let Some(task) = self.queue.pop() {
            let name = format!("worker {}", self.workers[place].number);
            let error = PoolError::time_limit(name, task.first_item, limit);
            completed.push(task.end(Err(error)));
        }
        self.lose(place, Loss::Slow, completed);
    }

    fn send(&mut self, place: usize, task: Task) {
        let worker = &mut self.workers[place];
        let known = worker.learn(task.function, &self.functions[task.function as usize]);
        let sent = worker.send(task);
        if known.and(sent).is_err() {
            // The task is among the sent ones, and is found there when the loss is noticed.
            worker.kill();
        }
    }

    /// Takes tasks that were sent ahead back from a busy worker when another one is idle.
    fn share_again(&mut self) {
        if !self.queue.is_empty() || !self.workers.iter().any(Worker::is_idle) {
            return;
        }
        for place in 0..self.workers.len() {
            let worker = &self.workers[place];
            if worker.sent.len() > 1 && worker.busy_for() > PATIENCE {
                self.recall(place);
                // Tasks are not as short as they seemed.
                self.pace.forget();
            }
        }
    }

    /// Takes back what a worker has not begun, to the head of the queue.
    fn recall(&mut self, place: usize) {
        let waiting = self.workers[place].recall();
        self.queue
            .take_back(waiting.into_iter().map(|sent| sent.task));
    }

    fn is_worn_out(&self, worker: &Worker) -> bool {
        let limit = self.settings.tasks_per_worker;
        limit.is_some_and(|limit| worker.done + worker.sent.len() >= limit)
    }

    /// Puts a fresh worker in the place of one that has done its share.
    fn retire(&mut self, place: usize, completed: &mut Completed) {
        self.workers[place].pass_on_output(true);
        self.replace(place, completed);
    }

    /// Ends a worker, tells whom its task belongs to, and puts a fresh worker in its place. What
    /// it has not begun goes back to the head of the queue.
    fn lose(&mut self, place: usize, loss: Loss, completed: &mut Completed) {
        if self.broken.is_some() {
            return;
        }
        let worker = &mut self.workers[place];
        let item = worker.item_in_work();
        let waiting = worker.recall();
        let begun = std::mem::take(&mut worker.sent);
        let (number, stage) = (worker.number, worker.stage);
        let name = format!("worker {number}");
        let how = match loss {
            Loss::Gone => worker.end_after_loss(),
            _ => {
                worker.kill();
                worker.end_after_loss();
                loss.to_string()
            }
        };
        let error = match loss {
            Loss::TimeLimit(limit) => PoolError::time_limit(name, item, limit),
            Loss::Stopped => PoolError::stopped("another item of the same call failed"),
            _ => PoolError::worker_lost(name, item, how.clone()),
        };
        let ends = begun
            .into_iter()
            .map(|sent| sent.task.end(Err(error.clone())));
        completed.extend(ends);
        let waiting = waiting.into_iter().map(|sent| sent.task);
        if let Loss::Refused(_) = loss {
            // Another worker would refuse it as well.
            completed.extend(waiting.map(|task| task.end(Err(error.clone()))));
        } else {
            self.queue.take_back(waiting);
        }
        if stage != Stage::Ready {
            self.failed_starts += 1;
            if self.failed_starts >= FAILED_STARTS {
                let error = PoolError::start(number + 1, self.settings.workers, how);
                self.give_up(error, completed);
                return;
            }
        }
        self.replace(place, completed);
    }

    /// Starts a worker in the place of one that has ended or will now.
    fn replace(&mut self, place: usize, completed: &mut Completed) {
        let number = self.workers[place].number;
        match Worker::start(number, &self.settings.environment) {
            Ok(worker) => self.workers[place] = worker,
            Err(cause) => {
                let error = refused(number, self.settings.workers, &cause);
                self.give_up(error, completed);
            }
        }
        // Whoever sleeps watches the old one.
        self.bell.ring();
    }
}

impl Crew for Processes {
    fn is_up(&self) -> bool {
        let ready = |worker: &Worker| worker.stage == Stage::Ready;
        self.broken.is_some() || self.workers.iter().all(ready)
    }

    fn broken(&self) -> Option<&PoolError> {
        self.broken.as_ref()
    }

    fn is_busy(&self) -> bool {
        // A fresh worker needs somebody who hears that it is up, and tells it what to do: else it
        // would be held to be slow when the next call comes.
        let is_waited_for = |w: &Worker| w.stage != Stage::Ready || !w.sent.is_empty();
        self.broken.is_none() && (!self.queue.is_empty() || self.workers.iter().any(is_waited_for))
    }

    fn queued(&self) -> usize {
        self.queue.len()
    }

    fn depth(&self) -> usize {
        self.pace.depth()
    }

    fn wants_more(&self) -> bool {
        let depth = self.depth();
        let has_little = |worker: &Worker| worker.sent.len() <= depth / 2;
        self.workers.iter().any(has_little)
    }

    fn is_flushed(&self) -> bool {
        self.workers.iter().all(|worker| worker.link.is_flushed())
    }

    fn patience(&self) -> Duration {
        let someone_idle = self.workers.iter().any(Worker::is_idle);
        let of_worker = |worker: &Worker| {
            let limit = worker.sent.front().and_then(|sent| sent.task.time_limit);
            let limit = limit.map(|limit| worker.time_left(limit));
            let share = (someone_idle && worker.sent.len() > 1).then_some(PATIENCE);
            limit.into_iter().chain(share).min()
        };
        self.workers
            .iter()
            .filter_map(of_worker)
            .fold(LIVENESS, Duration::min)
    }

    fn looking(&self) -> Duration {
        LOOKING
    }

    fn watched(&self) -> Vec<Watched> {
        self.workers.iter().flat_map(Worker::watched).collect()
    }

    fn learn(&mut self, place: Place) -> u32 {
        self.functions.push(place);
        self.functions.len() as u32 - 1
    }

    fn enqueue(&mut self, task: Task) {
        self.queue.push(task);
    }

    fn progress(&mut self, all: bool, completed: &mut Completed) {
        if self.broken.is_some() {
            return;
        }
        for place in 0..self.workers.len() {
            let worker = &self.workers[place];
            if all || worker.stage != Stage::Ready || !worker.sent.is_empty() {
                self.take_in(place, completed);
            }
        }
        if all {
            self.check_limits(completed);
        }
        self.hand_out(completed);
    }

    fn hand_out(&mut self, completed: &mut Completed) {
        self.share_again();
        let depth = self.depth();
        while !self.queue.is_empty() {
            // The one with least to do, and of those the one that is most likely still awake.
            let free = (0..self.workers.len())
                .filter(|&place| {
                    let worker = &self.workers[place];
                    let is_free = worker.stage == Stage::Ready && worker.sent.len() < depth;
                    is_free && (worker.sent.is_empty() || !self.is_worn_out(worker))
                })
                .min_by_key(|&place| {
                    let worker = &self.workers[place];
                    (worker.sent.len(), std::cmp::Reverse(worker.last_used))
                });
            let Some(place) = free else {
                break;
            };
            if self.is_worn_out(&self.workers[place]) {
                self.retire(place, completed);
                continue;
            }
            let Some(task) = self.queue.pop() else {
                break;
            };
            if task.sink.begin(task.place) {
                self.send(place, task);
            }
        }
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            if !worker.link.is_flushed() && worker.link.flush(false).is_err() {
                // What it has said before its end still counts, so the loss is dealt with where
                // its connection is read, which shows the end as well.
                worker.kill();
                worker.link.forget_outgoing();
            }
        }
    }

    fn recall_all(&mut self) {
        for place in (0..self.workers.len()).rev() {
            self.recall(place);
        }
    }

    fn stop(&mut self, sink: &Arc<dyn Sink>, completed: &mut Completed) {
        for place in (0..self.workers.len()).rev() {
            self.recall(place);
            self.take_in_all(place, completed);
            if self.workers[place]
                .sent
                .front()
                .is_some_and(|sent| sent.task.is_for(sink))
            {
                self.lose(place, Loss::Stopped, completed);
            }
        }
        self.queue.stop(sink, completed);
    }

    fn give_up(&mut self, error: PoolError, completed: &mut Completed) {
        for worker in &mut self.workers {
            worker.kill();
        }
        for place in (0..self.workers.len()).rev() {
            self.workers[place].end(Duration::ZERO);
            self.recall(place);
            for sent in self.workers[place].sent.drain(..) {
                let error = PoolError::stopped("its pool was dropped or is broken");
                completed.push(sent.task.end(Err(error)));
            }
        }
        self.queue.fail_all(&error, completed);
        // What failed first is the reason for what fails then.
        self.broken.get_or_insert(error);
        self.bell.ring();
    }
}

/// The system refuses to start a worker.
fn refused(number: usize, count: usize, cause: &io::Error) -> PoolError {
    PoolError::start(number + 1, count, format!("{cause}; ask for fewer workers"))
}

/// Why a worker is given up.
enum Loss {
    /// Its connection has closed or the process has ended.
    Gone,
    /// It sent what is no message.
    Noise(String),
    /// It says that it cannot do what it was told.
    Refused(String),
    /// It has not become ready.
    Slow,
    /// An item took longer than its limit.
    TimeLimit(Duration),
    /// Its task is not wanted any more.
    Stopped,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Gone => f.write_str("it ended"),
            Loss::Noise(what) => write!(f, "it sent {what}, and was stopped"),
            Loss::Refused(why) => f.write_str(why),
            Loss::Slow => write!(f, "it was not ready after {TIME_TO_START:?}"),
            Loss::TimeLimit(limit) => write!(f, "an item took longer than {limit:?}"),
            Loss::Stopped => f.write_str("it was stopped"),
        }
    }
}
