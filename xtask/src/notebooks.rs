//! `cargo xtask notebooks` runs notebooks in the course's kernel, and `cargo xtask solutions` fills
//! the solutions of exercises in. The work is done by `run.py` and `exercises.py` in
//! `xtask/python/notebooks/`.

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let mut command = command::script(paths, "notebooks.run");
    command::run_part(command.args(args).current_dir(paths.root()))
}

/// Writes notebooks of exercises with their solutions filled in.
pub fn solutions(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    let mut command = command::script(paths, "notebooks.exercises");
    if args.iter().all(|arg| arg != "--tidy") {
        command.arg("--solve");
    }
    command::run_part(command.args(args).current_dir(paths.root()))
}

/// Writes slides of lessons.
pub fn slides(paths: &Paths, args: &[String]) -> Result<()> {
    setup::run(paths)?;
    command::run_part(command::script(paths, "notebooks.slides").args(args))
}

/// Whether the words behind `test` are `exercises` and names of lessons, which begin with a number.
pub fn are_exercises(args: &[String]) -> bool {
    let is_lesson = |name: &String| name.starts_with(|c: char| c.is_ascii_digit());
    args.len() > 1 && args[0] == "exercises" && args[1..].iter().all(is_lesson)
}

/// Proves the exercises of the lessons that are named.
pub fn exercises(paths: &Paths, names: &[String]) -> Result<()> {
    setup::run(paths)?;
    let mut command = command::script(paths, "notebooks.exercises");
    command::run_part(command.args(names).current_dir(paths.root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons_are_told_from_checks() {
        let are =
            |args: &[&str]| are_exercises(&args.iter().map(|&a| a.into()).collect::<Vec<_>>());
        assert!(are(&["exercises", "01_multiprocessing", "05_mpi"]));
        assert!(!are(&["exercises"]) && !are(&["exercises", "kernel"]));
        assert!(!are(&["exercises", "01_multiprocessing", "kernel"]) && !are(&[]));
    }
}
