//! Rank 0's lease on the job: who has the other ranks now, a function, a pool or nobody.
//!
//! MPI was initialised for threads that make their calls one at a time. So who has the ranks is
//! also who may call MPI.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use helpers::internals::{CodeRef, to_bytes};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::{Deserialize, Serialize};

use crate::error::MpiError;
use crate::initialized::Initialized;
use crate::rank;

pub(super) const DUTY: c_int = 1;
pub(super) const ANSWER: c_int = 2;

/// How long a rank sleeps between looks for a duty.
pub(super) const SLEEP: Duration = Duration::from_millis(1);

/// How long ranks may take to come back from a pool that is gone, once they have done its work.
const TIME_TO_COME_BACK: Duration = Duration::from_secs(1);

/// The same for ranks that have nothing else to do. Only those that the system has lost take so long; a
/// machine with more ranks than cores may let one wait for seconds.
pub(crate) const TIME_TO_HEAR: Duration = Duration::from_secs(60);

/// Why the ranks are not free while another thread has the lock.
pub(super) const TOLD: &str = "They are just being told what to do: wait until that call returns";

/// What rank 0 wants.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Duty {
    Run {
        function: CodeRef,
        limit: Option<Duration>,
    },
    Pool,
    End,
}

/// On how many ranks this program was started, in a rank of such a job.
pub(super) static SIZE: OnceLock<usize> = OnceLock::new();

/// What rank 0 needs to call MPI.
pub(super) struct LaunchedJob {
    /// For duties and answers alone.
    pub(super) duties: SimpleCommunicator,
    /// Dropped last, which finalises MPI.
    pub(super) mpi: Initialized,
}

// SAFETY: communicators are not bound to a thread, and the calls are made one at a time: by who
// has taken this out of `LEASE`, or else under its lock. While a pool makes calls of its own, `LEASE`
// says so, and nobody uses what lies there.
unsafe impl Send for LaunchedJob {}

/// Who has the ranks.
pub(super) enum Lease {
    /// Nobody ever: there are none, or the program has let them come to their end.
    Gone,
    /// Nobody.
    Free(LaunchedJob),
    /// A function that runs on all ranks, this one included.
    Function,
    /// A pool.
    Pool(LaunchedJob),
    /// A pool that is gone. These ranks have not come back.
    FormerPool(LaunchedJob, Vec<c_int>, Duration),
}

static LEASE: Mutex<Lease> = Mutex::new(Lease::Gone);

/// No user's code runs under the lock.
pub(super) fn lock() -> MutexGuard<'static, Lease> {
    LEASE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same at the end of the program, which may come while a thread has the lock: `None` then.
pub(super) fn lock_at_end() -> Option<MutexGuard<'static, Lease>> {
    match LEASE.try_lock() {
        Ok(lease) => Some(lease),
        Err(TryLockError::Poisoned(lease)) => Some(lease.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Lease {
    /// Takes the ranks for a use of which `lease` will tell; `None` in a program that was not
    /// started on ranks.
    ///
    /// Whoever has them need not give them back ever, so nobody waits for them here.
    pub(super) fn take(&mut self) -> Result<Option<LaunchedJob>, MpiError> {
        if SIZE.get().is_none() {
            return Ok(None);
        }
        rank::check_is_none()?;
        self.let_come_back();
        let why = match std::mem::replace(self, Lease::Gone) {
            Lease::Free(job) => return Ok(Some(job)),
            other => {
                *self = other;
                self.why_not()
            }
        };
        Err(MpiError::invalid_input(format!(
            "rank 0 of a job cannot start ranks of its own, and the job's other ranks are not \
             free. {why}"
        )))
    }

    /// Notes that a pool makes no more calls. Its ranks come back when they have done its work.
    pub(super) fn end_pool(&mut self, ranks_are_idle: bool) {
        *self = match std::mem::replace(self, Lease::Gone) {
            Lease::Pool(job) => {
                let ranks = (1..job.duties.size()).collect();
                let patience = match ranks_are_idle {
                    true => TIME_TO_HEAR,
                    false => TIME_TO_COME_BACK,
                };
                Lease::FormerPool(job, ranks, patience)
            }
            other => other,
        };
    }

    /// Waits for ranks to come back from a pool that is gone, but not for long.
    pub(super) fn let_come_back(&mut self) {
        let Lease::FormerPool(job, away, patience) = self else {
            return;
        };
        let start = Instant::now();
        loop {
            away.retain(|&rank| {
                let rank = job.duties.process_at_rank(rank);
                let message = rank.immediate_matched_probe_with_tag(ANSWER);
                message
                    .map(|message| message.matched_receive_vec::<u8>())
                    .is_none()
            });
            if away.is_empty() || start.elapsed() > *patience {
                break;
            }
            thread::sleep(SLEEP);
        }
        if away.is_empty()
            && let Lease::FormerPool(job, ..) = std::mem::replace(self, Lease::Gone)
        {
            *self = Lease::Free(job);
        }
    }

    /// Why nobody else can have the ranks now.
    pub(super) fn why_not(&self) -> String {
        match self {
            Lease::Gone => "The program is coming to its end".to_owned(),
            Lease::Free(_) => TOLD.to_owned(),
            Lease::Function => {
                "A function of `mpi_run` is running on all ranks: wait until it has \
                               returned"
                    .to_owned()
            }
            Lease::Pool(_) => "An `MpiPool` has them: drop the pool first".to_owned(),
            Lease::FormerPool(_, away, _) => format!(
                "An `MpiPool` was dropped before its ranks had done their work, and {} of them \
                 are still at work (rank {} is one): wait for all results before you drop a pool",
                away.len(),
                away[0]
            ),
        }
    }
}

/// In a rank of such a job: how many other ranks there are.
pub(crate) fn others() -> Option<usize> {
    Some(SIZE.get()? - 1)
}

/// On rank 0 of such a job: a communicator for a pool, whom the other ranks serve from now on.
/// Nobody else gets them until [`end_pool`].
pub(crate) fn begin_pool() -> Result<Option<SimpleCommunicator>, MpiError> {
    let mut lease = lock();
    let Some(job) = lease.take()? else {
        return Ok(None);
    };
    for rank in 1..job.duties.size() {
        send(&job.duties, rank, DUTY, &Duty::Pool);
    }
    let world = job.duties.duplicate();
    *lease = Lease::Pool(job);
    Ok(Some(world))
}

/// The pool has told its ranks that it is gone, and makes no more calls of MPI.
pub(crate) fn end_pool(ranks_are_idle: bool) {
    lock().end_pool(ranks_are_idle);
}

/// Says something to a rank.
pub(super) fn send<M: Serialize>(
    duties: &SimpleCommunicator,
    rank: c_int,
    tag: c_int,
    message: &M,
) {
    // A message of ours can always be written; in vain means that the memory is full.
    let bytes = to_bytes(message).unwrap_or_default();
    duties.process_at_rank(rank).send_with_tag(&bytes[..], tag);
}
