//! What a pool owns, and a pool with settings: whom the vocabulary of calls belongs to.
//!
//! The calls are in `map` and `submit`.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, thread};

use super::code_ref::{self, CodeRef};
use super::codec::{Body, Writer};
use super::engine::Engine;
use super::scheduler::Scheduler;
use super::waker::Waker;
use super::worker::initializer_entry;
use crate::pool::chunk::checked_chunk_size;
use crate::pool::handle::failed_task;
use crate::pool::waits::UnderWay;
use crate::pool::{Imap, JoinHandle, PoolError, Portable};

/// A pool with a chunk size or a time limit, made by `chunk_size` and `time_limit` of a pool.
#[derive(Clone, Copy, Debug)]
#[must_use = "a view of a pool does nothing by itself"]
pub struct View<'p> {
    pub(super) engine: &'p Arc<Engine>,
    /// `None`: the default of the call.
    pub(super) size: Option<NonZeroUsize>,
    pub(super) limit: Option<Duration>,
}

/// Results one by one, made by `imap` and `imap_unordered` of a pool.
pub type RemoteImap<'p, I, R> = Imap<'p, I, Result<R, PoolError>, Result<R, PoolError>>;

impl<'p> View<'p> {
    /// See [`ProcessPool::chunk_size`](crate::ProcessPool::chunk_size).
    ///
    /// # Errors
    /// A size of 0.
    pub fn chunk_size(self, size: usize) -> Result<View<'p>, PoolError> {
        let size = Some(checked_chunk_size(size)?);
        Ok(View { size, ..self })
    }

    /// See [`ProcessPool::time_limit`](crate::ProcessPool::time_limit).
    ///
    /// # Errors
    /// No time at all.
    pub fn time_limit(self, limit: Duration) -> Result<View<'p>, PoolError> {
        if limit.is_zero() {
            return Err(PoolError::invalid_input(
                "a time limit of 0 was asked for; no item can be done in no time".to_owned(),
            ));
        }
        let limit = Some(limit);
        Ok(View { limit, ..self })
    }

    /// See [`ProcessPool::wait_all`](crate::ProcessPool::wait_all).
    ///
    /// # Errors
    /// As there.
    pub fn wait_all(&self) -> Result<(), PoolError> {
        self.engine.wait_all(None)
    }

    /// A handle of what cannot be done.
    pub(super) fn failed<R>(&self, error: PoolError) -> JoinHandle<R> {
        failed_task(error, self.engine.tally())
    }
}

/// What a pool owns, behind a table of functions: what must be done to drop an engine is
/// compiled once, and not again in each cell of a notebook that has a pool.
pub struct PoolCore(Box<dyn Core + Send + Sync>);

trait Core {
    fn engine(&self) -> &Arc<Engine>;
}

/// The engine of a pool, and the thread that sees to it while nobody else does.
struct Running {
    engine: Arc<Engine>,
    background: Option<thread::JoinHandle<()>>,
}

impl PoolCore {
    /// Starts the workers and waits until all are ready.
    ///
    /// # Errors
    /// Those of `scheduler`, which starts them; or they do not become ready.
    pub fn start(
        workers: usize,
        scheduler: impl FnOnce(Arc<Waker>) -> Result<Scheduler, PoolError>,
    ) -> Result<PoolCore, PoolError> {
        let engine = Engine::start(workers, scheduler)?;
        let kept = Arc::clone(&engine);
        let background = thread::Builder::new()
            .name("process pool".to_owned())
            .spawn(move || kept.attend_in_background());
        match background {
            Ok(background) => Ok(PoolCore(Box::new(Running {
                engine,
                background: Some(background),
            }))),
            Err(cause) => {
                engine.close();
                Err(PoolError::start(workers, workers, cause.to_string()))
            }
        }
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.0.engine().workers()
    }

    /// The calls that users make, without any settings.
    pub fn view(&self) -> View<'_> {
        View {
            engine: self.0.engine(),
            size: None,
            limit: None,
        }
    }
}

impl Core for Running {
    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.close();
        // It may hand a result over to somebody who waits for the task that drops the pool.
        let under_way = UnderWay::new(|| self.engine.delivery() as _);
        if let Some(background) = self.background.take()
            && under_way.can_end()
            && background.thread().id() != thread::current().id()
        {
            // It runs no code that could panic but wakers, which report for themselves.
            let _ = background.join();
        }
    }
}

impl fmt::Debug for PoolCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolCore({:?})", self.0.engine())
    }
}

/// What workers are to do before their first task: the function `F`, and its argument as bytes.
///
/// # Errors
/// The argument cannot be sent to `whom`, in words like "a worker".
pub fn initializer<F, A, V>(
    mut writer: Writer,
    argument: &A,
    whom: &str,
) -> Result<Option<(CodeRef, Body)>, PoolError>
where
    F: Fn(A) -> V,
    A: Portable,
    V: Send + Sync + 'static,
{
    let code = code_ref::of_address(initializer_entry::<F, A, V>() as *const c_void);
    let written = writer.write(argument);
    let written = written.map(|()| code.map(|code| (code, writer.finish())));
    written.map_err(|cause| {
        let cause = format!("of starting {whom} cannot be sent: {cause}");
        PoolError::not_sent(None, cause)
    })
}
