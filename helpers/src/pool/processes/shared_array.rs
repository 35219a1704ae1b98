//! Arrays that worker processes use where they are: nothing is copied.
//!
//! # Why this is safe
//! What one process writes another sees at once, so the rule that Rust keeps within a process
//! must hold between processes: while somebody may write, nobody else may read or write. Four
//! things see to it.
//!
//! * A task gets a [`SharedSlice`] or a [`SharedSliceMut`], which borrow the array, as slices do. The
//!   compiler lets many read or one write, and lets several write only to parts that do not
//!   overlap ([`SharedArray::chunks_mut`]).
//! * Only `map` and `starmap` take values that borrow. They return when no worker is at any of
//!   their items any more; where an item was given up half way, its worker's process has ended.
//!   (A part to be read may go on to a worker of that worker, which ends a moment later: it may read
//!   numbers that change meanwhile, and nobody will ever see what it makes of them.)
//! * A slice is sent and received by the code in this module. `Serialize` and `Deserialize` that
//!   you write by hand for a type which holds slices must pass them on as they are: one that
//!   makes slices of its own while it is sent, or keeps them where it arrives, breaks the rule.
//! * The elements are numbers, for which any bits are a value. A worker that dies in the middle
//!   leaves numbers, though not those that you hoped for.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::pool::PoolError;
use crate::pool::remote::codec::with_files;
use crate::pool::remote::mapped;
use crate::pool::remote::memory::Region;

mod sealed {
    pub trait Sealed {}
}

/// A number that may lie in a [`SharedArray`]: all integers and floats of Rust.
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {}

macro_rules! elements {
    ($($number:ty)*) => {
        $(
            impl sealed::Sealed for $number {}
            impl Element for $number {}
        )*
    };
}

elements!(f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// An array of numbers in memory that worker processes can use without a copy.
///
/// It is a slice (`&array[..]`, `array.iter()`, `array.len()`) that can be lent to the tasks of a
/// [`ProcessPool`](crate::ProcessPool): as a whole, or in parts.
///
/// ```
/// use helpers::prelude::*;
///
/// helpers::init_process_pools();
/// let pool = ProcessPool::new(2)?;
/// let mut numbers = SharedArray::from_slice(&[1.0, 2.0, 3.0, 4.0])?;
/// let double = |mut part: SharedSliceMut<f64>| part.iter_mut().for_each(|x| *x *= 2.0);
/// pool.map(double, numbers.chunks_mut(2))?;
/// let sums = pool.map(|part: SharedSlice<f64>| part.iter().sum::<f64>(), numbers.chunks(2))?;
/// assert_eq!(sums, [6.0, 14.0]);
/// # Ok::<(), PoolError>(())
/// ```
pub struct SharedArray<T: Element> {
    region: Region,
    id: u64,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> SharedArray<T> {
    /// An array of `len` zeros.
    ///
    /// # Errors
    /// The system does not give so much memory.
    pub fn zeros(len: usize) -> Result<SharedArray<T>, PoolError> {
        let refused = |cause: String| {
            PoolError::invalid_input(format!(
                "a shared array of {len} elements of {} bytes cannot be had: {cause}",
                size_of::<T>()
            ))
        };
        let bytes = len
            .checked_mul(size_of::<T>())
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| refused("no machine has so much memory".to_owned()))?;
        let region = Region::new(bytes).map_err(|cause| refused(cause.to_string()))?;
        Ok(SharedArray {
            region,
            id: rand::random(),
            len,
            element: PhantomData,
        })
    }

    /// An array with a copy of these values.
    ///
    /// # Errors
    /// As [`zeros`](SharedArray::zeros).
    pub fn from_slice(values: &[T]) -> Result<SharedArray<T>, PoolError> {
        let mut array = SharedArray::zeros(values.len())?;
        array.copy_from_slice(values);
        Ok(array)
    }

    /// A part of the array, to be read by a task.
    ///
    /// # Panics
    /// The range does not lie within the array.
    pub fn slice(&self, range: Range<usize>) -> SharedSlice<'_, T> {
        let offset = range.start;
        SharedSlice {
            data: &self[range],
            origin: self.origin(offset),
        }
    }

    /// The array in parts of `size` elements, the last one perhaps shorter, to be read by tasks.
    ///
    /// # Panics
    /// A size of 0, as [`slice::chunks`].
    pub fn chunks(&self, size: usize) -> impl ExactSizeIterator<Item = SharedSlice<'_, T>> {
        let parts = self[..].chunks(size).enumerate();
        parts.map(move |(number, data)| SharedSlice {
            data,
            origin: self.origin(number * size),
        })
    }

    /// A part of the array, to be written by a task.
    ///
    /// # Panics
    /// The range does not lie within the array.
    pub fn slice_mut(&mut self, range: Range<usize>) -> SharedSliceMut<'_, T> {
        let offset = range.start;
        let (data, origin) = self.split_origin(offset);
        SharedSliceMut {
            data: &mut data[range],
            origin,
            was_sent: AtomicBool::new(false),
        }
    }

    /// The array in parts of `size` elements, the last one perhaps shorter, each to be written by
    /// one task.
    ///
    /// # Panics
    /// A size of 0, as [`slice::chunks_mut`].
    pub fn chunks_mut(
        &mut self,
        size: usize,
    ) -> impl ExactSizeIterator<Item = SharedSliceMut<'_, T>> {
        let (data, origin) = self.split_origin(0);
        let parts = data.chunks_mut(size).enumerate();
        parts.map(move |(number, data)| SharedSliceMut {
            data,
            origin: Origin {
                offset: number * size,
                ..origin
            },
            was_sent: AtomicBool::new(false),
        })
    }

    fn origin(&self, offset: usize) -> Origin<'_> {
        Origin {
            region: &self.region,
            id: self.id,
            offset,
        }
    }

    /// The data, to be written, and where it is.
    fn split_origin(&mut self, offset: usize) -> (&mut [T], Origin<'_>) {
        let start = self.region.start().cast::<T>();
        // SAFETY: as in `deref_mut`. The region's own fields, which the origin borrows, lie
        // elsewhere, and through them nothing is read or written.
        let data = unsafe { slice::from_raw_parts_mut(start.as_ptr(), self.len) };
        (data, self.origin(offset))
    }
}

impl<T: Element> Deref for SharedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let start = self.region.start().cast::<T>();
        // SAFETY: the mapping holds `len` elements (from `zeros`), begins at a page and so is
        // aligned, and any bits are a number. Whoever may write borrows `self` mutably.
        unsafe { slice::from_raw_parts(start.as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for SharedArray<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let start = self.region.start().cast::<T>();
        // SAFETY: as in `deref`, and whoever may read borrows `self`.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), self.len) }
    }
}

impl<T: Element> Drop for SharedArray<T> {
    fn drop(&mut self) {
        // Workers may still have it mapped, though no task uses it.
        self.region.release();
    }
}

impl<T: Element> fmt::Debug for SharedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedArray({} elements)", self.len)
    }
}

const NOT_HERE: &str =
    "a slice of a shared array can only be an argument of a task of a ProcessPool";

/// Where a slice lies: the array's memory, and the number of elements before it.
#[derive(Clone, Copy)]
struct Origin<'a> {
    region: &'a Region,
    id: u64,
    offset: usize,
}

/// What travels of a slice: the place of the array's file among those that go along, the array's
/// id, the elements before the slice and in it, and whether it may be written to.
type Label = (usize, u64, usize, usize, bool);

// What does not depend on the type of the elements or on serde's is in functions of its own: it is
// compiled once, and not again in each cell of a notebook.

impl Origin<'_> {
    /// Sends the file along.
    fn label(&self, len: usize, to_write: bool) -> Result<Label, String> {
        match with_files(|files| files.add(self.id, self.region.file())) {
            Some(Ok(place)) => Ok((place, self.id, self.offset, len, to_write)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(NOT_HERE.to_owned()),
        }
    }

    fn serialize<S: Serializer>(
        &self,
        len: usize,
        to_write: bool,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match self.label(len, to_write) {
            Ok(label) => label.serialize(serializer),
            Err(why) => Err(S::Error::custom(why)),
        }
    }
}

/// Finds the memory of a slice that came with a task: the elements' origin, and their number.
fn arrived<'de, 'a, T: Element, D: Deserializer<'de>>(
    deserializer: D,
    to_write: bool,
) -> Result<(Origin<'a>, usize), D::Error> {
    let label = Label::deserialize(deserializer)?;
    let origin = found(label, to_write, size_of::<T>());
    let origin = origin.map_err(D::Error::custom)?;
    Ok((origin, label.3))
}

/// Finds what a label speaks of, whose elements have `size` bytes each.
fn found<'a>(label: Label, to_write: bool, size: usize) -> Result<Origin<'a>, String> {
    let (place, id, offset, len, may_write) = label;
    if to_write && !may_write {
        return Err("a slice to be read arrives as one to be written".to_owned());
    }
    let file = with_files(|files| files.get(place).cloned());
    let file = file.flatten().ok_or_else(|| NOT_HERE.to_owned())?;
    let region = mapped::region(id, || Ok(file)).map_err(|error| error.to_string())?;
    // SAFETY: a region that was mapped stays until its owner has released it, which the array
    // does when it is dropped; and the slice borrows the array, in the process that sent it, for
    // as long as the task runs.
    let region = unsafe { &*Arc::as_ptr(&region) };
    let fits = offset
        .checked_add(len)
        .and_then(|end| end.checked_mul(size))
        .is_some_and(|end| end <= region.bytes());
    if !fits {
        return Err("a slice that does not lie in its array".to_owned());
    }
    Ok(Origin { region, id, offset })
}

/// Marks a part that is to be written as sent, which it can be once, and to one worker.
fn send_once(was_sent: &AtomicBool) -> Result<(), &'static str> {
    if was_sent.swap(true, Ordering::Relaxed) {
        return Err(
            "this part of a shared array was sent before, and one task only may write to it",
        );
    }
    if with_files(|files| files.has_one_reader) == Some(false) {
        return Err("all workers would write to the same part of a shared array");
    }
    Ok(())
}

/// A part of a [`SharedArray`] that tasks can read. It is a slice: index it, iterate over it.
#[derive(Clone, Copy)]
pub struct SharedSlice<'a, T: Element> {
    data: &'a [T],
    origin: Origin<'a>,
}

impl<T: Element> Deref for SharedSlice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.data
    }
}

impl<T: Element> Serialize for SharedSlice<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.origin.serialize(self.data.len(), false, serializer)
    }
}

impl<'de, T: Element> Deserialize<'de> for SharedSlice<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (origin, len) = arrived::<T, D>(deserializer, false)?;
        let start = origin.region.start().cast::<T>();
        // SAFETY: the elements lie in the mapping (checked on arrival). The sender made the slice
        // of a shared borrow of the array, which lasts as long as the task: nobody writes.
        let data = unsafe { slice::from_raw_parts(start.as_ptr().add(origin.offset), len) };
        Ok(SharedSlice { data, origin })
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedSlice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

/// A part of a [`SharedArray`] that one task can write. It is a slice: index it, iterate over it.
pub struct SharedSliceMut<'a, T: Element> {
    data: &'a mut [T],
    origin: Origin<'a>,
    /// It may be sent once: two tasks with the same part could write at the same time. Nor may a task
    /// send it on: if its worker ends half way, that of the other task may still write for a moment.
    was_sent: AtomicBool,
}

impl<T: Element> Deref for SharedSliceMut<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.data
    }
}

impl<T: Element> DerefMut for SharedSliceMut<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.data
    }
}

impl<T: Element> Serialize for SharedSliceMut<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        send_once(&self.was_sent).map_err(S::Error::custom)?;
        self.origin.serialize(self.data.len(), true, serializer)
    }
}

impl<'de, T: Element> Deserialize<'de> for SharedSliceMut<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (origin, len) = arrived::<T, D>(deserializer, true)?;
        let start = origin.region.start().cast::<T>();
        // SAFETY: the elements lie in the mapping (checked on arrival). The sender made the slice
        // of a mutable borrow of just these elements, which lasts as long as the task, and has
        // sent it once: nobody else reads or writes them.
        let data = unsafe { slice::from_raw_parts_mut(start.as_ptr().add(origin.offset), len) };
        Ok(SharedSliceMut {
            data,
            origin,
            was_sent: AtomicBool::new(true),
        })
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedSliceMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}
