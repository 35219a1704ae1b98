//! A folder that stands in for the Rust toolchain where the kernel compiles.
//!
//! rustup takes a folder with `bin/cargo` and `bin/rustc` for a toolchain (`RUSTUP_TOOLCHAIN`). Both are the kernel's
//! own program there, which answers from memory what the real tools have answered before, and calls them
//! for everything else: see `kernel/src/toolchain`. Where there is no rustup, the kernel calls the
//! real tools.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::build_folder;
use crate::command::{find_program, output_of};
use crate::kernel_program;
use crate::paths::Paths;
use crate::tools;

/// Says what the folder was made for; one without is not whole.
const MARK: &str = "made-for";

/// How rustup is told which toolchain to use.
const OF_RUSTUP: &str = "RUSTUP_TOOLCHAIN";

/// Makes the folder, unless it is there and for this compiler and this kernel.
pub fn ensure(paths: &Paths) -> Result<()> {
    let folder = paths.toolchain();
    if find_program(&["rustup"]).is_none() || is_ready(paths) {
        return Ok(());
    }
    let sysroot = sysroot().ok_or("rustc does not say where it lies")?;
    let new = folder.with_extension("new");
    build_folder::remove(&new)?;
    fs::create_dir_all(new.join("bin"))?;
    for tool in ["cargo", "rustc"] {
        symlink(paths.kernel_program(), new.join("bin").join(tool))?;
    }
    symlink(sysroot.join("lib"), new.join("lib"))?;
    symlink(&sysroot, new.join("real"))?;
    fs::write(new.join(MARK), wanted(paths)?)?;
    // A kernel that runs may look for it at any time.
    let old = folder.with_extension("old");
    build_folder::remove(&old)?;
    if folder.exists() {
        fs::rename(&folder, &old)?;
    }
    fs::rename(new, folder)?;
    build_folder::remove(&old)
}

/// Has a kernel that is to be started use the folder, if it is right.
pub fn lend_to(paths: &Paths, kernel: &mut Command) {
    if is_ready(paths) {
        if let Some(of_reader) = std::env::var_os(OF_RUSTUP) {
            // Cells and what they start are to have it back.
            kernel.env("COURSE_READERS_TOOLCHAIN", of_reader);
        }
        kernel
            .env(OF_RUSTUP, paths.toolchain())
            .env("COURSE_TOOLCHAIN", paths.toolchain());
    }
}

fn is_ready(paths: &Paths) -> bool {
    let found = fs::read_to_string(paths.toolchain().join(MARK)).ok();
    found.is_some() && found == wanted(paths).ok()
}

fn wanted(paths: &Paths) -> Result<String> {
    let compiler = tools::rustc_version().unwrap_or_default();
    let place = sysroot().unwrap_or_default();
    let kernel = kernel_program::id(paths)?;
    // The folder has links to it: those of a clone that was moved lead nowhere.
    let program = paths.kernel_program();
    Ok(format!(
        "{compiler}\n{}\n{}\n{kernel}\n",
        place.display(),
        program.display()
    ))
}

fn sysroot() -> Option<PathBuf> {
    let said = output_of("rustc", &["--print", "sysroot"])?;
    Some(Path::new(said.trim()).to_owned())
}
