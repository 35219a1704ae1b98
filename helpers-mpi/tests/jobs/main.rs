//! Jobs of ranks: real ranks, started by the `mpiexec` that is on PATH.

helpers_mpi::init_in_tests!();

mod classic;
mod cluster;
#[path = "../pool/common.rs"]
#[allow(dead_code)]
mod common;
mod faults;
mod hosts;
mod launched;
mod lifetime;
mod output;
