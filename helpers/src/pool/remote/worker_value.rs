//! What a pool's initializer made in a worker.

use std::any::Any;
use std::sync::OnceLock;

static VALUE: OnceLock<Box<dyn Any + Send + Sync>> = OnceLock::new();

/// Keeps what the initializer gave, for the tasks of this worker.
pub(crate) fn keep_value(value: Box<dyn Any + Send + Sync>) {
    // A worker is initialized once.
    let _ = VALUE.set(value);
}

/// The value that the pool's initializer made in this worker.
///
/// Call it in tasks of a [`ProcessPool`](crate::ProcessPool) whose builder was given an
/// [`initializer`](crate::pool::processes::Builder::initializer).
///
/// # Panics
/// This process is no worker, its pool has no initializer, or the initializer's value has
/// another type than `T`.
pub fn worker_value<T: 'static>() -> &'static T {
    let wanted = std::any::type_name::<T>();
    let value = VALUE.get().unwrap_or_else(|| {
        panic!(
            "there is no {wanted} here: `worker_value` works in tasks of a ProcessPool that was \
             built with an initializer"
        )
    });
    value.downcast_ref().unwrap_or_else(|| {
        panic!("the pool's initializer gave a value of another type than {wanted}")
    })
}
