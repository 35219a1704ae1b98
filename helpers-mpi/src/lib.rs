//! MPI for the course: pools of ranks, and classic MPI in a cell of a notebook.
//!
//! MPI itself is a real MPI library, Open MPI or MPICH, through the [`mpi`] crate. What this crate
//! adds is that a notebook, or any program, can start ranks, run its own functions on them, and
//! survive whatever becomes of them. The process that does so takes no part in MPI.
//!
//! # Recipes
//! Run one function on every rank:
//! ```
//! use helpers_mpi::prelude::*;
//!
//! helpers_mpi::init(); // a program's first line; a notebook does not need it
//! let ranks = mpi_run(2, |world| world.rank())?;
//! assert_eq!(ranks, [0, 1]);
//! # Ok::<(), MpiError>(())
//! ```
//! Hand tasks to a pool of ranks, with the calls of the other pools:
//! ```
//! use helpers::prelude::*;
//! use helpers_mpi::prelude::*;
//!
//! helpers_mpi::init();
//! let pool = MpiPool::new(2)?;
//! assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3])?, [1, 4, 9]);
//! # Ok::<(), PoolError>(())
//! ```
//!
//! # On several hosts
//! [`MpiRun::hosts`] and [`MpiPoolBuilder::hosts`] run ranks on hosts that this one reaches by
//! `ssh`, as `mpiexec` does, and that see the same files under the same paths. A notebook's
//! function may be in a library that a host lacks: it is sent there. The tests have two hosts on
//! one machine: two networks of their own (network namespaces), each with a host name, and a
//! program that stands in for `ssh`.
//!
//! # On a cluster
//! A batch system starts the program on all ranks, by `mpiexec`, or by `srun --mpi=pmix`, in a
//! script. (Without `--mpi`, `srun` may start as many programs that do not know of each other.) [`init`]
//! then returns on rank 0 alone. There [`mpi_run`] and [`MpiPool`] use the ranks that are there,
//! and [`ranks`] tells how many they are. One at a time has them, a function or a pool: what asks
//! for ranks meanwhile gets an error. Drop a pool before the next one, and before the program
//! ends. What ranks print is not labelled then, a rank that fails ends the whole job, and a
//! deadlock without a time limit lasts until the batch system ends the job. `examples/primes.rs` is such a program, and `examples/primes.sbatch` its script for
//! Slurm.
//!
//! A program, or a notebook, that runs by itself inside an allocation works as well: its jobs run on
//! the nodes of the allocation. `mpiexec` knows them, and `MpiRun::new(8).launcher("srun")` has Slurm
//! start the ranks. A pool of 7 workers needs an allocation of 8 tasks, or one task with 7 CPUs: its
//! manager is a rank as well. Jobs share the CPUs of the allocation, so a pool may live while
//! another job runs.
//!
//! When a job's time is nearly over, [`time_is_up`] says so: `examples/resume.rs` stops in order
//! then, and its next run goes on. All this is tested on a Slurm of the test's own.

// | module | holds |
// | --- | --- |
// | `run`, `pool` | what users call: one function on every rank, and pools of ranks |
// | `settings`, `allocation` | how many ranks and where; what a batch system has granted |
// | `job` | a job that this process starts and owns: its launcher, its ranks, its end |
// | `program`, `folder` | the program that its ranks run, and its folder |
// | `control` | what owner and ranks say to each other, and by which connection |
// | `entry`, `rank`, `owner` | a rank: where it begins, what it does, and how it talks to its owner |
// | `function`, `library` | a function on its way, and its library on a host that lacks it |
// | `pmpi` | which MPI call a rank is in |
// | `launched` | a job that the user has started, of which this program is a rank |
// | `time_up` | the signal before a batch system's time limit |
mod allocation;
mod control;
mod entry;
mod error;
#[doc(hidden)]
pub mod exports;
mod folder;
mod function;
mod initialized;
mod job;
mod launched;
mod library;
mod owner;
mod pmpi;
pub mod pool;
pub mod prelude;
mod program;
mod rank;
mod run;
mod settings;
mod time_up;

pub use entry::init;
pub use error::MpiError;
#[doc(hidden)]
pub use helpers::__before_main;
pub use launched::ranks;
pub use mpi;
pub use pool::{MpiPool, MpiPoolBuilder};
pub use run::{MpiRun, mpi_run};
pub use time_up::time_is_up;
