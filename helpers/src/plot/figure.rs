//! A finished plot, which shows itself in a notebook and saves itself to a file.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode;
use super::error::PlotError;
use super::paint;
use super::scene::Scene;
use crate::show::{self, Show};

/// A plot that shows itself when it is the last expression of a notebook cell, and anywhere else by
/// [`display`](crate::display).
///
/// A figure keeps what it draws: SVG and PNG are made when they are asked for.
///
/// ```
/// use helpers::plot;
///
/// let figure = plot::bars("Wall time", "s", &[("serial", 7.0), ("4 workers", 2.5)])?;
/// figure.save(std::env::temp_dir().join("wall-time.svg"))?;
/// # Ok::<(), plot::PlotError>(())
/// ```
#[derive(Clone)]
#[must_use = "a figure shows itself only as a cell's last expression; else use `display(&figure)` or `save`"]
pub struct Figure {
    title: String,
    alt: String,
    scene: Scene,
}

impl Figure {
    pub(super) fn new(title: String, alt: String, scene: Scene) -> Self {
        Self { title, alt, scene }
    }

    /// Gives the text that tells what the picture tells, for readers who do not see it.
    #[must_use]
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// Gives the figure as an SVG document.
    #[must_use]
    pub fn to_svg(&self) -> String {
        paint::svg(&self.scene, &self.title, &self.alt)
    }

    /// Gives the figure as the bytes of a PNG picture, with 2 × 2 pixels for each of the page.
    #[must_use]
    pub fn png(&self) -> Vec<u8> {
        let colors = match self.scene.pictures.is_empty() {
            true => encode::FEW_COLORS,
            false => encode::MANY_COLORS,
        };
        encode::png(&paint::raster(&self.scene), colors)
    }

    /// Writes the figure to a file, as SVG or PNG by the ending of its name.
    ///
    /// # Errors
    ///
    /// A name that ends in neither `.svg` nor `.png`, or a file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<(), PlotError> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let bytes = match ending.to_ascii_lowercase().as_str() {
            "svg" => self.to_svg().into_bytes(),
            "png" => self.png(),
            _ => return Err(PlotError::unknown_ending(path)),
        };
        std::fs::write(path, bytes).map_err(|source| PlotError::io(path, source))
    }

    /// Shows the figure; the notebook calls this for the last expression of a cell.
    pub fn evcxr_display(&self) {
        show::as_result(self);
    }

    /// Writes the figure as HTML with the picture inside, on one line.
    ///
    /// The picture is PNG: a notebook that the reader has not run yet is not trusted, and there
    /// SVG is removed while this stays.
    fn html(&self) -> String {
        let (alt, width) = (paint::escape(&self.alt), self.scene.width);
        let png = STANDARD.encode(self.png());
        format!(
            "<img alt=\"{alt}\" width=\"{width}\" style=\"max-width:100%;height:auto\" \
             src=\"data:image/png;base64,{png}\">"
        )
    }
}

/// Shows a figure whose `?` is missing behind the call, as if it were there: the notebook calls this
/// for the last expression of a cell.
#[doc(hidden)]
pub trait ShowResult {
    /// Shows the figure.
    ///
    /// By value: the kernel has another method of this name for all that can be printed, which
    /// borrows, and the compiler asks for that one later.
    ///
    /// # Panics
    /// If there is an error, with its message.
    fn evcxr_display(self);
}

impl ShowResult for Result<Figure, PlotError> {
    fn evcxr_display(self) {
        match self {
            Ok(figure) => figure.evcxr_display(),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Show for Figure {
    fn plain(&self) -> String {
        self.alt.clone()
    }

    fn rich(&self) -> Vec<(&'static str, String)> {
        vec![("text/html", self.html())]
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figure")
            .field("title", &self.title)
            .field("width", &self.scene.width)
            .field("height", &self.scene.height)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot;

    #[test]
    fn the_html_holds_the_picture_and_the_escaped_text() {
        let figure = plot::bars("a <b> \"c\"", "s", [("line\nbreak & more", 7.0)]).unwrap();
        let html = figure.html();
        let alt = "Bar plot &quot;a &lt;b&gt; &quot;c&quot;&quot;: line break &amp; more 7 s.";
        let start = format!("<img alt=\"{alt}\" width=\"720\"");
        assert!(html.starts_with(&start) && !html.contains('\n'), "{html}");
        let (_, picture) = html.split_once("base64,").unwrap();
        let bytes = STANDARD.decode(picture.trim_end_matches("\">")).unwrap();
        assert_eq!(bytes, figure.png());
    }

    #[test]
    fn debug_is_short() {
        let figure = plot::bars("T", "s", [("a", 7.0)]).unwrap();
        assert_eq!(
            format!("{figure:?}"),
            "Figure { title: \"T\", width: 720.0, height: 108.0, .. }"
        );
    }
}
