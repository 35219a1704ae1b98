//! Who waits for whom: a wait that could never end is told, and does not hang.
//!
//! Tasks run on threads, one above the other where a task runs what it waits for. A [`Place`] is a
//! thread, and how high on it. What runs at a place can end only if the thread is not caught in a
//! wait that never ends, and if what was begun above it, such as a `map` with items on other
//! threads, can end. Before a task waits without a limit it asks [`wait_for`] whether that could
//! be for ever. A circle of waits is closed by the last of them, so that one is told.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A thread, and how high on it: 0 is whatever runs no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    thread: u64,
    height: u32,
}

/// What can be waited for.
pub(crate) trait Awaited: Send + Sync {
    /// Where it runs: it ends when all of these can end. Nowhere if it has ended, or if nothing is
    /// known that holds it up.
    fn places(&self) -> Vec<Place>;
}

thread_local! {
    /// 0 until somebody wants to know.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static HEIGHT: Cell<u32> = const { Cell::new(0) };
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut number = NUMBER.get();
    if number == 0 {
        number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(number);
    }
    number
}

impl Place {
    /// Whether it is on the same thread.
    pub(crate) fn is_on(self, other: Place) -> bool {
        self.thread == other.thread
    }
}

/// The place of all that this thread will ever do.
pub(crate) fn thread() -> Place {
    Place {
        thread: thread_number(),
        height: 0,
    }
}

/// Notes that this thread is a worker of a pool; gives its place.
pub(crate) fn become_worker() -> Place {
    IS_WORKER.set(true);
    thread()
}

/// Whether this thread is there for the tasks of some pool, of this crate or of rayon. It runs what
/// it waits for and nobody has begun: who else would?
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get() || rayon::current_thread_index().is_some()
}

/// Whether this thread is at a task, or may have to be: else it waits as anybody does.
pub(crate) fn is_in_a_task() -> bool {
    HEIGHT.get() > 0 || is_worker()
}

/// What this thread begins now, until it is dropped.
#[derive(Debug)]
pub(crate) struct Begun(Place);

impl Begun {
    /// Something is begun, above what this thread is at.
    pub(crate) fn new() -> Begun {
        let height = HEIGHT.get() + 1;
        HEIGHT.set(height);
        Begun(Place {
            thread: thread_number(),
            height,
        })
    }

    pub(crate) fn place(&self) -> Place {
        self.0
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        HEIGHT.set(self.0.height - 1);
    }
}

/// What is known of a thread that is in a wait, or has something under way on other threads.
#[derive(Default)]
struct Caught {
    /// It goes on as soon as one of these has ended.
    waits_for: Option<Vec<Arc<dyn Awaited>>>,
    /// What must have ended before what is at this height or below can.
    under_way: Vec<(u32, Arc<dyn Awaited>)>,
}

static CAUGHT: Mutex<Option<HashMap<u64, Caught>>> = Mutex::new(None);

fn caught() -> MutexGuard<'static, Option<HashMap<u64, Caught>>> {
    // Nothing that could panic happens under the lock.
    CAUGHT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wait of this thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    is_noted: bool,
}

/// Begins a wait without a limit, for any one of `awaited`. `None` if it could never end.
pub(crate) fn wait_for(awaited: impl FnOnce() -> Vec<Arc<dyn Awaited>>) -> Option<Waiting> {
    // Nothing can wait for a thread that is at no task.
    if HEIGHT.get() == 0 {
        return Some(Waiting { is_noted: false });
    }
    let me = thread_number();
    let mut all = caught();
    let threads = all.get_or_insert_default();
    threads.entry(me).or_default().waits_for = Some(awaited());
    let waiting = Waiting { is_noted: true };
    let can_end = Judge::new(threads).may_go_on(me);
    drop(all);
    can_end.then_some(waiting)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_noted {
            // What was awaited is dropped behind the lock.
            drop(forget(|caught| caught.waits_for.take()));
        }
    }
}

/// Takes out something of what is known of this thread.
fn forget<T>(take: impl FnOnce(&mut Caught) -> Option<T>) -> Option<T> {
    let me = thread_number();
    let mut all = caught();
    let threads = all.as_mut()?;
    let mine = threads.get_mut(&me)?;
    let taken = take(mine);
    if mine.waits_for.is_none() && mine.under_way.is_empty() {
        threads.remove(&me);
    }
    taken
}

/// What a task of this thread has begun on other threads, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    is_noted: bool,
}

impl UnderWay {
    /// What this thread is at cannot end before `what` has.
    pub(crate) fn new(what: impl FnOnce() -> Arc<dyn Awaited>) -> UnderWay {
        let height = HEIGHT.get();
        if height == 0 {
            return UnderWay { is_noted: false };
        }
        let mut all = caught();
        let threads = all.get_or_insert_default();
        let mine = threads.entry(thread_number()).or_default();
        mine.under_way.push((height, what()));
        UnderWay { is_noted: true }
    }

    /// Whether it can end, as far as is known.
    pub(crate) fn can_end(&self) -> bool {
        let all = caught();
        let threads = all.as_ref().filter(|_| self.is_noted);
        threads.is_none_or(|threads| {
            let judge = Judge::new(threads);
            let me = Place {
                thread: thread_number(),
                height: HEIGHT.get(),
            };
            judge.can_end(me, &mut Vec::new())
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.is_noted {
            drop(forget(|caught| caught.under_way.pop()));
        }
    }
}

/// All that is known at one moment.
struct Judge {
    /// Threads whose waits may never end, each with the places of what it waits for.
    stuck: HashMap<u64, Vec<Vec<Place>>>,
    /// What is under way: its thread and height, and where it runs.
    under_way: Vec<(Place, Vec<Place>)>,
}

impl Judge {
    fn new(threads: &HashMap<u64, Caught>) -> Judge {
        let places = |awaited: &Arc<dyn Awaited>| awaited.places();
        let under_way = threads.iter().flat_map(|(&thread, caught)| {
            let under_way = caught.under_way.iter();
            under_way.map(move |(height, what)| {
                let height = *height;
                (Place { thread, height }, what.places())
            })
        });
        let waits = threads.iter().filter_map(|(&thread, caught)| {
            let waits_for = caught.waits_for.as_ref()?;
            Some((thread, waits_for.iter().map(places).collect()))
        });
        let mut judge = Judge {
            under_way: under_way.collect(),
            stuck: waits.collect(),
        };
        // All are stuck until it is shown how one of them can go on.
        loop {
            let is_free = |&(_, waits_for): &(&u64, &Vec<Vec<Place>>)| {
                let can_end = |places: &Vec<Place>| judge.can_all_end(places, &mut Vec::new());
                waits_for.iter().any(can_end)
            };
            let Some((&thread, _)) = judge.stuck.iter().find(is_free) else {
                return judge;
            };
            judge.stuck.remove(&thread);
        }
    }

    fn may_go_on(&self, thread: u64) -> bool {
        !self.stuck.contains_key(&thread)
    }

    fn can_all_end(&self, places: &[Place], seen: &mut Vec<usize>) -> bool {
        places.iter().all(|&place| self.can_end(place, seen))
    }

    /// Whether what runs at a place can end. What was `seen` on the way there needs it.
    fn can_end(&self, place: Place, seen: &mut Vec<usize>) -> bool {
        if !self.may_go_on(place.thread) {
            return false;
        }
        let mut above = self.under_way.iter().enumerate();
        above.all(|(index, (at, places))| {
            if at.thread != place.thread || at.height < place.height {
                return true;
            }
            if seen.contains(&index) {
                return false;
            }
            seen.push(index);
            // What its own thread does of it lies above it.
            let elsewhere = places.iter().filter(|other| other.thread != at.thread);
            let can_end = elsewhere.copied().all(|other| self.can_end(other, seen));
            seen.pop();
            can_end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(Vec<Place>);

    impl Awaited for At {
        fn places(&self) -> Vec<Place> {
            self.0.clone()
        }
    }

    fn at(thread: u64, height: u32) -> Place {
        Place { thread, height }
    }

    fn waits(places: &[&[Place]]) -> Caught {
        let awaited = |places: &&[Place]| Arc::new(At(places.to_vec())) as Arc<dyn Awaited>;
        Caught {
            waits_for: Some(places.iter().map(awaited).collect()),
            under_way: Vec::new(),
        }
    }

    fn stuck(threads: impl IntoIterator<Item = (u64, Caught)>) -> Vec<u64> {
        let judge = Judge::new(&threads.into_iter().collect());
        let mut stuck: Vec<u64> = judge.stuck.into_keys().collect();
        stuck.sort_unstable();
        stuck
    }

    #[test]
    fn circles_are_stuck_and_chains_are_not() {
        let chain = [(1, waits(&[&[at(2, 1)]])), (2, waits(&[&[at(3, 1)]]))];
        assert!(stuck(chain).is_empty());
        let circle = [(1, waits(&[&[at(2, 1)]])), (2, waits(&[&[at(1, 1)]]))];
        assert_eq!(stuck(circle), [1, 2]);
        // A third one waits for the circle, a fourth one for that or for what ends.
        let beside = [
            (1, waits(&[&[at(2, 1)]])),
            (2, waits(&[&[at(1, 1)]])),
            (3, waits(&[&[at(2, 1)]])),
            (4, waits(&[&[at(3, 1)], &[]])),
        ];
        assert_eq!(stuck(beside), [1, 2, 3]);
    }

    #[test]
    fn one_way_out_is_enough() {
        let out = [
            (1, waits(&[&[at(2, 1)], &[at(9, 1)]])),
            (2, waits(&[&[at(1, 1)]])),
        ];
        assert!(stuck(out).is_empty());
    }

    #[test]
    fn what_is_under_way_counts_for_what_lies_below_it() {
        let with_map = |height| {
            let map: Arc<dyn Awaited> = Arc::new(At(vec![at(2, 1)]));
            let maps = Caught {
                waits_for: None,
                under_way: vec![(1, map)],
            };
            [(1, maps), (2, waits(&[&[at(1, height)]]))]
        };
        assert_eq!(stuck(with_map(1)), [2], "the task that maps");
        assert!(
            stuck(with_map(2)).is_empty(),
            "an item of the map on its thread"
        );
    }
}
