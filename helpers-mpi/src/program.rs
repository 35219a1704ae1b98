//! The program that ranks run, and what a program calls first.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, io};

use helpers::internals::{is_notebook, is_stock_kernel, place_of, thread_settings};

use crate::error::MpiError;
use crate::joined;
use crate::link::{Errand, JOB};
use crate::rank;
use crate::settings::Settings;

/// The only argument of a program that is started as a rank: tells it from programs that a rank
/// starts, which inherit the rank's variables.
pub(crate) const RANK: &str = "helpers-mpi-rank";

/// Gives a rank its usual folder for temporary files back, then becomes the rank.
const START: &str = r#"if [ -n "$1" ]; then TMPDIR=$1; export TMPDIR; else unset TMPDIR; fi
[ -x "$0" ] || { echo "on $(uname -n) there is no program $0" >&2; exit 127; }
exec "$0" "$2""#;

/// The same for a notebook's rank: the kernel's program takes its orders from its input.
const START_IN_NOTEBOOK: &str = r#"if [ -n "$1" ]; then TMPDIR=$1; export TMPDIR; else unset TMPDIR; fi
[ -x "$0" ] || { echo "on $(uname -n) there is no program $0" >&2; exit 127; }
exec "$0" <<END
$2
END"#;

/// What variables ranks on other hosts need besides their own.
const NEEDED: &[&str] = &["LD_LIBRARY_PATH", "EVCXR_IS_RUNTIME", "RUST_BACKTRACE"];

/// Has the C library ask for large pages for large arrays, as numpy does: ranks copy them to each
/// other page by page, and a third of the time goes into that.
const TUNABLES: &str = "GLIBC_TUNABLES";
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// Of Open MPI: the signals of which it tells with a backtrace, before they end a rank.
pub(crate) const SIGNALS: &str = "OMPI_MCA_opal_signal";

static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// Makes jobs and pools of MPI ranks possible in a program, and pools of worker processes: call
/// it first thing in `main`.
///
/// In a process that [`mpi_run`](crate::mpi_run) or a pool has started as a rank, this does
/// the work of a rank and never returns. In a program that `mpiexec` or `srun` has started on
/// several ranks it returns on rank 0 only, which may then use the other ranks; see
/// [the crate's page](crate#on-a-cluster). In any other process it returns at once. A notebook
/// does not need it.
///
/// ```no_run
/// use helpers_mpi::prelude::*;
///
/// fn main() -> Result<(), MpiError> {
///     helpers_mpi::init();
///     let ranks = mpi_run(4, |world| world.rank())?;
///     assert_eq!(ranks, [0, 1, 2, 3]);
///     Ok(())
/// }
/// ```
pub fn init() {
    // First: in a worker of a process pool, whose tasks may start ranks, the other never returns.
    IS_PREPARED.store(true, Ordering::Relaxed);
    helpers::init_process_pools();
    if is_notebook() {
        return;
    }
    if env::args_os().nth(1).is_some_and(|arg| arg == RANK) && env::var_os(JOB).is_some() {
        rank::serve();
    }
    joined::join();
}

/// Makes jobs of ranks possible in a test program, whose `main` is not yours to write.
///
/// Write it once in each test program, outside of any function.
///
/// ```
/// helpers_mpi::init_in_tests!();
/// ```
#[macro_export]
macro_rules! init_in_tests {
    () => {
        const _: () = {
            extern "C" fn before_main() {
                $crate::init();
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

/// The program of ranks, and what it is told.
#[derive(Debug)]
pub(crate) struct Program {
    file: PathBuf,
    script: &'static str,
    order: OsString,
}

/// The program of ranks: this very one.
pub(crate) fn of_ranks() -> Result<Program, MpiError> {
    rank::check_is_none()?;
    if !IS_PREPARED.load(Ordering::Relaxed) && !is_notebook() {
        return Err(MpiError::invalid_input(
            "this program cannot have ranks yet: call helpers_mpi::init() first thing in `main`; \
             in tests, write helpers_mpi::init_in_tests!(); once, outside of any function",
        ));
    }
    let file = env::current_exe().map_err(MpiError::start)?;
    if !file.exists() {
        let file = file.display();
        return Err(MpiError::start(format!(
            "the program's file has been replaced or deleted ({file}): start the program again"
        )));
    }
    if !is_notebook() {
        return Ok(Program {
            file,
            script: START,
            order: RANK.into(),
        });
    }
    let order = notebook_order().map_err(MpiError::start)?;
    Ok(Program {
        file,
        script: START_IN_NOTEBOOK,
        order,
    })
}

impl Program {
    /// Puts the program behind a launcher's own arguments.
    pub(crate) fn append_to(&self, command: &mut Command) {
        let folder = env::var_os("TMPDIR").unwrap_or_default();
        command
            .args(["sh", "-c", self.script])
            .arg(&self.file)
            .arg(folder)
            .arg(&self.order);
    }
}

/// What the kernel's program obeys when it runs as the process of the cells.
fn notebook_order() -> io::Result<OsString> {
    let place = place_of(rank::notebook_entry())
        .ok_or_else(|| io::Error::other("the library of this crate cannot be found"))?;
    let mut order = OsString::from("LOAD_AND_RUN ");
    order.push(OsStr::from_bytes(place.library.as_bytes()));
    order.push(" ");
    order.push(rank::NOTEBOOK_ENTRY);
    Ok(order)
}

/// The variables that make a process a rank of this job.
pub(crate) fn variables(errand: &Errand, settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut variables = vec![(JOB.into(), errand.to_text().into())];
    if settings.is_local() {
        variables.extend(thread_settings(settings.ranks));
    }
    for name in NEEDED {
        if let Some(value) = env::var_os(name) {
            variables.push((name.into(), value));
        }
    }
    if env::var_os(TUNABLES).is_none() {
        variables.push((TUNABLES.into(), LARGE_PAGES.into()));
    }
    // A rank that aborts is told in an error, without Open MPI's own backtrace.
    variables.push((SIGNALS.into(), "".into()));
    if is_stock_kernel() {
        // Keeps the kernel's program from clearing memory for work that a rank never does.
        variables.push(("MIMALLOC_ARENA_EAGER_COMMIT".into(), "0".into()));
    }
    variables.extend(settings.environment.iter().cloned());
    variables
}
