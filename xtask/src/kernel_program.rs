//! The kernel's own program, whose sources are in `kernel/`: found on this machine, or compiled.
//!
//! A program knows the digest of the sources that it was made from, its id. So one that was
//! compiled elsewhere is used if it is the right one, and is compiled again when the sources have
//! changed.

use std::fs;
use std::hash::Hasher;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{self, find_program, output_of};
use crate::paths::Paths;
use crate::sources::{Digest, hash_file, hash_folder};
use crate::tools;

const NAME: &str = "course-kernel";

/// What the sources are compiled with: the program says it again.
const ID: &str = "COURSE_KERNEL_ID";

/// The id of the program that the sources make.
pub fn id(paths: &Paths) -> Result<String> {
    let sources = paths.kernel_sources();
    let mut digest = Digest::new();
    for file in ["Cargo.toml", "Cargo.lock"] {
        hash_file(&sources.join(file), &mut digest)?;
    }
    hash_folder(&sources.join("src"), &mut digest)?;
    Ok(format!("{:016x}", digest.finish()))
}

/// Whether the program that the sources make is installed.
pub fn is_ready(paths: &Paths) -> bool {
    id(paths).is_ok_and(|id| is_right(&paths.kernel_program(), &id))
}

/// Installs the program, unless it is there: a link to one that the machine has, else one that is
/// compiled here.
pub fn ensure(paths: &Paths) -> Result<()> {
    let id = id(paths)?;
    let program = paths.kernel_program();
    // What a link leads to is somebody else's, who may have put another version in its place.
    if is_right(&program, &id) {
        return Ok(());
    }
    let found = found_elsewhere(paths, &id);
    let compiled = match &found {
        Some(_) => None,
        None => Some(compile(paths, &id)?),
    };
    let new = program.with_extension("new");
    fs::create_dir_all(program.parent().unwrap_or(&new))?;
    if fs::symlink_metadata(&new).is_ok() {
        fs::remove_file(&new)?;
    }
    if let Some(found) = found {
        println!("Using the kernel that is installed: {}", found.display());
        symlink(found, &new)?;
    } else if let Some(compiled) = compiled {
        fs::copy(compiled, &new)?;
    }
    // Renamed, since a program that runs cannot be written to.
    fs::rename(new, &program)?;
    if is_right(&program, &id) {
        return Ok(());
    }
    Err(format!("{} is not what was compiled", program.display()).into())
}

/// A program of this id that somebody has put on `PATH` or into cargo's folder.
fn found_elsewhere(paths: &Paths, id: &str) -> Option<PathBuf> {
    let usual = tools::cargo_programs().map(|folder| folder.join(NAME));
    let candidates = [find_program(&[NAME]), usual];
    candidates
        .into_iter()
        .flatten()
        .filter(|program| is_right(program, id))
        .filter_map(|program| fs::canonicalize(program).ok())
        // Else a link could lead to itself.
        .find(|program| !program.starts_with(paths.course()))
}

fn is_right(program: &Path, id: &str) -> bool {
    output_of(program, &["--version"]).is_some_and(|said| said == format!("{NAME} {id}"))
}

/// Compiles the program. What it depends on stays, so the next time only its own sources are.
fn compile(paths: &Paths, id: &str) -> Result<PathBuf> {
    let compiled = paths.kernel_target().join("release").join(NAME);
    if compiled.is_file() {
        println!("Compiling the kernel, which has changed (half a minute) …");
    } else {
        println!("Compiling the kernel (4 to 10 minutes on two cores, once) …");
    }
    command::run(cargo(paths, "build").env(ID, id))?;
    Ok(compiled)
}

/// cargo, told to do something with the program where it is compiled.
pub fn cargo(paths: &Paths, subcommand: &str) -> Command {
    let mut cargo = Command::new("cargo");
    // A crate below reads it when it is compiled, so a run of the tests with another value would compile
    // that one again, and the hundred that depend on it.
    cargo.env_remove("CI");
    cargo
        .args([subcommand, "--release", "--locked", "--manifest-path"])
        .arg(paths.kernel_sources().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(paths.kernel_target());
    cargo
}
