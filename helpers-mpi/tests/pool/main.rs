//! `MpiPool`, with real ranks: the vocabulary, the data, and every fault that a rank can have.

helpers_mpi::init_in_tests!();

mod calls;
mod cases;
mod common;
mod far;
mod faults;
#[path = "../../../helpers/tests/processes/flag.rs"]
mod flag;
mod here;
mod lifetime;
mod output;
mod schedule;
mod settings;
mod values;
mod vocabulary;
