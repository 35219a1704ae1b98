//! How many items a worker takes at a time, and how many workers there may be.

use std::num::NonZeroUsize;
use std::time::Duration;

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

/// Checks a limit of time for a whole call that the user gave.
pub(crate) fn checked_deadline(limit: Duration) -> Result<Duration, PoolError> {
    if limit.is_zero() {
        return Err(PoolError::invalid_input(
            "a deadline of 0 was asked for; no call can be done in no time".to_owned(),
        ));
    }
    Ok(limit)
}

/// Lists that say that they are longer than this are looked at before they are made.
const LONG: usize = 1 << 24;

/// The items as a list, for calls that need all of them.
///
/// # Errors
/// They never end, or no memory holds them.
pub(crate) fn list<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, PoolError> {
    let items = items.into_iter();
    check_length::<T>(items.size_hint().0)?;
    Ok(items.collect())
}

/// Checks how many items there are at least, if all of them are needed.
///
/// # Errors
/// They never end, or no memory holds them.
pub(crate) fn check_length<T>(least: usize) -> Result<(), PoolError> {
    let fits = |least| Vec::<T>::new().try_reserve_exact(least).is_ok();
    match least > LONG && (least == usize::MAX || !fits(least)) {
        true => Err(too_long(least)),
        false => Ok(()),
    }
}

fn too_long(least: usize) -> PoolError {
    let what = match least {
        usize::MAX => "never end, or nobody could wait for their end".to_owned(),
        least => format!("are {least}, which no memory here holds"),
    };
    PoolError::invalid_input(format!(
        "this call needs a list of all its items, but these {what}: use `imap`, which takes items \
         as they are wanted, or `.take(n)` for the first n"
    ))
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
    fn what_has_no_end_is_no_list() {
        for endless in [
            list(0..).map(|_: Vec<u64>| ()),
            list(0..u64::MAX).map(drop),
            list(0..u64::MAX / 4).map(drop),
            list((0..u64::MAX).step_by(3)).map(drop),
            list(std::iter::repeat(())).map(drop),
            list(
                [1, 2]
                    .iter()
                    .cycle()
                    .zip(0..)
                    .map(|(x, y): (&u8, u64)| (*x, y)),
            )
            .map(drop),
        ] {
            let error = endless.unwrap_err();
            assert!(
                error.is_invalid_input() && error.to_string().contains("`imap`"),
                "{error}"
            );
        }
        assert_eq!(list(0..3).unwrap(), [0, 1, 2]);
        assert_eq!(list(vec![(); LONG + 1]).unwrap().len(), LONG + 1);
    }

    #[test]
    fn zero_is_refused() {
        assert!(checked_chunk_size(0).unwrap_err().is_invalid_input());
        assert_eq!(checked_chunk_size(3).unwrap().get(), 3);
    }
}
