//! What pools share whose workers have memory of their own: processes, and ranks of an MPI job.
//!
//! A kind of pool brings a [`Transport`](transport::Transport): its workers, and how messages reach
//! them. All else is here, once.
//!
//! # How an item travels
//! ```text
//!  pool.map(f, items)                                               the pool's process
//!       │ view       the chunk size, and which call it is
//!       ▼
//!     call           cuts the list into chunks; codec makes a chunk into bytes,
//!       │            code_ref says where the code of f is
//!       ▼
//!    engine          takes the task; whoever waits for a result leads meanwhile
//!       │
//!       ▼
//!   scheduler        queue: tasks that wait;  ledger: what each worker was sent
//!       │ protocol   Order::Run
//!       ▼
//!   transport        processes: a socket for each;  ranks: MPI, through rank 0
//!       │ wire
//! ══════╪═════════════════════════════════════════════════════════════════════════
//!       ▼                                                           a worker
//!     worker         claims the task on its scoreboard, finds the function by its number
//!       │
//!       ▼
//!   chunk_run        calls f on each item, and notes which one it is at
//!       │ protocol   Report::Done, with the bytes of the results
//!       ▼
//!  and back: transport → scheduler (strikes it out) → engine → call (reads the bytes) → the list
//! ```
//! Small bodies go through the socket; large ones lie in a `shm_buffer`, memory that changes hands,
//! and only its number goes through.
//!
//! # What may become of a task
//! ```text
//!             hand_out              the worker claims it             Report::Done
//!  waiting ───────────────▶ sent ───────────────────────▶ begun ──────────────────▶ done
//!  (queue)                (ledger)                       (ledger)
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
//! | `view` | [`View`]: the vocabulary, from `map` to `submit`; what a pool owns |
//! | `call` | what becomes of one call: its results, their order, its errors |
//! | `engine` | who waits for results, and who sees to them: a leader, and its followers |
//! | `scheduler` | who gets what; time limits, recall, loss and replacement |
//! | `queue`, `ledger`, `prefetch` | tasks that wait; what a worker was sent; how far ahead |
//! | `task` | a task, and where its results go |
//! | `transport` | what a kind of pool brings: puts, receives, watches, replaces |
//! | `protocol` | what a pool and its workers say to each other |
//! | `worker`, `chunk_run` | a worker's loop; what it does with a chunk of items |
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

pub(crate) mod call;
pub(crate) mod chunk_run;
pub(crate) mod code_ref;
pub(crate) mod codec;
pub(crate) mod engine;
pub(crate) mod exit_words;
mod format;
pub(crate) mod last_words;
mod ledger;
pub(crate) mod mapped;
pub(crate) mod memory;
pub(crate) mod output;
mod plain;
pub(crate) mod prefetch;
pub(crate) mod printer;
pub(crate) mod protocol;
pub(crate) mod queue;
pub(crate) mod scheduler;
pub(crate) mod scoreboard;
pub(crate) mod shared_value;
pub(crate) mod shm_buffer;
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
