//! How a job is started, and what is said when it cannot be.

use helpers_mpi::prelude::*;

use crate::common::{assert_goes_on, guarded};

#[test]
fn without_a_launcher_the_error_says_what_is_missing() {
    guarded(|| {
        let error = MpiPool::builder(2)
            .launcher("/no/such/mpiexec")
            .build()
            .unwrap_err();
        assert!(error.is_start(), "{error}");
        assert!(error.to_string().contains("/no/such/mpiexec"), "{error}");
    });
}

#[test]
fn more_ranks_than_slots_are_an_error_that_names_both() {
    guarded(|| {
        let error = MpiPool::builder(4)
            .hosts(["localhost:2"])
            .build()
            .unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        let told = error.to_string();
        assert!(
            told.contains("5 ranks") && told.contains("localhost:2"),
            "{told}"
        );
    });
}

#[test]
fn a_launcher_that_refuses_is_heard() {
    guarded(|| {
        let error = MpiPool::builder(1)
            .launcher_args(["--no-such-option-of-mpiexec"])
            .build()
            .unwrap_err();
        assert!(error.is_start(), "{error}");
        assert!(
            error.to_string().contains("no-such-option-of-mpiexec"),
            "{error}"
        );
    });
}

#[test]
fn hosts_can_be_named() {
    guarded(|| {
        let pool = MpiPool::builder(2).hosts(["localhost:3"]).build().unwrap();
        assert_goes_on(&pool);
    });
}
