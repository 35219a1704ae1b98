//! Running other programs: each is printed before it runs.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::Result;
use crate::paths::Paths;

/// Prints the command as one could type it.
pub fn announce(command: &Command) {
    let mut line = String::from("$");
    for (name, value) in command.get_envs() {
        // Only what decides about the result; the folders of Jupyter would bury the command.
        if let Some(value) = value
            && ["RUSTDOCFLAGS", "CARGO_NET_OFFLINE", "CARGO_BUILD_BUILD_DIR"]
                .iter()
                .any(|&shown| name == shown)
        {
            line += &format!(" {}={}", name.to_string_lossy(), quote(value));
        }
    }
    line += &format!(" {}", quote(command.get_program()));
    for argument in command.get_args() {
        line += &format!(" {}", quote(argument));
    }
    println!("{line}");
}

/// Prints and runs a command, which must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = announced(command)?;
    if status.success() {
        Ok(())
    } else {
        Err(failure(command, &status.to_string()).into())
    }
}

/// Prints and runs a part of the course that is a program of its own. If it fails, it has said why.
pub fn run_part(command: &mut Command) -> Result<()> {
    let status = announced(command)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(_) => Err(HasSaidWhy.into()),
        None => Err(failure(command, &status.to_string()).into()),
    }
}

/// Prints and runs a command; gives how it ended.
fn announced(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    let status = command.status();
    status.map_err(|error| failure(command, &error.to_string()).into())
}

/// An error of which a part of the course has told already.
#[derive(Debug)]
pub struct HasSaidWhy;

impl fmt::Display for HasSaidWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what went wrong is told above")
    }
}

impl Error for HasSaidWhy {}

/// Runs a command and gives its standard output, or nothing if it is missing or fails.
pub fn output_of(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first folder on `PATH` that holds one of these programs.
pub fn find_program(names: &[&str]) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH")?;
    let found = |name: &&str| {
        env::split_paths(&path)
            .map(|f| f.join(name))
            .find(|p| p.is_file())
    };
    names.iter().find_map(found)
}

fn failure(command: &Command, what: &str) -> String {
    format!(
        "`{}` failed ({what})",
        Path::new(command.get_program()).display()
    )
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A program of `xtask/python`, by the name of its module.
pub fn script(paths: &Paths, name: &str) -> Command {
    let mut command = python(paths);
    command.arg(paths.scripts()).arg(name);
    command
}

/// A Python program of the virtual environment, in which Jupyter keeps to `.course/`.
pub fn python(paths: &Paths) -> Command {
    let mut command = Command::new(paths.python());
    let jupyter = paths.jupyter();
    for (name, folder) in [
        ("JUPYTER_CONFIG_DIR", "config"),
        ("JUPYTER_DATA_DIR", "data"),
        ("JUPYTER_RUNTIME_DIR", "runtime"),
        ("JUPYTERLAB_SETTINGS_DIR", "lab-settings"),
        ("JUPYTERLAB_WORKSPACES_DIR", "lab-workspaces"),
        ("IPYTHONDIR", "ipython"),
        ("MPLCONFIGDIR", "matplotlib"),
    ] {
        command.env(name, jupyter.join(folder));
    }
    command
        .env("PYTHONNOUSERSITE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    // Settings of the reader's own Python and Jupyter would leak into the course.
    for name in [
        "JUPYTER_PATH",
        "JUPYTER_CONFIG_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
    ] {
        command.env_remove(name);
    }
    remove_cargo_run(&mut command);
    command
}

/// Takes out what `cargo run` adds to the environment, so that a kernel sees the same
/// environment whoever started it.
///
/// `LD_LIBRARY_PATH` is not cosmetic: it names `target/debug`, where a `libhelpers.so` lies
/// that a cell would load in place of its own.
fn remove_cargo_run(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_")
        {
            command.env_remove(&name);
        }
    }
    let (Some(libraries), Ok(exe)) = (env::var_os("LD_LIBRARY_PATH"), env::current_exe()) else {
        return;
    };
    let Some(target) = exe.parent().and_then(Path::parent) else {
        return;
    };
    let kept: Vec<_> = env::split_paths(&libraries)
        .filter(|p| !p.starts_with(target))
        .collect();
    match env::join_paths(kept) {
        Ok(kept) if !kept.is_empty() => command.env("LD_LIBRARY_PATH", kept),
        _ => command.env_remove("LD_LIBRARY_PATH"),
    };
}
