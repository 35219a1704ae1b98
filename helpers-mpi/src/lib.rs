//! MPI for the course: pools of ranks, and classic MPI in a cell of a notebook.

mod attendant;
mod calls;
mod end;
mod error;
#[doc(hidden)]
pub mod exports;
mod folder;
mod function;
mod job;
mod joined;
mod launcher;
mod library;
mod link;
mod output;
pub mod pool;
pub mod prelude;
mod program;
mod rank;
mod run;
mod settings;
mod watch;

pub use error::MpiError;
pub use joined::ranks;
pub use mpi;
pub use pool::{MpiPool, MpiPoolBuilder};
pub use program::init;
pub use run::{MpiRun, mpi_run};
