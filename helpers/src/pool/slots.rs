//! A list that several threads take apart, chunk by chunk, and a place for each result.

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Items, and the results that they become, each in its own place from the beginning.
///
/// A chunk belongs to the one who takes it: its items are moved out and its results moved in
/// without a lock, and nothing need be put in order in the end.
#[derive(Debug)]
pub(crate) struct Slots<T, R> {
    /// As a vector it is empty: the items that are still there are known by `chunks`.
    _items: Vec<T>,
    /// As a vector it is empty, too.
    results: Vec<R>,
    /// Where both begin.
    at: (*mut T, *mut R),
    chunks: Chunks,
}

// SAFETY: an item or a result is touched by one thread at a time, that which has taken its chunk or that
// which owns it all; so they are sent to other threads, and never shared.
unsafe impl<T: Send, R: Send> Sync for Slots<T, R> {}
// SAFETY: the pointers lead to what the vectors own, which may be sent.
unsafe impl<T: Send, R: Send> Send for Slots<T, R> {}

/// Which chunks there are, whatever the items are: compiled once, and not again in each cell of a
/// notebook.
#[derive(Debug)]
struct Chunks {
    items: usize,
    size: usize,
    next: AtomicUsize,
    /// Of each chunk, whether all its items became results.
    done: Vec<AtomicBool>,
}

impl Chunks {
    fn new(items: usize, size: usize) -> Chunks {
        let number = items.div_ceil(size);
        Chunks {
            items,
            size,
            next: AtomicUsize::new(0),
            done: (0..number).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// A chunk that nobody else gets, and its items.
    fn take(&self) -> Option<(usize, Range<usize>)> {
        // As many threads look as there are workers, each once after the end: no overflow.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let exists = number < self.done.len();
        exists.then(|| (number, self.range(number)))
    }

    fn range(&self, number: usize) -> Range<usize> {
        let start = number * self.size;
        start..self.items.min(start.saturating_add(self.size))
    }

    fn set_done(&self, number: usize) {
        self.done[number].store(true, Ordering::Relaxed);
    }

    fn all_are_done(&mut self) -> bool {
        self.done.iter_mut().all(|done| *done.get_mut())
    }

    /// The items of chunks that nobody took.
    fn untaken(&mut self) -> Range<usize> {
        let number = (*self.next.get_mut()).min(self.done.len());
        self.items.min(number.saturating_mul(self.size))..self.items
    }

    /// The results of chunks that are done.
    fn of_done(&self) -> impl Iterator<Item = Range<usize>> {
        let numbers =
            (0..self.done.len()).filter(|&number| self.done[number].load(Ordering::Relaxed));
        numbers.map(|number| self.range(number))
    }
}

impl<T, R> Slots<T, R> {
    pub(crate) fn new(mut items: Vec<T>, size: usize) -> Slots<T, R> {
        let chunks = Chunks::new(items.len(), size);
        // SAFETY: from here on `chunks` knows which of them are there.
        unsafe { items.set_len(0) };
        let first = items.as_mut_ptr();
        let mut results = if Layout::new::<T>() == Layout::new::<R>() {
            // A result lies where its item was.
            let capacity = ManuallyDrop::new(items).capacity();
            items = Vec::new();
            // SAFETY: an allocation for as many `T` is one for as many `R`, and its owner is gone.
            unsafe { Vec::from_raw_parts(first.cast(), 0, capacity) }
        } else {
            Vec::with_capacity(chunks.items)
        };
        let at = (first, results.as_mut_ptr());
        Slots {
            _items: items,
            results,
            at,
            chunks,
        }
    }

    /// A chunk that nobody else gets; `None` when all are taken.
    pub(crate) fn take(&self) -> Option<Chunk<'_, T, R>> {
        let (number, left) = self.chunks.take()?;
        Some(Chunk {
            slots: self,
            number,
            made: left.start..left.start,
            left,
        })
    }

    /// The results in the order of the items. `None` if some chunk was not done.
    pub(crate) fn into_results(mut self) -> Option<Vec<R>> {
        if !self.chunks.all_are_done() {
            return None;
        }
        let mut results = std::mem::take(&mut self.results);
        // Nothing is left for `drop`.
        let chunks = std::mem::replace(&mut self.chunks, Chunks::new(0, 1));
        // SAFETY: every chunk is done, so there is a result in every place.
        unsafe { results.set_len(chunks.items) };
        Some(results)
    }
}

impl<T, R> Drop for Slots<T, R> {
    fn drop(&mut self) {
        let untaken = self.chunks.untaken();
        // SAFETY: no chunk is out, as each borrows `self`. The items of those that nobody took are there.
        unsafe { drop_range(self.at.0, untaken) };
        for range in self.chunks.of_done() {
            // SAFETY: and so are the results of those that are done.
            unsafe { drop_range(self.at.1, range) };
        }
    }
}

/// Drops part of a list.
///
/// # Safety
/// All of it is there, and nobody uses it afterwards.
unsafe fn drop_range<T>(start: *mut T, range: Range<usize>) {
    // SAFETY: the caller's.
    unsafe { ptr::slice_from_raw_parts_mut(start.add(range.start), range.len()).drop_in_place() };
}

/// Items that a thread has taken.
#[derive(Debug)]
pub(crate) struct Chunk<'s, T, R> {
    slots: &'s Slots<T, R>,
    number: usize,
    /// The items that are left.
    left: Range<usize>,
    /// The results that there are.
    made: Range<usize>,
}

impl<T, R> Chunk<'_, T, R> {
    /// Where in the list it begins, and how many items it has.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.made.start, self.left.end - self.made.start)
    }

    /// Makes results of its items, until `is_over`.
    pub(crate) fn run(self, f: &impl Fn(T) -> R, is_over: impl Fn() -> bool) {
        // Here nobody else can point to it, so the compiler keeps its counts in registers.
        let mut chunk = self;
        let (items, results) = chunk.slots.at;
        while !chunk.left.is_empty() && !is_over() {
            let index = chunk.left.start;
            chunk.left.start += 1;
            // SAFETY: it was left, and is not any more.
            let item = unsafe { items.add(index).read() };
            let result = f(item);
            // SAFETY: the place is this item's alone, and there is room for all results.
            unsafe { results.add(index).write(result) };
            chunk.made.end += 1;
        }
        if chunk.left.is_empty() {
            // From now on the results are the list's.
            chunk.made.start = chunk.made.end;
            chunk.slots.chunks.set_done(chunk.number);
        }
    }
}

impl<T, R> Drop for Chunk<'_, T, R> {
    #[inline(always)]
    fn drop(&mut self) {
        if !(self.made.is_empty() && self.left.is_empty()) {
            // SAFETY: what is left are items and what was made are results; with the chunk, nobody knows of them.
            unsafe { abandon(self.slots.at, self.made.clone(), self.left.clone()) };
        }
    }
}

/// Drops the results and the items of a chunk that was not done.
///
/// # Safety
/// All of them are there, and nobody uses them afterwards.
#[cold]
#[inline(never)]
unsafe fn abandon<T, R>(
    (items, results): (*mut T, *mut R),
    made: Range<usize>,
    left: Range<usize>,
) {
    // SAFETY: the caller's.
    unsafe {
        drop_range(results, made);
        drop_range(items, left);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::thread;

    use super::*;

    fn all(slots: &Slots<Rc<usize>, Rc<usize>>, fails: usize) {
        while let Some(chunk) = slots.take() {
            let half = |item: Rc<usize>| {
                assert!(*item != fails, "no luck");
                Rc::new(*item / 2)
            };
            let _ = catch_unwind(AssertUnwindSafe(|| chunk.run(&half, || false)));
        }
    }

    #[test]
    fn results_lie_in_the_places_of_their_items() {
        for (count, size) in [(0, 1), (1, 1), (7, 1), (7, 3), (7, 7), (7, usize::MAX)] {
            let items = (0..count).map(Rc::new).collect();
            let slots = Slots::new(items, size);
            all(&slots, usize::MAX);
            let results = slots.into_results().unwrap();
            assert!(
                results
                    .iter()
                    .map(|result| **result)
                    .eq((0..count).map(|n| n / 2))
            );
        }
    }

    #[test]
    fn nothing_is_dropped_twice_or_never() {
        let kept: Vec<_> = (0..9).map(Rc::new).collect();
        let uses = || kept.iter().map(Rc::strong_count).sum::<usize>();
        for fails in 0..10 {
            let slots = Slots::new(kept.clone(), 2);
            all(&slots, fails);
            assert_eq!(slots.into_results().is_some(), fails == 9);
            assert_eq!(uses(), 9);
        }
        // Some are not even taken, or not to their end.
        let slots: Slots<_, Rc<usize>> = Slots::new(kept.clone(), 4);
        slots.take().unwrap().run(&|item| item, || true);
        let first = slots.take().unwrap();
        assert_eq!(first.place(), (4, 4));
        first.run(&|item| item, || false);
        assert_eq!(uses(), 9 + 4 + 1);
        assert!(slots.into_results().is_none());
        assert_eq!(uses(), 9);
    }

    #[test]
    fn threads_take_it_apart() {
        let slots = Slots::new((0..1000u64).map(Box::new).collect(), 3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(chunk) = slots.take() {
                        chunk.run(&|item: Box<u64>| item.to_string(), || false);
                    }
                });
            }
        });
        let results = slots.into_results().unwrap();
        assert!(results.into_iter().eq((0..1000).map(|n| n.to_string())));
    }
}
