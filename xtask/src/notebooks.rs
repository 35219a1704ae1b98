//! `cargo xtask notebooks` runs notebooks in the course's kernel, and `cargo xtask solutions` fills
//! the solutions of exercises in. The work is done by `notebooks.py` and `exercises.py` in
//! `xtask/python/`.

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

/// Writes notebooks of exercises with their solutions filled in.
pub fn solutions(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let mut command = command::python(paths);
    command.arg(paths.scripts().join("exercises.py"));
    if args.iter().all(|arg| arg != "--tidy") {
        command.arg("--solve");
    }
    command::run(command.args(args).current_dir(paths.root()))
}
