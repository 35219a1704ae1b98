//! The Mandelbrot set: work for the processor, of which some rows need much and others little.
//!
//! `xtask/python/bench/peers/tasks.py` does the same steps in the same order, so that the counts are
//! equal to the last one.

/// Steps after which a point counts as one that never leaves.
pub const LIMIT: u16 = 200;

/// How many rows a picture of some width has.
pub fn height(width: usize) -> usize {
    width * 2 / 3
}

/// For each point of a row, the steps until it leaves the circle of radius 2.
pub fn row(y: usize, width: usize) -> Vec<u16> {
    let cy = 2.0 * y as f64 / height(width) as f64 - 1.0;
    (0..width)
        .map(|x| steps(3.0 * x as f64 / width as f64 - 2.0, cy))
        .collect()
}

fn steps(cx: f64, cy: f64) -> u16 {
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..LIMIT {
        let (x2, y2) = (x * x, y * y);
        if x2 + y2 > 4.0 {
            return step;
        }
        y = 2.0 * x * y + cy;
        x = x2 - y2 + cx;
    }
    LIMIT
}
