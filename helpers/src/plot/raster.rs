//! Pixels, and the text among them.

use std::fmt;

use plotters::style::RGBColor as Rgb;

use super::scene::{Anchor, Picture, Text};
use super::text::{self, CAP_HEIGHT};

/// How many pixels of a picture make one pixel of the page, for screens with fine pixels.
pub(super) const SHARPNESS: usize = 2;

/// Pixels in rows from the top, 3 bytes (red, green, blue) each.
#[derive(Clone)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

impl Raster {
    /// Averages squares of finer pixels, `fineness` to a pixel of the page.
    ///
    /// This is what makes slanted edges smooth.
    pub(super) fn shrink(
        fine: &[u8],
        fine_width: usize,
        fine_height: usize,
        fineness: usize,
    ) -> Self {
        let side = fineness / SHARPNESS;
        let (width, height) = (fine_width / side, fine_height / side);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3 {
                    let mut sum = 0;
                    for dy in 0..side {
                        for dx in 0..side {
                            let pixel = (y * side + dy) * fine_width + x * side + dx;
                            sum += usize::from(fine[pixel * 3 + channel]);
                        }
                    }
                    rgb.push((sum / (side * side)) as u8);
                }
            }
        }
        Self { width, height, rgb }
    }

    /// Puts `picture` over what is there; each of its pixels becomes a rectangle of equal ones.
    pub(super) fn draw_picture(&mut self, picture: &Picture) {
        let pixel = |length: f64| (length * SHARPNESS as f64).round() as usize;
        let (left, right) = (pixel(picture.from.0), pixel(picture.to.0));
        let (top, bottom) = (pixel(picture.from.1), pixel(picture.to.1));
        let source = &picture.raster;
        for y in top..bottom.min(self.height) {
            let row = (y - top) * source.height / (bottom - top);
            for x in left..right.min(self.width) {
                let column = (x - left) * source.width / (right - left);
                let (from, to) = (row * source.width + column, y * self.width + x);
                self.rgb[to * 3..][..3].copy_from_slice(&source.rgb[from * 3..][..3]);
            }
        }
    }

    /// Writes `text` over what is there.
    pub(super) fn draw_text(&mut self, text: &Text) {
        let sharpness = SHARPNESS as f64;
        let size = text.size * sharpness;
        let before = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => text::width(&text.text, size, text.bold) / 2.0,
            Anchor::End => text::width(&text.text, size, text.bold),
        };
        let down = size * CAP_HEIGHT / 2.0;
        let (x, y) = (text.at.0 * sharpness, text.at.1 * sharpness);
        let start = match text.upwards {
            true => (x + down, y + before),
            false => (x - before, y + down),
        };
        let start = (start.0.round() as i32, start.1.round() as i32);
        text::pixels(
            &text.text,
            size,
            text.bold,
            |along, down, coverage| match text.upwards {
                true => self.blend(start.0 + down, start.1 - along, text.color, coverage),
                false => self.blend(start.0 + along, start.1 + down, text.color, coverage),
            },
        );
    }

    fn blend(&mut self, x: i32, y: i32, color: Rgb, coverage: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (old, new) in self.rgb[at..at + 3]
            .iter_mut()
            .zip([color.0, color.1, color.2])
        {
            let mixed = f32::from(*old) * (1.0 - coverage) + f32::from(new) * coverage;
            *old = mixed.round() as u8;
        }
    }
}

impl fmt::Debug for Raster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster({} × {})", self.width, self.height)
    }
}
