//! CPU time is that of the whole process, so this test has a process to itself.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use helpers::prelude::*;

#[test]
fn sleep_takes_no_cpu_and_work_of_all_threads_counts() {
    let (_, asleep) = measure(|| thread::sleep(Duration::from_millis(200)));
    assert!(asleep.wall >= Duration::from_millis(200));
    assert!(asleep.cpu() < asleep.wall / 4, "{asleep:?}");

    let spin = || {
        let start = Instant::now();
        let mut x = 1u64;
        while start.elapsed() < Duration::from_millis(200) {
            x = black_box(x.wrapping_mul(3));
        }
    };
    let pool = Pool::new(2).unwrap();
    let (_, busy) = measure(|| pool.map(|_| spin(), 0..2));
    assert!(busy.user > Duration::from_millis(100), "{busy:?}");
    assert!(busy.wall >= Duration::from_millis(200));
}
