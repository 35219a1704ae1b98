//! `cargo xtask setup`: brings `.course/` to the state that the other commands need.
//!
//! Every step looks whether its result is there and right, and makes it if not. A mark is
//! written last in each step, so a set-up that was interrupted simply runs again.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Result;
use crate::build_folder;
use crate::command;
use crate::kernel;
use crate::kernel_program;
use crate::mpi::{self, Which};
use crate::paths::Paths;
use crate::rust_src;
use crate::toolchain;
use crate::tools;
use crate::warm;

pub fn run(paths: &Paths) -> Result<()> {
    fs::create_dir_all(paths.course())
        .map_err(|error| format!("cannot write {}: {error}", paths.course().display()))?;
    let _alone = wait_for_other_setups(paths)?;
    tools::check_rust()?;
    tools::check_c_compiler()?;
    add_rust_src()?;
    make_venv(paths)?;
    mpi::install(paths, Which::Usual)?;
    kernel_program::ensure(paths)?;
    install_launcher(paths)?;
    configure(paths)?;
    rust_src::ensure(paths)?;
    toolchain::ensure(paths)?;
    warm::ensure(paths)
}

/// Held by a set-up, in the course's folder.
const LOCK: &str = "setup.lock";

/// Brings only what is compiled for notebooks up to date, for a server that prepares a spare
/// kernel.
pub fn refresh(paths: &Paths) -> Result<()> {
    kernel::obey_lifeline();
    let _alone = wait_for_other_setups(paths)?;
    rust_src::ensure(paths)?;
    toolchain::ensure(paths)?;
    warm::ensure(paths)
}

/// Installs what only the tests, the bench or the book need: `requirements-<user>.txt`.
pub fn add_packages(paths: &Paths, user: &str) -> Result<()> {
    let requirements = paths.root().join(format!("requirements-{user}.txt"));
    install_packages(paths, &requirements, &format!("{user}-packages"))
}

/// Whether a set-up of this clone is under way.
pub fn is_running(paths: &Paths) -> bool {
    let lock = File::open(paths.course().join(LOCK));
    lock.is_ok_and(|lock| lock.try_lock().is_err())
}

/// Two set-ups at once would undo each other's work; the lock ends with this process.
fn wait_for_other_setups(paths: &Paths) -> Result<File> {
    let lock = File::create(paths.course().join(LOCK))?;
    if lock.try_lock().is_err() {
        println!("Waiting for another set-up of this clone …");
        lock.lock()?;
    }
    Ok(lock)
}

fn add_rust_src() -> Result<()> {
    if tools::rust_src().is_some() {
        return Ok(());
    }
    println!("Adding the sources of Rust's standard library, which the kernel reads …");
    command::run(Command::new("rustup").args(["component", "add", "rust-src"])).map_err(|error| {
        format!(
            "{error}\nThe kernel needs the sources of the standard library: install Rust from \
             https://rustup.rs, or the package rust-src of your system"
        )
        .into()
    })
}

fn make_venv(paths: &Paths) -> Result<()> {
    let mark = paths.venv().join("clone");
    // A virtual environment names its own place in many files, so it cannot be moved.
    let place = paths.venv().to_string_lossy().into_owned();
    let is_ours = fs::read_to_string(&mark).is_ok_and(|found| found == place);
    let usable = is_ours && knows_its_packages(paths);
    if !usable {
        let python = tools::check_python()?;
        println!(
            "Making a virtual environment with Python {} …",
            python.version
        );
        build_folder::remove(&paths.venv())?;
        command::run(
            Command::new(python.program)
                .args(["-m", "venv"])
                .arg(paths.venv()),
        )?;
        fs::write(&mark, place)?;
    }
    install_packages(paths, &paths.root().join("requirements.txt"), "packages")?;
    install_provisioner(paths)
}

/// Whether the virtual environment's Python is there, and of the version that its packages are for.
/// The system's Python may have become another one.
fn knows_its_packages(paths: &Paths) -> bool {
    let about = "import sys; print('python%d.%d' % sys.version_info[:2])";
    command::output_of(paths.python(), &["-c", about])
        .is_some_and(|name| paths.venv().join("lib").join(name).is_dir())
}

/// Installs the course's own Python package, `kernel/provisioner/`, unless the mark says that it is there.
fn install_provisioner(paths: &Paths) -> Result<()> {
    let package = paths.provisioner();
    let mut files = vec![package.join("pyproject.toml")];
    for entry in fs::read_dir(package.join("course_kernel"))? {
        files.push(entry?.path());
    }
    files.retain(|file| file.is_file());
    files.sort();
    let texts: Vec<_> = files
        .iter()
        .map(fs::read_to_string)
        .collect::<Result<_, _>>()?;
    let wanted = texts.concat();
    let mark = paths.venv().join("provisioner");
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    command::run(
        command::python(paths)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            // With what is here: the package needs nothing that is not in requirements.txt.
            .args([
                "--no-deps",
                "--no-build-isolation",
                "--no-index",
                "--force-reinstall",
            ])
            .arg(package),
    )?;
    fs::write(mark, wanted)?;
    Ok(())
}

/// Installs a list of pinned packages, unless the mark says that it was this very list.
fn install_packages(paths: &Paths, requirements: &Path, mark: &str) -> Result<()> {
    let wanted = fs::read_to_string(requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let mark = paths.venv().join(mark);
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("Installing Python packages (a minute or two) …");
    command::run(
        command::python(paths)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(requirements),
    )?;
    fs::write(mark, wanted)?;
    Ok(())
}

/// Copies this program to where Jupyter starts it as the kernel.
fn install_launcher(paths: &Paths) -> Result<()> {
    let this = fs::read(std::env::current_exe()?)?;
    if fs::read(paths.launcher()).is_ok_and(|installed| installed == this) {
        return Ok(());
    }
    let new = paths.launcher().with_extension("new");
    fs::create_dir_all(paths.course().join("bin"))?;
    fs::copy(std::env::current_exe()?, &new)?;
    // Renamed, since a program that runs cannot be written to.
    fs::rename(new, paths.launcher())?;
    Ok(())
}

fn configure(paths: &Paths) -> Result<()> {
    let mut kernelspec = json!({
        "argv": [paths.launcher(), "kernel", "{connection_file}"],
        "display_name": "Rust (course)",
        "language": "rust",
        "interrupt_mode": "message",
    });
    // A Jupyter without our package refuses a kernel that names a provisioner.
    write_json(&paths.plain_kernelspec().join("kernel.json"), &kernelspec)?;
    kernelspec["metadata"] = json!({
        "kernel_provisioner": { "provisioner_name": "course-provisioner" },
    });
    write_json(&paths.kernelspec().join("kernel.json"), &kernelspec)?;
    // No question goes to the network: neither for news, nor for updates, nor for extensions.
    let lab = json!({
        "LabApp": {
            "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "news_url": null,
            "extension_manager": "readonly",
        },
    });
    write_json(
        &paths.jupyter().join("config/jupyter_lab_config.json"),
        &lab,
    )?;
    // It asks npm where language servers are, and npm writes into the reader's home.
    let server = json!({
        "ServerApp": { "jpserver_extensions": { "jupyter_lsp": false, "course_kernel": true } },
        // In the list of files; the last name is that of the wrong answers, which are for the tests.
        "ContentsManager": { "hide_globs": ["__pycache__", "*.pyc", "*~", "wrong"] },
    });
    write_json(
        &paths.jupyter().join("config/jupyter_server_config.json"),
        &server,
    )?;
    let interface = json!({
        "@jupyterlab/apputils-extension:notification": {
            "checkForUpdates": false,
            "fetchNews": "false",
        },
        // In milliseconds. Asked for the first time, the kernel has to read all the crates first.
        "@jupyterlab/completer-extension:manager": { "providerTimeout": 20_000 },
    });
    write_json(
        &paths
            .venv()
            .join("share/jupyter/lab/settings/overrides.json"),
        &interface,
    )
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write(path, &format!("{value:#}\n"))
}

/// Writes a file if its text is not what it should be.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    let blame = |error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(blame)?;
    }
    fs::write(path, text).map_err(blame)?;
    Ok(())
}
