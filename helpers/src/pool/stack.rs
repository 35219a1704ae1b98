//! How deep the stack of a worker is.

use nix::sys::resource::{Resource, getrlimit};

/// Where the system sets no limit, or one beyond reason.
const MOST: usize = 64 << 20;

/// How many bytes the stack of a worker's thread has: as many as that of the main thread, on which a
/// notebook's cells run, so that what works there works in a worker; or more, if that is what
/// `RUST_MIN_STACK` says for threads.
pub(crate) fn depth() -> usize {
    let limit = getrlimit(Resource::RLIMIT_STACK).map_or(8 << 20, |(soft, _)| soft);
    let wanted = std::env::var("RUST_MIN_STACK").ok();
    let wanted = wanted.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    usize::try_from(limit).unwrap_or(MOST).min(MOST).max(wanted)
}
