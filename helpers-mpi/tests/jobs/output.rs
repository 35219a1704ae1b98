//! What ranks print arrives behind their names, in rank order.

use helpers_mpi::prelude::*;

use crate::common::{alone, guarded};

#[test]
fn lines_come_labelled_and_in_rank_order() {
    guarded(|| {
        let shown = alone("output::prints_on_ranks");
        let lines: Vec<_> = shown
            .lines()
            .filter(|line| line.starts_with("rank "))
            .collect();
        let mut wanted = Vec::new();
        for rank in 0..4 {
            for line in 0..3 {
                wanted.push(format!("rank {rank}: line {line}"));
            }
            wanted.push(format!("rank {rank}: no end"));
        }
        assert_eq!(lines, wanted);
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints_on_ranks() {
    mpi_run(4, |world| {
        // The last rank is the first to print.
        let rank = world.rank();
        let nap = 60 * (4 - rank) as u64;
        std::thread::sleep(std::time::Duration::from_millis(nap));
        for line in 0..3 {
            println!("line {line}");
        }
        print!("no end");
    })
    .unwrap();
}

#[test]
fn what_was_printed_before_a_failure_is_shown() {
    guarded(|| {
        let shown = alone("output::prints_and_fails");
        assert!(shown.contains("rank 1: so far so good"), "{shown}");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints_and_fails() {
    let result = mpi_run(2, |world| {
        println!("so far so good");
        assert!(world.rank() != 1);
        world.barrier();
    });
    assert!(result.unwrap_err().is_panic());
}
