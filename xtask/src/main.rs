//! The course's chores, run as `cargo xtask <command>`.
//!
//! `setup` installs everything into `.course/` in the clone; all others but `doctor` set up what is
//! missing first. A copy of this program in `.course/bin` is also what Jupyter starts as the
//! course's kernel: see [`kernel`].

use std::process::ExitCode;

mod attend;
mod bench;
mod book;
mod build_folder;
mod command;
mod doctor;
mod grade;
mod handout;
mod history;
mod kernel;
mod kernel_program;
mod lab;
mod mpi;
mod no_mpi;
mod notebooks;
mod paths;
mod renew;
mod runner;
mod rust_src;
mod setup;
mod side_by_side;
mod sources;
mod test;
mod test_mpi;
mod toolchain;
mod tools;
mod warm;

/// Anything that goes wrong here ends up as one message for the person at the terminal.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Usage: cargo xtask <command>

  setup               install what is missing into .course/ (safe to run again at any time)
  lab [options]       set up, then open JupyterLab on notebooks/; options go to JupyterLab,
                      for example: cargo xtask lab --no-browser --port 9000
                      (all of them: cargo xtask lab --help-all)
  notebooks [names]   set up, then run notebooks (all, or those named) and write their outputs
            --check   write nothing; fail if a notebook fails or is not as it would be written
            --timeout SECONDS   the longest that a cell may take (120)
  solutions [names]   write exercises (all, or those named) with their solutions filled in, into
                      notebooks/exercises/solved/
            --tidy   clear the outputs of exercises and write them in the course's form instead
  test [checks]       set up, then run every check there is, or those named
            --quick      what a change of a lesson or of the crate needs before a commit; lessons run
                         if they have changed or what they run on, exercises if they have changed
            --repeat N   run them N times, and say which of them failed how often
  test exercises NAMES   the exercises of the lessons that are named only; NAME:2 is one exercise
  screenshots         make the pictures of README.md anew, in a browser
  bench [suite]       measure the crate and the kernel in turns with their peers; without a suite,
                      measure all (half an hour) and write BENCHMARKS.md and its figure;
                      suites: threads, processes, mpi, work, scaling, cells, kernel,
                      spare, setup
            --repeat N   turns of each (21; 3 of each kernel)
            --quick      one small turn, only to see whether all can be measured
            --write      renew the section of the suite that is named
            --out FOLDER   where to write the page and the figure, instead of the clone
  book                make the book: the lessons with their outputs as pages for a browser,
                      in .course/book/html
  handout [names] --out DIR   write exercises (all, or those named) without their solutions
            --book   and the book without them, in DIR/book
  slides [names] --out DIR    write slides of lessons with their outputs, which need no network
  grade FOLDER        run the exercise notebooks in a folder, each in a kernel of its own, and
                      write what was solved and why not: grades.html, pages to give back, and
                      tables for Moodle and Canvas; its options: cargo xtask grade --help
  renew python        write the lists of Python packages anew, with the newest versions
  renew crates        take the newest versions of the crates
  renew kernel [VERSION]   take the newest evcxr, or this one
  doctor              say what is installed, what is missing, and the command that mends it
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = args.collect();
    match dispatch(&command, &rest) {
        Ok(code) => code,
        Err(error) => {
            if !error.is::<command::HasSaidWhy>() {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn asks_for_help(args: &[String]) -> bool {
    args.iter().any(|arg| arg == "--help" || arg == "-h")
}

/// What the list of commands says of one; nothing if it is not in there.
fn help_on(command: &str) -> Option<String> {
    let mut is_of_it = false;
    let about = HELP.lines().filter(|line| {
        if let Some(entry) = line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with(' '))
        {
            is_of_it = entry.split_whitespace().next() == Some(command);
        }
        is_of_it
    });
    let text: String = about.map(|line| format!("{line}\n")).collect();
    (!text.is_empty()).then_some(text)
}

fn dispatch(command: &str, args: &[String]) -> Result<ExitCode> {
    let paths = paths::Paths::find()?;
    if command == "check" {
        // Called by `test`.
        return test::check(&paths, args);
    }
    if ["kernel", "spare", "refresh"].contains(&command) {
        // Jupyter starts these, and somebody else has started Jupyter.
        tools::put_rust_on_path()?;
    }
    // The grader tells what it takes by itself; JupyterLab does for `--help-all`.
    if command != "grade"
        && asks_for_help(args)
        && let Some(text) = help_on(command)
    {
        print!("Usage:\n\n{text}");
        return Ok(ExitCode::SUCCESS);
    }
    if ["setup", "screenshots", "book", "doctor"].contains(&command)
        && let Some(word) = args.first()
    {
        return Err(
            format!("`cargo xtask {command}` takes nothing behind it, and no `{word}`").into(),
        );
    }
    match command {
        "setup" => {
            mpi::forget_failure(&paths)?;
            setup::run(&paths)
        }
        "lab" => lab::run(&paths, args),
        "notebooks" => notebooks::run(&paths, args),
        "solutions" => notebooks::solutions(&paths, args),
        "test" if notebooks::are_exercises(args) => notebooks::exercises(&paths, &args[1..]),
        "test" => test::run(&paths, args),
        "screenshots" => test::screenshots(&paths),
        "bench" => bench::run(&paths, args),
        "book" => book::run(&paths),
        "handout" => handout::run(&paths, args),
        "slides" => notebooks::slides(&paths, args),
        "grade" => grade::run(&paths, args),
        "renew" => renew::run(&paths, args),
        "doctor" => doctor::run(&paths),
        // The next four are called by Jupyter and by the kernel launcher, not by people.
        "kernel" => kernel::launch(&paths, args),
        "spare" => kernel::launch_spare(&paths, args),
        "refresh" => setup::refresh(&paths),
        "janitor" => kernel::janitor(args),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => Err(format!("there is no command `{unknown}`\n\n{HELP}").into()),
    }
    .map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_on_a_command_is_its_part_of_the_list() {
        let text = help_on("slides").unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("  slides [names] --out DIR"), "{text}");
        let text = help_on("test").unwrap();
        assert!(text.contains("--repeat N") && text.contains("test exercises NAMES"));
        assert_eq!(help_on("renew").unwrap().lines().count(), 3);
        assert_eq!(help_on("tests"), None);
        assert_eq!(help_on("kernel"), None);
    }
}
