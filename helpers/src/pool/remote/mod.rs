//! What pools share whose workers have memory of their own: processes, and ranks of an MPI job.
//!
//! A kind of pool brings a [`Transport`](transport::Transport): its workers, and how messages reach
//! them. All else is here, once.
//!
//! # How an item travels
//! ```text
//!  pool.map(f, items)                                               the pool's process
//!       │
//!       ▼
//!     map            cuts the list into chunks; codec makes a chunk into bytes
//!       │
//!       ▼
//!    engine          takes the task; whoever waits for a result leads meanwhile
//!       │
//!       ▼
//!   scheduler        ledger: the queue of tasks that wait, and what each worker was sent
//!       │ protocol   Order::Run
//!       ▼
//!   transport        processes: a socket for each;  ranks: MPI, through rank 0
//!       │ wire
//! ══════╪═════════════════════════════════════════════════════════════════════════
//!       ▼                                                           a worker
//!     worker         claims the task on its scoreboard; reads each item, calls f on it and
//!       │            writes its result
//!       │ protocol   Report::Done, with the bytes of the results
//!       ▼
//!  and back: transport → scheduler (strikes it out) → engine → map (reads the bytes) → the list
//! ```
//! `f` goes ahead of its first task, once to each worker: `code_ref` says where its code is, and finds
//! it there. Small bodies go through the socket; large ones lie in a `shm_buffer`, memory that changes
//! hands, and only its number goes through.
//!
//! # What may become of a task
//! ```text
//!             hand_out              the worker claims it             Report::Done
//!  waiting ───────────────▶ sent ───────────────────────▶ begun ──────────────────▶ done
//!     ▲                      │                              │ the worker ends, or its domain
//!     │       recall         │                              ├──────────────────────▶ lost
//!     └──────────────────────┘                              │ time limit, or nobody wants it
//!        or its worker ends                                 └──▶ abandoned ─────────▶ its worker
//!                                                                                   is replaced
//! ```
//! Only the step from *sent* on is a race: the pool takes a task back while the worker may be
//! about to begin it. Both decide it by one number on the [`Scoreboard`](scoreboard::Scoreboard):
//! its lower half is the task that was begun last, its upper half counts recalls, the *epoch*. A
//! worker *claims* a task by an atomic change that fails if the epoch is not the one with which the
//! task was sent. So a task is begun or taken back, and never both. Tasks are taken back where
//! another worker is free, where a call has failed, and where a worker is past a time limit. A worker
//! whose scoreboard the pool cannot see, as on another host, is sent two tasks at most, and
//! none is taken back.
//!
//! A lost task ends with an error, since what it has done is not known; it is never run twice.
//! Workers that can only end together are a *failure domain*: a process is one by itself, and the
//! ranks of a job are one. A worker at an abandoned task gets nothing else to do, and its domain is
//! replaced once the others are at nothing that somebody wants.
//!
//! # The modules
//! | module | holds |
//! | --- | --- |
//! | `view` | [`View`]: a pool with its settings; what a pool owns |
//! | `map` | `map`: the list as bytes, its results, their order, its errors |
//! | `submit` | calls that return at once: `submit`, `map_async`, `imap` |
//! | `engine` | who waits for results, and who sees to them: a leader, and its followers |
//! | `scheduler` | who gets what; time limits, recall, loss and replacement |
//! | `ledger` | tasks that wait, what each worker was sent, and how far ahead |
//! | `task` | a task, and where its results go |
//! | `transport` | what a kind of pool brings: both ends of the way to its workers |
//! | `protocol` | what a pool and its workers say to each other |
//! | `worker` | a worker's loop, down to the call of `f` on each item |
//! | `prepare` | makes a process ready for tasks: its panics are remembered |
//! | `shared_value` | a value that goes along with calls, once for each worker |
//! | `with`, `timed` | [`With`], [`Timed`]: the vocabulary with such a value, or with a deadline |
//! | `worker_value` | what the pool's initializer made in a worker |
//! | `code_ref` | how a function reaches another process: the unsafe room |
//! | `wire`, `codec`, `format` | a connection, and values as bytes |
//! | `memory`, `mapped` | memory that several processes see |
//! | `shm_buffer`, `scoreboard` | what they use it for: large messages, and what a worker writes down |
//! | `waker` | calls a thread out of its sleep |
//! | `output`, `printer` | what workers print |
//! | `exit_words`, `last_words` | how a worker ended, as the system and as it says itself |

pub(crate) mod code_ref;
pub(crate) mod codec;
pub(crate) mod engine;
pub(crate) mod exit_words;
mod format;
pub(crate) mod last_words;
mod ledger;
mod map;
pub(crate) mod mapped;
pub(crate) mod memory;
pub(crate) mod output;
mod plain;
pub(crate) mod prepare;
pub(crate) mod printer;
pub(crate) mod protocol;
pub(crate) mod scheduler;
pub(crate) mod scoreboard;
pub(crate) mod shared_value;
pub(crate) mod shm_buffer;
mod submit;
pub(crate) mod task;
pub(crate) mod timed;
pub(crate) mod transport;
pub(crate) mod view;
pub(crate) mod waker;
pub(crate) mod wire;
pub(crate) mod with;
pub(crate) mod worker;
pub(crate) mod worker_value;

pub use timed::Timed;
pub use view::{RemoteImap, View};
pub use with::With;
pub use worker_value::worker_value;
