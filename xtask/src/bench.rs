//! `cargo xtask bench`: measures, and prints what was measured.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        None => {
            command::run(
                Command::new("cargo")
                    .args(["bench", "-p", "helpers"])
                    .current_dir(paths.root()),
            )?;
            processes(paths, args)?;
            kernel(paths, args)
        }
        Some("processes") => processes(paths, &args[1..]),
        Some("kernel") => kernel(paths, &args[1..]),
        Some(unknown) => Err(format!(
            "there is no bench `{unknown}`: say nothing, `processes`, or `kernel`"
        )
        .into()),
    }
}

/// Process pools, ours in turns with Python's.
pub fn processes(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    setup::add_bench_packages(paths)?;
    let quick = args.iter().any(|arg| arg == "--quick");
    let program = build_bench(paths, "processes", !quick)?;
    command::run(
        command::python(paths)
            .arg(paths.scripts().join("bench_processes.py"))
            .arg("--program")
            .arg(program)
            .args(args)
            .current_dir(paths.root()),
    )
}

/// Compiles a bench of the crate, and tells where cargo put the program.
///
/// Without `optimise` it uses what `cargo test` has compiled.
fn build_bench(paths: &Paths, name: &str, optimise: bool) -> Result<PathBuf> {
    let subcommand: &[&str] = if optimise {
        &["bench", "--no-run"]
    } else {
        &["build"]
    };
    let mut command = Command::new("cargo");
    command
        .args(subcommand)
        .args(["-p", "helpers", "--bench", name])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(paths.root())
        .stderr(Stdio::inherit());
    command::announce(&command);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("the bench `{name}` does not compile").into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == "bench";
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    program.ok_or_else(|| format!("cargo does not say where the bench `{name}` is").into())
}

/// Seconds from starting the kernel to the first result, ours against a stock kernel.
fn kernel(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    command::run(
        command::python(paths)
            .arg(paths.scripts().join("bench_kernel.py"))
            .arg("--evcxr")
            .arg(paths.evcxr())
            .args(args)
            .current_dir(paths.notebooks()),
    )
}
