//! Values that cannot be sent, arrive as something else, or are large.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use helpers::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::common::{AT_ONCE, assert_goes_on, guarded};

const WELL: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;

/// A number that is written and read well, unless it is 5.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value<const WRITE: u8, const READ: u8>(u64);

impl<const WRITE: u8, const READ: u8> Serialize for Value<WRITE, READ> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match WRITE {
            FAILS if self.0 == 5 => Err(ser::Error::custom("five is not written")),
            PANICS if self.0 == 5 => panic!("five cannot be written"),
            _ => self.0.serialize(serializer),
        }
    }
}

impl<'de, const WRITE: u8, const READ: u8> Deserialize<'de> for Value<WRITE, READ> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        match READ {
            FAILS if number == 5 => Err(de::Error::custom("five is not read")),
            PANICS if number == 5 => panic!("five cannot be read"),
            _ => Ok(Value(number)),
        }
    }
}

/// What must be so for results that go wrong.
fn check_results<const WRITE: u8, const READ: u8>(words: &str) {
    let pool = ProcessPool::new(2).unwrap();
    for size in [1, 4] {
        let view = pool.chunk_size(size).unwrap();
        let start = Instant::now();
        let error = view.map(Value::<WRITE, READ>, 0..20).unwrap_err();
        assert!(start.elapsed() < AT_ONCE);
        assert!(error.is_not_sent() || error.is_panic(), "{error}");
        assert_eq!(error.item(), Some(5), "{error}");
        assert_goes_on(&pool);
        for (item, result) in view.imap(Value::<WRITE, READ>, 0..20).enumerate() {
            match result {
                Ok(value) => assert!(value.0 == item as u64 && item != 5, "{item}: {value:?}"),
                Err(error) => {
                    assert_eq!((error.item(), item), (Some(5), 5), "{error}");
                }
            }
        }
    }
    let error = pool.submit(Value::<WRITE, READ>, 5).join().unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_goes_on(&pool);
}

#[test]
fn results_that_cannot_be_written() {
    guarded(|| check_results::<FAILS, WELL>("five is not written"));
}

#[test]
fn results_whose_writing_panics() {
    guarded(|| check_results::<PANICS, WELL>("five cannot be written"));
}

#[test]
fn results_that_cannot_be_read() {
    guarded(|| check_results::<WELL, FAILS>("five is not read"));
}

#[test]
fn results_whose_reading_panics() {
    guarded(|| check_results::<WELL, PANICS>("five cannot be read"));
}

/// What must be so for arguments that go wrong.
fn check_arguments<const WRITE: u8, const READ: u8>(words: &str) {
    let pool = ProcessPool::new(2).unwrap();
    let items = || (0..20).map(Value::<WRITE, READ>);
    let mut text = String::new();
    for size in [1, 4] {
        let view = pool.chunk_size(size).unwrap();
        let take = |value: Value<WRITE, READ>| value.0;
        match catch_unwind(AssertUnwindSafe(|| view.map(take, items()))) {
            Ok(result) => {
                let error = result.unwrap_err();
                assert!(error.is_not_sent() || error.is_panic(), "{error}");
                assert_eq!(error.item(), Some(5), "{error}");
                text = error.to_string();
            }
            Err(_) => assert_eq!(WRITE, PANICS, "a panic of the caller's own"),
        }
        assert_goes_on(&pool);
        if WRITE != PANICS {
            for (item, result) in view.imap(take, items()).enumerate() {
                match result {
                    Ok(value) => assert_eq!(value, item as u64),
                    Err(error) => {
                        assert_eq!((error.item(), item), (Some(5), 5), "{size}: {error}");
                    }
                }
            }
        }
    }
    assert_goes_on(&pool);
    assert!(text.contains(words), "{text}");
}

#[test]
fn arguments_that_cannot_be_written() {
    guarded(|| check_arguments::<FAILS, WELL>("five is not written"));
}

#[test]
fn arguments_whose_writing_panics() {
    guarded(|| check_arguments::<PANICS, WELL>(""));
}

#[test]
fn arguments_that_cannot_be_read() {
    guarded(|| check_arguments::<WELL, FAILS>("five is not read"));
}

#[test]
fn arguments_whose_reading_panics() {
    guarded(|| check_arguments::<WELL, PANICS>("five cannot be read"));
}

/// A type that leaves out what it can, which only formats with names can carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<u8>,
    number: u64,
}

#[test]
fn values_never_arrive_as_others() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        for items in 1..6 {
            for extra in [None, Some(1)] {
                let sent: Vec<Sparse> = (0..items).map(|number| Sparse { extra, number }).collect();
                let arrived = pool.chunk_size(8).unwrap().map(|x: Sparse| x.number, sent);
                if let Ok(numbers) = arrived {
                    assert_eq!(numbers, (0..items).collect::<Vec<_>>());
                }
                let made = |(extra, number): (Option<u8>, u64)| Sparse { extra, number };
                let wanted = (0..items).map(|number| (extra, number));
                let arrived = pool.chunk_size(8).unwrap().map(made, wanted.clone());
                if let Ok(arrived) = arrived {
                    assert!(wanted.eq(arrived.into_iter().map(|x| (x.extra, x.number))));
                }
            }
        }
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Dot { x: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "what")]
enum Beside {
    Dot { x: u8 },
    Line(u8, u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Dot(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    x: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip)]
    cache: u64,
    #[serde(rename = "n", alias = "m", default)]
    number: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SkipsToWrite {
    #[serde(skip_serializing, default)]
    cache: u64,
    list: Vec<u64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SkipsToRead {
    list: Vec<()>,
    #[serde(skip_deserializing)]
    cache: (),
}

#[test]
fn attributes_of_serde_travel_or_are_named() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let there = |error: PoolError, word: &str| {
            assert!(
                error.is_not_sent() && error.to_string().contains(word),
                "{error}"
            );
        };
        there(
            pool.map(|_: Tagged| (), [Tagged::Dot { x: 1 }])
                .unwrap_err(),
            "tag = ",
        );
        there(
            pool.map(|x: u8| Tagged::Dot { x }, [1]).unwrap_err(),
            "tag = ",
        );
        there(
            pool.map(|_: Untagged| (), [Untagged::Dot(1)]).unwrap_err(),
            "untagged",
        );
        there(pool.map(Untagged::Dot, [1]).unwrap_err(), "untagged");
        there(
            pool.map(
                |_: Flat| (),
                [Flat {
                    inner: Inner { x: 1 },
                }],
            )
            .unwrap_err(),
            "flatten",
        );
        there(
            pool.map(|x: u8| Flat { inner: Inner { x } }, [1])
                .unwrap_err(),
            "flatten",
        );
        let some = |extra, number| Sparse { extra, number };
        there(
            pool.map(|x: Sparse| x.number, [some(None, 1)]).unwrap_err(),
            "skip_serializing_if",
        );
        assert_eq!(
            pool.map(|x: Sparse| x.number, [some(Some(1), 2)]),
            Ok(vec![2])
        );
        // The bytes of the list alone, [1, 0], are also those of a 1 and an empty list.
        for list in [vec![0], vec![], vec![7, 8]] {
            let (cache, sent) = (5, list.clone());
            let sent = SkipsToWrite { cache, list: sent };
            let error = pool.map(|x: SkipsToWrite| x.list, [sent]).unwrap_err();
            there(error, "skip_serializing");
            let make = |list| SkipsToWrite { cache: 5, list };
            there(pool.map(make, [list]).unwrap_err(), "skip_serializing");
        }
        let list = vec![(); 3];
        let sent = SkipsToRead { list, cache: () };
        there(
            pool.map(|x: SkipsToRead| x.list, [sent]).unwrap_err(),
            "skip_deserializing",
        );
        let skips = |cache, number| Skips { cache, number };
        let arrived = pool.map(|x: Skips| x, [skips(5, 6)]).unwrap();
        assert_eq!(arrived, [skips(0, 6)]);
        there(
            pool.map(|_: Beside| (), [Beside::Dot { x: 1 }])
                .unwrap_err(),
            "tag = ",
        );
        there(
            pool.map(|x: u8| Beside::Line(x, x), [1]).unwrap_err(),
            "tag = ",
        );
        let error = pool
            .with(Tagged::Dot { x: 1 })
            .map(|_, x: u8| x, [1])
            .unwrap_err();
        there(error, "tag = ");
    });
}

#[test]
fn large_values_to_and_fro() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let sent: Vec<String> = ('a'..'g').map(|x| x.to_string().repeat(20 << 20)).collect();
        let handles: Vec<_> = sent
            .iter()
            .map(|text| pool.submit(|text: String| text, text.clone()))
            .collect();
        thread::scope(|scope| {
            for (handle, text) in handles.into_iter().zip(&sent) {
                scope.spawn(move || assert!(handle.join().unwrap() == *text));
            }
        });
        let back = pool
            .chunk_size(1)
            .unwrap()
            .map(|text: String| text, sent.clone());
        assert!(back.unwrap() == sent);
    });
}

#[test]
fn thousands_of_results_of_100_kilobytes() {
    guarded(|| {
        let pool = ProcessPool::new(2).unwrap();
        let make = |x: u64| format!("{x:05}").repeat(20_000);
        let is_right = |(x, text): (usize, &String)| {
            text.len() == 100_000 && text.starts_with(&format!("{x:05}"))
        };
        let texts = pool.chunk_size(1).unwrap().map(make, 0..2_000).unwrap();
        assert!(texts.len() == 2_000 && texts.iter().enumerate().all(is_right));
        let results = pool.imap(make, 0..1_000).map(Result::unwrap).enumerate();
        assert_eq!(
            results.filter(|(x, text)| is_right((*x, text))).count(),
            1_000
        );
    });
}

#[test]
fn a_panic_with_a_message_of_megabytes() {
    guarded(|| {
        let pool = ProcessPool::new(1).unwrap();
        let error = pool.map(|x: usize| panic!("{}", "long".repeat(x)), [1 << 20]);
        let error: PoolError = error.map(|_: Vec<()>| ()).unwrap_err();
        assert!(error.panic_message().unwrap().starts_with("longlong"));
        assert!(error.to_string().len() > 4 << 20);
        assert_goes_on(&pool);
    });
}
