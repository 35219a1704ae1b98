//! Jobs of ranks: real ranks, started by the `mpiexec` that is on PATH.

mod classic;
mod faults;

helpers_mpi::init_in_tests!();
