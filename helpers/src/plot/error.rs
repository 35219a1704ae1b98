//! What can be wrong with a plot.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// The error of a plot that cannot be drawn or saved.
///
/// The message names the value that is wrong and says what to do about it. The questions, such as
/// [`PlotError::is_no_data`], tell the cases apart.
///
/// ```
/// use helpers::plot;
///
/// let error = plot::bars("Wall time", "s", &[("serial", f64::NAN)]).unwrap_err();
/// assert!(error.is_not_finite());
/// assert!(error.to_string().contains("serial"));
/// ```
pub struct PlotError {
    kind: Kind,
    message: String,
    source: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    NoData,
    NotFinite,
    OutOfRange,
    UnknownEnding,
    Io,
}

impl PlotError {
    pub(super) fn no_data(message: impl Into<String>) -> Self {
        Self::new(Kind::NoData, message.into())
    }

    pub(super) fn not_finite(what: &str, value: f64) -> Self {
        let cause = "leave it out, or look for a division by zero";
        Self::new(
            Kind::NotFinite,
            format!("{what} is {value}, which has no place in a plot: {cause}"),
        )
    }

    pub(super) fn none_finite(count: usize, first: f64) -> Self {
        Self::new(
            Kind::NotFinite,
            format!(
                "none of the {count} values is finite (the first is {first}), so there is nothing \
                 to show: look for a division by zero"
            ),
        )
    }

    pub(super) fn out_of_range(message: impl Into<String>) -> Self {
        Self::new(Kind::OutOfRange, message.into())
    }

    pub(super) fn unknown_ending(path: &Path) -> Self {
        let path = path.display();
        Self::new(
            Kind::UnknownEnding,
            format!("cannot tell the format of \"{path}\": end the name in .svg or .png"),
        )
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = folder.display();
        let remedy = match source.kind() {
            io::ErrorKind::NotFound => format!(
                "the folder \"{folder}\" does not exist; create it with \
                 std::fs::create_dir_all, or choose another"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "writing to \"{folder}\" is not allowed; choose a folder of your own, \
                 or std::env::temp_dir()"
            ),
            _ => format!("{source}; choose another folder or name"),
        };
        let message = format!("cannot write \"{}\": {remedy}", path.display());
        Self {
            kind: Kind::Io,
            message,
            source: Some(source),
        }
    }

    fn new(kind: Kind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// Tells whether there was nothing to draw.
    #[must_use]
    pub fn is_no_data(&self) -> bool {
        self.kind == Kind::NoData
    }

    /// Tells whether a value was NaN or infinite.
    #[must_use]
    pub fn is_not_finite(&self) -> bool {
        self.kind == Kind::NotFinite
    }

    /// Tells whether a value, or the number of values, does not suit the plot.
    ///
    /// Examples are a negative bar, a speedup with 0 workers, and a time that is not above 0.
    #[must_use]
    pub fn is_out_of_range(&self) -> bool {
        self.kind == Kind::OutOfRange
    }

    /// Tells whether the name of a file ends in neither `.svg` nor `.png`.
    #[must_use]
    pub fn is_unknown_ending(&self) -> bool {
        self.kind == Kind::UnknownEnding
    }

    /// Tells whether a file could not be written.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == Kind::Io
    }
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `unwrap` and a `main` that returns an error print the `Debug` text, and the message is more
// useful there than the fields are.
impl fmt::Debug for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PlotError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_answers_its_own_question_only() {
        let questions = |error: &PlotError| {
            [
                error.is_no_data(),
                error.is_not_finite(),
                error.is_out_of_range(),
                error.is_unknown_ending(),
                error.is_io(),
            ]
        };
        let path = Path::new("a/b.svg");
        let errors = [
            PlotError::no_data("nothing"),
            PlotError::not_finite("x", f64::NAN),
            PlotError::out_of_range("negative"),
            PlotError::unknown_ending(path),
            PlotError::io(path, io::Error::other("disk full")),
        ];
        for (index, error) in errors.iter().enumerate() {
            let mut expected = [false; 5];
            expected[index] = true;
            assert_eq!(questions(error), expected, "{error}");
        }
    }

    #[test]
    fn file_errors_name_the_path_and_the_remedy() {
        let missing = PlotError::io(Path::new("a/b.svg"), io::ErrorKind::NotFound.into());
        assert!(missing.to_string().contains("\"a/b.svg\""));
        assert!(missing.to_string().contains("create_dir_all"));
        let denied = PlotError::io(Path::new("b.svg"), io::ErrorKind::PermissionDenied.into());
        assert!(denied.to_string().contains("\".\" is not allowed"));
        let full = PlotError::io(Path::new("b.svg"), io::Error::other("disk full"));
        assert!(full.to_string().contains("disk full"));
        assert!(full.source().is_some());
    }
}
