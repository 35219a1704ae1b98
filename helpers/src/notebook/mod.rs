//! What this crate knows of the notebook in which it may run.
//!
//! | module | holds |
//! | --- | --- |
//! | `evcxr` | what evcxr does, on which the course's own kernel and a stock one are built |
//! | `runner` | the program that runs the cells of the course's own kernel |
//! | `interrupts` | when the reader interrupts a cell |
//! | `panics` | how a panic is reported in a stock kernel |

pub mod evcxr;
pub mod interrupts;
pub mod panics;
pub mod runner;

pub use evcxr::is_notebook;
pub(crate) use panics::{Hook, let_others_wait, take_hook, wait_for_reports, without_source};
pub use runner::is_stock_kernel;
