//! Process pools: the vocabulary, the data, and every fault that a worker can have.

helpers::init_process_pools_in_tests!();

mod arrays;
mod calls;
mod checks;
mod common;
mod ends;
mod faults;
mod flag;
mod handles;
mod lifetime;
mod output;
mod schedule;
mod settings;
mod values;
mod vocabulary;
mod waiting;
