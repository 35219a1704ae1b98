//! The ranks of a pool and the tasks that wait for them: who is free, and who gets what. Submodules
//! hold what is said, and what happens when the job is lost.
//!
//! An MPI job ends with any of its ranks. So when one is lost, or must be stopped, the whole job
//! ends, and a fresh one takes its place. Tasks that no rank had begun go there.

mod loss;
mod talk;

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helpers::PoolError;
use helpers::internals::{
    Bell, Board, Body, Completed, Crew, Diary, Pace, Place, Queue, Sink, Task, Watched, error,
};

use self::loss::FAILED_STARTS;
use super::line::Line;
use super::member::{Member, Stage};
use super::message::machine;
use super::post::Post;
use super::switch::Switch;
use crate::job::Job;
use crate::joined;
use crate::library;
use crate::link::Role;
use crate::settings::Settings;

/// Tasks that take less than this are sent ahead, so that a rank need not wait for the next.
const SHORT_TASK: Duration = Duration::from_micros(500);
/// Work that may lie ahead of a rank.
const WORK_AHEAD: Duration = Duration::from_millis(1);
/// Tasks that were sent ahead are taken back for a free rank after their rank has been at another
/// task for so long.
const PATIENCE: Duration = Duration::from_millis(1);

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
        let here = joined::begin_pool().map_err(|error| error::invalid_input(error.to_string()))?;
        let line = match here {
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
        match ranks.members() {
            Ok(members) => ranks.members = members,
            Err(cause) => {
                let error = refused(cause.to_string());
                // Or other ranks of this program would wait for the pool for ever.
                ranks.give_up(error.clone(), &mut Completed::new());
                return Err(error);
            }
        }
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
        // Ranks of a fresh job must be told what to set up, also where nobody waits for a result.
        !self.is_up()
            || !self.queue.is_empty()
            || self.members.iter().any(|member| !member.sent.is_empty())
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
        let longest = self.line.patience(self.is_busy());
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
            self.end_lost_work(completed);
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
        // Where tasks cannot be taken back, some may lie behind the one that the rank is at.
        let all_sent = self.members.iter_mut().flat_map(|member| &mut member.sent);
        for task in all_sent.filter_map(|sent| sent.task.take_if(|task| task.is_for(sink))) {
            let error = error::stopped("another item of the same call failed");
            completed.push(task.end(Err(error)));
        }
        self.queue.stop(sink, completed);
        self.end_lost_work(completed);
    }

    fn give_up(&mut self, error: PoolError, completed: &mut Completed) {
        if let Some(job) = self.line.job() {
            job.end(Duration::ZERO);
        }
        if let Line::Here(switch) = &mut self.line {
            switch.close(TIME_TO_LEAVE);
            // Who still has a handle keeps the pool's remains, and they must call MPI no more.
            self.line = Line::GivenBack;
            joined::end_pool();
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
