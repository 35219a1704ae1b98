//! The crate as its users see it.

mod bad_input;
mod calls;
mod common;
mod deadlocks;
mod futures;
mod layers;
mod pool;
mod processes;
mod reduce;
