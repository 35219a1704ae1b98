//! What a program calls first, so that its workers become workers.
//!
//! A worker is started from the same program file. It must not do what the program does, but
//! wait for tasks, and the program says where that is decided.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::{WORKER_NAME, WORKER_OF};
use super::worker;
use crate::notebook;
use crate::pool::PoolError;

static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// Makes process pools possible in a program: call it first thing in `main`.
///
/// In a process that a [`ProcessPool`](crate::ProcessPool) started as its worker, this does the
/// work of a worker and never returns. In any other process it returns at once. A notebook does
/// not need it. For tests see
/// [`init_process_pools_in_tests!`](crate::init_process_pools_in_tests).
///
/// ```
/// use helpers::prelude::*;
///
/// fn main() -> Result<(), PoolError> {
///     helpers::init_process_pools();
///     let pool = ProcessPool::new(2)?;
///     let lengths = pool.map(|word: String| word.len(), ["one".to_owned(), "three".to_owned()])?;
///     assert_eq!(lengths, [3, 5]);
///     Ok(())
/// }
/// ```
pub fn init_process_pools() {
    // Workers may have pools, too.
    IS_PREPARED.store(true, Ordering::Relaxed);
    // The name tells a worker from a program that a task starts, which inherits the variable.
    if !notebook::is_notebook()
        && std::env::args_os()
            .next()
            .is_some_and(|name| name == WORKER_NAME)
        && let Ok(owner) = std::env::var(WORKER_OF)
    {
        if owner != std::os::unix::process::parent_id().to_string() {
            // The owner has ended meanwhile. This process must not do what the program does.
            process::exit(1);
        }
        worker::serve();
    }
}

/// Fails if workers could not become workers.
pub(super) fn check() -> Result<(), PoolError> {
    if IS_PREPARED.load(Ordering::Relaxed) || notebook::is_notebook() {
        return Ok(());
    }
    Err(PoolError::invalid_input(
        "this program cannot have worker processes yet: call helpers::init_process_pools() first \
         thing in `main`; in tests, write helpers::init_process_pools_in_tests!(); once, outside of \
         any function"
            .to_owned(),
    ))
}

/// Makes process pools possible in a test program, whose `main` is not yours to write.
///
/// Write it once in each test program (for a crate's unit tests, in `lib.rs` under
/// `#[cfg(test)]`), outside of any function.
///
/// ```
/// helpers::init_process_pools_in_tests!();
/// ```
#[macro_export]
macro_rules! init_process_pools_in_tests {
    () => {
        $crate::__before_main!($crate::init_process_pools);
    };
}

/// Has a program call a function before its `main`.
#[doc(hidden)]
#[macro_export]
macro_rules! __before_main {
    ($begin:path) => {
        const _: () = {
            extern "C" fn before_main() {
                $begin();
            }
            // SAFETY: the section holds functions that the loader calls before `main`, without a
            // usable argument, which is how this one is declared. It does not unwind.
            #[used]
            #[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
            #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
            static BEFORE_MAIN: extern "C" fn() = before_main;
        };
    };
}
