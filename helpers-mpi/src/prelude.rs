//! What a notebook or a program needs from this crate: `use helpers_mpi::prelude::*;`.

pub use mpi::traits::*;
