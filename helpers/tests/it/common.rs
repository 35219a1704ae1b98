//! What several of these tests need.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Fails the test, rather than hanging it, if `work` does not end.
pub fn within_seconds<R: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    let result = receiver.recv_timeout(Duration::from_secs(60));
    result.unwrap_or_else(|error| panic!("{what}: a deadlock, or a panic ({error})"))
}
