//! Numbers in rows and columns, as an image takes them.

use ndarray::{Array2, ArrayBase, ArrayView2, Data, Ix2};

use super::error::PlotError;
use super::value::Value;

/// The largest number of values: a picture has far fewer points.
const MOST_VALUES: usize = 4096 * 4096;

/// What [`image`](super::image) shows: references to 2-D `ndarray` arrays, and to lists of rows.
///
/// ```
/// use helpers::ndarray::Array2;
/// use helpers::plot::Grid;
///
/// let rows = vec![vec![1, 2, 3], vec![4, 5, 6]]; // two rows of three values
/// assert_eq!((&rows).grid()?, (&Array2::from_shape_fn((2, 3), |(r, c)| 1 + 3 * r + c)).grid()?);
/// # Ok::<(), helpers::plot::PlotError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`plot::image` cannot show `{Self}`",
    note = "it takes a reference to a 2-D `ndarray` array of numbers, or to a list of rows, such as `Vec<Vec<f64>>`"
)]
pub trait Grid {
    /// Copies the values, in the shape (rows, columns).
    ///
    /// # Errors
    /// Rows of different lengths, or more than 4096 × 4096 values.
    fn grid(&self) -> Result<Array2<f64>, PlotError>;
}

impl<T: Value, S: Data<Elem = T>> Grid for &ArrayBase<S, Ix2> {
    fn grid(&self) -> Result<Array2<f64>, PlotError> {
        self.view().grid()
    }
}

impl<T: Value> Grid for ArrayView2<'_, T> {
    fn grid(&self) -> Result<Array2<f64>, PlotError> {
        check_size(self.nrows(), self.ncols())?;
        Ok(self.map(|value| value.value()))
    }
}

macro_rules! grid_of_rows {
    ($($rows:ty, $row:ty, [$($size:ident)*];)*) => {$(
        impl<T: Value, $(const $size: usize),*> Grid for $rows {
            fn grid(&self) -> Result<Array2<f64>, PlotError> {
                from_rows(&self[..], <$row>::as_ref)
            }
        }
    )*};
}

grid_of_rows! {
    &Vec<Vec<T>>, Vec<T>, [];
    &[Vec<T>], Vec<T>, [];
    &Vec<[T; N]>, [T; N], [N];
    &[[T; N]], [T; N], [N];
    &[[T; N]; M], [T; N], [N M];
}

fn from_rows<T: Value, R>(
    rows: &[R],
    values: impl Fn(&R) -> &[T],
) -> Result<Array2<f64>, PlotError> {
    let columns = rows.first().map_or(0, |row| values(row).len());
    check_size(rows.len(), columns)?;
    if let Some(odd) = rows.iter().position(|row| values(row).len() != columns) {
        let length = values(&rows[odd]).len();
        return Err(PlotError::out_of_range(format!(
            "row {odd} has {length} values, but row 0 has {columns}: give rows of the same length"
        )));
    }
    Ok(Array2::from_shape_fn(
        (rows.len(), columns),
        |(row, column)| values(&rows[row])[column].value(),
    ))
}

fn check_size(rows: usize, columns: usize) -> Result<(), PlotError> {
    if rows.saturating_mul(columns) <= MOST_VALUES {
        return Ok(());
    }
    Err(PlotError::out_of_range(format!(
        "{rows} rows of {columns} values are too many to show, {MOST_VALUES} values are the most: \
         show each second or tenth of them, such as `array.slice(s![..;10, ..;10])`"
    )))
}
