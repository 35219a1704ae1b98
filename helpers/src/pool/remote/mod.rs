//! What pools share whose workers have memory of their own: processes, and ranks of an MPI job.
//!
//! A kind of pool brings a [`Crew`](crew::Crew): its workers, how a task reaches one, and how the
//! results come back. All else is here, once:
//!
//! | module | holds |
//! | --- | --- |
//! | `view` | [`View`]: the vocabulary, from `map` to `submit` |
//! | `call` | what becomes of one call: its results, their order, its errors |
//! | `engine` | who waits for results, and who sees to them |
//! | `attended` | an engine and its thread in the background, for a pool to own |
//! | `crew` | what an engine asks of workers; tasks, and where their results go |
//! | `queue`, `pace` | tasks that wait, in order; how many may lie ahead of a worker |
//! | `bell` | calls a thread out of its sleep |
//! | `chunk_run`, `desk` | what a worker does with a chunk of items; what it knows meanwhile |
//! | `ship` | how a function reaches another process |
//! | `wire`, `codec` | a connection, and values as bytes |
//! | `memory`, `mapped` | memory that several processes see |
//! | `parcel`, `board` | what they use it for: large messages, and what a worker writes down |
//! | `output`, `printer` | what workers print |

pub(crate) mod attended;
pub(crate) mod bell;
pub(crate) mod board;
pub(crate) mod call;
pub(crate) mod chunk_run;
pub(crate) mod codec;
pub(crate) mod engine;
pub(crate) mod exit_words;
mod ledger;
pub(crate) mod mapped;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod parcel;
pub(crate) mod prefetch;
pub(crate) mod printer;
pub(crate) mod protocol;
pub(crate) mod queue;
pub(crate) mod scheduler;
pub(crate) mod ship;
pub(crate) mod task;
pub(crate) mod transport;
pub(crate) mod view;
pub(crate) mod wire;
pub(crate) mod worker;
pub(crate) mod worker_value;

pub use view::{RemoteImap, View};
pub use worker_value::worker_value;
