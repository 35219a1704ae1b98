//! Plots that show themselves in a notebook.
//!
//! Each function checks its numbers, draws, and gives a [`Figure`]. A figure that is the last
//! expression of a notebook cell shows itself there; [`Figure::save`] writes it to a file.
//!
//! | Function | Shows |
//! |---|---|
//! | [`bars`] | a few values side by side, such as the wall times of several versions |
//! | [`lines`] | how values change, such as the time by the number of elements |
//! | [`speedup`] | how many times faster more workers are, beside the ideal and Amdahl's law |
//! | [`image`] | a table of numbers as a picture, such as the points of a grid |
//! | [`timeline`] | which worker ran which task, and when it was idle |
//!
//! [`fit_amdahl`] computes the serial part of a program without drawing it.
//!
//! Whatever else there is to draw is for [`plotters`], which comes with the prelude. In a notebook,
//! its [`evcxr_figure`](crate::plotters::evcxr::evcxr_figure) shows the picture.
//!
//! ```
//! use helpers::plot;
//! use std::time::Duration;
//!
//! let figure = plot::bars(
//!     "Wall time of one sum",
//!     "s",
//!     &[
//!         ("serial", Duration::from_millis(7000)),
//!         ("4 workers", Duration::from_millis(2500)),
//!     ],
//! )?;
//! assert!(figure.alt().contains("2.50 s"));
//! # Ok::<(), plot::PlotError>(())
//! ```

// How a plot comes to be: `bars`, `lines`, `speedup`, `image` and `timeline` check the numbers and
// write a `Scene`, a list of shapes, pictures and texts. `paint` turns any scene into SVG or into pixels, and
// `Figure` decides which of the two is wanted. A new kind of plot is one more file that writes a
// scene.
mod amdahl;
mod axis;
mod bars;
mod chart;
mod colormap;
mod encode;
mod error;
mod figure;
mod grid;
mod image;
mod lines;
mod number;
mod paint;
mod raster;
mod scene;
mod speedup;
mod style;
mod text;
mod timeline;
mod value;

pub use amdahl::fit_amdahl;
pub use bars::bars;
pub use error::PlotError;
pub use figure::{Figure, ShowResult};
pub use grid::Grid;
pub use image::image;
pub use lines::lines;
pub use speedup::speedup;
pub use timeline::timeline;
pub use value::Value;
