//! Pixels packed as a PNG file.

use std::collections::HashMap;

use super::raster::Raster;

type Color = [u8; 3];

/// The number of colours that suffices for a drawing, of the 256 that PNG allows.
///
/// A plot has a dozen colours and their blends at the edges; more shades of these cost bytes that
/// no eye sees.
pub(super) const FEW_COLORS: usize = 64;
/// The number of colours of a drawing with a picture in it: all that PNG allows.
pub(super) const MANY_COLORS: usize = 256;

/// Packs `raster` as a PNG file of one byte per pixel and a table of at most `most` colours.
///
/// Pictures travel inside of notebooks as text, so that size counts: the table makes them several
/// times smaller than 3 bytes per pixel would be.
pub(super) fn png(raster: &Raster, most: usize) -> Vec<u8> {
    let (pixels, _) = raster.rgb.as_chunks::<3>();
    let (table, places) = colors(pixels, most);
    // Most pixels have the colour of the one before, and one look into the map does for all.
    let runs = pixels.chunk_by(|a, b| a == b);
    let indices = runs.flat_map(|run| std::iter::repeat_n(places[&run[0]], run.len()));
    let indices: Vec<u8> = indices.collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, raster.width as u32, raster.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    // Filters pay off for photographs, not for indices into a table.
    encoder.set_filter(png::Filter::NoFilter);
    encoder.set_palette(table.into_flattened());
    // Writing into memory cannot fail, and the sizes match by construction.
    let written = encoder.write_header();
    let written = written.and_then(|mut writer| writer.write_image_data(&indices));
    debug_assert!(written.is_ok(), "{written:?}");
    file
}

/// Chooses the table of colours, and gives each colour of `pixels` its place in the table.
///
/// The most frequent colours get into the table as they are. What is left are a few shades at the
/// edges of shapes, and they get the nearest colour of the table.
fn colors(pixels: &[Color], most: usize) -> (Vec<Color>, HashMap<Color, u8>) {
    let mut counts: HashMap<Color, usize> = HashMap::new();
    for run in pixels.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_default() += run.len();
    }
    let mut colors: Vec<(Color, usize)> = counts.into_iter().collect();
    // The colour itself breaks ties: the same plot always gives the same bytes.
    colors.sort_unstable_by_key(|&(color, count)| (std::cmp::Reverse(count), color));
    let colors: Vec<Color> = colors.into_iter().map(|(color, _)| color).collect();
    let table = colors[..colors.len().min(most)].to_vec();
    let nearest = |color: Color| {
        let distance = |i: &usize| -> u32 {
            let pairs = table[*i].iter().zip(color);
            pairs.map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
        };
        (0..table.len()).min_by_key(distance).unwrap_or(0)
    };
    let place = |(i, &color): (usize, &Color)| {
        let place = if i < table.len() { i } else { nearest(color) };
        (color, place as u8)
    };
    let places = colors.iter().enumerate().map(place).collect();
    (table, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_colors_survive_and_rare_ones_move_a_little() {
        let count = FEW_COLORS as u8;
        // Each of these colours twice, so that they fill the table.
        let mut rgb: Vec<u8> = (0..count).flat_map(|red| [red, 0, 0, red, 0, 0]).collect();
        rgb.extend([10, 3, 0, 20, 0, 2]);
        let width = rgb.len() / 3;
        let raster = Raster {
            width,
            height: 1,
            rgb: rgb.clone(),
        };
        let mut reader = png::Decoder::new(std::io::Cursor::new(png(&raster, FEW_COLORS)));
        reader.set_transformations(png::Transformations::EXPAND);
        let mut reader = reader.read_info().unwrap();
        let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut decoded).unwrap();
        let frequent = rgb.len() - 6;
        assert_eq!(decoded[..frequent], rgb[..frequent]);
        assert_eq!(decoded[frequent..], [10, 0, 0, 20, 0, 0]);
    }
}
