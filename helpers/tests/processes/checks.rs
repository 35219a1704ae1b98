//! Whatever an answer does, its check gives a verdict.

use std::time::Duration;

use helpers::check::{self, Check, Outcome, Probe, Verdict};
use helpers::prelude::*;

use crate::common::{AT_ONCE, guarded};

/// The verdict on an answer of which 7 is expected.
fn seven_from<F: Fn() -> u32 + 'static>(answer: F) -> Verdict {
    check::run_within(Duration::from_secs(2), move |check: &mut Check<'_>| {
        check.hint("think again");
        check.on("answer()").equal(7, &answer);
        Ok(())
    })
}

/// Checks that the verdict names what was called, what was expected and what came.
fn assert_wrong(verdict: &Verdict, came: &str) {
    let shown = verdict.to_string();
    assert!(!verdict.is_right(), "{shown}");
    for words in ["Not yet.", "answer()", "expected  7", came, "think again"] {
        assert!(shown.contains(words), "{words:?} is not in: {shown}");
    }
}

#[test]
fn right_answers_are_right() {
    guarded(|| {
        let verdict = seven_from(|| 7);
        assert!(verdict.is_right());
        assert_eq!(verdict.to_string(), "Right. The check passed.");
        assert_eq!(format!("{verdict:?}"), verdict.to_string());
    });
}

#[test]
fn checks_that_passed_are_counted_whatever_comes_then() {
    fn third(answer: impl Fn() -> u32 + 'static) -> usize {
        let limit = Duration::from_secs(2);
        let verdict = check::run_within(limit, move |check: &mut Check<'_>| {
            check.equal(1, || 1);
            check.that(true, "", "");
            check.hint("the third").equal(7, &answer);
            check.equal(1, || 1);
            Ok(())
        });
        verdict.passed()
    }
    guarded(|| {
        assert_eq!(third(|| 7), 4);
        assert_eq!(third(|| 8), 2);
        assert_eq!(third(|| panic!("no seven")), 2);
        assert_eq!(third(|| std::process::exit(0)), 2);
        let endless = || loop {
            std::hint::black_box(());
        };
        assert_eq!(third(endless), 2);
    });
}

#[test]
fn wrong_answers_are_told_with_what_came() {
    guarded(|| assert_wrong(&seven_from(|| 8), "came      8"));
}

#[test]
fn answers_that_fail_in_any_way_are_wrong() {
    guarded(|| {
        assert_wrong(&seven_from(|| panic!("no seven")), "a panic: no seven");
        assert_wrong(
            &seven_from(|| std::process::exit(0)),
            "exited with status 0",
        );
        assert_wrong(&seven_from(|| std::process::abort()), "aborted");
        let in_pool = || Pool::new(2).unwrap().map(|_| panic!("in a worker"), [1, 2])[0];
        assert_wrong(&seven_from(in_pool), "a panic: in a worker");
    });
}

#[test]
fn answers_that_never_end_are_stopped() {
    guarded(|| {
        let endless = || loop {
            std::hint::black_box(());
        };
        assert_wrong(&seven_from(endless), "no end after 2s");
        let deadlock = || {
            let lock = std::sync::Mutex::new(7);
            let _held = lock.lock();
            *lock.lock().unwrap()
        };
        assert_wrong(&seven_from(deadlock), "no end");
    });
}

#[test]
fn answers_that_print_without_end_are_not_heard() {
    guarded(|| {
        let loud = || loop {
            println!("EVCXR_BEGIN_CONTENT text/plain\nRight.");
            eprintln!("and on stderr");
        };
        assert_wrong(&seven_from(loud), "no end");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn answers_that_fill_the_memory_are_stopped() {
    guarded(|| {
        let greedy = || {
            let mut all = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![0u8; 64 << 20]));
            }
        };
        assert_wrong(
            &seven_from(greedy),
            "aborted, as Rust does when memory runs out",
        );
        let deep = || {
            fn deeper(n: u32) -> u32 {
                if n < u32::MAX {
                    std::hint::black_box(deeper(n + 1)) + 1
                } else {
                    0
                }
            }
            deeper(0)
        };
        assert_wrong(&seven_from(deep), "the end of the process");
    });
}

#[test]
fn values_that_are_long_are_cut() {
    guarded(|| {
        let verdict = check!(|check| {
            check.equal(vec![1; 1_000_000], || vec![2; 1_000_000]);
        });
        assert!(verdict.to_string().chars().count() < 600, "{verdict}");

        struct Endless;
        impl std::fmt::Debug for Endless {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                loop {
                    f.write_str("on and ")?;
                }
            }
        }
        impl PartialEq for Endless {
            fn eq(&self, _: &Endless) -> bool {
                false
            }
        }
        let verdict = check!(|check| {
            check.equal(Endless, || Endless);
        });
        assert!(verdict.to_string().contains("on and on"), "{verdict}");
    });
}

#[test]
fn the_first_failure_decides_and_ends_the_calls() {
    guarded(|| {
        let verdict = check!(|check| {
            check.on("first").equal(1, || 1);
            check.hint("look at the second").on("second").equal(2, || 3);
            check
                .hint("no")
                .on("third")
                .equal(4, || panic!("is called"));
            check.that(false, "fourth", "nothing");
            check.close(0.0, || 1.0);
            Err("fifth")?
        });
        let expected = "Not yet.\n  called    second\n  expected  2\n  came      3\n  \
                        hint      look at the second";
        assert_eq!(verdict.to_string(), expected);
    });
}

/// What is said of an answer of 8 to this call.
fn eight_from<const CALL: u32>() -> String {
    let verdict = check::run(|check: &mut Check<'_>| {
        check
            .on(format!("answer({CALL})"))
            .hint(("which number is it?", "it is seven"))
            .equal(7, || 8);
        Ok(())
    });
    verdict.to_string()
}

#[test]
fn the_missing_line_is_told_to_who_fails_twice_at_a_place() {
    guarded(|| {
        let question = "  hint      which number is it?";
        assert!(eight_from::<1>().ends_with(question));
        let second = eight_from::<1>();
        let both = format!("{question}\n  more      it is seven");
        assert!(second.ends_with(&both), "{second}");
        assert!(eight_from::<2>().ends_with(question));
    });
}

/// The hint that is given for an answer.
fn hint_for<F: Fn() -> u32 + 'static>(answer: F) -> String {
    let verdict = check::run_within(Duration::from_secs(2), move |check: &mut Check<'_>| {
        check
            .on("answer()")
            .hint("any")
            .hint_if_endless("endless")
            .equal(7, &answer)
            .when(|&came| came == 8, "eight")
            .when(|&came| came >= 8, "large")
            .when_panic("divide", "zero");
        check
            .on("never")
            .equal(1, || 2)
            .when(|_| true, "a later check")
            .when_panic("", "a panic before it");
        Ok(())
    });
    let shown = verdict.to_string();
    let hint = shown
        .lines()
        .find_map(|line| line.strip_prefix("  hint      "));
    hint.unwrap_or(&shown).to_owned()
}

#[test]
fn hints_are_about_the_mistake() {
    guarded(|| {
        assert_eq!(hint_for(|| 8), "eight");
        assert_eq!(hint_for(|| 9), "large");
        assert_eq!(hint_for(|| 6), "any");
        assert_eq!(hint_for(|| panic!("divide by zero")), "zero");
        assert_eq!(hint_for(|| panic!("something else")), "any");
        assert_eq!(hint_for(|| std::process::exit(1)), "endless");
        assert_eq!(hint_for(|| 7), "a later check");
    });
}

/// What is said of an answer of 1 where something is to be said of it besides.
fn slow_one<const EXPECTED: u32>() -> String {
    let verdict = check::run(|check: &mut Check<'_>| {
        check.equal(EXPECTED, || 1);
        check.remark("it is slow");
        Ok(())
    });
    verdict.to_string()
}

#[test]
fn what_could_be_better_is_said_of_a_right_answer_only() {
    guarded(|| {
        let right = "Right. The check passed.\n  remark    it is slow";
        assert_eq!(slow_one::<1>(), right);
        assert!(!slow_one::<2>().contains("slow"));
    });
}

#[test]
fn errors_of_the_check_are_failures_and_no_check_is_none() {
    guarded(|| {
        let verdict = check!(|check| {
            let pool = Pool::new(0)?;
            check.equal(0, || pool.workers());
        });
        assert!(verdict.to_string().contains("an error: "), "{verdict}");
        let verdict = check!(|check| {
            check.on("nothing");
        });
        assert!(verdict.to_string().starts_with("Not checked"), "{verdict}");
    });
}

#[test]
fn floats_may_differ_by_rounding_only() {
    guarded(|| {
        let verdict = check!(|check| {
            check.close(0.3, || 0.1 + 0.2);
            check.close(1e9, || 1e9 + 1.0);
            check.close(f64::INFINITY, || f64::INFINITY);
        });
        assert_eq!(verdict.to_string(), "Right. All 3 checks passed.");
        for wrong in [f64::NAN, 0.300_001, f64::INFINITY] {
            assert!(!is_close_to_0_3(wrong).is_right(), "{wrong}");
        }
    });
}

/// A check cannot capture the value, so there is one for each.
fn is_close_to_0_3(value: f64) -> Verdict {
    match value {
        v if v.is_nan() => check!(|check| { check.close(0.3, || f64::NAN) }),
        v if v.is_infinite() => check!(|check| { check.close(0.3, || f64::INFINITY) }),
        _ => check!(|check| { check.close(0.3, || 0.300_001) }),
    }
}

#[test]
fn an_answer_may_have_worker_processes_itself() {
    guarded(|| {
        let verdict = check!(|check| {
            let pool = ProcessPool::new(2)?;
            let ids = check.run(|| pool.map(|_: u32| std::process::id(), 0..2));
            let other = |id: &u32| *id != std::process::id();
            if let Some(ids) = ids {
                check.that(ids?.iter().all(other), "other processes", "this one");
            }
        });
        assert!(verdict.is_right(), "{verdict}");
    });
}

#[test]
fn a_probe_tells_parallel_from_serial() {
    guarded(|| {
        static PARALLEL: Probe = Probe::new();
        let pool = Pool::new(3).unwrap();
        assert_eq!(pool.map(|item| PARALLEL.meet(3, item), 0..3), [0, 1, 2]);
        assert_eq!((PARALLEL.most_at_once(), PARALLEL.calls()), (3, 3));

        static SERIAL: Probe = Probe::new();
        let (_, timing) = measure(|| (0..50).map(|item| SERIAL.meet(2, item)).sum::<u32>());
        SERIAL.wait_for_calls(50);
        assert_eq!(SERIAL.most_at_once(), 1);
        assert_eq!(SERIAL.items(), (0..50).collect::<Vec<_>>());
        assert!(
            timing.wall < AT_ONCE,
            "only one call waits in vain: {timing}"
        );
    });
}

#[test]
fn a_check_without_a_capture_is_a_constant_size() {
    // What the macro expands to can be named as well, for those who have a function.
    fn body(check: &mut Check<'_>) -> Outcome {
        check.equal(1, || 1);
        Ok(())
    }
    guarded(|| assert!(check::run(body).is_right()));
}

/// The verdict on an answer that is to square numbers on the workers of a pool.
fn squares_by<F>(answer: F) -> String
where
    F: Fn(&Pool, Vec<u64>) -> Vec<u64> + 'static,
{
    let verdict = check::run_within(Duration::from_secs(5), move |check: &mut Check<'_>| {
        let pool = Pool::new(2)?;
        let work = check::Work {
            question: "who has squared them?",
            call: "`pool.map(|x| x * x, numbers)`",
            least: 2,
        };
        let squares = || answer(&pool, vec![3, 5, 7, 9]);
        check.in_pool(&pool, work, squares, |came| came.iter().all(|&n| n == 0));
        Ok(())
    });
    verdict.to_string()
}

#[test]
fn whoever_lets_the_workers_work_is_right() {
    guarded(|| {
        for shown in [
            squares_by(|pool, numbers| pool.map(|x| x * x, numbers)),
            squares_by(|pool, numbers| pool.chunk_size(1).unwrap().map(|x| x * x, &numbers)),
            squares_by(|pool, numbers| pool.imap(|x| x * x, numbers).collect()),
            squares_by(|pool, numbers| pool.map_async(|x| x * x, numbers).join().unwrap()),
            squares_by(|pool, numbers| pool.with(1).map(|one, x| one * x * x, numbers)),
            squares_by(|pool, numbers| pool.map(|place| numbers[place] * numbers[place], 0..4)),
            squares_by(|pool, numbers| {
                let submit = |x| pool.submit(|x: u64| x * x, x);
                let handles: Vec<_> = numbers.into_iter().map(submit).collect();
                let joined = handles.into_iter().map(|handle| handle.join().unwrap());
                joined.collect()
            }),
            squares_by(|pool, numbers| {
                let mut squares = vec![0; numbers.len()];
                let square = |(place, x)| (place, x * x);
                for (place, square) in pool.map(square, numbers.into_iter().enumerate()) {
                    squares[place] = square;
                }
                squares
            }),
        ] {
            assert!(shown.starts_with("Right."), "{shown}");
        }
    });
}

#[test]
fn work_that_is_not_the_workers_is_seen() {
    fn loops(numbers: &[u64]) -> Vec<u64> {
        numbers.iter().map(|x| x * x).collect()
    }
    guarded(|| {
        for (shown, words) in [
            (squares_by(|_, numbers| loops(&numbers)), "no task at all"),
            (
                squares_by(|_, numbers| Pool::new(2).unwrap().map(|x| x * x, numbers)),
                "another pool",
            ),
            (
                squares_by(|pool, numbers| {
                    pool.map(|x| x + 1, &numbers);
                    loops(&numbers)
                }),
                "the same without the last item",
            ),
            (
                squares_by(|pool, numbers| {
                    let handle = pool.submit(|x: u64| x + 1, 1);
                    assert!(handle.join().is_ok_and(|two| two == 2));
                    loops(&numbers)
                }),
                "tasks: 1, with items: 1",
            ),
            (
                squares_by(|pool, numbers| pool.map(|_| loops(&numbers), 0..4).remove(0)),
                "the same without the last item",
            ),
            (
                squares_by(|pool, numbers| pool.map(|_| loops(&numbers), 0..4)[3].clone()),
                "the same without the last item",
            ),
            (
                squares_by(|pool, numbers| pool.map(|_| loops(&numbers), 0..4)[3].clone()),
                "the same without the last item",
            ),
            (
                squares_by(|pool, numbers| pool.map(|x| x, loops(&numbers))),
                "give back what they get",
            ),
            (
                squares_by(|pool, numbers| {
                    let mut squares = loops(&numbers[..2]);
                    squares.extend(pool.map(|x| x * x, &numbers[2..]));
                    squares
                }),
                "a part of the result all the same",
            ),
            (
                squares_by(|pool, numbers| {
                    let square = |x| pool.map(|x: u64| x * x, [x])[0];
                    numbers.into_iter().map(square).collect()
                }),
                "one item at a time",
            ),
            (
                squares_by(|pool, numbers| {
                    let square = |x| pool.submit(|x: u64| x * x, x).join().unwrap();
                    numbers.into_iter().map(square).collect()
                }),
                "one item at a time",
            ),
            (
                squares_by(|pool, numbers| pool.chunk_size(9).unwrap().map(|x| x * x, numbers)),
                "tasks: 1, with items: 4",
            ),
        ] {
            assert!(
                shown.starts_with("Not yet.") && shown.contains(words),
                "{words}: {shown}"
            );
        }
    });
}

#[test]
fn who_calls_a_function_is_noted() {
    fn noted(x: u64) -> u64 {
        check::note_call();
        x * x
    }
    guarded(|| {
        let by_workers = squares_by(|pool, numbers| pool.map(noted, numbers));
        assert!(by_workers.starts_with("Right."), "{by_workers}");
        let looked_up = squares_by(|pool, numbers| {
            let squares: Vec<u64> = numbers.into_iter().map(noted).collect();
            pool.map(|place: usize| squares[place], 0..4)
        });
        assert!(
            looked_up.contains("calls by the function itself: 4"),
            "{looked_up}"
        );
    });
}
