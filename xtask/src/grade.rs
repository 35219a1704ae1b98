//! `cargo xtask grade`: runs handed-in notebooks and writes a table. The work is done by
//! `xtask/python/grading/grade.py`.

use crate::command;
use crate::paths::Paths;
use crate::setup;
use crate::{Result, asks_for_help};

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    // Whoever wants to know what it takes need not wait for what it needs.
    if !(asks_for_help(args) && paths.python().exists()) {
        setup::run(paths)?;
    }
    command::run_part(
        command::script(paths, "grading.grade")
            .arg("--kernel")
            .arg(paths.launcher())
            .args(args),
    )
}
