//! What is being checked, in memory that outlives the worker.

use std::fmt::{self, Write as _};

use super::Hint;

/// Of a longer text only so many characters are shown.
pub(super) const MOST_CHARACTERS: usize = 200;
/// A hint may be longer.
const MOST_OF_A_HINT: usize = 400;

/// Room for the texts of a [`Note`] in UTF-8.
pub(super) const NOTE_BYTES: usize =
    4 * (2 * (MOST_CHARACTERS + 2) + 3 * (MOST_OF_A_HINT + 2)) + MOST_DIGITS + 1;
/// Of the number of checks.
const MOST_DIGITS: usize = 20;

/// What is being checked. It lies in shared memory, so that it outlives the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) call: String,
    pub(super) expected: String,
    /// A question, and the line that is told later.
    pub(super) hint: String,
    pub(super) line: String,
    /// The hint if there is no end.
    pub(super) endless: String,
    /// How many checks have passed so far.
    pub(super) passed: usize,
}

/// Ends each text of a note; `short` leaves none in it.
const END: char = '\0';

impl Note {
    pub(super) fn set_hint(&mut self, hint: &Hint) {
        self.hint = short_hint(&hint.question);
        self.line = short_hint(&hint.line);
    }

    /// The note on an answer that did not end, or ended its process.
    pub(super) fn of_no_end(mut self) -> Note {
        if !self.endless.is_empty() {
            self.hint = std::mem::take(&mut self.endless);
            self.line.clear();
        }
        self
    }

    pub(super) fn write(&self, memory: &mut [u8]) {
        let passed = self.passed.to_string();
        let texts = [
            &*self.call,
            &self.expected,
            &self.hint,
            &self.line,
            &self.endless,
            &passed,
        ];
        let text = texts.map(|text| format!("{text}{END}"));
        for (place, byte) in memory.iter_mut().zip(text.concat().bytes()) {
            *place = byte;
        }
    }

    pub(super) fn read(memory: &[u8]) -> Note {
        let text = String::from_utf8_lossy(memory);
        let mut texts = text.split(END).map(str::to_owned);
        let mut next = || texts.next().unwrap_or_default();
        Note {
            call: next(),
            expected: next(),
            hint: next(),
            line: next(),
            endless: next(),
            passed: next().parse().unwrap_or(0),
        }
    }
}

/// The beginning of a text. A value that shows itself without end is not asked any further.
pub(super) fn short(text: fmt::Arguments<'_>) -> String {
    cut(text, MOST_CHARACTERS)
}

/// The beginning of a hint.
pub(super) fn short_hint(text: &str) -> String {
    cut(format_args!("{text}"), MOST_OF_A_HINT)
}

fn cut(text: fmt::Arguments<'_>, most: usize) -> String {
    let mut cut = Cut {
        text: String::new(),
        left: most,
    };
    // The error says that there is enough.
    let _ = cut.write_fmt(text);
    cut.text
}

struct Cut {
    text: String,
    left: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().filter(|&character| character != END) {
            if self.left == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_outlives_its_writer() {
        let mut memory = [0; NOTE_BYTES];
        let long = "\u{1f600}".repeat(1000);
        let note = Note {
            call: short(format_args!("{long}")),
            expected: String::new(),
            hint: short_hint(&format!("a{END}b")),
            line: short_hint(&long),
            endless: short_hint(&long),
            passed: 12,
        };
        note.write(&mut memory);
        assert_eq!(Note::read(&memory), note);
        assert_eq!(
            (note.call.chars().count(), &*note.hint),
            (MOST_CHARACTERS + 1, "ab")
        );
        assert_eq!(note.line.chars().count(), MOST_OF_A_HINT + 1);
        Note::default().write(&mut memory);
        assert_eq!(
            Note::read(&memory),
            Note::default(),
            "a shorter note hides a longer one"
        );
    }
}
