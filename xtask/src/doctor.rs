//! `cargo xtask doctor`: what is there, what is missing, and what to do about it.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::command::output_of;
use crate::mpi::{self, Which};
use crate::paths::Paths;
use crate::{kernel_program, setup, tools, warm};

const SET_UP: &str = "cargo xtask setup";

/// One line of the table.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    /// What was found, or what is wrong and the command that mends it.
    state: Result<String, String>,
    required: bool,
}

pub fn run(paths: &Paths) -> Result<()> {
    let findings = examine(paths);
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    for Finding {
        what,
        state,
        required,
    } in &findings
    {
        let (sign, text) = match state {
            Ok(text) => ("ok", text),
            Err(text) if *required => ("MISSING", text),
            Err(text) => ("absent", text),
        };
        println!("{what:width$}  {sign:7}  {text}");
    }
    if setup::is_running(paths) {
        println!("\nA set-up of this clone is under way: what is missing may come yet.");
    }
    let missing = findings
        .iter()
        .filter(|f| f.required && f.state.is_err())
        .count();
    if missing == 0 {
        println!("\nEverything that is required is there.");
        Ok(())
    } else {
        Err(format!("{missing} of the things that are required are missing: see above").into())
    }
}

fn examine(paths: &Paths) -> Vec<Finding> {
    let required = |what, state| Finding {
        what,
        state,
        required: true,
    };
    let optional = |what, state| Finding {
        what,
        state,
        required: false,
    };
    let from_setup = |found: Option<String>| found.ok_or_else(|| format!("run: {SET_UP}"));
    let size = |path: &Path| path.exists().then(|| sized(path));

    let python = tools::check_python()
        .map(|python| format!("Python {} ({})", python.version, python.program.display()));
    let jupyter = {
        let about = "import importlib.metadata as m; print(m.version('jupyterlab'))";
        output_of(paths.python(), &["-c", about])
            .map(|version| format!("{version} in {}", sized(&paths.venv())))
    };
    let provisioner = {
        let about = "import importlib.metadata as m; print(m.version('course_kernel'))";
        output_of(paths.python(), &["-c", about])
            .map(|version| format!("course_kernel {version}; COURSE_SPARE_KERNEL=0 turns it off"))
    };
    let kernel = kernel_program::is_ready(paths).then(|| {
        let program = paths.kernel_program();
        sized(&fs::canonicalize(&program).unwrap_or(program))
    });
    let crates = warm::is_ready(paths).then(|| sized(&paths.warm()));
    let browser = tools::browser(paths)
        .map(|program| program.display().to_string())
        .ok_or_else(|| "only `cargo xtask test` uses one; install chromium".to_owned());
    let mpi = mpi::find(paths, Which::Usual)
        .map(|mpi| mpi.describe())
        .map_err(|missing| format!("{missing}; only lesson 05 needs it; {}", mpi::REMEDY));
    let linker = crate::command::find_program(&["mold", "lld"])
        .map(|program| program.display().to_string())
        .ok_or_else(|| {
            "cells would build a little faster with mold, a package of most systems".to_owned()
        });
    let running = paths
        .kernels()
        .map_err(|error| error.to_string())
        .map(|folder| {
            let size = size(&folder).unwrap_or_else(|| folder.display().to_string());
            format!("{} running, in {size}", locks_in(&folder))
        });

    vec![
        required(
            "Rust",
            tools::check_rust().map_err(|error| error.to_string()),
        ),
        required(
            "Rust's own sources",
            tools::rust_src()
                .map(|folder| folder.display().to_string())
                .ok_or_else(|| "run: rustup component add rust-src".to_owned()),
        ),
        required(
            "C compiler",
            tools::check_c_compiler()
                .map(|program| program.display().to_string())
                .map_err(|error| error.to_string()),
        ),
        required("Python", python.map_err(|error| error.to_string())),
        required("JupyterLab", from_setup(jupyter)),
        required("spare kernels", from_setup(provisioner)),
        required("kernel", from_setup(kernel)),
        required("launcher", from_setup(size(&paths.launcher()))),
        required(
            "kernelspec",
            from_setup(size(&paths.kernelspec().join("kernel.json"))),
        ),
        required("compiled crates", from_setup(crates)),
        required("build folders", running),
        optional("MPI library", mpi),
        optional("browser", browser),
        optional("fast linker", linker),
    ]
}

fn locks_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "lock"))
        .count()
}

/// A path with its size.
fn sized(path: &Path) -> String {
    let mebibytes = size_of(path) as f64 / f64::from(1 << 20);
    format!("{} ({mebibytes:.1} MiB)", path.display())
}

fn size_of(path: &Path) -> u64 {
    let Ok(about) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !about.is_dir() {
        return about.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}
