//! The program that ranks run, and what it is told.

use std::ffi::{OsString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, io};

use helpers::internals::{
    RUNNING_IN_A_CELL, SMALL_START, is_notebook, is_stock_kernel, load_and_run, of_address,
    thread_settings,
};

use crate::control::{JOB, JobSpec};
use crate::error::MpiError;
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
const NEEDED: &[&str] = &["LD_LIBRARY_PATH", RUNNING_IN_A_CELL, "RUST_BACKTRACE"];

/// Has the C library ask for large pages for large arrays, as numpy does: ranks copy them to each
/// other page by page, and a third of the time goes into that.
const TUNABLES: &str = "GLIBC_TUNABLES";
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// Of Open MPI: the signals of which it tells with a backtrace, before they end a rank.
pub(crate) const SIGNALS: &str = "OMPI_MCA_opal_signal";

/// The function of this crate that a notebook's rank begins with; see `entry`.
const NOTEBOOK_ENTRY: &str = "helpers_mpi_rank";

static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// Notes that this program becomes a rank where it is started as one.
pub(crate) fn prepare() {
    IS_PREPARED.store(true, Ordering::Relaxed);
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
    // Whatever lies in this crate's library tells which one it is.
    let here = of_address(&raw const IS_PREPARED as *const c_void);
    let here = here.ok_or_else(|| io::Error::other("the library of this crate cannot be found"))?;
    Ok(load_and_run(&here.library, NOTEBOOK_ENTRY))
}

/// The variables that make a process a rank of this job.
pub(crate) fn variables(spec: &JobSpec, settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut variables = vec![(JOB.into(), spec.to_text().into())];
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
        let (name, value) = SMALL_START;
        variables.push((name.into(), value.into()));
    }
    variables.extend(settings.environment.iter().cloned());
    variables
}
