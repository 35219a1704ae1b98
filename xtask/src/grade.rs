//! `cargo xtask grade`: runs handed-in notebooks and writes a table. The work is done by
//! `xtask/python/grading/grade.py`.

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    command::run(
        command::script(paths, "grading.grade")
            .arg("--kernel")
            .arg(paths.launcher())
            .args(args),
    )
}
