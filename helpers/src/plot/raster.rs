//! Pixels in rows.

use std::fmt;

use plotters::style::RGBColor as Rgb;

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

    /// Mixes a colour with what is there.
    pub(super) fn blend(&mut self, x: i32, y: i32, color: Rgb, coverage: f32) {
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
