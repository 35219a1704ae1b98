//! A job: the launcher's process, its ranks, and their connections, seen from the owner.
//!
//! | module | holds |
//! | --- | --- |
//! | this one | [`Job`]: what its owner asks of it |
//! | `supervisor` | the thread that starts the launcher, hears the ranks and notices the end |
//! | `shared` | what both see |
//! | `launcher` | the program that starts ranks: `mpiexec` and its like |
//! | `output` | what ranks print |
//! | `hangups`, `exit` | in which order ranks hang up; how a job ended, as it and its launcher tell it |

pub(crate) mod exit;
mod hangups;
mod launcher;
mod output;
mod shared;
mod supervisor;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{Interrupts, Waker};

use self::exit::JobExit;
use self::launcher::Launcher;
use self::output::{OutputMux, Showing};
use self::shared::{Shared, State};
use self::supervisor::Supervisor;
use crate::control::{JobSpec, Listener, OwnerMessage, RankMessage, Role};
use crate::error::{MpiError, Who};
use crate::folder::Folder;
use crate::program;
use crate::settings::Settings;

/// Said by Slurm's `srun` while it waits for CPUs.
const NO_CPUS: &str = "step creation temporarily disabled";

/// A job that runs. Dropping it ends it at once, and waits until nothing of it is left.
#[derive(Debug)]
pub(crate) struct Job {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    folder: Arc<Folder>,
}

impl Job {
    /// Starts the launcher; returns before the ranks are up.
    pub(crate) fn start(settings: &Settings, role: Role) -> Result<Job, MpiError> {
        settings.check()?;
        settings.check_room(role)?;
        let launcher = Launcher::find(settings)?;
        let program = program::of_ranks()?;
        let folder = Arc::new(Folder::new(settings.ranks).map_err(MpiError::start)?);
        let (listener, address) = if settings.is_local() {
            Listener::near(folder.path())
        } else {
            Listener::far()
        }
        .map_err(|error| MpiError::start(format!("no rank could connect: {error}")))?;
        let spec = JobSpec {
            role,
            address,
            token: format!("{:032x}", helpers::rand::random::<u128>()),
            ranks: settings.ranks,
        };
        let variables = program::variables(&spec, settings);
        let mut command = launcher
            .command(settings, &variables, folder.path())
            .map_err(MpiError::start)?;
        program.append_to(&mut command);

        let showing = match role {
            Role::Run => Showing::ByRank,
            Role::Pool => Showing::AsTheyCome,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                hosts: vec![None; settings.ranks],
                ..State::default()
            }),
            changed: Condvar::new(),
            outputs: Mutex::new(OutputMux::new(settings.ranks, showing)),
            for_supervisor: Waker::new().map_err(MpiError::start)?,
            for_owner: Waker::new().map_err(MpiError::start)?,
        });
        let (started, is_started) = mpsc::channel();
        let supervisor = Supervisor::new(launcher, listener, spec, Arc::clone(&shared));
        let kept = Arc::clone(&folder);
        let thread = thread::Builder::new()
            .name("mpi job".to_owned())
            .spawn(move || {
                // The launcher ends with the thread that started it, so it is this one.
                supervisor.run(command, &started);
                drop(kept);
            })
            .map_err(MpiError::start)?;
        let job = Job {
            shared,
            thread: Some(thread),
            folder,
        };
        match is_started.recv() {
            Ok(Ok(())) => Ok(job),
            Ok(Err(error)) => Err(error),
            Err(gone) => Err(MpiError::start(gone)),
        }
    }

    /// The job's own folder. It goes with the job.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Becomes readable when a rank has said something or the job has ended; [`Job::heard`] makes
    /// it wait for the next news.
    pub(crate) fn news(&self) -> Arc<OwnedFd> {
        Arc::clone(self.shared.for_owner.file())
    }

    pub(crate) fn heard(&self) {
        self.shared.for_owner.clear();
    }

    /// Rank 0's own connection to a pool, once it is there.
    pub(crate) fn pool_connection(&self) -> Option<OwnedFd> {
        self.shared.lock().pool.take()
    }

    /// Says something to one rank, or to all that are up.
    pub(crate) fn tell(&self, rank: Option<usize>, message: OwnerMessage) {
        self.shared.lock().to_ranks.push_back((rank, message));
        self.shared.for_supervisor.wake();
    }

    /// The next thing that a rank has said, if one says something until then.
    ///
    /// # Panics
    /// If the caller's cell is interrupted.
    pub(crate) fn next_message(&self, until: Option<Instant>) -> Next {
        let interrupts = Interrupts::here();
        let next = self.wait_for_message(until, interrupts);
        // Before its end: an interrupt ends a job as well.
        interrupts.check();
        next
    }

    fn wait_for_message(&self, until: Option<Instant>, interrupts: Interrupts) -> Next {
        let mut state = self.shared.lock();
        loop {
            if interrupts.came() {
                return Next::Late;
            }
            if let Some((rank, message)) = state.from_ranks.pop_front() {
                return Next::Message(rank, message);
            }
            if state.end.is_some() {
                return Next::Ended;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match interrupts.slice_of(left) {
                Some(Duration::ZERO) => return Next::Late,
                Some(slice) => {
                    let waited = self.shared.changed.wait_timeout(state, slice);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.shared.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// A rank and its host.
    pub(crate) fn who(&self, rank: usize) -> Who {
        let host = self.shared.lock().hosts.get(rank).cloned().flatten();
        Who {
            rank,
            host: host.unwrap_or_else(|| "a host that has not said its name".to_owned()),
        }
    }

    /// Shows what ranks have printed before now, and waits until it is shown, but not for long.
    pub(crate) fn pass_on_output(&self) {
        self.shared.outputs().catch_up();
    }

    /// What the launcher has said so far, as a sentence for an error that it may explain.
    pub(crate) fn words_so_far(&self) -> String {
        let words = self.shared.lock().words.clone();
        let hint = if words.contains(NO_CPUS) {
            "\nAnother step has the CPUs of this allocation: end it, or start it with --overlap"
        } else {
            ""
        };
        match words.as_str() {
            "" => "The launcher has said nothing so far".to_owned(),
            words => format!("The launcher has said so far:\n{words}{hint}"),
        }
    }

    /// Whether the job has ended, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().end.is_some()
    }

    /// Waits for the job's own end, for `patience` at most, then ends it, and tells how it ended.
    pub(crate) fn end(&self, patience: Duration) -> JobExit {
        let mut state = self.shared.lock();
        let deadline = Instant::now() + patience;
        state.deadline = Some(state.deadline.map_or(deadline, |d| d.min(deadline)));
        self.shared.for_supervisor.wake();
        while !state.is_over {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.end.clone().unwrap_or_default()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.deadline = Some(Instant::now());
        }
        self.shared.for_supervisor.wake();
        if let Some(thread) = self.thread.take() {
            // It reports what goes wrong through the state.
            let _ = thread.join();
        }
    }
}

/// What [`Job::next_message`] waited for.
#[derive(Debug)]
pub(crate) enum Next {
    Message(usize, RankMessage),
    Ended,
    /// The time is over.
    Late,
}
