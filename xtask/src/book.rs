//! `cargo xtask book`: the lessons as a site, beside the documentation of the crate. The work is done
//! by `xtask/python/notebooks/book.py`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command;
use crate::paths::Paths;
use crate::setup;

pub fn run(paths: &Paths) -> Result<()> {
    setup::run(paths)?;
    build(paths, None)
}

/// Makes the book and follows its links; with a browser, also looks at it.
pub fn build(paths: &Paths, browser: Option<&Path>) -> Result<()> {
    let options: Vec<&OsStr> = match browser {
        Some(browser) => vec!["--browser".as_ref(), browser.as_ref()],
        None => vec![],
    };
    build_in(paths, &paths.course().join("book"), &options)
}

/// Makes the book in a folder, with more options for `book.py`.
pub fn build_in(paths: &Paths, out: &Path, options: &[&OsStr]) -> Result<()> {
    setup::add_packages(paths, "book")?;
    // A folder of its own: `target/doc` may hold the documentation of other crates as well.
    let target = paths.root().join("target/book");
    let mut documentation = Command::new("cargo");
    documentation
        .args(["doc", "--package", "helpers", "--no-deps", "--target-dir"])
        .arg(&target)
        // What has been compiled is there already, and takes half a minute.
        .env("CARGO_BUILD_BUILD_DIR", paths.root().join("target"));
    command::run(documentation.current_dir(paths.root()))?;
    let mut script = command::script(paths, "notebooks.book");
    script
        .arg("--api")
        .arg(target.join("doc"))
        .arg("--out")
        .arg(out)
        .args(options);
    command::run_part(script.current_dir(paths.root()))
}
