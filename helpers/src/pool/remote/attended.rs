//! An engine for a pool to own: it is looked after in the background, and closed with the pool.

use std::sync::Arc;
use std::{fmt, thread};

use super::bell::Bell;
use super::engine::Engine;
use super::scheduler::Scheduler;
use super::view::View;
use crate::pool::PoolError;

/// The engine of a pool, and the thread that sees to it while nobody else does.
pub struct Attended {
    engine: Arc<Engine>,
    background: Option<thread::JoinHandle<()>>,
}

impl Attended {
    /// Starts the workers and waits until all are ready.
    ///
    /// # Errors
    /// Those of `scheduler`, which starts them; or they do not become ready.
    pub fn start(
        workers: usize,
        scheduler: impl FnOnce(Arc<Bell>) -> Result<Scheduler, PoolError>,
    ) -> Result<Attended, PoolError> {
        let engine = Engine::start(workers, scheduler)?;
        let attended = Arc::clone(&engine);
        let background = thread::Builder::new()
            .name("process pool".to_owned())
            .spawn(move || attended.attend_in_background());
        match background {
            Ok(background) => Ok(Attended {
                engine,
                background: Some(background),
            }),
            Err(cause) => {
                engine.close();
                Err(PoolError::start(workers, workers, cause.to_string()))
            }
        }
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.engine.workers()
    }

    /// The calls that users make.
    pub fn view(&self) -> View<'_> {
        View::new(&self.engine)
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.engine.close();
        if let Some(background) = self.background.take()
            && background.thread().id() != thread::current().id()
        {
            // It runs no code that could panic but wakers, which report for themselves.
            let _ = background.join();
        }
    }
}

impl fmt::Debug for Attended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attended({:?})", self.engine)
    }
}
