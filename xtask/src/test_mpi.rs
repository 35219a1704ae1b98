//! The checks `mpi`, `mpich`, `slurm`, `slurm-lesson` and `mpi-cells`: `helpers-mpi` with each of two MPI
//! libraries, on a Slurm, and in cells.

use std::fs;
use std::process::Command;

use crate::Result;
use crate::command;
use crate::mpi::{self, Mpi, Which};
use crate::paths::Paths;
use crate::test::{Outcome, passes, pytest};

/// Tells the tests the launcher of the other library, which must be refused.
const OTHER: &str = "HELPERS_MPI_OTHER_MPIEXEC";

/// Installs the second library, and forgets what was built with another one, unless there is no first one.
/// Several checks need that, maybe at the same time.
pub fn prepare(paths: &Paths) -> Result<()> {
    if let Ok(usual) = mpi::find(paths, Which::Usual) {
        mpi::install(paths, Which::Mpich)?;
        forget_other_library(paths, &usual)?;
    }
    Ok(())
}

/// Runs the crate's tests with the usual library.
pub fn run(paths: &Paths) -> Result<Outcome> {
    let (usual, mpich) = match both(paths)? {
        Ok(libraries) => libraries,
        Err(skipped) => return Ok(skipped),
    };
    let package = ["-p", "helpers-mpi"];
    let clippy = ["--all-targets", "--", "-D", "warnings"];
    passes(
        cargo(paths, &usual)
            .arg("clippy")
            .args(package)
            .args(clippy),
    )?;
    let mut doc = cargo(paths, &usual);
    doc.arg("doc").args(package).arg("--no-deps");
    passes(doc.env("RUSTDOCFLAGS", "-D warnings"))?;

    let mut test = cargo(paths, &usual);
    test.arg("test").args(package);
    passes(test.env(OTHER, mpich.launcher()))
}

/// Runs the crate's tests with MPICH.
pub fn run_mpich(paths: &Paths) -> Result<Outcome> {
    let (usual, mpich) = match both(paths)? {
        Ok(libraries) => libraries,
        Err(skipped) => return Ok(skipped),
    };
    let package = ["-p", "helpers-mpi"];
    // A folder of its own: cargo does not see that the library is another.
    let folder = paths.root().join("target/mpich");
    // A test runs an example.
    let mut build = cargo(paths, &mpich);
    build.arg("build").args(package).arg("--examples");
    passes(build.env("CARGO_TARGET_DIR", &folder))?;
    let mut test = cargo(paths, &mpich);
    test.arg("test").args(package).args(["--lib", "--tests"]);
    test.env("CARGO_TARGET_DIR", &folder);
    passes(test.env(OTHER, usual.launcher()))
}

/// The usual library and MPICH; or why the checks are skipped.
fn both(paths: &Paths) -> Result<Result<(Mpi, Mpi), Outcome>> {
    let usual = match mpi::find(paths, Which::Usual) {
        Ok(usual) => usual,
        Err(missing) => return Ok(Err(skipped(missing))),
    };
    let mpich = mpi::find(paths, Which::Mpich)
        .map_err(|missing| format!("MPICH was installed, but {missing}"))?;
    Ok(Ok((usual, mpich)))
}

/// Runs programs on a Slurm of the test's own.
pub fn run_on_slurm(paths: &Paths) -> Result<Outcome> {
    on_slurm(paths, "tests/test_slurm.py")
}

/// Runs lesson 05 on another one.
pub fn run_lesson_on_slurm(paths: &Paths) -> Result<Outcome> {
    on_slurm(paths, "tests/test_slurm_lesson.py")
}

fn on_slurm(paths: &Paths, tests: &str) -> Result<Outcome> {
    let mpi = match mpi::find(paths, Which::Usual) {
        Ok(mpi) => mpi,
        Err(missing) => return Ok(skipped(missing)),
    };
    let answer = command::script(paths, "slurm").output()?;
    if !answer.status.success() {
        let why = String::from_utf8_lossy(&answer.stderr).into_owned();
        return Err(format!("slurm.py: {why}").into());
    }
    let missing = String::from_utf8_lossy(&answer.stdout);
    if !missing.trim().is_empty() {
        return Ok(Outcome::Skipped(missing.trim().to_owned()));
    }
    let mut build = cargo(paths, &mpi);
    passes(build.args(["build", "-p", "helpers-mpi", "--examples"]))?;
    let mut test = command::python(paths);
    test.args(["-m", "pytest", tests]);
    mpi.lend_to(test.current_dir(paths.scripts()));
    passes(&mut test)
}

/// Runs all cells that need an MPI library.
pub fn run_cells(paths: &Paths) -> Result<Outcome> {
    if let Err(missing) = mpi::find(paths, Which::Usual) {
        return Ok(skipped(missing));
    }
    pytest(
        paths,
        &[
            "tests/test_mpi_cells.py",
            "tests/test_mpi_pool_cells.py",
            "tests/test_no_mpi.py",
        ],
    )
}

fn skipped(missing: &str) -> Outcome {
    Outcome::Skipped(format!("{missing}; {}", mpi::REMEDY))
}

fn cargo(paths: &Paths, mpi: &Mpi) -> Command {
    let mut command = Command::new("cargo");
    mpi.lend_to(command.current_dir(paths.root()));
    command
}

/// Has cargo build anew what was built with another library.
fn forget_other_library(paths: &Paths, mpi: &Mpi) -> Result<()> {
    let mark = paths.root().join("target/mpi-library");
    let wanted = mpi.identity();
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let packages = ["-p", "mpi-sys", "-p", "mpi", "-p", "helpers-mpi"];
    passes(cargo(paths, mpi).arg("clean").args(packages))?;
    fs::write(mark, wanted)?;
    Ok(())
}
