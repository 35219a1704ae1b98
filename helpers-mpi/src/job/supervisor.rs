//! The thread that attends to a job: starts the launcher, hears the ranks, notices the end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use helpers::internals::output::{Stream, read_available, set_nonblocking};
use helpers::internals::{Arrival, Kernel};

use crate::control::{
    Channel, Hello, Inbox, JobSpec, Listener, OwnerMessage, READ_AT_ONCE, RankMessage, send,
};
use crate::error::MpiError;
use crate::job::exit::{self, JobExit};
use crate::job::hangups::Hangups;
use crate::job::launcher::{Family, Launcher};
use crate::job::output::RankStream;
use crate::job::shared::Shared;

/// How often the thread looks whether the launcher has ended, which no connection tells for sure.
const TICK: Duration = Duration::from_millis(100);

/// How long a launcher may take to give its own account of a rank's end, and to end the others. One
/// in ten times Open MPI's never ends by itself when a rank on another host is killed.
const TIME_FOR_ACCOUNT: Duration = Duration::from_millis(1500);
const TIME_FOR_ACCOUNT_ELSEWHERE: Duration = Duration::from_secs(5);

/// How long a launcher that is told to end may take to do it: on this host, and on others, where it
/// tidies up as well.
const TIME_TO_END: Duration = Duration::from_millis(500);
const TIME_TO_END_ELSEWHERE: Duration = Duration::from_secs(3);

/// How long what is left of the output may take to arrive when the launcher has ended.
const TIME_TO_ARRIVE: Duration = Duration::from_millis(100);

/// So much of what the launcher says is kept.
const MOST_WORDS: usize = 64 << 10;

/// What may be wrong with a job whose MPI library could not even begin.
const MISMATCH: &str = "It may be that the launcher and the MPI library that this program is built \
                        with do not belong together";

#[derive(Debug)]
pub(crate) struct Supervisor {
    launcher: Launcher,
    listener: Listener,
    spec: JobSpec,
    shared: Arc<Shared>,
    /// Connected, but not introduced.
    strangers: Vec<(OwnedFd, Inbox)>,
    ranks: Vec<Rank>,
    /// In which order the ranks' control connections close.
    hangups: Option<Hangups>,
    /// How many have closed.
    closed: usize,
    /// The launcher's output and errors, and what came out of them.
    pipes: Vec<OwnedFd>,
    words: Vec<u8>,
    loss: Option<Loss>,
    /// When the job is to be ended by force.
    force_at: Option<Instant>,
    /// Its end is the job's end, too.
    kernel: Kernel,
}

/// A small process that ends the launcher if we are killed, and it does not end when it is told to.
/// Now and then Open MPI's does not.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    /// Waits for the end of its input, which is ours; then for a launcher that tidies up.
    const SCRIPT: &str = "read -r _; sleep 4; kill -s KILL -- \"-$0\" 2>/dev/null";

    fn of(launcher: u32) -> io::Result<Guard> {
        let mut guard = Command::new("sh");
        guard.args(["-c", Guard::SCRIPT, &launcher.to_string()]);
        guard.stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        guard.process_group(0).spawn().map(Guard)
    }
}

impl Drop for Guard {
    /// The launcher has ended.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rank as its control connection shows it.
#[derive(Debug, Default)]
struct Rank {
    control: Option<(OwnedFd, Inbox)>,
    /// When that was closed: its place among all that were.
    closed: Option<usize>,
    /// The status with which it says that it exits.
    exit: Option<i32>,
    /// It does so of its own accord, and not since it misses another.
    exits_by_itself: bool,
    /// Whether it has given its value.
    has_answered: bool,
    /// Whether it has said all, and may end.
    is_done: bool,
}

/// The first thing that went wrong.
#[derive(Debug)]
struct Loss {
    rank: Option<usize>,
    /// What the rank itself has said about it.
    how: Option<String>,
}

impl Supervisor {
    pub(crate) fn new(
        launcher: Launcher,
        listener: Listener,
        spec: JobSpec,
        shared: Arc<Shared>,
    ) -> Supervisor {
        let mut ranks = Vec::new();
        ranks.resize_with(spec.ranks, Rank::default);
        Supervisor {
            launcher,
            listener,
            spec,
            shared,
            strangers: Vec::new(),
            ranks,
            hangups: Hangups::new().ok(),
            closed: 0,
            pipes: Vec::new(),
            words: Vec::new(),
            loss: None,
            force_at: None,
            kernel: Kernel::here(),
        }
    }

    /// Starts the launcher, and attends to the job until nothing is left of it.
    pub(crate) fn run(mut self, command: Command, started: &Sender<Result<(), MpiError>>) {
        let mut child = match self.start(command) {
            Ok(child) => child,
            Err(error) => {
                let program = self.launcher.program.display();
                let _ = started.send(Err(MpiError::start(format!("{program}: {error}"))));
                self.conclude(JobExit::default());
                return;
            }
        };
        let _ = started.send(Ok(()));
        let guard = Guard::of(child.id());
        let status = self.watch(&mut child);
        drop(guard);
        self.drain();
        let end = self.tell_end(status);
        self.shared.outputs().finish_all();
        self.conclude(end);
    }

    fn start(&mut self, mut command: Command) -> io::Result<Child> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that all of it can be ended at once.
            .process_group(0);
        #[cfg(target_os = "linux")]
        // SAFETY: between fork and exec only this one call to the system is made.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
        }
        let mut child = command.spawn()?;
        let pipes = [
            child.stdout.take().map(OwnedFd::from),
            child.stderr.take().map(OwnedFd::from),
        ];
        for pipe in pipes.into_iter().flatten() {
            set_nonblocking(&pipe)?;
            self.pipes.push(pipe);
        }
        Ok(child)
    }

    /// Attends until the launcher has ended; gives how it did.
    fn watch(&mut self, child: &mut Child) -> Option<ExitStatus> {
        let mut told_to_end = None;
        loop {
            self.wait(TICK);
            self.obey_owner();
            self.accept();
            self.hear_ranks();
            self.hear_launcher();
            self.shared.outputs().listen_to_all();
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(status),
                Err(_) => return None,
            }
            let now = Instant::now();
            if self.kernel.is_gone() {
                // It is gone, and with it everybody who could want anything.
                self.force_by(now);
            }
            if told_to_end.is_none() && self.force_at.is_some_and(|at| at <= now) {
                // Ranks end when their connection does. The launcher cleans up after them.
                self.ranks.iter_mut().for_each(|rank| rank.control = None);
                let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
                told_to_end = Some(now);
            }
            let patience = match self.is_far() {
                false => TIME_TO_END,
                true => TIME_TO_END_ELSEWHERE,
            };
            if told_to_end.is_some_and(|then| now > then + patience) {
                let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
                return child.wait().ok();
            }
        }
    }

    /// Sleeps until something happens.
    fn wait(&self, limit: Duration) {
        let limit = match self.force_at {
            Some(at) => limit.min(at.saturating_duration_since(Instant::now())),
            None => limit,
        };
        let streams = self.shared.outputs().sockets();
        let mut files: Vec<BorrowedFd<'_>> = vec![
            self.shared.for_supervisor.file().as_fd(),
            self.listener.as_fd(),
        ];
        files.extend(self.strangers.iter().map(|(socket, _)| socket.as_fd()));
        files.extend(
            self.ranks
                .iter()
                .filter_map(|rank| Some(rank.control.as_ref()?.0.as_fd())),
        );
        files.extend(self.pipes.iter().map(AsFd::as_fd));
        files.extend(streams.iter().map(|socket| socket.as_fd()));
        let mut about: Vec<_> = files
            .into_iter()
            .map(|file| PollFd::new(file, PollFlags::POLLIN))
            .collect();
        let limit = PollTimeout::try_from(limit + Duration::from_millis(1));
        // Being interrupted is as good as waking up.
        let _ = poll(&mut about, limit.unwrap_or(PollTimeout::ZERO));
    }

    fn obey_owner(&mut self) {
        self.shared.for_supervisor.clear();
        let (messages, deadline) = {
            let mut state = self.shared.lock();
            (std::mem::take(&mut state.to_ranks), state.deadline)
        };
        for (rank, message) in messages {
            match rank {
                Some(rank) => self.send(rank, &message),
                None => (0..self.ranks.len()).for_each(|rank| self.send(rank, &message)),
            }
        }
        if let Some(deadline) = deadline {
            self.force_by(deadline);
        }
    }

    fn force_by(&mut self, deadline: Instant) {
        self.force_at = Some(self.force_at.map_or(deadline, |at| at.min(deadline)));
    }

    fn send(&mut self, rank: usize, message: &OwnerMessage) {
        if let Some((control, _)) = self.ranks.get(rank).and_then(|rank| rank.control.as_ref()) {
            // A rank's thread does nothing but listen. If it is gone, the connection will tell.
            let _ = send(control, message);
        }
    }

    fn accept(&mut self) {
        while let Ok(Some(socket)) = self.listener.accept() {
            self.strangers.push((socket, Inbox::default()));
        }
        for (socket, mut inbox) in std::mem::take(&mut self.strangers) {
            if set_nonblocking(&socket).is_err() {
                continue;
            }
            let arrival = inbox.read_one_from(&socket);
            match inbox.take::<Hello>() {
                Ok(Some(hello)) if hello.token == self.spec.token => {
                    self.introduce(&hello, socket);
                }
                Ok(None) if arrival != Arrival::Closed => self.strangers.push((socket, inbox)),
                // Whoever it is, it is no rank of ours.
                _ => {}
            }
        }
    }

    fn introduce(&mut self, hello: &Hello, socket: OwnedFd) {
        let rank = hello.rank as usize;
        let Some(known) = self.ranks.get_mut(rank) else {
            return;
        };
        match hello.channel {
            Channel::Control => {
                let noted = self.hangups.as_ref().map(|list| list.add(rank, &socket));
                // What cannot be noted counts as the last to close.
                known.closed = (!matches!(noted, Some(Ok(())))).then_some(usize::MAX);
                known.control = Some((socket, Inbox::default()));
            }
            Channel::Output => self.listen(rank, Stream::Out, socket),
            Channel::Errors => self.listen(rank, Stream::Error, socket),
            Channel::Pool => {
                self.shared.lock().pool = Some(socket);
                self.shared.notify();
            }
        }
    }

    fn listen(&self, rank: usize, to: Stream, socket: OwnedFd) {
        self.shared.outputs().add(RankStream::new(rank, to, socket));
    }

    fn hear_ranks(&mut self) {
        let mut lost = Vec::new();
        let hangups = self.hangups.as_ref();
        for rank in hangups.map_or(Vec::new(), |list| list.closed(self.ranks.len())) {
            self.ranks[rank].closed = Some(self.closed);
            self.closed += 1;
        }
        for rank in 0..self.ranks.len() {
            let mut messages = Vec::new();
            let is_noted = self.ranks[rank].closed.is_some();
            let Some((control, inbox)) = &mut self.ranks[rank].control else {
                continue;
            };
            let arrival = inbox.read_from(control);
            // One that closes at this very moment has its place in the list when we look again.
            let mut is_lost = arrival == Arrival::Closed && is_noted;
            loop {
                match inbox.take::<RankMessage>() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(_) => {
                        is_lost = true;
                        break;
                    }
                }
            }
            for message in messages {
                self.hear(rank, message);
            }
            if is_lost {
                self.ranks[rank].control = None;
                if !self.ranks[rank].is_done {
                    lost.push(rank);
                }
            }
        }
        lost.sort_by_key(|&rank| self.ranks[rank].closed);
        // One that exits has not closed yet, or is in the list. If another one closed before it, that
        // one was first: the library has ranks exit that miss another. One that exits by itself was the
        // first, though: the launcher may have ended the others before it had closed.
        lost.extend((0..self.ranks.len()).filter(|&rank| self.ranks[rank].exit.is_some()));
        lost.sort_by_key(|&rank| !self.ranks[rank].exits_by_itself);
        // The launcher may have ended others in the meantime, those that had nothing more to do
        // among them.
        let first = lost.iter().find(|&&rank| !self.ranks[rank].has_answered);
        if let Some(&rank) = first.or(lost.first()) {
            let how = self.ranks[rank].exit.map(exit::exit_in_words);
            self.lose(Some(rank), how);
        }
    }

    fn hear(&mut self, rank: usize, message: RankMessage) {
        match message {
            RankMessage::Up {
                host,
                size,
                library,
            } => {
                if size as usize != self.spec.ranks {
                    let how = self.mismatch(size, &library);
                    self.lose(None, Some(how));
                    return;
                }
                let mut state = self.shared.lock();
                if let Some(known) = state.hosts.get_mut(rank) {
                    *known = Some(host);
                }
                state.from_ranks.push_back((rank, RankMessage::Ready));
            }
            RankMessage::NoLibrary(path) => {
                let library = std::fs::read(path).ok();
                self.send(rank, &OwnerMessage::Library(library));
                return;
            }
            RankMessage::Aborts(code) => {
                let how = format!("it called MPI_Abort with error code {code}");
                self.lose(Some(rank), Some(how));
                return;
            }
            RankMessage::Exits { status, by_itself } => {
                // When all is said it exits as it should.
                if let Some(rank) = self.ranks.get_mut(rank).filter(|rank| !rank.is_done) {
                    rank.exit = Some(status);
                    rank.exits_by_itself = by_itself;
                }
                return;
            }
            RankMessage::Done => {
                if let Some(rank) = self.ranks.get_mut(rank) {
                    rank.is_done = true;
                }
                return;
            }
            other => {
                if let (RankMessage::Value(_), Some(rank)) = (&other, self.ranks.get_mut(rank)) {
                    rank.has_answered = true;
                }
                self.shared.lock().from_ranks.push_back((rank, other));
            }
        }
        self.shared.notify();
    }

    /// Notes the first thing that goes wrong; what follows from it is not told.
    fn lose(&mut self, rank: Option<usize>, how: Option<String>) {
        if self.loss.is_none() {
            self.loss = Some(Loss { rank, how });
            let patience = match self.is_far() {
                false => TIME_FOR_ACCOUNT,
                true => TIME_FOR_ACCOUNT_ELSEWHERE,
            };
            self.force_by(Instant::now() + patience);
        }
    }

    fn is_far(&self) -> bool {
        matches!(self.listener, Listener::Tcp(_))
    }

    fn mismatch(&self, size: u32, library: &str) -> String {
        format!(
            "{} started {} processes, but to the MPI library that this program is built with \
             ({library}) each is one of {size}: the two do not belong together. {}",
            self.launcher.name,
            self.spec.ranks,
            match self.launcher.family {
                Family::Slurm =>
                    "`srun --mpi=list` shows by which interfaces Slurm can tell ranks who they \
                     are: name one that the library knows by `launcher_args`, or use `mpiexec`",
                _ =>
                    "Put the `mpiexec` of that library first on PATH, or build the program anew \
                     with the `mpicc` of the other",
            }
        )
    }

    fn hear_launcher(&mut self) {
        let before = self.words.len();
        let words = &mut self.words;
        self.pipes.retain(|pipe| {
            loop {
                match read_available(pipe, words, READ_AT_ONCE) {
                    Arrival::Some => {}
                    Arrival::Nothing => return true,
                    Arrival::Closed => return false,
                }
            }
        });
        if self.words.len() > before {
            let words = String::from_utf8_lossy(&self.words);
            let mut state = self.shared.lock();
            state.words = exit::without_frames(&words);
            // Some launchers do not end by themselves when a rank has not even begun.
            let is_up = state.hosts.iter().all(Option::is_some);
            drop(state);
            if !is_up
                && (exit::missing_program(&words).is_some() || exit::account(&words).how.is_some())
            {
                self.lose(None, None);
            }
        }
        // What came last counts.
        let surplus = self.words.len().saturating_sub(MOST_WORDS);
        self.words.drain(..surplus);
    }

    /// Takes in what is still on its way when the launcher has ended.
    fn drain(&mut self) {
        let deadline = Instant::now() + TIME_TO_ARRIVE;
        loop {
            self.accept();
            self.hear_ranks();
            self.hear_launcher();
            self.shared.outputs().listen_to_all();
            let is_quiet = self.pipes.is_empty()
                && self.ranks.iter().all(|rank| rank.control.is_none())
                && self.shared.outputs().sockets().is_empty();
            let left = deadline.saturating_duration_since(Instant::now());
            if is_quiet || left.is_zero() {
                return;
            }
            self.wait(left);
        }
    }

    /// How the job ended, from what everybody says.
    fn tell_end(&self, status: Option<ExitStatus>) -> JobExit {
        let words = String::from_utf8_lossy(&self.words);
        if let Some(how) = exit::missing_program(&words) {
            return self.of(None, how);
        }
        let (rank, how) = match &self.loss {
            None if status.is_some_and(|status| status.success()) => return JobExit::default(),
            None => self.end_of_nobody(&words, status),
            Some(Loss {
                rank,
                how: Some(how),
            }) => return self.of(*rank, how.clone()),
            Some(Loss { rank, how: None }) => self.end_of_lost(*rank, &words),
        };
        match self.cannot_begin(&how) || self.cannot_begin(&words) {
            true => self.of(None, format!("{how}\n{MISMATCH}")),
            false => self.of(rank, how),
        }
    }

    /// The end of a job of which this rank was lost, without a word of its own.
    fn end_of_lost(&self, lost: Option<usize>, words: &str) -> (Option<usize>, String) {
        let outputs = self.shared.outputs();
        let fatal = (0..self.ranks.len())
            .find_map(|rank| Some((rank, exit::fatal_error(outputs.last_errors(rank))?)));
        if let Some((rank, how)) = fatal {
            return (Some(rank), how);
        }
        let is_first = |rank: &usize| self.ranks[*rank].closed.is_some_and(|at| at < usize::MAX);
        exit::account(words).of_first(lost.filter(is_first), lost)
    }

    /// The end of a job of which no rank is known to have ended first.
    fn end_of_nobody(&self, words: &str, status: Option<ExitStatus>) -> (Option<usize>, String) {
        let account = exit::account(words);
        if let (Some(rank), Some(how)) = (account.rank, account.how)
            && !self.cannot_begin(words)
        {
            return (Some(rank), how);
        }
        let Launcher { name, program, .. } = &self.launcher;
        let program = program.display();
        let status = status.map_or("it was ended".to_owned(), |status| status.to_string());
        let how = match exit::without_frames(words).as_str() {
            "" => format!("{program} ({name}) ended without a word: {status}"),
            text => format!("{program} ({name}) said:\n{text}"),
        };
        (None, how)
    }

    /// Whether these are the words of an MPI library that cannot even begin.
    fn cannot_begin(&self, words: &str) -> bool {
        let is_up = self.shared.lock().hosts.iter().any(Option::is_some);
        !is_up && words.contains("MPI") && words.contains("Init")
    }

    fn of(&self, rank: Option<usize>, how: String) -> JobExit {
        let state = self.shared.lock();
        let host = rank.and_then(|rank| state.hosts.get(rank).cloned().flatten());
        JobExit { rank, host, how }
    }

    fn conclude(&self, end: JobExit) {
        let mut state = self.shared.lock();
        state.end = Some(end);
        state.is_over = true;
        drop(state);
        self.shared.notify();
    }
}
