//! Process pools: the vocabulary, the data, and every fault that a worker can have.

helpers::init_process_pools_in_tests!();

mod vocabulary;
