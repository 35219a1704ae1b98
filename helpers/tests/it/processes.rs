use std::time::{Duration, Instant};

use helpers::prelude::*;

// Programs that call `init_process_pools` are tested in `tests/processes`. This one does not.
#[test]
fn a_program_that_is_not_prepared_is_told_so_at_once() {
    let start = Instant::now();
    let error = ProcessPool::new(2).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(
        error.to_string().contains("helpers::init_process_pools()"),
        "{error}"
    );
    // Rather than a copy of this program, which would start its own copies in turn.
    assert!(start.elapsed() < Duration::from_secs(5));
}
