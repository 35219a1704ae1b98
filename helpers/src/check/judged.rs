//! Telling which mistake it was.

use super::{Check, Hint};

/// What came of one check. If it failed, the hint can be about the mistake that was made.
///
/// ```
/// use helpers::prelude::*;
///
/// helpers::init_process_pools();
/// let verdict = check!(|check| {
///     let largest = |numbers: &[u32]| numbers[0];
///     check
///         .on("largest(&[1, 3, 2])")
///         .hint("look at all of them")
///         .equal(3, || largest(&[1, 3, 2]))
///         .when(|&came| came == 1, "that is the first one, and not the largest")
///         .when_panic("out of bounds", "how many numbers are there?");
/// });
/// assert!(verdict.to_string().contains("that is the first one"));
/// ```
#[derive(Debug)]
pub struct Judged<'c, 'n, R> {
    check: &'c mut Check<'n>,
    /// The result, if it was wrong.
    came: Option<R>,
    /// Whether this check failed.
    is_wrong: bool,
}

impl<'c, 'n, R> Judged<'c, 'n, R> {
    pub(super) fn right(check: &'c mut Check<'n>) -> Judged<'c, 'n, R> {
        Judged {
            check,
            came: None,
            is_wrong: false,
        }
    }

    pub(super) fn wrong(check: &'c mut Check<'n>, came: Option<R>) -> Judged<'c, 'n, R> {
        Judged {
            check,
            came,
            is_wrong: true,
        }
    }

    /// If the result was wrong and `is_this` says so of it, this is the hint. The first that fits
    /// counts.
    pub fn when(mut self, is_this: impl FnOnce(&R) -> bool, hint: impl Into<Hint>) -> Self {
        if self.came.as_ref().is_some_and(is_this) {
            self.tell(hint.into());
        }
        self
    }

    /// If the answer panicked with a message that contains `words`, this is the hint.
    pub fn when_panic(mut self, words: &str, hint: impl Into<Hint>) -> Self {
        let panicked = self.is_wrong && self.came.is_none();
        if panicked
            && self
                .check
                .came
                .as_ref()
                .is_some_and(|text| text.contains(words))
        {
            self.tell(hint.into());
        }
        self
    }

    fn tell(&mut self, hint: Hint) {
        self.check.change_hint(&hint);
        self.came = None;
        self.is_wrong = false;
    }
}
