//! What ranks print arrives, behind the rank's name, and before the result.

use helpers_mpi::prelude::*;

use crate::common::{alone, guarded};

#[test]
fn what_a_task_prints_is_seen_before_its_result() {
    guarded(|| {
        let shown = alone("output::prints");
        for number in 0..20 {
            let text = shown.find(&format!("the task says {number}\n"));
            let result = shown.find(&format!("the result is {number}\n"));
            assert!(text.is_some() && text < result, "{number}: {shown}");
        }
        assert!(shown.contains("rank 1: the task says"), "{shown}");
    });
}

#[test]
#[ignore = "runs in a process of its own"]
fn prints() {
    let pool = MpiPool::new(1).unwrap();
    for number in 0..20 {
        let task = |number: u32| {
            for line in 0..500 {
                println!("line {line} of {number}");
            }
            println!("the task says {number}");
            number
        };
        println!(
            "the result is {}",
            pool.submit(task, number).join().unwrap()
        );
    }
}
