//! The course's kernel for Jupyter: a front end of its own on the engine of evcxr.
//!
//! ```text
//! Jupyter ⇄ server ⇄ engine → evcxr → compiler
//!              ↑        ↓ orders
//!            show ← cells ⇄ runner/main.rs, which loads the cells
//! ```
//!
//! evcxr compiles cells and keeps their variables. Everything that a reader sees is done here: text and
//! figures while a cell runs ([`show`]), errors ([`report`], [`hints`]), interrupts ([`cells`]), what *Tab* offers
//! ([`complete`]), and what evcxr would do wrong with a cell ([`source`]).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod cells;
mod complete;
mod engine;
mod hints;
mod output;
mod processes;
mod report;
mod server;
mod show;
mod source;
mod stale;
mod standby;
mod toolchain;
mod wire;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const HELP: &str = "\
Usage: course-kernel --control_file FILE

  --control_file FILE   serve the connection that the file describes; Jupyter calls this
  --standby SOCKET CELLS   run the cells of a file to get warm, and wait at a socket for
                        somebody who wants a kernel (see src/standby.rs)
  --reduce-sources FOLDER   take out of sources of the standard library what an analysis reads in vain
  --stock …             be evcxr_jupyter, the stock kernel, with its own options
  --version             say which version this is

COURSE_RUNNER names the program that runs the cells; the course's set-up makes it.
";

/// Decided by the set-up from the sources.
const ID: &str = match option_env!("COURSE_KERNEL_ID") {
    Some(id) => id,
    None => "unknown",
};

fn main() -> ExitCode {
    if let Some(tool) = toolchain::Tool::of_this_process() {
        return match tool.run() {
            Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(101)),
            Err(error) => {
                eprintln!("course-kernel, in the place of {tool:?}: {error}");
                ExitCode::from(101)
            }
        };
    }
    // A second run of this program as the stock kernel's child, or in rustc's place.
    evcxr::runtime_hook();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        _ if is_stock() => evcxr_jupyter::main().map_err(Into::into),
        ["--version"] => {
            println!("course-kernel {ID}");
            Ok(())
        }
        ["--stock", ..] => become_stock(),
        ["--control_file", file] => serve(file),
        ["--reduce-sources", folder] => toolchain::reduce_folder(Path::new(folder)),
        ["--standby", socket, cells] => stand_by(socket, cells),
        _ => {
            print!("{HELP}");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("course-kernel: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the stock kernel, which looks at its own arguments: so it must find only those.
fn become_stock() -> Result<()> {
    let error = Command::new(std::env::current_exe()?)
        .arg0(STOCK_NAME)
        .args(std::env::args_os().skip(2))
        .exec();
    Err(error.into())
}

/// What this program is called when it is the stock kernel.
const STOCK_NAME: &str = "evcxr_jupyter";

fn is_stock() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| name == STOCK_NAME)
}

/// Serves the connection that a file describes.
fn serve(file: &str) -> Result<()> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let info = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    run(async {
        let sockets = server::Sockets::bind(&info).await?;
        server::serve(sockets, server::Backend::start(runner()?, None)?).await
    })
}

/// Gets warm by a file of cells, and waits at a socket for somebody who wants a kernel.
fn stand_by(socket: &str, cells: &str) -> Result<()> {
    let cells =
        std::fs::read_to_string(cells).map_err(|error| format!("cannot read {cells}: {error}"))?;
    run(async {
        let backend = server::Backend::start(runner()?, Some(cells))?;
        standby::wait(Path::new(socket), backend).await
    })
}

fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    complete::set_panic_hook();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work)
}

fn runner() -> Result<PathBuf> {
    let runner = std::env::var_os("COURSE_RUNNER").map(PathBuf::from);
    let runner = runner.ok_or("COURSE_RUNNER does not name the program that runs the cells")?;
    match runner.is_file() {
        true => Ok(runner),
        false => Err(format!("COURSE_RUNNER: there is no program {}", runner.display()).into()),
    }
}
