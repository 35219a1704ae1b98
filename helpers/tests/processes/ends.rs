//! What a worker says about its end, and what its surroundings are.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use helpers::prelude::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::common::{alone, assert_goes_on, crash, guarded, ids};

struct Grenade(&'static str);

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("{} goes off", self.0);
    }
}

#[test]
fn a_panic_that_meets_another_is_told_with_both_messages() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let task = |item: u64| -> u64 {
            let _grenade = (item == 3).then(|| Grenade("the grenade"));
            // These are caught and have nothing to do with it.
            let _ = std::panic::catch_unwind(|| panic!("caught"));
            assert!(item != 3, "item {item} is ill");
            item
        };
        for result in [
            pool.map(task, 0..6).unwrap_err(),
            pool.submit(task, 3).join().unwrap_err(),
            pool.imap(task, 3..4).next().unwrap().unwrap_err(),
        ] {
            let told = result.to_string();
            assert!(result.is_worker_lost(), "{told}");
            assert!(
                told.contains("item 3 is ill") && told.contains("the grenade goes off"),
                "{told}"
            );
            assert!(!told.contains("caught"), "{told}");
        }
        extern "C" fn no_way_out() {
            panic!("no way out");
        }
        let error = pool.submit(|()| no_way_out(), ()).join().unwrap_err();
        assert!(error.to_string().contains("no way out"), "{error}");
        // A value that panics when it is dropped, with no other panic, is a panic like any other.
        let error = pool
            .submit(|()| drop(Grenade("a single one")), ())
            .join()
            .unwrap_err();
        assert!(
            error.is_panic() && error.to_string().contains("a single one goes off"),
            "{error}"
        );
        let error = pool.submit(crash, ()).join().unwrap_err();
        assert!(!error.to_string().contains("goes off"), "{error}");
        assert_goes_on(&pool);
    });
}

/// Uses about 200 bytes of the stack for each.
fn deep(n: u64) -> u64 {
    let frame = black_box([n; 16]);
    if n == 0 {
        0
    } else {
        deep(frame[7] - 1) + frame[9] - n + 1
    }
}

/// The deepest recursion that the main thread can take is about the stack's limit.
fn most() -> u64 {
    let (limit, _) = getrlimit(Resource::RLIMIT_STACK).unwrap();
    // In a program that was not optimised a frame takes more.
    limit.min(64 << 20) / 1000
}

#[test]
fn workers_have_as_deep_a_stack_as_the_main_thread() {
    guarded(|| {
        let most = most();
        let processes = ProcessPool::new(1).unwrap();
        assert_eq!(processes.map(deep, [most]), Ok(vec![most]));
        let threads = Pool::new(1).unwrap();
        assert_eq!(threads.map(deep, [most]), [most]);
        assert_eq!(threads.submit(deep, most).join(), Ok(most));
    });
}

#[test]
fn a_stack_overflow_is_told_as_one_of_its_worker() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let error = pool
            .chunk_size(1)
            .unwrap()
            .map(deep, [1, 2, u64::MAX])
            .unwrap_err();
        let told = error.to_string();
        assert!(error.is_worker_lost() && error.item() == Some(2), "{told}");
        assert!(
            told.contains("stack overflow in worker 0")
                || told.contains("stack overflow in worker 1"),
            "{told}"
        );
        assert_goes_on(&pool);
        // Other bad access is none.
        let task = |()| {
            // SAFETY: none: this is to crash, in a process that exists for nothing else.
            unsafe { black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1) }
        };
        let error = pool.submit(task, ()).join().unwrap_err();
        assert!(error.to_string().contains("SIGSEGV"), "{error}");
        assert!(!error.to_string().contains("stack overflow in"), "{error}");
    });
}

/// A number that has its own idea of what may travel, and how.
#[derive(Debug, PartialEq)]
struct Picky(u64);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 5 {
            return Err(ser::Error::custom("5 stays at home"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number % 2 == 1 && number != 5 {
            return Err(de::Error::custom(format!("{number} is odd")));
        }
        Ok(Picky(number))
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Held {
    Plain(Vec<Picky>),
    Named {
        one: Option<Picky>,
        pair: (Picky, String),
    },
}

#[test]
fn what_a_type_says_of_its_own_travel_is_told() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        #[track_caller]
        fn told<T: std::fmt::Debug>(result: Result<T, PoolError>, words: &str) {
            let error = result.unwrap_err();
            assert!(
                error.is_not_sent() && error.to_string().contains(words),
                "{error}"
            );
        }
        told(pool.map(|_: Picky| (), [Picky(2), Picky(3)]), "3 is odd");
        told(
            pool.map(|_: Picky| (), [Picky(2), Picky(5)]),
            "5 stays at home",
        );
        told(pool.map(Picky, [2, 3]), "3 is odd");
        told(pool.map(Picky, [2, 5]), "5 stays at home");
        told(pool.submit(|_: Picky| (), Picky(7)).join(), "7 is odd");
        told(
            pool.submit(|_: Picky| (), Picky(5)).join(),
            "5 stays at home",
        );
        told(pool.imap(Picky, [7]).next().unwrap(), "7 is odd");
        told(
            pool.imap_unordered(|_: Picky| (), [Picky(5)])
                .next()
                .unwrap(),
            "5 stays at home",
        );
        let within = [
            Held::Plain(vec![Picky(2), Picky(9)]),
            Held::Named {
                one: Some(Picky(9)),
                pair: (Picky(2), String::new()),
            },
            Held::Named {
                one: None,
                pair: (Picky(9), String::new()),
            },
        ];
        for held in within {
            told(pool.map(|_: Held| (), [held]), "9 is odd");
        }
        let whole = Held::Named {
            one: Some(Picky(4)),
            pair: (Picky(2), "x".into()),
        };
        assert_eq!(pool.map(|held: Held| held, [whole]).unwrap().len(), 1);
        let started = ProcessPool::builder(1)
            .initializer(|_: Picky| (), Picky(3))
            .build();
        assert!(started.unwrap_err().to_string().contains("3 is odd"));
        let started = ProcessPool::builder(1)
            .initializer(|_: Picky| (), Picky(5))
            .build();
        told(started, "5 stays at home");
        // serde's own messages are told as well.
        told(pool.map(|_: Wrong| (), [Wrong]), "variant");
        assert_goes_on(&pool);
    });
}

/// Bytes that its Deserialize does not know.
#[derive(Debug)]
struct Wrong;

impl Serialize for Wrong {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        77u32.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Wrong {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Known {
            #[allow(dead_code)]
            One,
        }
        Known::deserialize(deserializer).map(|_| Wrong)
    }
}

#[test]
fn no_file_may_be_long() {
    guarded(|| drop(alone("ends::alone_no_file_may_be_long")));
}

#[test]
#[ignore = "runs alone, in a process of its own"]
fn alone_no_file_may_be_long() {
    let limit = 100 << 10;
    setrlimit(Resource::RLIMIT_FSIZE, limit, limit).unwrap();
    let pool = ProcessPool::new(2).unwrap();
    let text = "x".repeat(1_000_000);
    let sent = pool.map(|text: String| text.len(), [text.clone(), text.clone()]);
    assert_eq!(sent, Ok(vec![1_000_000; 2]));
    let there_and_back = pool.map(|text: String| text, [text.clone()]);
    assert_eq!(there_and_back, Ok(vec![text.clone()]));
    let numbers = pool
        .submit(|count: usize| vec![1.0f64; count], 300_000)
        .join();
    assert_eq!(numbers.unwrap().len(), 300_000);
    let error = SharedArray::<f64>::zeros(1_000_000).unwrap_err();
    assert!(error.to_string().contains("File too large"), "{error}");
    assert_goes_on(&pool);
}

#[test]
fn all_workers_are_in_the_folder_where_the_pool_was_made() {
    guarded(|| drop(alone("ends::alone_all_workers_are_in_one_folder")));
}

#[test]
#[ignore = "runs alone, in a process of its own"]
fn alone_all_workers_are_in_one_folder() {
    let before = env::current_dir().unwrap();
    let pool = ProcessPool::builder(2)
        .tasks_per_worker(50)
        .build()
        .unwrap();
    let folder = |()| {
        thread::sleep(std::time::Duration::from_millis(5));
        env::current_dir().unwrap()
    };
    let folders = |pool: &ProcessPool| -> Vec<PathBuf> {
        pool.chunk_size(1)
            .unwrap()
            .map(folder, vec![(); 30])
            .unwrap()
    };
    let other = env::temp_dir().join(format!("helpers-folder-{}", std::process::id()));
    fs::create_dir(&other).unwrap();
    env::set_current_dir(&other).unwrap();
    let first = ids(&pool);
    assert!(pool.submit(crash, ()).join().is_err());
    assert_eq!(folders(&pool), vec![before.clone(); 30]);
    assert_eq!(folders(&pool), vec![before.clone(); 30]);
    assert_ne!(ids(&pool), first);
    // A pool that is made now is here, and stays when the folder is gone.
    let here = ProcessPool::new(2).unwrap();
    assert_eq!(folders(&here), vec![other.clone(); 30]);
    fs::remove_dir(&other).unwrap();
    assert!(here.submit(crash, ()).join().is_err());
    assert_goes_on(&here);
    env::set_current_dir(before).unwrap();
}

#[test]
fn workers_have_a_name_that_says_what_they_are() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let name = |()| fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(pool.submit(name, ()).join().unwrap(), "helpers-worker\n");
        // Programs that tasks start have their own.
        let started = |()| {
            Command::new("cat")
                .arg("/proc/self/comm")
                .output()
                .unwrap()
                .stdout
        };
        assert_eq!(pool.submit(started, ()).join().unwrap(), b"cat\n");
    });
}
