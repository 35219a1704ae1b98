//! A build folder: the small Cargo workspace in which a kernel compiles its cells.
//!
//! ```text
//! Cargo.toml    the workspace, and the profile that cells and crates are built with
//! Cargo.lock    begins as a copy of the course's own
//! anchor/       an empty crate that depends on the course's crates
//! .cargo/, no-mpi/   only where there is no MPI library: see [`no_mpi`]
//! runner        the program that runs the cells (COURSE_RUNNER)
//! store/        the library in which cells keep their variables
//! cell/         the crate that evcxr writes each cell into (EVCXR_TMPDIR)
//! config/       evcxr's settings (EVCXR_CONFIG_DIR)
//! ```
//!
//! Why a workspace: evcxr's first build has no dependency, and cargo would drop every
//! version from a lock file of the cell crate alone. The next `:dep` would then choose versions
//! anew, and could not do even that without a network. The anchor keeps them, and asks
//! for them on a platform that does not exist: a lock file covers all platforms, while
//! rust-analyzer, which reads the whole workspace when the kernel starts, sees nothing to read.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::no_mpi;
use crate::paths::Paths;
use crate::runner;
use crate::rust_src;
use crate::toolchain;

/// How crates and cells are built; what was built otherwise is of no use.
///
/// evcxr's own profile, but optimised as a release build is: the times that a notebook
/// measures should be those of a release build. Without link-time optimisation, which takes a
/// third of the time that a cell takes to compile and has little to join in so small a crate. cargo ignores the profile in the cell crate,
/// because that crate is not the root of its workspace.
pub const WORKSPACE: &str = r#"[workspace]
resolver = "3"
members = ["anchor", "cell"]

[profile.dev]
opt-level = 3
debug = false
strip = "debuginfo"
debug-assertions = false
overflow-checks = false
codegen-units = 16
incremental = true
rpath = true
lto = "off"
"#;

/// The file that evcxr runs before the first cell.
const INIT: &str = "init.evcxr";

/// What it begins with.
///
/// No warnings: evcxr shows them only where a cell fails. Then they are those of all earlier cells
/// as well, which are compiled again into every cell, and the error drowns in them. The first flag
/// is evcxr's own, which this setting replaces. As the flags are part of what cargo compares, the
/// warm folder must be built with the same.
pub const START_UP: &str = ":build_env RUSTFLAGS=-Cprefer-dynamic -Awarnings\n";

/// A cell with a `?`.
///
/// evcxr learns from a cell that does not compile that there are such, and compiles it again. In
/// doing so it forgets how to show a figure in that cell. So it had better learn before.
const LEARN: &str = "Ok::<(), String>(())?;\n";

/// Shows a cell's result, where its type has no way of its own.
///
/// evcxr tries `evcxr_display` first. Where a type has none, it compiles the cell again with code
/// that prints the very same.
const SHOW: &str = r#"
trait ShowDebug {
    fn evcxr_display(&self);
}
impl<T: std::fmt::Debug + ?Sized> ShowDebug for T {
    fn evcxr_display(&self) {
        let text = format!("{self:?}");
        println!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT");
    }
}
"#;

/// Marks the text of an error that ends a cell, which evcxr prints in just this way where a `?` fails: the
/// kernel makes it the cell's error. What a reader prints alike is printed. And the trait that is part of what
/// a thread's `join` gives: rust-analyzer writes its name without a path.
const MARK: &str = r#"
use std::any::Any;
macro_rules! eprintln {
    ("{}", $error:ident) => { std::eprintln!("\u{2}{}\u{3}", $error) };
    ($($all:tt)*) => { std::eprintln!($($all)*) };
}
"#;

/// Empty on purpose: a file of this name keeps the reader's own out.
const EVCXR_TOML: &str = "[evcxr]\n";

/// The crate that evcxr writes: what the kernel is told as `EVCXR_TMPDIR`.
pub fn cell_crate(folder: &Path) -> PathBuf {
    folder.join("cell")
}

/// evcxr's settings: what the kernel is told as `EVCXR_CONFIG_DIR`.
pub fn config(folder: &Path) -> PathBuf {
    folder.join("config")
}

/// Set by a test to where all sources of the standard library are: a kernel then reads these, and all crates.
const ALL_SOURCES: &str = "COURSE_TEST_SOURCES";

/// Tells a kernel that is to be started in which folder it builds and what it finds there.
pub fn lend_to(paths: &Paths, folder: &Path, kernel: &mut Command) {
    kernel
        .env("EVCXR_TMPDIR", cell_crate(folder))
        .env("EVCXR_CONFIG_DIR", config(folder))
        .env("COURSE_RUNNER", runner::program(folder))
        .env("COURSE_KERNEL", paths.kernel_program());
    if let Some(all) = std::env::var_os(ALL_SOURCES) {
        kernel.env("RUST_SRC_PATH", all);
        return;
    }
    if let Some(sources) = rust_src::reduced(paths) {
        kernel.env("RUST_SRC_PATH", sources);
    }
    toolchain::lend_to(paths, kernel);
}

/// What evcxr runs before the first cell of a notebook.
pub fn init() -> String {
    format!("{START_UP}{LEARN}{SHOW}{MARK}")
}

/// Writes the files of a build folder; what has been built in it stays.
pub fn create(paths: &Paths, folder: &Path) -> Result<()> {
    let anchor = folder.join("anchor");
    fs::create_dir_all(&anchor)?;
    fs::create_dir_all(cell_crate(folder).join("src"))?;
    fs::create_dir_all(config(folder))?;
    fs::write(config(folder).join("evcxr.toml"), EVCXR_TOML)?;
    fs::write(config(folder).join(INIT), init())?;
    fs::write(folder.join("Cargo.toml"), WORKSPACE)?;
    fs::write(anchor.join("Cargo.toml"), anchor_manifest(paths))?;
    fs::write(anchor.join("lib.rs"), "")?;
    // The versions of the course's own lock file.
    fs::copy(paths.root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    runner::build(paths, folder)?;
    runner::build_store(paths, folder)?;
    no_mpi::stand_in(paths, folder)
}

/// The crate whose only purpose is to name what cells may depend on.
pub fn anchor_manifest(paths: &Paths) -> String {
    // A JSON string is a TOML string.
    let helpers = serde_json::Value::from(paths.helpers().to_string_lossy());
    let helpers_mpi = serde_json::Value::from(paths.helpers_mpi().to_string_lossy());
    format!(
        r#"[package]
name = "anchor"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[target.'cfg(any())'.dependencies]
helpers = {{ path = {helpers} }}
helpers-mpi = {{ path = {helpers_mpi} }}
# The kernel adds it to a notebook whose cells use `.await`, with these very words.
tokio = {{ version = "1.34.0", features = ["rt", "rt-multi-thread"] }}
"#
    )
}

/// Copies a folder and keeps modification times, by which cargo tells what is up to date.
///
/// Most files are crates of others, compiled. They are the same for all kernels, and a hard link takes a
/// tenth of the time and no space. No hard links for what kernels write: cargo's locks are per file, so two kernels
/// would wait for each other, and a cell's library would be replaced under the feet of the other kernel.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
            continue;
        }
        // Not every pair of folders can share a file.
        if is_never_written(&entry.path()) && fs::hard_link(entry.path(), &target).is_ok() {
            continue;
        }
        let mut source = File::open(entry.path())?;
        let about = source.metadata()?;
        let mut copied = File::create(&target)?;
        io::copy(&mut source, &mut copied)?;
        copied.set_permissions(about.permissions())?;
        copied.set_times(FileTimes::new().set_modified(about.modified()?))?;
    }
    Ok(())
}

/// Whether no kernel writes into a file. Where a crate is compiled again, a library and a program are replaced by new
/// files; what cargo notes of them is written over, and that happens to the course's own crates and those whose
/// build scripts look at the MPI library.
fn is_never_written(path: &Path) -> bool {
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let file = name(path);
    let folder = path.parent().unwrap_or(path);
    let is_replaced = file.ends_with(".rlib")
        || file.ends_with(".rmeta")
        || (file.starts_with("build_script_") && !file.ends_with(".d"));
    let is_note = match name(folder).as_str() {
        "deps" => file.ends_with(".d") && !is_compiled_again(file.trim_start_matches("lib")),
        unit => {
            let notes = folder
                .parent()
                .is_some_and(|above| above.ends_with(".fingerprint"));
            notes && !is_compiled_again(unit) && !file.starts_with("run-build-script")
        }
    };
    is_replaced || is_note
}

fn is_compiled_again(unit: &str) -> bool {
    let own = ["ctx", "anchor", "helpers", "mpi"];
    own.iter().any(|name| unit.starts_with(name))
}

/// Deletes a folder, if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot delete {}: {error}", folder.display()).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_what_no_kernel_writes_is_shared() {
        let shared = [
            "debug/deps/libquote-1.rlib",
            "debug/deps/quote-1.d",
            "debug/deps/libhelpers-1.rmeta",
            "debug/.fingerprint/quote-1/lib-quote",
            "debug/build/libc-1/build_script_build-1",
        ];
        // What is compiled again, or when the environment is another one; and cargo's lock.
        let own = [
            "debug/.cargo-lock",
            "debug/deps/libctx.so",
            "debug/deps/helpers-1.d",
            "debug/deps/libmpi-1.d",
            "debug/.fingerprint/helpers-1/lib-helpers",
            "debug/.fingerprint/mpi-sys-1/lib-mpi_sys",
            "debug/.fingerprint/libc-1/run-build-script-build-script-build",
            "debug/build/libc-1/output",
            "debug/build/libc-1/build_script_build-1.d",
        ];
        let place = std::env::temp_dir().join(format!("course-links-{}", std::process::id()));
        let (warm, copied) = (place.join("warm"), place.join("copy"));
        for file in shared.iter().chain(&own) {
            fs::create_dir_all(warm.join(file).parent().unwrap()).unwrap();
            fs::write(warm.join(file), *file).unwrap();
        }
        copy(&warm, &copied).unwrap();
        let number = |file: PathBuf| fs::metadata(file).unwrap().ino();
        for file in shared.iter().chain(&own) {
            assert_eq!(fs::read_to_string(copied.join(file)).unwrap(), *file);
            let is_shared = number(warm.join(file)) == number(copied.join(file));
            assert_eq!(is_shared, shared.contains(file), "{file}");
        }
        fs::remove_dir_all(place).unwrap();
    }
}
