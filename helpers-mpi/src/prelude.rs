//! What a notebook or a program needs from this crate: `use helpers_mpi::prelude::*;`.

pub use crate::{MpiError, MpiPool, MpiRun, mpi_run};
// Classic MPI, by the names of the `mpi` crate.
pub use mpi;
pub use mpi::collective::SystemOperation;
pub use mpi::topology::SimpleCommunicator;
pub use mpi::traits::*;
