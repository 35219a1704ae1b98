//! A job: the launcher's process, its ranks, and their connections, seen from the owner.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::Interrupts;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::attendant::Attendant;
use crate::end::End;
use crate::error::{MpiError, Who};
use crate::folder::Folder;
use crate::launcher::Launcher;
use crate::link::{Errand, Listener, Order, Report, Role};
use crate::output::{Chorus, Showing};
use crate::program;
use crate::settings::Settings;

/// How long whoever reads the output may hold up the owner.
pub(crate) const TIME_TO_PRINT: Duration = Duration::from_millis(500);

/// Said by Slurm's `srun` while it waits for CPUs.
const NO_CPUS: &str = "step creation temporarily disabled";

/// A job that runs. Dropping it ends it at once, and waits until nothing of it is left.
#[derive(Debug)]
pub(crate) struct Job {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    /// Readable when there is news.
    bell: Arc<OwnedFd>,
    folder: Arc<Folder>,
}

/// What the owner and the thread that attends to the job both see.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) outputs: Mutex<Chorus>,
    /// Wakes the thread.
    wake: PipeWriter,
    /// Wakes the owner.
    ring: PipeWriter,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The ranks that are up, each with its host.
    pub(crate) hosts: Vec<Option<String>>,
    /// What ranks have said and the owner has not heard.
    pub(crate) reports: VecDeque<(usize, Report)>,
    /// Rank 0's own connection to a pool.
    pub(crate) pool: Option<OwnedFd>,
    /// What the owner wants to be said, to one rank or to all.
    pub(crate) orders: VecDeque<(Option<usize>, Order)>,
    /// When the owner will end the job by force.
    pub(crate) deadline: Option<Instant>,
    /// What the launcher has said.
    pub(crate) words: String,
    pub(crate) end: Option<End>,
    /// Whether nothing is left of it.
    pub(crate) is_over: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing but moves happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outputs(&self) -> MutexGuard<'_, Chorus> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the owner that there is news.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
        // A full pipe rings as well.
        let _ = (&self.ring).write(&[1]);
    }

    fn wake(&self) {
        let _ = (&self.wake).write(&[1]);
    }
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
        let errand = Errand {
            role,
            address,
            token: format!("{:032x}", helpers::rand::random::<u128>()),
            ranks: settings.ranks,
        };
        let variables = program::variables(&errand, settings);
        let mut command = launcher
            .command(settings, &variables, folder.path())
            .map_err(MpiError::start)?;
        program.append_to(&mut command);

        let (woken, wake) = pipe()?;
        let (bell, ring) = pipe()?;
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
            outputs: Mutex::new(Chorus::new(settings.ranks, showing)),
            wake,
            ring,
        });
        let (started, is_started) = mpsc::channel();
        let attendant = Attendant::new(launcher, listener, errand, Arc::clone(&shared), woken);
        let kept = Arc::clone(&folder);
        let thread = thread::Builder::new()
            .name("mpi job".to_owned())
            .spawn(move || {
                // The launcher ends with the thread that started it, so it is this one.
                attendant.attend(command, &started);
                drop(kept);
            })
            .map_err(MpiError::start)?;
        let job = Job {
            shared,
            thread: Some(thread),
            bell: Arc::new(bell.into()),
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
    pub(crate) fn bell(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.bell)
    }

    pub(crate) fn heard(&self) {
        let mut sink = [0; 256];
        while matches!(nix::unistd::read(&*self.bell, &mut sink), Ok(count) if count == sink.len())
        {
        }
    }

    /// Rank 0's own connection to a pool, once it is there.
    pub(crate) fn pool_connection(&self) -> Option<OwnedFd> {
        self.shared.lock().pool.take()
    }

    /// Says something to one rank, or to all that are up.
    pub(crate) fn order(&self, rank: Option<usize>, order: Order) {
        self.shared.lock().orders.push_back((rank, order));
        self.shared.wake();
    }

    /// The next thing that a rank has said, if one says something until then.
    ///
    /// # Panics
    /// If the caller's cell is interrupted.
    pub(crate) fn next_report(&self, until: Option<Instant>) -> Next {
        let interrupts = Interrupts::here();
        let next = self.wait_for_report(until, interrupts);
        // Before its end: an interrupt ends a job as well.
        interrupts.check();
        next
    }

    fn wait_for_report(&self, until: Option<Instant>, interrupts: Interrupts) -> Next {
        let mut state = self.shared.lock();
        loop {
            if interrupts.came() {
                return Next::Late;
            }
            if let Some((rank, report)) = state.reports.pop_front() {
                return Next::Report(rank, report);
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
    pub(crate) fn end(&self, patience: Duration) -> End {
        let mut state = self.shared.lock();
        let deadline = Instant::now() + patience;
        state.deadline = Some(state.deadline.map_or(deadline, |d| d.min(deadline)));
        self.shared.wake();
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
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // It reports what goes wrong through the state.
            let _ = thread.join();
        }
    }
}

/// What [`Job::next_report`] waited for.
#[derive(Debug)]
pub(crate) enum Next {
    Report(usize, Report),
    Ended,
    /// The time is over.
    Late,
}

/// A pipe that neither end waits for.
fn pipe() -> Result<(PipeReader, PipeWriter), MpiError> {
    let make = || -> io::Result<_> {
        let (reader, writer) = io::pipe()?;
        set_nonblocking(&reader)?;
        set_nonblocking(&writer)?;
        Ok((reader, writer))
    };
    make().map_err(MpiError::start)
}

pub(crate) fn set_nonblocking(file: &impl AsFd) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
