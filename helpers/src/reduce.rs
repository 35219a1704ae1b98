//! Many values into one: sums, and map-reduce.

use std::borrow::Cow;
use std::ops::Add;
use std::sync::OnceLock;

use ndarray::{ArrayBase, ArrayView1, Data, Ix1};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Pool;

/// Values that are added one after the other (in [`LANES`] strands) before the pairwise tree begins.
const LEAF: usize = 1024;
/// Independent running sums in a leaf: enough for the processor's vector units to add without
/// waiting for the addition before, and few enough that all fit into half of its 16 registers of two
/// `f64`. (With 32 of them each value that is read must first make room: a quarter slower.)
const LANES: usize = 16;
/// Parts of at most this many values are not split further among workers.
const TASK: usize = 64 * 1024;

/// Sums a slice or a 1-D array of `f64` or `f32` in parallel.
///
/// The same values give the same bits, whatever the number of workers: the order of the additions
/// depends on the length alone. It is a tree (pairwise summation), so the rounding error grows
/// with the logarithm of the length and not with the length; see N. J. Higham, "The accuracy of
/// floating point summation", SIAM J. Sci. Comput. 14 (1993). An empty list sums to 0.
///
/// The work is done by threads that do nothing else: one for each core, or as many as
/// `RAYON_NUM_THREADS` says. A task of a pool that waits for a sum takes up no other task meanwhile,
/// so it may hold a lock. Only what is itself called by one of rayon's functions, as in a
/// `par_iter`, is summed by rayon's threads, which take up other work of rayon's while they wait.
///
/// ```
/// use helpers::prelude::*;
///
/// assert_eq!(par_sum(&[0.5, 1.5, 2.0]), 4.0);
/// assert_eq!(par_sum(&ndarray::Array1::<f32>::ones(1000)), 1000.0);
/// ```
pub fn par_sum<V: Values>(values: V) -> V::Float {
    let values = values.contiguous();
    match adders() {
        Some(adders) if values.len() > TASK => adders.install(|| tree_sum(&values)),
        _ => tree_sum(&values),
    }
}

/// The threads that add; `None` where rayon's own must.
fn adders() -> Option<&'static ThreadPool> {
    static ADDERS: OnceLock<Option<ThreadPool>> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        // Waiting for threads of another pool would keep this one from its other work, or take up
        // that in the middle of this.
        return None;
    }
    let start = || {
        let name = |index| format!("adder {index}");
        ThreadPoolBuilder::new().thread_name(name).build().ok()
    };
    ADDERS.get_or_init(start).as_ref()
}

/// A number that [`par_sum`] can add: `f64` or `f32`.
pub trait Float: Copy + Default + Add<Output = Self> + Send + Sync {}
impl Float for f64 {}
impl Float for f32 {}

/// What [`par_sum`] sums: references to slices, arrays and vectors, and 1-D `ndarray` arrays.
#[diagnostic::on_unimplemented(
    message = "`par_sum` cannot sum `{Self}`",
    note = "it takes a reference to a slice, `Vec`, array or 1-D `ndarray` array of `f64` or `f32`"
)]
pub trait Values {
    /// The type of the values and of their sum.
    type Float: Float + 'static;

    /// The values side by side in memory; copied only where they are not.
    fn contiguous(&self) -> Cow<'_, [Self::Float]>;
}

impl<T: Float + 'static> Values for &[T] {
    type Float = T;

    fn contiguous(&self) -> Cow<'_, [T]> {
        Cow::Borrowed(self)
    }
}

impl<T: Float + 'static, const N: usize> Values for &[T; N] {
    type Float = T;

    fn contiguous(&self) -> Cow<'_, [T]> {
        Cow::Borrowed(self.as_slice())
    }
}

impl<T: Float + 'static> Values for &Vec<T> {
    type Float = T;

    fn contiguous(&self) -> Cow<'_, [T]> {
        Cow::Borrowed(self)
    }
}

impl<T: Float + 'static, S: Data<Elem = T>> Values for &ArrayBase<S, Ix1> {
    type Float = T;

    fn contiguous(&self) -> Cow<'_, [T]> {
        match self.as_slice() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(self.to_vec()),
        }
    }
}

impl<T: Float + 'static> Values for ArrayView1<'_, T> {
    type Float = T;

    fn contiguous(&self) -> Cow<'_, [T]> {
        match self.as_slice() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(self.to_vec()),
        }
    }
}

/// Splits at a place that depends on the length alone, and adds the sums of the two sides.
fn tree_sum<T: Float>(values: &[T]) -> T {
    if values.len() <= LEAF {
        return leaf_sum(values);
    }
    let (left, right) = values.split_at((values.len() / 2).next_multiple_of(LEAF));
    let (left, right) = if values.len() > TASK {
        rayon::join(|| tree_sum(left), || tree_sum(right))
    } else {
        (tree_sum(left), tree_sum(right))
    };
    left + right
}

fn leaf_sum<T: Float>(values: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let (rows, rest) = values.as_chunks::<LANES>();
    for row in rows {
        for (lane, &value) in lanes.iter_mut().zip(row) {
            *lane = *lane + value;
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = *lane + value;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = lanes[i] + lanes[i + width];
        }
    }
    lanes[0]
}

/// Splits `values` into one part for each worker, maps every part to a result on the workers,
/// and combines the results from left to right. `None` if there are no values.
///
/// The parts differ by at most one value in length. Parts and order depend on the number of
/// workers, so a floating-point sum may differ in its last digits between pools; [`par_sum`]'s
/// does not.
///
/// ```
/// use helpers::prelude::*;
///
/// let pool = Pool::new(3)?;
/// let words = ["map", "then", "reduce", "them"];
/// let longest = map_reduce(
///     &pool,
///     &words,
///     |part| part.iter().map(|word| word.len()).max().unwrap_or(0),
///     usize::max,
/// );
/// assert_eq!(longest, Some(6));
/// # Ok::<(), PoolError>(())
/// ```
///
/// # Panics
/// If `map` or `combine` does.
pub fn map_reduce<T, R>(
    pool: &Pool,
    values: &[T],
    map: impl Fn(&[T]) -> R + Sync,
    combine: impl FnMut(R, R) -> R,
) -> Option<R>
where
    T: Sync,
    R: Send,
{
    pool.map(map, parts(values, pool.workers()))
        .into_iter()
        .reduce(combine)
}

/// At most `count` parts that are not empty; the first ones are one longer where it does not even out.
fn parts<T>(values: &[T], count: usize) -> impl Iterator<Item = &[T]> {
    let (size, longer) = (values.len() / count, values.len() % count);
    let mut rest = values;
    (0..count.min(values.len())).map(move |i| {
        let (part, behind) = rest.split_at(size + usize::from(i < longer));
        rest = behind;
        part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_values_once() {
        let values: Vec<usize> = (0..10).collect();
        for count in 1..=12 {
            let lengths: Vec<usize> = parts(&values, count).map(<[_]>::len).collect();
            assert_eq!(lengths.iter().sum::<usize>(), 10);
            assert_eq!(lengths.len(), count.min(10));
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
            assert_eq!(
                parts(&values, count).flatten().copied().collect::<Vec<_>>(),
                values
            );
        }
    }
}
