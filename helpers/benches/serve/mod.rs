//! A program that measures once for each line on its standard input, and prints what it measured.
//!
//! `cargo xtask bench` starts such a program for each piece of work, and lets it take turns with
//! others, which may be written in Python.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead};
use std::process::ExitCode;

/// Anything that goes wrong ends the program, with a message on its standard error.
pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Measures once. The line that asks for it may say what.
pub type Measure<A> = Box<dyn FnMut(&str) -> Result<A>>;

/// Does once what need not be measured.
pub type SetUp<A> = fn(Given) -> Result<Measure<A>>;

/// What the command line says of a piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// How many workers there are to be.
    pub workers: usize,
    /// How many items, numbers or calls there are to be.
    pub size: usize,
}

/// How a program ends: an error goes to its standard error.
pub fn end(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what the command line names: `NAME WORKERS SIZE`. Without arguments it only tells who
/// starts it, since `cargo bench` starts every bench.
pub fn run<A: Display>(known: &[(&str, SetUp<A>)]) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, workers, size] = &arguments[..] else {
        println!("`cargo xtask bench` starts this program");
        return Ok(());
    };
    let found = known.iter().find(|(known, _)| known == name);
    let (_, set_up) = found.ok_or_else(|| format!("there is no measurement `{name}`"))?;
    let mut measure = set_up(Given {
        workers: workers.parse()?,
        size: size.parse()?,
    })?;
    for line in io::stdin().lock().lines() {
        println!("{}", measure(&line?)?);
    }
    Ok(())
}
