//! Colours, sizes of type and margins, the same in all plots.

use plotters::style::RGBColor as Rgb;

/// The background: nearly white, and opaque, so that dark pages do not swallow the text.
pub(super) const CARD: Rgb = Rgb(252, 252, 252);
/// The colour of titles, labels and values.
pub(super) const INK: Rgb = Rgb(34, 34, 34);
/// The colour of tick labels and axis labels: lighter than [`INK`], still easy to read on the card.
pub(super) const MUTED: Rgb = Rgb(85, 85, 85);
/// The colour of axes and reference lines.
pub(super) const AXIS: Rgb = Rgb(118, 118, 118);
/// The colour of grid lines, which must stay behind everything else.
pub(super) const GRID: Rgb = Rgb(228, 228, 228);

/// The colours of series, which also readers with colour-blindness tell apart.
///
/// They are the palette of Okabe and Ito, "Color Universal Design" (2008), without its yellow,
/// which a light background swallows.
pub(super) const SERIES: [Rgb; 7] = [
    Rgb(0, 114, 178),
    Rgb(213, 94, 0),
    Rgb(0, 158, 115),
    Rgb(204, 121, 167),
    Rgb(230, 159, 0),
    Rgb(86, 180, 233),
    Rgb(0, 0, 0),
];

/// The colours of bars that touch, in turns: light text is easy to read on both.
pub(super) const TONES: [Rgb; 2] = [SERIES[0], Rgb(0, 62, 104)];

/// The width of every figure, in pixels of the page.
pub(super) const WIDTH: f64 = 720.0;
/// The empty space along the edges.
pub(super) const MARGIN: f64 = 20.0;

/// The size of the title.
pub(super) const TITLE_SIZE: f64 = 16.0;
/// The size of labels and values.
pub(super) const LABEL_SIZE: f64 = 13.0;
/// The size of tick labels.
pub(super) const TICK_SIZE: f64 = 12.0;
/// The distance from one line of text to the next, in sizes of the type.
pub(super) const LINE_HEIGHT: f64 = 1.35;

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the contrast ratio of the Web Content Accessibility Guidelines 2.2.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            match c <= 0.04045 {
                true => c / 12.92,
                false => ((c + 0.055) / 1.055).powf(2.4),
            }
        };
        let luminance = |c: Rgb| 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_has_the_contrast_of_level_aa() {
        assert!(contrast(INK, CARD) >= 4.5);
        assert!(contrast(MUTED, CARD) >= 4.5);
        assert!(contrast(AXIS, CARD) >= 3.0);
    }

    #[test]
    fn bars_that_touch_differ_and_can_bear_light_text() {
        assert!(contrast(TONES[0], CARD) >= 4.5);
        assert!(contrast(TONES[1], CARD) >= 4.5);
        assert!(contrast(TONES[0], TONES[1]) >= 2.0);
    }
}
