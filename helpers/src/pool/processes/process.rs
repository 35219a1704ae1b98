//! The pool's side of one worker process: its start, its connection, its end.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::environment;
use crate::notebook::{self, evcxr};
use crate::pool::remote::output::{self, Relay};
use crate::pool::remote::printer::Stream;
use crate::pool::remote::transport::{LIVENESS, Watched};
use crate::pool::remote::wire::Connection;
use crate::pool::remote::{code_ref, exit_words};

/// What workers call themselves.
pub(super) const WORKER_NAME: &str = "helpers-worker";

/// Names the process whose worker this one is, for programs.
pub(super) const WORKER_OF: &str = "HELPERS_WORKER_OF";

/// The function that a notebook's worker is told to run; see `worker`.
static NOTEBOOK_ENTRY: &str = "helpers_process_pool_worker";

/// One worker process.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    pub(super) connection: Connection,
    outputs: [Relay; 2],
    process: Process,
    /// When the system was last asked whether it has ended.
    last_asked: Instant,
    has_ended: bool,
}

impl WorkerProcess {
    /// Starts a process that will be a worker with these variables in its environment, in this folder
    /// or in that of this process.
    pub(super) fn start(
        environment: &[(OsString, OsString)],
        folder: Option<&Path>,
    ) -> io::Result<WorkerProcess> {
        let (here, there) = UnixStream::pair()?;
        let mut command = Command::new(own_program()?);
        command
            .arg0(WORKER_NAME)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(WORKER_OF, std::process::id().to_string())
            .stdin(OwnedFd::from(there))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        if notebook::is_stock_kernel() {
            let (name, value) = evcxr::SMALL_START;
            command.env(name, value);
        }
        let mut process = Process(command.spawn()?);
        // Closes our copy of the worker's end: or its death would not be noticed.
        drop(command);
        if notebook::is_notebook() {
            (&here).write_all(notebook_order()?.as_encoded_bytes())?;
        }
        let missing = || io::Error::other("a pipe that was asked for is missing");
        let out = process.0.stdout.take().ok_or_else(missing)?;
        let error = process.0.stderr.take().ok_or_else(missing)?;
        Ok(WorkerProcess {
            connection: Connection::new(here, true),
            outputs: [
                Relay::new(out, Stream::Out)?,
                Relay::new(error, Stream::Error)?,
            ],
            process,
            last_asked: Instant::now(),
            has_ended: false,
        })
    }

    /// What is to be watched of it: its connection and its output.
    pub(super) fn watched(&self) -> impl Iterator<Item = Watched> {
        let connection = Watched::connection(&self.connection);
        let outputs = self.outputs.iter().filter_map(Relay::pipe);
        std::iter::once(connection).chain(outputs.map(Watched::to_read))
    }

    pub(super) fn pass_on_output(&mut self, all: bool) {
        output::pass_on(&mut self.outputs, all);
    }

    /// Whether the process has ended, which the connection need not show: a process that a task
    /// has started may hold it open. The system is asked every now and then.
    pub(super) fn has_ended(&mut self) -> bool {
        if !self.has_ended && self.last_asked.elapsed() >= LIVENESS {
            self.last_asked = Instant::now();
            self.has_ended = !matches!(self.process.0.try_wait(), Ok(None));
        }
        self.has_ended
    }

    /// Asks the system to end the process, which it does soon.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.0.kill();
    }

    /// Ends the process, if it has not ended, and tells how it did.
    pub(super) fn end(&mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let status = loop {
            match self.process.0.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_micros(200)),
                other => break other,
            }
        };
        match status {
            Ok(Some(status)) => format!("it {}", exit_words::how(status)),
            _ => {
                self.kill();
                let _ = self.process.0.wait();
                "it closed its connection to the pool, and was stopped".to_owned()
            }
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
        self.pass_on_output(true);
    }
}

/// A process that ends when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; waiting for it twice is harmless.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program that this process runs: the very file, though another may bear its name by now.
fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// What the kernel's program obeys when it runs as the process of the cells.
fn notebook_order() -> io::Result<OsString> {
    // Whatever lies in this crate's library tells which one it is.
    let here = code_ref::of_address((&raw const NOTEBOOK_ENTRY).cast())
        .ok_or_else(|| io::Error::other("the library of this crate cannot be found"))?;
    let mut order = evcxr::load_and_run(&here.library, NOTEBOOK_ENTRY);
    order.push("\n");
    Ok(order)
}

/// Variables for workers: the threads that libraries start in each of them together fill the
/// cores, unless the user has chosen otherwise.
pub fn thread_settings(workers: usize) -> Vec<(OsString, OsString)> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = (cores / workers).max(1).to_string();
    environment::THREAD_SETTINGS
        .iter()
        .filter(|name| std::env::var_os(name).is_none())
        .map(|name| (name.into(), (&threads).into()))
        .collect()
}
