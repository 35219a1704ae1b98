//! `cargo xtask notebooks`: runs notebooks in the course's kernel. The work is done by
//! `xtask/python/notebooks.py`.

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let script = paths.scripts().join("notebooks.py");
    command::run(
        command::python(paths)
            .arg(script)
            .args(args)
            .current_dir(paths.root()),
    )
}
