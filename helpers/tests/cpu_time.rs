//! CPU time is that of the whole process, so this test has a process to itself.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use helpers::prelude::*;
use nix::time::{ClockId, clock_gettime};

#[test]
fn sleep_takes_no_cpu_and_work_of_all_threads_counts() {
    let (_, asleep) = measure(|| thread::sleep(Duration::from_millis(200)));
    assert!(asleep.wall >= Duration::from_millis(200));
    assert!(asleep.cpu() < asleep.wall / 4, "{asleep:?}");

    // By the clock of the thread: on a busy machine time passes without work.
    let work = Duration::from_millis(100);
    let spin = || {
        let start = thread_time();
        let mut x = 1u64;
        while thread_time() - start < work {
            for _ in 0..10_000 {
                x = black_box(x.wrapping_mul(3));
            }
        }
    };
    let pool = Pool::new(2).unwrap();
    let (_, busy) = measure(|| pool.map(|_| spin(), 0..2));
    assert!(busy.cpu() >= 2 * work, "{busy:?}");
    assert!(busy.user >= work, "{busy:?}");
    assert!(busy.wall >= work);
}

/// CPU time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::from(time)
}
