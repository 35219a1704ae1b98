//! The regions of other processes that this process has mapped: each once, however often it comes.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::Region;

static MAPPED: Mutex<Option<HashMap<u64, Arc<Region>>>> = Mutex::new(None);

fn mapped() -> MutexGuard<'static, Option<HashMap<u64, Arc<Region>>>> {
    // Nothing but look-ups and moves happens under the lock.
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The region that its owner calls `id`. `file` is asked for if it is not mapped yet.
pub(crate) fn region(
    id: u64,
    file: impl FnOnce() -> io::Result<Arc<OwnedFd>>,
) -> io::Result<Arc<Region>> {
    let mut mapped = mapped();
    let mapped = mapped.get_or_insert_default();
    if let Some(region) = mapped.get(&id) {
        return Ok(Arc::clone(region));
    }
    forget_released(mapped);
    let region = Arc::new(Region::open(file()?)?);
    mapped.insert(id, Arc::clone(&region));
    Ok(region)
}

/// Closes the regions of an owner that is gone.
pub(crate) fn forget(ids: impl IntoIterator<Item = u64>) {
    if let Some(mapped) = &mut *mapped() {
        for id in ids {
            mapped.remove(&id);
        }
    }
}

/// Closes the regions that their owners have given back.
pub(crate) fn tidy() {
    if let Some(mapped) = &mut *mapped() {
        forget_released(mapped);
    }
}

fn forget_released(mapped: &mut HashMap<u64, Arc<Region>>) {
    mapped.retain(|_, region| !region.is_released());
}
