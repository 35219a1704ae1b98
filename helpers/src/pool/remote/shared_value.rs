//! A value that goes along with many calls: sent to each worker once, not once an item.

use std::any::type_name;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Body, Reader, Writer};
use crate::pool::PoolError;
use crate::pool::panic::panic_message;

/// The values of a pool: their numbers, and those that nobody needs any more.
#[derive(Debug, Default)]
pub struct Values {
    next: AtomicU32,
    gone: Mutex<Vec<u32>>,
    gone_count: AtomicUsize,
}

/// A value as bytes, for as long as tasks may need it.
pub struct SharedValue {
    /// What the workers know it by.
    pub number: u32,
    /// Its bytes.
    pub body: Body,
    values: Arc<Values>,
}

impl Values {
    /// Makes a value into bytes.
    ///
    /// # Errors
    /// It cannot be made into bytes.
    pub fn share<V: Serialize>(self: &Arc<Values>, value: &V) -> Result<SharedValue, PoolError> {
        let mut writer = Writer::for_everybody();
        writer.write(value).map_err(|cause| {
            let name = type_name::<V>();
            let cause = format!(
                "cannot be sent to a worker: the value that goes along is a {name}: {cause}"
            );
            PoolError::not_sent(None, cause)
        })?;
        Ok(SharedValue {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            body: writer.finish(),
            values: Arc::clone(self),
        })
    }

    /// The numbers of the values that nobody needs any more.
    pub fn take_gone(&self) -> Vec<u32> {
        // Asked with each task, so it costs next to nothing where there are none.
        if self.gone_count.swap(0, Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        std::mem::take(&mut self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there are such.
    pub fn has_gone(&self) -> bool {
        self.gone_count.load(Ordering::Relaxed) > 0
    }
}

impl Drop for SharedValue {
    fn drop(&mut self) {
        let mut gone = self
            .values
            .gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        gone.push(self.number);
        self.values.gone_count.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for SharedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedValue({})", self.number)
    }
}

/// A value in a worker: its bytes until the first task wants it.
#[derive(Debug)]
pub enum KeptValue {
    /// As it came.
    Bytes(Body),
    /// As tasks use it, or why they cannot.
    Read(Result<Erased, String>),
}

impl KeptValue {
    /// The value.
    ///
    /// # Errors
    /// Its bytes make no sense, or its type panics while it is read.
    ///
    /// # Safety
    /// It is always asked for as the same type, but for lifetimes.
    pub unsafe fn get<V: DeserializeOwned>(&mut self) -> Result<&V, String> {
        if let KeptValue::Bytes(body) = self {
            let mut bytes = Reader::new(std::mem::take(body));
            let value = catch_unwind(AssertUnwindSafe(|| bytes.read::<V>()))
                .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_message(&*panic))));
            *self = KeptValue::Read(value.map(Erased::new));
        }
        match self {
            // SAFETY: it was made as a `V`, as the caller asks for it always.
            KeptValue::Read(Ok(value)) => Ok(unsafe { &*value.place.cast::<V>() }),
            KeptValue::Read(Err(why)) => Err(why.clone()),
            KeptValue::Bytes(_) => Err("it was not read".to_owned()),
        }
    }
}

/// A value of a type that only its users know. `Any` would not do: slices of shared arrays have a
/// lifetime.
#[derive(Debug)]
pub struct Erased {
    place: *mut (),
    forget: unsafe fn(*mut ()),
}

impl Erased {
    fn new<V>(value: V) -> Erased {
        unsafe fn forget<V>(place: *mut ()) {
            // SAFETY: the caller has it from `new`, with this `V`, and calls once.
            drop(unsafe { Box::from_raw(place.cast::<V>()) });
        }
        Erased {
            place: Box::into_raw(Box::new(value)).cast(),
            forget: forget::<V>,
        }
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        // SAFETY: both are from one call of `new`, and nobody uses the place after this.
        unsafe { (self.forget)(self.place) };
    }
}
