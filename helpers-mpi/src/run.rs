//! Classic MPI: one function runs on every rank.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use helpers::internals::{CodeRef, from_bytes};
use helpers::pool::Portable;
use mpi::topology::SimpleCommunicator;

use crate::control::{Activity, OwnerMessage, RankMessage, Role};
use crate::error::{MpiError, Who};
use crate::function;
use crate::job::{Job, Next};
use crate::launched;
use crate::settings::{Settings, settings_methods};

/// How long ranks may take to end once they have given their values.
const TIME_TO_END: Duration = Duration::from_secs(2);

/// How long ranks may take to say what they are doing.
const TIME_TO_ANSWER: Duration = Duration::from_millis(300);

/// Where there is no time limit: if so often nobody has got any further, a deadlock is told.
const CHECK: Duration = Duration::from_secs(5);
const CHECKS: u32 = 6;

/// What so many ranks are doing is told one by one.
const MOST_TOLD: usize = 16;

/// Runs a function on `ranks` MPI ranks, and gives what it returned on each, in rank order.
///
/// The function gets the communicator of all ranks, as `MPI_COMM_WORLD`, with all that the
/// [`mpi`] crate has for it. What ranks print arrives behind their names, `rank 0:` first. The
/// ranks are processes: the function captures nothing, and what it returns must be
/// [`Portable`].
///
/// ```
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init(); // a program's first line; a notebook does not need it
/// let sums = mpi_run(3, |world| {
///     let mut sum = 0;
///     world.all_reduce_into(&world.rank(), &mut sum, SystemOperation::sum());
///     sum
/// })?;
/// assert_eq!(sums, [3, 3, 3]);
/// # Ok::<(), MpiError>(())
/// ```
///
/// Capturing does not compile:
///
/// ```compile_fail,E0080
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let factor = 3;
/// mpi_run(2, |world| world.rank() * factor).unwrap();
/// ```
///
/// # Errors
/// The ranks cannot be started; the function panics on a rank, or a rank's process ends; a value
/// cannot be sent; all ranks have waited for each other for half a minute. The other ranks are
/// stopped then. In a program that `mpiexec` has started, another function or a pool has the ranks.
/// For a time limit, other hosts and the like see [`MpiRun`].
pub fn mpi_run<R, F>(ranks: usize, f: F) -> Result<Vec<R>, MpiError>
where
    R: Portable,
    F: Fn(&SimpleCommunicator) -> R,
{
    MpiRun::new(ranks).run(f)
}

/// A job of ranks that is yet to be run, with settings of its own.
///
/// ```
/// use helpers_mpi::prelude::*;
/// use std::time::Duration;
///
/// helpers_mpi::init();
/// let stuck = MpiRun::new(2)
///     .time_limit(Duration::from_millis(500))
///     .run(|world| {
///         // Both wait for the other one to speak.
///         let other = world.process_at_rank(1 - world.rank());
///         other.receive::<i32>().0
///     });
/// let told = stuck.unwrap_err();
/// assert!(told.is_timeout());
/// assert!(told.to_string().contains("waits in MPI_Recv for a message from rank 1"));
/// ```
#[must_use = "a job does nothing until `run` is called"]
#[derive(Clone, Debug)]
pub struct MpiRun {
    settings: Settings,
    limit: Option<Duration>,
}

impl MpiRun {
    /// A job of so many ranks.
    pub fn new(ranks: usize) -> MpiRun {
        MpiRun {
            settings: Settings::new(ranks),
            limit: None,
        }
    }

    settings_methods!();

    /// Allows the function so much time. A job that takes longer is stopped, with an error that
    /// says what each rank was waiting for.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs `f` on every rank, as [`mpi_run`] does.
    ///
    /// # Errors
    /// As [`mpi_run`]; the time limit is over; a setting that no job can have.
    pub fn run<R, F>(&self, _f: F) -> Result<Vec<R>, MpiError>
    where
        R: Portable,
        F: Fn(&SimpleCommunicator) -> R,
    {
        let function = function::find(function::entry::<F, R>()).map_err(MpiError::start)?;
        let read = |(who, bytes): (Who, Vec<u8>)| {
            from_bytes(&bytes).map_err(|error| MpiError::not_sent(who, error))
        };
        self.run_bytes(function)?.into_iter().map(read).collect()
    }

    /// Only what is around this is compiled anew for each function: the rest knows bytes.
    fn run_bytes(&self, function: CodeRef) -> Result<Vec<(Who, Vec<u8>)>, MpiError> {
        if self.limit == Some(Duration::ZERO) {
            return Err(MpiError::invalid_input("a time limit of 0 was asked for"));
        }
        if let Some(values) = launched::run_on_all(&function, self.settings.ranks, self.limit)? {
            return Ok(values);
        }
        let job = Job::start(&self.settings, Role::Run)?;
        let mut run = Run::new(&job, self.settings.ranks);
        run.wait_until_up(self.settings.time_to_start())?;
        job.tell(None, OwnerMessage::Run(function));
        run.wait_for_values(self.limit)?;
        let values = run.values.into_iter().enumerate();
        let values = values
            .map(|(rank, value)| (job.who(rank), value.unwrap_or_default()))
            .collect();
        // Values are all that was wanted: whatever happens to the processes now is no failure.
        job.end(TIME_TO_END);
        Ok(values)
    }
}

/// What has become of a job so far.
struct Run<'j> {
    job: &'j Job,
    up: usize,
    values: Vec<Option<Vec<u8>>>,
    activities: Vec<Option<Activity>>,
}

impl<'j> Run<'j> {
    fn new(job: &'j Job, ranks: usize) -> Run<'j> {
        Run {
            job,
            up: 0,
            values: vec![None; ranks],
            activities: vec![None; ranks],
        }
    }

    fn ranks(&self) -> usize {
        self.values.len()
    }

    fn wait_until_up(&mut self, patience: Duration) -> Result<(), MpiError> {
        let deadline = Instant::now() + patience;
        while self.up < self.ranks() {
            match self.job.next_message(Some(deadline)) {
                Next::Message(rank, message) => self.hear(rank, message)?,
                Next::Ended => {
                    let end = self.job.end(Duration::ZERO);
                    return Err(match end.rank {
                        Some(rank) => MpiError::rank_lost(Some(self.job.who(rank)), end.how),
                        None => MpiError::start(end.how),
                    });
                }
                Next::Late => {
                    return Err(MpiError::start(format!(
                        "only {} of {} ranks were there after {patience:?}. {}",
                        self.up,
                        self.ranks(),
                        self.job.words_so_far()
                    )));
                }
            }
        }
        Ok(())
    }

    fn wait_for_values(&mut self, limit: Option<Duration>) -> Result<(), MpiError> {
        // A limit beyond the end of time is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut next_check = Instant::now() + CHECK;
        let mut before = None;
        let mut idle_checks = 0;
        while self.values.iter().any(Option::is_none) {
            let until = deadline.map_or(next_check, |deadline| deadline.min(next_check));
            match self.job.next_message(Some(until)) {
                Next::Message(rank, message) => self.hear(rank, message)?,
                Next::Ended => {
                    let end = self.job.end(Duration::ZERO);
                    let who = end.rank.map(|rank| self.job.who(rank));
                    return Err(MpiError::rank_lost(who, end.how));
                }
                Next::Late => {
                    self.ask()?;
                    if let (Some(limit), Some(deadline)) = (limit, deadline)
                        && deadline <= Instant::now()
                    {
                        return Err(MpiError::time_limit(limit, self.activities_in_words()));
                    }
                    let steps = self.steps_if_all_wait();
                    let is_idle = steps.is_some() && steps == before;
                    idle_checks = if is_idle { idle_checks + 1 } else { 0 };
                    before = steps;
                    if deadline.is_none() && idle_checks == CHECKS {
                        return Err(MpiError::deadlock(
                            CHECK * CHECKS,
                            self.activities_in_words(),
                        ));
                    }
                    next_check = Instant::now() + CHECK;
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, rank: usize, message: RankMessage) -> Result<(), MpiError> {
        match message {
            RankMessage::Ready => self.up += 1,
            RankMessage::Value(value) => self.values[rank] = Some(value),
            RankMessage::Activity(activity) => self.activities[rank] = Some(activity),
            RankMessage::Panicked(message) => {
                self.job.pass_on_output();
                return Err(MpiError::panic(self.job.who(rank), message));
            }
            RankMessage::NotSent(cause) => {
                return Err(MpiError::not_sent(self.job.who(rank), cause));
            }
            RankMessage::Failed(why) => {
                let how = format!("it cannot run the function: {why}");
                return Err(MpiError::rank_lost(Some(self.job.who(rank)), how));
            }
            // The job itself hears these.
            RankMessage::Up { .. }
            | RankMessage::NoLibrary(_)
            | RankMessage::Aborts(_)
            | RankMessage::Exits { .. }
            | RankMessage::Done => {}
        }
        Ok(())
    }

    /// Asks all ranks what they are doing.
    fn ask(&mut self) -> Result<(), MpiError> {
        self.activities.fill(None);
        self.job.tell(None, OwnerMessage::Ask);
        let deadline = Instant::now() + TIME_TO_ANSWER;
        while self.activities.iter().any(Option::is_none) {
            match self.job.next_message(Some(deadline)) {
                Next::Message(rank, message) => self.hear(rank, message)?,
                Next::Ended | Next::Late => break,
            }
        }
        Ok(())
    }

    /// How many steps all ranks have made, if none of them does anything but wait.
    fn steps_if_all_wait(&self) -> Option<u64> {
        let steps = self.activities.iter().map(|activity| match activity {
            Some(activity) if activity.waits => Some(activity.steps),
            _ => None,
        });
        steps.sum()
    }

    /// A line for each rank, or for ranks that do the same.
    fn activities_in_words(&self) -> String {
        let mut text = String::new();
        for (rank, activity) in self.activities.iter().enumerate().take(MOST_TOLD) {
            let does = match activity {
                Some(activity) => activity.text.as_str(),
                None => "does not say what it does",
            };
            let end = if rank == 0 { "" } else { "\n" };
            // Writing to a text does not fail.
            let _ = write!(text, "{end}  {} {does}", self.job.who(rank));
        }
        if self.ranks() > MOST_TOLD {
            let _ = write!(text, "\n  … and {} more ranks", self.ranks() - MOST_TOLD);
        }
        text
    }
}
