//! `cargo xtask lab`: JupyterLab on the notebooks.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let mut command = server(paths);
    command.args(args);
    command::announce(&command);
    // JupyterLab takes this process over, so Ctrl-C reaches it and nothing else.
    Err(format!("cannot start JupyterLab: {}", command.exec()).into())
}

/// JupyterLab, opened on the notebooks. Its root is the clone: a page may show pictures of
/// `assets/`, which it could not reach from a root of `notebooks/`.
fn server(paths: &Paths) -> Command {
    let mut command = command::python(paths);
    command.args(["-m", "jupyterlab"]);
    let mut root = OsString::from("--ServerApp.root_dir=");
    root.push(paths.root());
    command.arg(root);
    command.arg("--LabApp.default_url=/lab/tree/notebooks");
    if command::output_of("id", &["-u"]).as_deref() == Some("0") {
        // Jupyter refuses to run as root without it; in containers there is nobody else.
        command.arg("--allow-root");
    }
    command
}
