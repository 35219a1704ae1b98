//! `cargo xtask grade`: runs handed-in notebooks and writes a table. The work is done by
//! `xtask/python/grading/grade.py`.

use crate::command;
use crate::paths::Paths;
use crate::setup;
use crate::{Result, asks_for_help};

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    let asks = asks_for_help(args);
    // Whoever wants to know what it takes need not wait for what it needs.
    if !(asks && paths.python().exists()) {
        setup::run(paths)?;
    }
    let mut script = command::script(paths, "grading.grade");
    script.arg("--kernel").arg(paths.launcher()).args(args);
    if asks {
        script.status()?;
        return Ok(());
    }
    command::run_part(&mut script)
}
