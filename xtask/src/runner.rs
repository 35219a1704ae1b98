//! The program that runs the cells of a notebook: `kernel/runner/main.rs`.
//!
//! It is compiled where cells are, by the same compiler, since it shares the dynamic standard
//! library with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::paths::Paths;

/// How it is compiled. Cells find its symbols, and it finds the standard library where they do.
pub const FLAGS: &[&str] = &[
    "--edition=2024",
    "-O",
    "-Cprefer-dynamic",
    "-Clink-arg=-rdynamic",
    "-Clink-arg=-Xlinker",
    "-Clink-arg=-rpath",
    "-Clink-arg=-Xlinker",
];

/// Where it lies in a build folder: what the kernel is told as `COURSE_RUNNER`.
pub fn program(folder: &Path) -> PathBuf {
    folder.join("runner")
}

/// Compiles it into a build folder, which takes a second.
pub fn build(paths: &Paths, folder: &Path) -> Result<()> {
    let source = paths.runner_source();
    // A file that is there may be running, so it is put in place when it is whole.
    let new = folder.join("runner.new");
    let mut print = rustc_in(folder);
    let libraries = said_by(print.args(["--print", "target-libdir"]))?;
    let mut compile = rustc_in(folder);
    compile.args(FLAGS);
    compile.arg(format!("-Clink-arg={}", libraries.trim()));
    compile.arg(&source).arg("-o").arg(&new);
    said_by(&mut compile)
        .map_err(|error| format!("cannot compile {}: {error}", source.display()))?;
    fs::rename(new, program(folder))?;
    Ok(())
}

/// Compiles the library in which cells keep their variables into a build folder.
pub fn build_store(paths: &Paths, folder: &Path) -> Result<()> {
    let source = paths.store_source();
    let store = folder.join("store");
    fs::create_dir_all(&store)?;
    let mut compile = rustc_in(folder);
    compile.args(["--edition=2024", "-O", "-Cprefer-dynamic"]);
    compile.args(["--crate-name", "course_store", "--crate-type", "dylib"]);
    compile.arg(&source).arg("--out-dir").arg(store);
    said_by(&mut compile)
        .map_err(|error| format!("cannot compile {}: {error}", source.display()))?;
    Ok(())
}

/// The compiler that cells are compiled with: which one that is may depend on the folder.
fn rustc_in(folder: &Path) -> Command {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(folder);
    rustc
}

fn said_by(rustc: &mut Command) -> Result<String> {
    let output = rustc
        .output()
        .map_err(|error| format!("rustc does not start: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}
