//! `cargo xtask bench`: measures, and prints what was measured.

use std::process::Command;

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
            kernel(paths, args)
        }
        Some("kernel") => kernel(paths, &args[1..]),
        Some(unknown) => {
            Err(format!("there is no bench `{unknown}`: say nothing, or `kernel`").into())
        }
    }
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
