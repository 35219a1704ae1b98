//! How many items a worker takes at a time, and how many workers there may be.

use std::num::NonZeroUsize;

use super::PoolError;

/// Chunks that each worker gets on average when nobody says otherwise.
///
/// More chunks balance uneven work better, fewer cost less; Python's `Pool.map` uses 4 as well.
const CHUNKS_PER_WORKER: usize = 4;

/// The chunk size that Python's `Pool.map` would choose: items / (4 × workers), rounded up.
pub(crate) fn default_chunk_size(items: usize, workers: usize) -> usize {
    items.div_ceil(CHUNKS_PER_WORKER * workers).max(1)
}

/// Checks a chunk size that the user gave.
pub(crate) fn checked_chunk_size(size: usize) -> Result<NonZeroUsize, PoolError> {
    NonZeroUsize::new(size).ok_or_else(|| {
        PoolError::invalid_input(
            "a chunk size of 0 was asked for; a chunk holds at least 1 item".to_owned(),
        )
    })
}

/// More threads than this help nobody, and are more likely a slip of the pen.
const MOST_WORKERS: usize = 1024;

/// Checks a number of workers that the user gave.
pub fn checked_workers(workers: usize) -> Result<usize, PoolError> {
    if workers == 0 || workers > MOST_WORKERS {
        return Err(PoolError::invalid_input(format!(
            "a pool of {workers} workers was asked for; give a number from 1 to {MOST_WORKERS}"
        )));
    }
    Ok(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_pythons() {
        // What CPython's Pool._map_async computes: divmod(items, 4 * workers), plus 1 for a rest.
        for (items, workers, size) in [(0, 4, 1), (6, 4, 1), (16, 4, 1), (17, 4, 2), (2000, 2, 250)]
        {
            assert_eq!(default_chunk_size(items, workers), size);
        }
    }

    #[test]
    fn zero_is_refused() {
        assert!(checked_chunk_size(0).unwrap_err().is_invalid_input());
        assert_eq!(checked_chunk_size(3).unwrap().get(), 3);
    }
}
