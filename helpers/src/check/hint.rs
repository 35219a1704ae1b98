//! What a check says to who has not passed yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What may help: a question, and the line that is missing.
///
/// The first time that an answer fails at a place, the question is asked. From the second time on
/// the line is told as well. Made of a text, which is all there is to tell, or of a pair of both:
///
/// ```
/// use helpers::check::Hint;
///
/// let only = Hint::from("is the list in order?");
/// let both = Hint::from(("is the list in order?", "`list.sort()` comes first"));
/// assert_ne!(only, both);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    pub(super) question: String,
    pub(super) line: String,
}

impl From<&str> for Hint {
    fn from(question: &str) -> Hint {
        Hint::from(question.to_owned())
    }
}

impl From<String> for Hint {
    fn from(question: String) -> Hint {
        let line = String::new();
        Hint { question, line }
    }
}

impl<Q: Into<String>, L: Into<String>> From<(Q, L)> for Hint {
    fn from((question, line): (Q, L)) -> Hint {
        Hint {
            question: question.into(),
            line: line.into(),
        }
    }
}

/// The questions that were asked in this process so far, with the calls that they were about.
static ASKED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Whether this question was asked before about this call. It is from now on.
pub(super) fn was_asked(call: &str, question: &str) -> bool {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    !asked.insert((call.to_owned(), question.to_owned()))
}
