//! What a worker does with a chunk: calls the function on each item.

use std::any::Any;
use std::any::type_name;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{ItemError, Reader, Writer};
use super::last_words;
use super::scoreboard::now;
use super::shared_value::KeptValue;
use crate::pool::panic::panic_message;

/// A chunk of items in a worker.
#[derive(Debug)]
pub struct ChunkRun<'w> {
    pub items: usize,
    pub arguments: Reader,
    pub results: Writer,
    /// Whether the items after one that fails are of no use to anybody.
    pub stop_at_failure: bool,
    /// Tells the pool which item of the chunk is in work, should this process die of it.
    pub item_in_work: &'w AtomicU64,
    /// Tells the pool since when, if the items have a time limit.
    pub since: Option<&'w AtomicU64>,
    /// What goes along with each item.
    pub value: Option<&'w mut KeptValue>,
}

/// Calls `f` on each item of the run.
pub fn run_chunk<A, R>(f: impl Fn(A) -> R, run: &mut ChunkRun<'_>)
where
    A: DeserializeOwned,
    R: Serialize,
{
    run_items(run, &mut |arguments, results| {
        let argument = arguments
            .read::<A>()
            .map_err(|why| (Value::Argument, type_name::<A>(), why))?;
        results
            .write_ok(&f(argument))
            .map_err(|why| (Value::Result, type_name::<R>(), why))
    });
}

/// Calls `f` on the value that goes along, and each item of the run.
///
/// # Safety
/// The value that goes along is a `V`, but for lifetimes.
pub unsafe fn run_chunk_with<V, A, R>(f: impl Fn(&V, A) -> R, run: &mut ChunkRun<'_>)
where
    V: DeserializeOwned,
    A: DeserializeOwned,
    R: Serialize,
{
    let value = match run.value.take() {
        // SAFETY: the caller says so.
        Some(kept) => unsafe { kept.get::<V>() },
        None => Err("it did not come along".to_owned()),
    };
    run_items(run, &mut |arguments, results| {
        let value = value.as_ref();
        let value = value.map_err(|why| (Value::Argument, type_name::<V>(), why.clone()))?;
        let argument = arguments
            .read::<A>()
            .map_err(|why| (Value::Argument, type_name::<A>(), why))?;
        results
            .write_ok(&f(value, argument))
            .map_err(|why| (Value::Result, type_name::<R>(), why))
    });
}

/// What could not be read or written.
enum Value {
    Argument,
    Result,
}

/// Reads an argument, calls the function and writes its result. The error names the type.
type Call<'f> =
    dyn FnMut(&mut Reader, &mut Writer) -> Result<(), (Value, &'static str, String)> + 'f;

/// Makes the call for each item of the run, and writes down why one failed.
fn run_items(run: &mut ChunkRun<'_>, call: &mut Call<'_>) {
    for item in 0..run.items {
        run.item_in_work.store(item as u64, Ordering::Relaxed);
        if let Some(since) = run.since {
            since.store(now().as_nanos() as u64, Ordering::Relaxed);
        }
        let start = run.results.len();
        let Err(error) = run_item(run, call) else {
            continue;
        };
        run.results.truncate(start);
        // What an error holds can always be written, unless memory has run out: then the chunk's
        // results are too short, and the pool says so.
        let _ = run.results.write::<Result<(), ItemError>>(&Err(error));
        if run.stop_at_failure {
            break;
        }
    }
}

fn run_item(run: &mut ChunkRun<'_>, call: &mut Call<'_>) -> Result<(), ItemError> {
    // Reading and writing values may run the user's code, so they are guarded as well.
    let done = catch_unwind(AssertUnwindSafe(|| {
        call(&mut run.arguments, &mut run.results)
    }));
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err((value, name, why))) => Err(match value {
            Value::Argument => ItemError::Argument(format!("{name}: {why}")),
            Value::Result => ItemError::Result(format!("{name}: {why}")),
        }),
        Err(payload) => Err(ItemError::Panic(caught(&*payload))),
    }
}

/// What is told of a panic that was caught: its message, and where it happened.
pub fn caught(payload: &(dyn Any + Send)) -> String {
    let place = PANIC_PLACE.take().unwrap_or_default();
    last_words::forget_panics();
    format!("{}{place}", panic_message(payload))
}

thread_local! {
    /// Where the last panic of this thread happened, in words to follow its message.
    pub static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}
