//! Asking the reader.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};

use crate::notebook::interrupts;
use crate::notebook::is_notebook;
use crate::notebook::runner::{self, Answer};

/// Asks the reader for a line of text, and waits for it.
///
/// In a notebook a field for the answer appears below the cell. A program writes the prompt, and reads
/// a line of its standard input.
///
/// ```no_run
/// use helpers::prelude::*;
///
/// let name = input("Your name? ")?;
/// let workers: usize = input("How many workers? ")?.trim().parse()?;
/// println!("{name} wants {workers} workers");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Nobody can be asked: a stock kernel has no way to do it, and when a notebook is run by a program, or
/// the question comes from a worker process, nobody is there. Also if the input has come to its end, or
/// cannot be read.
///
/// # Panics
/// If the reader interrupts the cell instead.
pub fn input(prompt: impl fmt::Display) -> io::Result<String> {
    ask(&prompt.to_string())
}

fn ask(prompt: &str) -> io::Result<String> {
    match runner::get().map(|runner| runner.ask(prompt)) {
        Some(Answer::Line(line)) => Ok(line),
        Some(Answer::Interrupted) => interrupts::interrupt(),
        Some(Answer::Nobody) => Err(nobody(
            prompt,
            "nobody is there to answer, as when a program runs the notebook or a worker process asks",
        )),
        // The standard input is where the kernel's orders come from.
        None if is_notebook() => Err(nobody(
            prompt,
            "this kernel cannot ask; the course's own kernel can (`cargo xtask setup` makes it)",
        )),
        None => answer(prompt, &mut io::stdout(), &mut io::stdin().lock()),
    }
}

fn nobody(prompt: &str, why: &str) -> io::Error {
    let prompt = prompt.trim();
    io::Error::new(
        ErrorKind::Unsupported,
        format!("cannot ask “{prompt}”: {why}. Write the answer into the code instead"),
    )
}

/// Writes the prompt and reads a line, without its end.
fn answer(prompt: &str, to: &mut dyn Write, from: &mut dyn BufRead) -> io::Result<String> {
    write!(to, "{prompt}")?;
    to.flush()?;
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            format!("no answer to “{}”: the input has ended", prompt.trim()),
        ));
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_a_line_without_its_end() {
        let mut shown = Vec::new();
        let mut from = &b"Ada\r\n  x \n\nlast"[..];
        let mut next = || answer("name? ", &mut shown, &mut from).unwrap();
        let answers = [next(), next(), next(), next()];
        assert_eq!(answers, ["Ada", "  x ", "", "last"]);
        assert_eq!(shown, "name? ".repeat(4).as_bytes());
    }

    #[test]
    fn the_end_of_the_input_is_an_error_that_names_the_question() {
        let error = answer("name? ", &mut Vec::new(), &mut &b""[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(
            error.to_string(),
            "no answer to “name?”: the input has ended"
        );
    }

    #[test]
    fn who_cannot_be_asked_is_told_what_to_do() {
        let told = nobody("name? ", "this kernel cannot ask").to_string();
        assert_eq!(
            told,
            "cannot ask “name?”: this kernel cannot ask. Write the answer into the code instead"
        );
    }
}
