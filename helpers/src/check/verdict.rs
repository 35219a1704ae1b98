//! What a check has found, in words for the reader.

use std::fmt;

use super::hint::was_asked;
use super::note::Note;

/// What [`check!`](macro@crate::check) says of an answer. It shows itself as the last expression of
/// a cell.
///
/// Its text begins with `Right` if the answer is, with `Not yet` if something else came than what
/// was expected, and with `Not checked` if the check could not be made, or if the answer did not
/// compile and this is about the version before.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a verdict shows itself only as a cell's last expression; else use `display(&verdict)`"]
pub struct Verdict {
    finding: Finding,
    /// Names whose newest code did not compile.
    stale: Vec<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Finding {
    Right { checks: usize, remarks: Vec<String> },
    Wrong { note: Note, came: String },
    Unknown(String),
}

impl Verdict {
    fn new(finding: Finding) -> Verdict {
        let stale = Vec::new();
        Verdict { finding, stale }
    }

    pub(super) fn right(checks: usize, remarks: Vec<String>) -> Verdict {
        Verdict::new(Finding::Right { checks, remarks })
    }

    pub(super) fn wrong(note: Note, came: String) -> Verdict {
        Verdict::new(Finding::Wrong { note, came })
    }

    pub(super) fn unknown(why: String) -> Verdict {
        Verdict::new(Finding::Unknown(why))
    }

    /// The verdict, which is about older versions of what has these names.
    ///
    /// The line that is missing is told to who was asked the question before, about this version.
    pub(super) fn about(mut self, stale: Vec<String>) -> Verdict {
        if let Finding::Wrong { note, .. } = &mut self.finding
            && !(stale.is_empty() && was_asked(&note.call, &note.hint))
        {
            note.line.clear();
        }
        Verdict { stale, ..self }
    }

    /// Whether the answer passed all that was checked, and is what the reader has written last.
    #[must_use]
    pub fn is_right(&self) -> bool {
        matches!(self.finding, Finding::Right { .. }) && self.stale.is_empty()
    }

    /// How many checks passed: all of them, or those before the first that failed.
    #[must_use]
    pub fn passed(&self) -> usize {
        match self.finding {
            Finding::Right { checks, .. } => checks,
            Finding::Wrong { ref note, .. } => note.passed,
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
        if !self.stale.is_empty() {
            let names: Vec<_> = self.stale.iter().map(|name| format!("`{name}`")).collect();
            write!(
                f,
                "Not checked: the cell with {} did not compile when it last ran. Mend it, and run \
                 it again.\nWhat follows is about the version before.\n",
                names.join(" and ")
            )?;
        }
        match &self.finding {
            Finding::Right { checks, remarks } => {
                match (checks, self.stale.is_empty()) {
                    (1, true) => f.write_str("Right. The check passed."),
                    (_, true) => write!(f, "Right. All {checks} checks passed."),
                    (1, false) => f.write_str("That one passed the check."),
                    (_, false) => write!(f, "That one passed all {checks} checks."),
                }?;
                for remark in remarks {
                    write!(f, "\n  {:8}  {remark}", "remark")?;
                }
                Ok(())
            }
            Finding::Unknown(why) => write!(f, "Not checked: {why}"),
            Finding::Wrong { note, came } => {
                f.write_str("Not yet.")?;
                for (name, text) in [
                    ("called", &note.call),
                    ("expected", &note.expected),
                    ("came", came),
                    ("hint", &note.hint),
                    ("more", &note.line),
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
