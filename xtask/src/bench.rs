//! `cargo xtask bench`: measures, prints what was measured, and writes BENCHMARKS.md.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::Result;
use crate::command;
use crate::mpi::{self, Mpi, Which};
use crate::paths::Paths;
use crate::setup;

/// The crates that have benches. The second needs an MPI library.
const HELPERS: &str = "helpers";
const HELPERS_MPI: &str = "helpers-mpi";

/// Names the suites, and the benches that each needs, with their crates.
const SUITES: &[(&str, &[(&str, &str)])] = &[
    ("threads", &[(HELPERS, "threads")]),
    ("processes", &[(HELPERS, "processes")]),
    ("mpi", &[(HELPERS_MPI, "mpi")]),
    ("work", &[(HELPERS, "work")]),
    ("scaling", &[(HELPERS, "scaling")]),
    ("cells", &[]),
    ("kernel", &[]),
    ("spare", &[]),
    ("setup", &[]),
];

/// What draws the figure of a run of all suites: an example of the crate.
const DRAW: &str = "draw_benchmarks";

/// Runs the suite that is named first, or all of them.
pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    let named = args.first().filter(|arg| !arg.starts_with('-'));
    let suites: Vec<_> = SUITES
        .iter()
        .filter(|(name, _)| named.is_none_or(|wanted| wanted == name))
        .collect();
    if let (true, Some(unknown)) = (suites.is_empty(), named) {
        let known: Vec<_> = SUITES.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        return Err(format!("there is no bench `{unknown}`; there are: {known}").into());
    }
    setup::run(paths)?;
    setup::add_packages(paths, "bench")?;
    // What is wrong with the options is told before the minutes that compiling takes.
    let mut look = command::script(paths, "bench");
    if !look.args(args).arg("--look").status()?.success() {
        return Err(command::HasSaidWhy.into());
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let benches = suites.iter().flat_map(|(_, benches)| *benches);
    let mut script = command::script(paths, "bench");
    let mpi = mpi::find(paths, Which::Usual).ok();
    if let Some(mpi) = &mpi {
        mpi.lend_to(&mut script);
    }
    script.args(args);
    for &(package, name) in benches {
        // Without a library the suite says so.
        if package == HELPERS_MPI && mpi.is_none() {
            continue;
        }
        let program = build(paths, mpi.as_ref(), (package, "bench", name), !quick)?;
        script.arg("--program");
        script.arg(format!("{name}={}", program.display()));
    }
    if named.is_none() {
        script
            .arg("--draw")
            .arg(build(paths, None, (HELPERS, "example", DRAW), false)?);
    }
    let cores = thread::available_parallelism()?.to_string();
    script.arg("--kernel").arg(paths.kernel_program());
    script.args(["--workers", &cores]);
    command::run_part(script.current_dir(paths.root()))
}

/// Compiles a bench or an example of a crate, and tells where cargo put the program.
///
/// Without `optimise` it uses what `cargo test` has compiled.
fn build(
    paths: &Paths,
    mpi: Option<&Mpi>,
    (package, kind, name): (&str, &str, &str),
    optimise: bool,
) -> Result<PathBuf> {
    let subcommand: &[&str] = if optimise {
        &["bench", "--no-run"]
    } else {
        &["build"]
    };
    let mut command = Command::new("cargo");
    command
        .args(subcommand)
        .args(["-p", package, &format!("--{kind}"), name])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(paths.root())
        .stderr(Stdio::inherit());
    if package == HELPERS_MPI
        && let Some(mpi) = mpi
    {
        mpi.lend_to(&mut command);
    }
    command::announce(&command);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("the {kind} `{name}` does not compile").into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == kind;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    program.ok_or_else(|| format!("cargo does not say where the {kind} `{name}` is").into())
}
