//! The fonts: how wide a text is, where it breaks, and its pixels.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

use super::style::LINE_HEIGHT;

/// How tall a capital letter is, in sizes of the type.
pub(super) const CAP_HEIGHT: f64 = 0.729;
/// How tall a small x is, in sizes of the type.
pub(super) const X_HEIGHT: f64 = 0.547;

// The fonts are part of the library: what a plot looks like must not depend on the fonts that a
// machine has, and a container often has none.
static NORMAL: LazyLock<FontRef<'static>> =
    LazyLock::new(|| font(include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf")));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    font(include_bytes!(
        "../../assets/fonts/DejaVuSans-Bold-subset.ttf"
    ))
});

fn font(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the built-in fonts are valid, as the tests show")
}

fn face(bold: bool) -> &'static FontRef<'static> {
    if bold { &BOLD } else { &NORMAL }
}

/// Gives the scale at which an em of `font` is `size` pixels.
fn scale(font: &FontRef<'_>, size: f64) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size as f32 * font.height_unscaled() / em)
}

/// Measures how wide `text` is.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let font = face(bold).as_scaled(scale(face(bold), size));
    let advance = |c| f64::from(font.h_advance(font.glyph_id(c)));
    text.chars().map(advance).sum()
}

/// Cuts `text` so that it is at most `room` wide, and shows the cut with an ellipsis.
pub(super) fn elide(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size, bold);
    let mut kept = String::new();
    for c in text.chars() {
        left -= width(c.encode_utf8(&mut [0; 4]), size, bold);
        if left < 0.0 {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Breaks `text` at spaces into at most `lines` lines that are at most `room` wide.
///
/// What does not fit is cut. An empty text gives no line.
pub(super) fn wrap(text: &str, size: f64, bold: bool, room: f64, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let full = wrapped.len() == lines;
        match wrapped.last_mut() {
            Some(line) if full || width(&format!("{line} {word}"), size, bold) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    let fit = |line: &String| elide(line, size, bold, room);
    wrapped.iter().map(fit).collect()
}

/// Gives the height of `lines` lines of text.
pub(super) fn height(lines: usize, size: f64) -> f64 {
    lines as f64 * size * LINE_HEIGHT
}

/// Makes `text` fit for a label: one line, without control characters.
///
/// XML has no way to write most control characters, and a line break would leave its row.
pub(super) fn clean(text: &str) -> String {
    let keep = |c: char| match c {
        '\u{fffe}' | '\u{ffff}' => ' ',
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
        c => c,
    };
    text.chars().map(keep).collect::<String>().trim().to_owned()
}

/// Calls `pixel` with the position and the coverage (0 to 1) of each pixel of `text`.
///
/// The text starts at 0, its baseline is at 0, and y grows downwards. A character that the fonts
/// lack becomes a box.
pub(super) fn pixels(text: &str, size: f64, bold: bool, mut pixel: impl FnMut(i32, i32, f32)) {
    let font = face(bold);
    let scale = scale(font, size);
    let scaled = font.as_scaled(scale);
    let mut x = 0.0_f32;
    for c in text.chars() {
        let id = font.glyph_id(c);
        // Letters start on whole pixels, so that equal letters have equal pixels and a picture of
        // many letters packs well.
        let glyph: Glyph = id.with_scale_and_position(scale, point(x.round(), 0.0));
        x += scaled.h_advance(id);
        if let Some(outline) = font.outline_glyph(glyph) {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
                pixel(px, py, coverage.clamp(0.0, 1.0));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_plots_are_in_both_fonts() {
        let letters = "Az09%äßőΩπµ²³¹⁰⁷⁻₂×±–—…≤≥≈→←√∞−“”\u{a0}";
        for c in letters.chars() {
            for bold in [false, true] {
                assert_ne!(
                    face(bold).glyph_id(c).0,
                    0,
                    "{c:?} is missing, bold: {bold}"
                );
            }
        }
    }

    #[test]
    fn the_size_is_the_size_of_an_em() {
        let (mut top, mut bottom) = (0, 0);
        pixels("H", 1000.0, false, |_, y, coverage| {
            if coverage > 0.5 {
                top = top.min(y);
                bottom = bottom.max(y);
            }
        });
        let tall = f64::from(bottom - top + 1) / 1000.0;
        assert!((tall - CAP_HEIGHT).abs() < 0.002, "{tall}");
    }

    #[test]
    fn unknown_characters_become_boxes() {
        let mut drawn = 0;
        pixels("并行🦀", 20.0, false, |_, _, coverage| {
            drawn += usize::from(coverage > 0.5)
        });
        assert!(drawn > 0);
    }

    #[test]
    fn long_texts_are_cut_to_the_room() {
        let long = "a very long label that goes on and on";
        let cut = elide(long, 13.0, false, 100.0);
        assert!(
            cut.ends_with('…') && width(&cut, 13.0, false) <= 100.0,
            "{cut}"
        );
        assert_eq!(elide("short", 13.0, false, 100.0), "short");
        for line in wrap(long, 13.0, false, 100.0, 2) {
            assert!(width(&line, 13.0, false) <= 100.0, "{line}");
        }
        assert_eq!(wrap(long, 13.0, false, 100.0, 2).len(), 2);
        assert_eq!(wrap(long, 13.0, false, 1000.0, 2), [long]);
        assert!(wrap("", 13.0, false, 100.0, 2).is_empty());
    }

    #[test]
    fn labels_are_one_line_without_control_characters() {
        assert_eq!(clean(" a\nb\u{0}c\u{1b}\u{ffff} "), "a b c");
    }
}
