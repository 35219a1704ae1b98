//! What a check has found, in words for the reader.

use std::fmt;

use super::Note;

/// What [`check!`](macro@crate::check) says of an answer. It shows itself as the last expression of a
/// cell.
///
/// Its text begins with `Right` if the answer is, with `Not yet` if something else came than what was
/// expected, and with `Not checked` if the check could not be made.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a verdict shows itself only as a cell's last expression; else use `display(&verdict)`"]
pub struct Verdict(Finding);

#[derive(Clone, PartialEq, Eq)]
enum Finding {
    Right { checks: usize },
    Wrong { note: Note, came: String },
    Unknown(String),
}

impl Verdict {
    pub(super) fn right(checks: usize) -> Verdict {
        Verdict(Finding::Right { checks })
    }

    pub(super) fn wrong(note: Note, came: String) -> Verdict {
        Verdict(Finding::Wrong { note, came })
    }

    pub(super) fn unknown(why: String) -> Verdict {
        Verdict(Finding::Unknown(why))
    }

    /// Whether the answer passed all that was checked.
    #[must_use]
    pub fn is_right(&self) -> bool {
        matches!(self.0, Finding::Right { .. })
    }

    /// How many checks passed: all of them, or those before the first that failed.
    #[must_use]
    pub fn passed(&self) -> usize {
        match &self.0 {
            Finding::Right { checks } => *checks,
            Finding::Wrong { note, .. } => note.passed,
            Finding::Unknown(_) => 0,
        }
    }

    /// Shows the verdict; the notebook calls this for the last expression of a cell.
    pub fn evcxr_display(&self) {
        crate::show::as_result(self);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Finding::Right { checks: 1 } => f.write_str("Right. The check passed."),
            Finding::Right { checks } => write!(f, "Right. All {checks} checks passed."),
            Finding::Unknown(why) => write!(f, "Not checked: {why}"),
            Finding::Wrong { note, came } => {
                f.write_str("Not yet.")?;
                for (name, text) in [
                    ("called", &note.call),
                    ("expected", &note.expected),
                    ("came", came),
                    ("hint", &note.hint),
                ] {
                    if !text.is_empty() {
                        write!(f, "\n  {name:8}  {text}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The words of `Display`.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
