//! The compiler's tools as evcxr and rust-analyzer find them: this program, under other names.
//!
//! The set-up makes a folder that rustup takes for a toolchain (`RUSTUP_TOOLCHAIN` may be a path):
//!
//! ```text
//! bin/cargo, bin/rustc   links to this program
//! lib                    a link to the real toolchain's
//! real                   a link to the real toolchain
//! memory/                what the real tools have answered
//! ```
//!
//! Most of what the two are asked has been answered before: what the workspace consists of, what the
//! compiler can do, how a cell is compiled. [`memory`] says when an answer still holds. Everything else goes to the real
//! tools, unchanged: also `:dep` of another crate.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

mod cell;
mod memory;
mod metadata;
mod reduce;

pub use reduce::reduce_folder;

/// The folder that is in place of a toolchain.
const FOLDER: &str = "COURSE_TOOLCHAIN";

/// What this program is called where it stands in for a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Cargo,
    Rustc,
}

impl Tool {
    /// The tool that this process was started as, if any.
    pub fn of_this_process() -> Option<Tool> {
        let name = PathBuf::from(env::args_os().next()?);
        match name.file_name()?.to_str()? {
            "cargo" => Some(Tool::Cargo),
            "rustc" => Some(Tool::Rustc),
            _ => None,
        }
    }

    fn real(self, folder: &Path) -> PathBuf {
        let name = match self {
            Tool::Cargo => "cargo",
            Tool::Rustc => "rustc",
        };
        folder.join("real/bin").join(name)
    }

    /// Answers in the tool's place, and tells with which status to end.
    pub fn run(self) -> Result<i32> {
        let arguments: Vec<OsString> = env::args_os().skip(1).collect();
        let folder = env::var_os(FOLDER).map(PathBuf::from);
        let folder = folder.ok_or_else(|| format!("{FOLDER} is not set"))?;
        let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
        if words.len() == arguments.len() {
            let answer = match self {
                Tool::Rustc => cell::compile(&folder, &words)?,
                Tool::Cargo => match words.as_slice() {
                    ["build", ..] if cell::is_here() => Some(cell::build(&folder, &words)?),
                    ["metadata", ..] | ["rustc", ..] => memory::answer(&folder, &words)?,
                    _ => None,
                },
            };
            if let Some(status) = answer {
                return Ok(status);
            }
        }
        Err(Command::new(self.real(&folder))
            .args(arguments)
            .exec()
            .into())
    }
}
