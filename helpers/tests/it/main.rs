//! The crate as its users see it.

mod bad_input;
mod futures;
mod pool;
mod processes;
mod reduce;
