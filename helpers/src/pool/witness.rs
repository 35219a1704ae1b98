//! What a thread hands to pools, for checks of exercises: seen from inside of the calls.
//!
//! While [`watch`] looks on, the calls of this thread are counted, and they may be made to
//! [forget](Forget) one of their items. What does not depend on a forgotten item was not made by the
//! workers. Or what comes in any order is made to come in another one than the items: what is right
//! only by luck is wrong then.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::chunk;
use super::error::PoolError;

/// Why what was handed out has no result.
fn left_out() -> PoolError {
    PoolError::cancelled("it was left out, to see what depends on it")
}

/// What each call leaves out: no worker gets that, and it has no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forget {
    #[default]
    Nothing,
    /// By its place, from 0.
    Nth(usize),
    Last,
    All,
    /// All, and a call that can fail does.
    Fail,
    /// Nothing, but what comes as it is done comes as if the last one of those under way were done first.
    Order,
}

/// What a thread has asked of pools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    forget: Forget,
    /// Calls and submitted tasks, those of no item left out.
    calls: usize,
    /// Calls of more than one item.
    of_many: usize,
    /// Tasks that were submitted since the last wait, and the most that there were.
    in_a_row: usize,
    most_in_a_row: usize,
    submitted: usize,
    /// Calls whose results are their items, number by number.
    echoes: usize,
    /// Calls of several items whose results are all the same.
    alike: usize,
}

impl Seen {
    /// Whether there were several items, each handed out when the one before it was done.
    pub(crate) fn is_one_at_a_time(&self) -> bool {
        self.calls > 1 && self.of_many == 0 && self.most_in_a_row < 2
    }

    /// Whether nothing came back from workers but what they got.
    pub(crate) fn is_echo(&self) -> bool {
        self.calls > 0 && self.echoes == self.calls
    }

    /// Whether all items of each call gave the same.
    pub(crate) fn is_alike(&self) -> bool {
        self.calls > 0 && self.alike == self.calls
    }

    fn call(&mut self, items: usize) {
        self.calls += usize::from(items > 0);
        self.of_many += usize::from(items > 1);
    }
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Does the work, and tells what this thread has asked of pools meanwhile. Not to be nested.
pub(crate) fn watch<R>(forget: Forget, work: impl FnOnce() -> R) -> (R, Seen) {
    let end = End;
    SEEN.set(Some(Seen {
        forget,
        ..Seen::default()
    }));
    ON.set(true);
    let result = work();
    let seen = SEEN.take().unwrap_or_default();
    drop(end);
    (result, seen)
}

/// Nothing is watched any more when it is dropped.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        ON.set(false);
        SEEN.set(None);
    }
}

/// Notes something, if this thread is watched. If not, this is all that it costs.
fn note<N>(note: impl FnOnce(&mut Seen) -> N) -> Option<N> {
    if !ON.get() {
        return None;
    }
    SEEN.with_borrow_mut(|seen| seen.as_mut().map(note))
}

/// What is handed out by a call that waits for the results.
pub(crate) fn items<T>(items: Vec<T>) -> Vec<T> {
    let forget = note(|seen| {
        seen.call(items.len());
        seen.in_a_row = 0;
        seen.forget
    });
    without(items, forget)
}

/// As [`items`], for a call that can fail.
pub(crate) fn list<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, PoolError> {
    may_go()?;
    chunk::list(items).map(self::items)
}

/// What is handed out by a call that returns at once, with a handle that can fail.
pub(crate) fn list_ahead<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, PoolError> {
    may_go()?;
    let items = chunk::list(items)?;
    let forget = note(|seen| {
        seen.call(items.len());
        seen.ahead();
        seen.forget
    });
    Ok(without(items, forget))
}

impl Seen {
    fn ahead(&mut self) {
        self.in_a_row += 1;
        self.most_in_a_row = self.most_in_a_row.max(self.in_a_row);
    }
}

fn without<T>(mut items: Vec<T>, forget: Option<Forget>) -> Vec<T> {
    match forget {
        Some(Forget::Nth(place)) if place < items.len() => drop(items.remove(place)),
        Some(Forget::Last) => drop(items.pop()),
        Some(Forget::All | Forget::Fail) => items.clear(),
        _ => {}
    }
    items
}

/// Fails where each call does that can.
pub(crate) fn may_go() -> Result<(), PoolError> {
    match note(|seen| seen.forget == Forget::Fail) {
        Some(true) => Err(left_out()),
        _ => Ok(()),
    }
}

/// Whether the last one of several is to be done first.
pub(crate) fn is_last_first() -> bool {
    note(|seen| seen.forget == Forget::Order) == Some(true)
}

/// Which item a lazy call that begins now leaves out.
pub(crate) fn lazy() -> Forget {
    let forget = note(|seen| {
        // Nobody knows how many there are; they are handed out ahead.
        seen.call(2);
        seen.forget
    });
    forget.unwrap_or_default()
}

/// Fails if the task that is submitted now is forgotten: all of them, or the second one in place of the
/// first or the last.
pub(crate) fn task() -> Result<(), PoolError> {
    let forgets = note(|seen| {
        seen.calls += 1;
        seen.submitted += 1;
        seen.ahead();
        match seen.forget {
            Forget::Nothing | Forget::Order => false,
            Forget::All | Forget::Fail => true,
            Forget::Nth(_) | Forget::Last => seen.submitted == 2,
        }
    });
    match forgets {
        Some(true) => Err(left_out()),
        _ => Ok(()),
    }
}

/// Somebody waits for a task that was submitted.
pub(crate) fn waits() {
    note(|seen| seen.in_a_row = 0);
}

/// The items of a call as numbers (those of texts are their hashes), to be compared with the results; nothing if nobody watches.
pub(crate) fn numbers<T>(items: &[T]) -> Vec<u64> {
    match ON.get() {
        true => items.iter().map_while(number).collect(),
        false => Vec::new(),
    }
}

/// The results of a call whose items were these [`numbers`].
pub(crate) fn results<R>(items: &[u64], results: &[R]) {
    note(|seen| {
        let numbers = numbers(results);
        let is_all = !numbers.is_empty() && numbers.len() == results.len();
        let is_alike = is_all && numbers.len() > 1 && numbers.iter().all(|n| *n == numbers[0]);
        seen.echoes += usize::from(is_all && numbers == items);
        seen.alike += usize::from(is_alike);
    });
}

/// A number, a text, a reference to one, or a list of numbers in 64 bits. None of any other type.
fn number<T>(value: &T) -> Option<u64> {
    macro_rules! number {
        ($($kind:ty: $bits:expr;)*) => {
            $(
                if let Some(number) = cast::<T, $kind>(value) {
                    return Some($bits(*number));
                }
                if let Some(number) = cast::<T, &'static $kind>(value) {
                    return Some($bits(**number));
                }
            )*
        };
    }
    number! {
        u8: u64::from;
        u32: u64::from;
        u64: u64::from;
        usize: |number| number as u64;
        i32: |number| i64::from(number).cast_unsigned();
        i64: i64::cast_unsigned;
        f64: f64::to_bits;
    }
    macro_rules! lists {
        ($($kind:ty,)*) => {
            $(
                if let Some(list) = cast::<T, Vec<$kind>>(value) {
                    return Some(hash(&list.iter().map(number).collect::<Vec<_>>()));
                }
            )*
        };
    }
    lists! { u32, u64, usize, i64, f64, }
    if let Some(list) = cast::<T, [usize; 10]>(value) {
        return Some(hash(list));
    }
    let text = cast::<T, &'static str>(value).copied();
    let text = text.or_else(|| cast::<T, &'static &'static str>(value).map(|text| **text));
    let text = text.or_else(|| cast::<T, &'static String>(value).map(|text| text.as_str()));
    text.or_else(|| cast::<T, String>(value).map(String::as_str))
        .map(hash::<str>)
}

fn hash<H: Hash + ?Sized>(value: &H) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The value, if it is of this type, whatever its lifetimes.
fn cast<T, U: 'static>(value: &T) -> Option<&U> {
    if typeid::of::<T>() != TypeId::of::<U>() {
        return None;
    }
    // SAFETY: But for lifetimes the types are the same. A `U` is a number, a text or a reference to
    // one, at which nobody looks when the value, and so what it borrows, is gone: see `number`.
    Some(unsafe { &*std::ptr::from_ref(value).cast::<U>() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_item_is_forgotten_only_while_somebody_watches() {
        let forgotten = |forget| watch(forget, || items(vec![1, 2, 3])).0;
        assert_eq!(forgotten(Forget::Nth(0)), [2, 3]);
        assert_eq!(forgotten(Forget::Last), [1, 2]);
        assert!(forgotten(Forget::All).is_empty());
        assert_eq!(forgotten(Forget::Nothing), [1, 2, 3]);
        assert_eq!(items(vec![1, 2, 3]), [1, 2, 3]);
        let empty = watch(Forget::Nth(0), || items(Vec::<u8>::new()));
        assert!(empty.0.is_empty());
    }

    #[test]
    fn what_comes_in_any_order_comes_in_another_one_than_the_items() {
        use crate::pool::{Pool, as_completed};

        let pool = Pool::new(2).unwrap();
        let completed = || -> Vec<usize> {
            let handles = (0..3).map(|n| pool.submit(|n| n, n));
            as_completed(handles).map(|(index, _)| index).collect()
        };
        assert_eq!(watch(Forget::Order, completed).0, [2, 1, 0]);
        let many = || -> Vec<u32> { pool.imap_unordered(|n| n, 0..20).collect() };
        let many = watch(Forget::Order, many).0;
        assert!(many[0] > 0 && many.iter().sum::<u32>() == 190, "{many:?}");
        let timed = || -> Vec<_> {
            let never = pool.submit(|()| std::thread::sleep(Duration::from_secs(3)), ());
            let all = as_completed([pool.submit(|()| (), ()), never]);
            let all = all.deadline(Duration::from_millis(20));
            all.map(|(index, result)| (index, result.is_ok())).collect()
        };
        // The last one is waited for, and the time is over. Then the first one is there.
        assert_eq!(watch(Forget::Order, timed).0, [(0, true), (1, false)]);
    }

    #[test]
    fn a_panic_ends_the_watch() {
        let ended = std::panic::catch_unwind(|| watch(Forget::Last, || panic!("in between")));
        assert!(ended.is_err());
        assert_eq!(items(vec![1, 2]), [1, 2]);
    }

    #[test]
    fn one_at_a_time_is_told_from_all_at_once() {
        let seen = |work: &dyn Fn()| watch(Forget::Nothing, work).1.is_one_at_a_time();
        let submit = || task().unwrap();
        assert!(seen(&|| (0..3).for_each(|n| drop(items(vec![n])))));
        assert!(seen(&|| (0..3).for_each(|_| {
            submit();
            waits();
        })));
        assert!(!seen(&|| (0..3).for_each(|_| submit())));
        assert!(!seen(&|| drop(items(vec![1, 2, 3]))));
        assert!(!seen(&|| drop(items(vec![1]))));
        assert!(!seen(&|| (0..3).for_each(|n| drop(list_ahead([n])))));
    }

    #[test]
    fn numbers_that_come_back_as_they_were_are_an_echo() {
        fn echo<T, R>(given: &[T], came: &[R]) -> bool {
            let work = || {
                let items = items(given.iter().collect());
                results(&numbers(given), came);
                items.len()
            };
            watch(Forget::Nothing, work).1.is_echo()
        }
        assert!(echo(&[1_u32, 5], &[1_u32, 5]));
        assert!(echo(&[&1_i64, &-5], &[1_i64, -5]));
        assert!(echo(&[0.5], &[0.5]));
        assert!(!echo(&[1_u32, 5], &[1_u32, 6]));
        assert!(echo(&["a", "b"], &["a", "b"]));
        assert!(echo(&["a".to_owned()], &["a".to_owned()]));
        assert!(!echo(&["a", "b"], &["a", "c"]));
        assert!(!echo(&["a", "b"], &[1, 1]));
        assert!(!echo(&[(1, 2)], &[(1, 2)]), "pairs are not looked at");
        assert!(!echo::<u8, u8>(&[], &[]));
        assert!(numbers(&[1_u8]).is_empty(), "nobody watches");
    }
}
