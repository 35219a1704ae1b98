//! `cargo xtask grade`: runs handed-in notebooks and writes a table. The work is done by
//! `xtask/python/grade.py`.

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let script = paths.scripts().join("grade.py");
    command::run(
        command::python(paths)
            .arg(script)
            .arg("--kernel")
            .arg(paths.launcher())
            .args(args),
    )
}
