//! What tasks print arrives, and keeps nobody from anything.

use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use helpers::prelude::*;

use crate::common::{AT_ONCE, alone, alone_and_hardly_heard, guarded};

#[test]
fn a_task_that_prints_without_end_has_a_time_limit_like_others() {
    guarded(|| alone_and_hardly_heard("output::prints_without_end"));
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints_without_end() {
    let pool = ProcessPool::new(1).unwrap();
    let view = pool.time_limit(Duration::from_millis(500)).unwrap();
    let start = Instant::now();
    let error = view.map(|()| print_without_end(), [()]).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() < AT_ONCE);
}

fn print_without_end() {
    let text = "all work and no play\n".repeat(1000);
    while io::stdout().write_all(text.as_bytes()).is_ok() {}
}

#[test]
fn a_child_that_prints_without_end_does_not_keep_the_pool() {
    guarded(|| alone_and_hardly_heard("output::leaves_a_child_that_prints"));
}

#[test]
#[ignore = "runs in a process of its own"]
fn leaves_a_child_that_prints() {
    let pool = ProcessPool::new(1).unwrap();
    let task = |()| {
        let mut child = Command::new("timeout");
        child.args(["25", "yes"]).spawn().unwrap().id()
    };
    pool.submit(task, ()).join().unwrap();
    let start = Instant::now();
    drop(pool);
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[test]
fn a_megabyte_without_a_newline_arrives() {
    guarded(|| {
        let shown = alone("output::prints_a_megabyte");
        let accents = shown.matches('é').count();
        assert_eq!((accents, shown.matches('\u{fffd}').count()), (500_000, 0));
        let end = shown.find("the end of it").unwrap();
        assert!(end > shown.rfind('é').unwrap());
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints_a_megabyte() {
    let pool = ProcessPool::new(1).unwrap();
    // One byte first, so that no letter of two bytes begins at an even place.
    let task = |()| print!("-{}", "é".repeat(500_000));
    pool.map(task, [()]).unwrap();
    println!("the end of it");
}

#[test]
fn lines_in_two_parts_stay_whole_though_the_next_task_has_begun() {
    guarded(|| {
        let shown = alone("output::prints_lines_in_two_parts");
        let lines = shown.lines().filter(|line| line.starts_with("task "));
        let whole = lines.filter(|line| line.ends_with(" done")).count();
        assert_eq!((whole, shown.matches("task ").count()), (5000, 5000));
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints_lines_in_two_parts() {
    let pool = ProcessPool::new(2).unwrap();
    let task = |number: u32| {
        print!("task {number}");
        io::stdout().flush().unwrap();
        println!(" done");
    };
    pool.chunk_size(1).unwrap().map(task, 0..5000).unwrap();
}
