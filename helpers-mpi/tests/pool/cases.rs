//! What other pools promise, too: what nobody asks for is stopped, ends are told, and no wait hangs.

use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, process};

use helpers::prelude::*;
use helpers_mpi::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::common::{AT_ONCE, alone, assert_goes_on, guarded, ids, soon};

fn nap(ms: u64) -> u64 {
    sleep(Duration::from_millis(ms));
    ms
}

const LONG: u64 = 500_000;

#[test]
fn what_nobody_asks_for_any_more_is_stopped() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        for how in 0..3 {
            let start = Instant::now();
            match how {
                0 => drop(pool.imap(nap, [50, LONG, LONG]).next()),
                1 => drop(pool.imap_unordered(nap, [50, LONG, LONG]).next()),
                _ => drop(as_completed([50, LONG, LONG].map(|ms| pool.submit(nap, ms))).next()),
            }
            assert_eq!(pool.map(nap, [0; 4]), Ok(vec![0; 4]));
            assert!(start.elapsed() < AT_ONCE, "{how}: {:?}", start.elapsed());
        }
        // The job of the other one may still be about to end.
        let pool = MpiPool::new(2).unwrap();
        let before = ids(&pool);
        drop(pool.imap(nap, 0..5).next());
        assert_eq!(ids(&pool), before, "short items cost no job");
    });
}

#[test]
fn a_source_that_panics_ends_an_imap_behind_the_results_before_it() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let source = (0..10u64).inspect(|item| assert!(*item != 3, "no item {item}"));
        let mut results = pool.imap(|x: u64| x * 2, source);
        for item in 0..3 {
            assert_eq!(results.next(), Some(Ok(item * 2)));
        }
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        assert_eq!(results.next(), None);
    });
}

struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a grenade goes off");
    }
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn deep(n: u64) -> u64 {
    let frame = black_box([n; 128]);
    deep(frame[7] + 1) + frame[9]
}

#[test]
fn a_ranks_last_words_are_told() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        let task = |item: u64| {
            let _grenade = (item == 3).then_some(Grenade);
            assert!(item != 3, "item {item} is ill");
        };
        let error = pool.chunk_size(1).unwrap().map(task, [3]).unwrap_err();
        let told = error.to_string();
        assert!(error.is_worker_lost() && error.item() == Some(0), "{told}");
        assert!(
            told.contains("item 3 is ill") && told.contains("a grenade goes off"),
            "{told}"
        );
        let error = pool.submit(deep, 1).join().unwrap_err();
        let told = error.to_string();
        assert!(error.is_worker_lost(), "{told}");
        assert!(
            told.contains("stack overflow in rank 1") || told.contains("stack overflow in rank 2"),
            "{told}"
        );
        assert_goes_on(&pool);
    });
}

#[derive(Debug, PartialEq)]
struct Picky(u64);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            5 => Err(ser::Error::custom("5 stays at home")),
            number => number.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            3 => Err(de::Error::custom("3 is odd")),
            number => Ok(Picky(number)),
        }
    }
}

#[test]
fn what_a_type_says_of_its_own_travel_is_told() {
    guarded(|| {
        let pool = MpiPool::new(2).unwrap();
        for (error, words) in [
            (pool.map(|_: Picky| (), [Picky(3)]).unwrap_err(), "3 is odd"),
            (
                pool.map(|_: Picky| (), [Picky(5)]).unwrap_err(),
                "5 stays at home",
            ),
            (pool.map(Picky, [3]).unwrap_err(), "3 is odd"),
            (pool.map(Picky, [5]).unwrap_err(), "5 stays at home"),
        ] {
            assert!(
                error.is_not_sent() && error.to_string().contains(words),
                "{error}"
            );
        }
    });
}

#[test]
fn all_handles_of_a_broken_pool_have_the_cause() {
    guarded(|| {
        let path = env::temp_dir().join(format!("helpers-mpi-model-{}", process::id()));
        fs::write(&path, "model").unwrap();
        let load = |path: String| fs::read_to_string(path).expect("the model cannot be read");
        let pool = MpiPool::builder(2).initializer(load, path.display().to_string());
        let pool = pool.build().unwrap();
        fs::remove_file(&path).unwrap();
        let lost = pool.submit(|()| -> () { process::exit(3) }, ());
        let waiting: Vec<_> = (0..4).map(|_| pool.submit(nap, LONG)).collect();
        assert!(lost.join().unwrap_err().is_worker_lost());
        for handle in waiting {
            let error = handle.join().unwrap_err();
            let told = error.to_string();
            // What the other rank was at is lost with the job.
            assert!(!error.is_cancelled(), "{told}");
            assert!(
                error.is_worker_lost() || told.contains("the model cannot be read"),
                "{told}"
            );
        }
        let error = pool.map(nap, [1]).unwrap_err();
        assert!(error.is_start() && error.to_string().contains("the model cannot be read"));
    });
}

struct OnWake(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for OnWake {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

#[test]
fn a_waker_that_waits_for_its_own_pool_is_told() {
    guarded(|| {
        let pool = Arc::new(MpiPool::new(2).unwrap());
        let (tell, told) = mpsc::channel();
        let inner = Arc::clone(&pool);
        let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(move || {
            tell.send(inner.submit(nap, 1).join()).unwrap();
        }))))));
        let mut handle = pool.submit(nap, 100);
        let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        let error = told
            .recv_timeout(AT_ONCE)
            .expect("the waker hangs")
            .unwrap_err();
        assert!(error.is_deadlock(), "{error}");
        assert_goes_on(&pool);
    });
}

#[test]
fn all_ranks_are_in_the_folder_where_the_pool_was_made() {
    guarded(|| drop(alone("cases::alone_all_ranks_are_in_one_folder")));
}

#[test]
#[ignore = "runs in a process of its own"]
fn alone_all_ranks_are_in_one_folder() {
    let before = env::current_dir().unwrap();
    let pool = MpiPool::new(2).unwrap();
    let folder = |()| {
        sleep(Duration::from_millis(10));
        env::current_dir().unwrap()
    };
    let folders = || pool.chunk_size(1).unwrap().map(folder, [(); 8]).unwrap();
    env::set_current_dir(env::temp_dir()).unwrap();
    assert_eq!(folders(), vec![before.clone(); 8]);
    let first = ids(&pool);
    assert!(
        pool.submit(|()| -> () { process::exit(3) }, ())
            .join()
            .is_err()
    );
    assert!(soon(|| ids(&pool).is_disjoint(&first)));
    assert_eq!(folders(), vec![before; 8]);
}

#[test]
fn ranks_have_a_name_that_says_what_they_are() {
    guarded(|| {
        let pool = MpiPool::new(1).unwrap();
        let name = |()| fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(pool.submit(name, ()).join().unwrap(), "helpers-rank 1\n");
    });
}
