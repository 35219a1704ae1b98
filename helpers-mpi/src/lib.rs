//! MPI for the course: pools of ranks, and classic MPI in a cell of a notebook.

pub mod prelude;
