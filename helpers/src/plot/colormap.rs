//! Colours that stand for values.

use plotters::style::RGBColor as Rgb;

/// How many colours the map is cut into: so many that no eye sees the steps.
///
/// A picture in a notebook has 256 colours at most, and its letters need some of them.
pub(super) const SHADES: usize = 160;

/// The colour of what is no number: grey, which the map has nowhere.
pub(super) const NO_NUMBER: Rgb = Rgb(178, 178, 178);

/// Each 17th of the 256 colours of viridis, from dark (low) to bright (high).
///
/// Viridis is by Nathaniel J. Smith and Stéfan van der Walt, made for Matplotlib (2015) and given to
/// the public domain (CC0). Equal steps look equally large, the lightness only grows, so that it
/// can be read in grey as well, and readers with colour-blindness tell its colours apart.
const VIRIDIS: [Rgb; 16] = [
    Rgb(68, 1, 84),
    Rgb(72, 26, 108),
    Rgb(71, 47, 125),
    Rgb(65, 68, 135),
    Rgb(57, 86, 140),
    Rgb(49, 104, 142),
    Rgb(42, 120, 142),
    Rgb(35, 136, 142),
    Rgb(31, 152, 139),
    Rgb(34, 168, 132),
    Rgb(53, 183, 121),
    Rgb(84, 197, 104),
    Rgb(122, 209, 81),
    Rgb(165, 219, 54),
    Rgb(210, 226, 27),
    Rgb(253, 231, 37),
];

/// Gives the colour of a place on the scale, from 0 (the lowest value) to 1 (the highest).
pub(super) fn color(place: f64) -> Rgb {
    let last = SHADES - 1;
    let shade = ((place * SHADES as f64) as usize).min(last);
    let along = shade as f64 / last as f64 * (VIRIDIS.len() - 1) as f64;
    let below = (along as usize).min(VIRIDIS.len() - 2);
    let (from, to, part) = (VIRIDIS[below], VIRIDIS[below + 1], along - below as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    Rgb(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_ends_of_the_map() {
        for (place, end) in [(-0.1, 0), (0.0, 0), (1.0, 15), (1.1, 15)] {
            assert_eq!(color(place), VIRIDIS[end], "at {place}");
        }
    }

    #[test]
    fn each_shade_differs_from_the_one_below_and_is_lighter() {
        let lightness = |Rgb(red, green, blue): Rgb| {
            0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
        };
        let shade = |i: usize| color((i as f64 + 0.5) / SHADES as f64);
        for i in 1..SHADES {
            assert!(lightness(shade(i)) > lightness(shade(i - 1)), "shade {i}");
        }
    }
}
