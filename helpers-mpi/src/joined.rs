//! A program that the user has started on several ranks, as by `mpiexec -n 8 program`.
//!
//! Rank 0 is the program. The others wait for what it wants of them: to run a function, or to be
//! workers of a pool. When rank 0 comes to its end, so do they.

use std::ffi::c_int;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, process, thread};

use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::calls;
use crate::error::{MpiError, Who};
use crate::link::{Function, JOB, Report};
use crate::rank;

/// Set by launchers in each rank: by Open MPI's, by Hydra, and by any that speaks PMIx.
const STARTED: &[&str] = &["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

const ORDER: c_int = 1;
const ANSWER: c_int = 2;

/// How long a rank looks for its next order before it sleeps between looks.
const LOOKING: Duration = Duration::from_millis(1);
const SLEEP: Duration = Duration::from_millis(1);

/// How long other ranks may take to say what they are doing.
const TIME_TO_ANSWER: Duration = Duration::from_millis(300);

/// How long the launcher may take to read the last words of a job.
const TIME_TO_READ: Duration = Duration::from_secs(1);

/// The values of all ranks, as bytes.
type Values = Vec<(Who, Vec<u8>)>;

/// What rank 0 wants.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Run {
        function: Function,
        limit: Option<Duration>,
    },
    Pool,
    End,
}

/// Rank 0's hold on the job.
struct Joined {
    /// For orders and answers alone.
    orders: SimpleCommunicator,
    /// Dropped last, which finalises MPI.
    universe: Universe,
}

/// Rank 0's hold, in the process that is rank 0 of such a job.
static JOINED: OnceLock<Mutex<Option<OneByOne>>> = OnceLock::new();

/// What threads use in turns.
struct OneByOne(Joined);

// SAFETY: MPI was initialised for threads that make their calls one at a time, and the lock of
// `JOINED` sees to that. Communicators are not bound to a thread.
unsafe impl Send for OneByOne {}

fn joined() -> Option<MutexGuard<'static, Option<OneByOne>>> {
    let joined = JOINED.get()?;
    Some(joined.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Makes this process a part of the job that it was started in, if it was. Returns on rank 0
/// only.
pub(crate) fn join() {
    let is_started = STARTED.iter().any(|name| env::var_os(name).is_some());
    if !is_started || env::var_os(JOB).is_some() {
        return;
    }
    // SAFETY: this is the first thing that the program does, so no other thread reads variables.
    // A program that a rank starts inherits this one, and does not take itself for a rank.
    unsafe { env::set_var(JOB, "joined") };
    let universe = match rank::initialize() {
        Ok(universe) => universe,
        Err(error) => {
            eprintln!("a rank cannot begin: {error}");
            process::exit(1)
        }
    };
    let world = universe.world();
    let orders = world.duplicate();
    if world.rank() > 0 {
        follow(&orders, universe);
    }
    let joined = Joined { orders, universe };
    let _ = JOINED.set(Mutex::new(Some(OneByOne(joined))));
    extern "C" fn at_exit() {
        end();
    }
    // SAFETY: the function takes no argument and does not unwind.
    unsafe { nix::libc::atexit(at_exit) };
}

/// What ranks other than 0 do until rank 0 has come to its end.
fn follow(orders: &SimpleCommunicator, universe: Universe) -> ! {
    rank::is_rank();
    let world = universe.world();
    loop {
        match receive(orders, 0, ORDER) {
            Ok(Order::Run { function, limit }) => {
                let report = run(&function, limit, &world);
                send(orders, 0, ANSWER, &report);
            }
            Ok(Order::Pool) => {
                if let Err(error) = crate::pool::serve(orders.duplicate(), None) {
                    fail(&world, &format!("cannot serve the pool: {error}"));
                }
            }
            Ok(Order::End) => break,
            Err(error) => fail(&world, &format!("got an order that is none: {error}")),
        }
    }
    drop(universe);
    process::exit(0)
}

/// Lets the other ranks come to their end.
fn end() {
    let Some(OneByOne(joined)) = joined().and_then(|mut joined| joined.take()) else {
        return;
    };
    let Joined { orders, universe } = joined;
    for rank in 1..orders.size() {
        send(&orders, rank, ORDER, &Order::End);
    }
    // Communicators go before MPI does.
    drop(orders);
    drop(universe);
}

/// On rank 0 of such a job: how many other ranks there are.
pub(crate) fn others() -> Option<usize> {
    let joined = joined()?;
    let OneByOne(joined) = joined.as_ref()?;
    Some(joined.orders.size() as usize - 1)
}

/// On how many ranks this program was started, as by `mpiexec -n 8 program`; `None` if it was
/// started by itself.
///
/// A program that runs either way asks for it after [`init`](crate::init):
///
/// ```no_run
/// use helpers_mpi::prelude::*;
///
/// helpers_mpi::init();
/// let ranks = helpers_mpi::ranks().unwrap_or(4);
/// let sizes = mpi_run(ranks, |world| world.size())?;
/// # Ok::<(), MpiError>(())
/// ```
pub fn ranks() -> Option<usize> {
    Some(others()? + 1)
}

/// On rank 0 of such a job: a communicator for a pool, whose other ranks serve it from now on.
pub(crate) fn begin_pool() -> Option<SimpleCommunicator> {
    let joined = joined()?;
    let OneByOne(joined) = joined.as_ref()?;
    for rank in 1..joined.orders.size() {
        send(&joined.orders, rank, ORDER, &Order::Pool);
    }
    Some(joined.orders.duplicate())
}

/// On rank 0 of such a job: runs the function on all ranks, and gives their values.
pub(crate) fn run_on_all(
    function: &Function,
    ranks: usize,
    limit: Option<Duration>,
) -> Option<Result<Values, MpiError>> {
    let joined = joined()?;
    let OneByOne(joined) = joined.as_ref()?;
    let world = joined.universe.world();
    let size = world.size() as usize;
    if ranks != size {
        return Some(Err(MpiError::invalid_input(format!(
            "{ranks} ranks were asked for, but this program was started on {size}: start it with \
             `mpiexec -n {ranks}`, or ask for as many as there are"
        ))));
    }
    for rank in 1..world.size() {
        let function = function.clone();
        send(&joined.orders, rank, ORDER, &Order::Run { function, limit });
    }
    let mut values = Vec::new();
    let mut report = run(function, limit, &world);
    for rank in 0..size {
        if rank > 0 {
            report = match receive(&joined.orders, rank as c_int, ANSWER) {
                Ok(report) => report,
                Err(error) => fail(&world, &format!("got an answer that is none: {error}")),
            };
        }
        if let Report::Value(value) = report {
            let host = format!("rank {rank} of {size}");
            values.push((Who { rank, host }, value));
        }
        report = Report::Done;
    }
    Some(Ok(values))
}

/// Runs the function on this rank. What fails ends the whole job: other ranks may wait for this
/// one for ever.
fn run(function: &Function, limit: Option<Duration>, world: &SimpleCommunicator) -> Report {
    let watchdog = limit.map(|limit| Watchdog::start(limit, world.rank()));
    calls::begin();
    let report = rank::run(function, world);
    drop(watchdog);
    match &report {
        Report::Panicked(message) => fail(world, &format!("panicked: {message}")),
        Report::NotSent(cause) => fail(world, &format!("has a value that cannot be sent: {cause}")),
        Report::Failed(why) => fail(world, &format!("cannot run the function: {why}")),
        _ => report,
    }
}

/// Ends the job, and says why.
fn fail(world: &SimpleCommunicator, why: &str) -> ! {
    tell(&format!("rank {} on {} {why}", world.rank(), rank::host()));
    world.abort(1)
}

/// Prints words that must be read before the job ends: a launcher that is to abort a job drops
/// what waits for it in a pipe.
fn tell(words: &str) {
    eprintln!("{words}");
    let start = Instant::now();
    while unread() > 0 && start.elapsed() < TIME_TO_READ {
        thread::sleep(SLEEP);
    }
}

/// How many bytes wait in the pipe that is this process's stderr; none in what is no pipe.
fn unread() -> c_int {
    let mut bytes = 0;
    // SAFETY: writes the number of bytes, or fails and writes nothing.
    unsafe { nix::libc::ioctl(nix::libc::STDERR_FILENO, nix::libc::FIONREAD, &mut bytes) };
    bytes
}

/// Ends the job when a function takes too long, and says where each rank is.
struct Watchdog {
    /// Dropped when the function has returned.
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    fn start(limit: Duration, rank: c_int) -> Watchdog {
        let (done, is_done) = mpsc::channel();
        let host = rank::host();
        let watch = move || {
            if is_done.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            tell(&format!("rank {rank} on {host} {}", calls::state().text));
            if rank == 0 {
                thread::sleep(TIME_TO_ANSWER);
                tell(&format!(
                    "the job took longer than its limit of {limit:?}, and was stopped"
                ));
                // Not by MPI, in which the main thread is. The launcher ends the other ranks.
                // SAFETY: ends the process, and touches nothing of it.
                unsafe { nix::libc::_exit(1) }
            }
        };
        // Without a thread there is no limit, which the batch system has as well.
        let _ = thread::Builder::new().name("watch".to_owned()).spawn(watch);
        Watchdog { _done: done }
    }
}

fn send<M: Serialize>(orders: &SimpleCommunicator, rank: c_int, tag: c_int, message: &M) {
    // A message of ours can always be written; in vain means that the memory is full.
    let bytes = postcard::to_allocvec(message).unwrap_or_default();
    orders.process_at_rank(rank).send_with_tag(&bytes[..], tag);
}

/// Waits for a message, mostly asleep: the core may be another rank's.
fn receive<M: DeserializeOwned>(
    orders: &SimpleCommunicator,
    rank: c_int,
    tag: c_int,
) -> io::Result<M> {
    let process = orders.process_at_rank(rank);
    let start = Instant::now();
    let message = loop {
        if let Some(message) = process.immediate_matched_probe_with_tag(tag) {
            break message;
        }
        if start.elapsed() < LOOKING {
            thread::yield_now();
        } else {
            thread::sleep(SLEEP);
        }
    };
    let (bytes, _) = message.matched_receive_vec::<u8>();
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}
