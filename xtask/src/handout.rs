//! `cargo xtask handout`: exercises without their solutions, and the book without them. The work is
//! done by `handout.py` and `book.py` in `xtask/python/notebooks/`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::book;
use crate::command;
use crate::paths::Paths;
use crate::setup;

/// Writes the exercises, and with `--book` the book as well.
pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (names, out, with_book) = parse(&args)?;
    setup::run(paths)?;
    write(paths, &names, &out)?;
    if with_book {
        // All of them: the book shows what is not handed out yet, too.
        let all = paths.course().join("handout");
        crate::build_folder::remove(&all)?;
        write(paths, &[], &all)?;
        let exercises = all.join("exercises");
        let options: [&OsStr; 2] = ["--exercises".as_ref(), exercises.as_ref()];
        book::build_in(paths, &std::path::absolute(out.join("book"))?, &options)?;
        crate::build_folder::remove(&all)?;
    }
    Ok(())
}

fn write(paths: &Paths, names: &[&str], out: &Path) -> Result<()> {
    let mut command = command::script(paths, "notebooks.handout");
    command::run_part(command.args(names).arg("--out").arg(out))
}

/// The notebooks that are named, the folder, and whether the book is wanted.
fn parse<'a>(args: &[&'a str]) -> Result<(Vec<&'a str>, PathBuf, bool)> {
    let (mut names, mut out, mut with_book) = (Vec::new(), None, false);
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        match arg {
            "--book" => with_book = true,
            "--out" => out = rest.next().map(PathBuf::from),
            option if option.starts_with('-') => {
                return Err(format!("there is no option `{option}`; {USAGE}").into());
            }
            name if names.contains(&name) => {}
            name => names.push(name),
        }
    }
    let out = out.ok_or_else(|| format!("where to? {USAGE}"))?;
    Ok((names, out, with_book))
}

const USAGE: &str = "write: cargo xtask handout [names] --out DIR [--book]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options_come_in_any_order() {
        let (names, out, with_book) = parse(&["01", "--out", "here", "--book", "02"]).unwrap();
        assert_eq!(names, ["01", "02"]);
        assert_eq!((out, with_book), (PathBuf::from("here"), true));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (args, words) in [
            (&["01"][..], "where to?"),
            (&["--out"], "where to?"),
            (&["--outt", "here"], "there is no option `--outt`"),
        ] {
            let error = parse(args).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(USAGE), "{error}");
        }
    }
}
