//! The warm build folder: the course's crates and all that they depend on, compiled once at
//! set-up.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::Result;
use crate::build_folder;
use crate::command;
use crate::kernel::Claim;
use crate::kernel_program;
use crate::mpi::{self, Which};
use crate::paths::Paths;
use crate::runner;
use crate::sources::{hash_file, hash_folder, last_change};
use crate::tools;

const STAMP: &str = "stamp";

/// Makes the warm folder unless it is there and nothing that decides about it has changed.
pub fn ensure(paths: &Paths) -> Result<()> {
    let wanted = stamp(paths)?;
    let found = fs::read_to_string(paths.warm().join(STAMP)).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    println!("Compiling the course's crates for notebooks (a minute or two) …");
    // Built where kernels build, since that path is free of spaces; then moved here.
    let claim = Claim::new(&paths.kernels()?)?;
    if found.split_once('-').map(|(crates, _)| crates) == wanted.split_once('-').map(|(c, _)| c) {
        // Only the course's own crate has changed, or moved.
        build_folder::copy(&paths.warm(), &claim.folder)?;
        fs::remove_file(claim.folder.join(STAMP))?;
    }
    build_folder::create(paths, &claim.folder)?;
    let mut warm_up = command::script(paths, "kernels.warm_up");
    warm_up
        .arg(paths.kernel_program())
        .current_dir(paths.notebooks());
    build_folder::lend_to(paths, &claim.folder, &mut warm_up);
    if let Ok(mpi) = mpi::find(paths, Which::Usual) {
        mpi.lend_to(warm_up.arg("--mpi"));
    }
    command::run(&mut warm_up)?;
    check_versions(paths, &claim.folder)?;
    remove_leftovers(&build_folder::cell_crate(&claim.folder))?;

    let new = paths.course().join("warm.new");
    build_folder::remove(&new)?;
    build_folder::copy(&claim.folder, &new)?;
    build_folder::remove(&paths.warm())?;
    fs::rename(&new, paths.warm())?;
    // Last, so that a folder with a stamp is a whole one.
    fs::write(paths.warm().join(STAMP), wanted)?;
    claim.release()
}

/// Copies the warm folder for one kernel. A folder that is out of date still saves most of the
/// work: cargo compiles what has changed.
pub fn copy_to(paths: &Paths, folder: &Path) -> Result<()> {
    let found = fs::read_to_string(paths.warm().join(STAMP))
        .map_err(|_| "the crates are not compiled yet")?;
    build_folder::copy(&paths.warm(), folder)
        .map_err(|error| format!("cannot copy {}: {error}", paths.warm().display()))?;
    if stamp(paths).is_ok_and(|wanted| wanted == found) {
        return Ok(());
    }
    build_folder::create(paths, folder)?;
    eprintln!(
        "course-kernel: the course has changed since set-up, so the first cell compiles what is \
         new. Run: cargo xtask setup"
    );
    Ok(())
}

/// Says whether the warm folder is there and up to date.
pub fn is_ready(paths: &Paths) -> bool {
    let found = fs::read_to_string(paths.warm().join(STAMP)).ok();
    found.is_some() && stamp(paths).ok() == found
}

/// A digest of all that decides whether the compiled crates can be used as they are: one half for
/// the crates of others, one for the course's own and its kernel.
fn stamp(paths: &Paths) -> Result<String> {
    let mut crates = DefaultHasher::new();
    tools::rustc_version().hash(&mut crates);
    build_folder::WORKSPACE.hash(&mut crates);
    build_folder::START_UP.hash(&mut crates);
    // The kernel's lock file has the version of evcxr, which says how crates are compiled.
    for file in ["Cargo.toml", "Cargo.lock", "kernel/Cargo.lock"] {
        hash_file(&paths.root().join(file), &mut crates)?;
    }
    match mpi::find(paths, Which::Usual) {
        Ok(mpi) => Some(mpi.identity()).hash(&mut crates),
        Err(missing) => (None::<String>, missing).hash(&mut crates),
    }
    let mut own = DefaultHasher::new();
    build_folder::anchor_manifest(paths).hash(&mut own);
    build_folder::init().hash(&mut own);
    kernel_program::id(paths)?.hash(&mut own);
    runner::FLAGS.hash(&mut own);
    hash_file(&paths.runner_source(), &mut own)?;
    hash_file(&paths.store_source(), &mut own)?;
    hash_file(&paths.scripts().join("kernels/cells.py"), &mut own)?;
    for folder in [paths.helpers(), paths.helpers_mpi()] {
        hash_folder(&folder, &mut own)?;
        last_change(&folder)?.hash(&mut own);
    }
    Ok(format!("{:016x}-{:016x}", crates.finish(), own.finish()))
}

/// Checks that cells are built against the versions that the course's tests run with.
fn check_versions(paths: &Paths, folder: &Path) -> Result<()> {
    let ours = locked_versions(&paths.root().join("Cargo.lock"))?;
    let cells = locked_versions(&folder.join("Cargo.lock"))?;
    // The build folder's own crates have no source; neither does helpers.
    let strangers: Vec<_> = cells.difference(&ours).cloned().collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let strangers = strangers.join(", ");
    Err(format!("Cargo.lock is out of date: cells would use {strangers}; run cargo build").into())
}

/// `name version` of each package that came from a registry.
fn locked_versions(lock: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(lock)?;
    let mut versions = BTreeSet::new();
    for package in text
        .split("[[package]]")
        .filter(|p| p.contains("\nsource = "))
    {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        versions.insert(format!("{} {}", value("name = "), value("version = ")));
    }
    Ok(versions)
}

/// Deletes what no kernel needs: the libraries of the cells that warmed the folder up, and what rustc keeps to compile
/// them and the crates once more. (A first cell is compiled as fast without.)
fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "incremental" {
            build_folder::remove(&entry.path())?;
        } else if entry.file_type()?.is_dir() {
            remove_leftovers(&entry.path())?;
        } else if name.starts_with("libcode_") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The crates that a crate is built with, each with its features.
    fn built_with(root: &Path, package: &str) -> BTreeSet<String> {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--locked", "-p", package, "-e", "normal,build"])
            .args(["--prefix", "none", "--no-dedupe", "-f", "{p} [{f}]"])
            .current_dir(root);
        let output = tree.output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{problem}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(str::to_owned).collect()
    }

    /// A crate with other features is another crate to cargo: a notebook that loads `helpers-mpi`
    /// would compile it again, and all that depends on it, `helpers` among them.
    #[test]
    fn both_crates_are_built_with_the_same_features_of_others() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let alone = built_with(root, "helpers");
        let with_mpi = built_with(root, "helpers-mpi");
        assert!(alone.len() > 10, "{alone:?}");
        let differ: Vec<_> = alone.difference(&with_mpi).collect();
        assert!(
            differ.is_empty(),
            "helpers-mpi has more features of these than helpers, so ask for them in \
             helpers/Cargo.toml as well: {differ:#?}"
        );
    }
}
