//! Passes a number around a ring of ranks: `mpiexec -n 4 ring`.

use mpi::traits::*;

fn main() {
    let universe = mpi::initialize().expect("MPI is initialised once");
    let world = universe.world();
    let (rank, size) = (world.rank(), world.size());
    println!("rank {rank} of {size}");
}
