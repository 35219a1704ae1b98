//! How a process ended, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

/// How a process ended, in words that follow "it".
pub fn how(status: ExitStatus) -> String {
    match status.signal() {
        Some(number) => by_signal(number),
        None => format!("exited with status {}", status.code().unwrap_or_default()),
    }
}

/// How a process ended that was ended by the signal of this number.
pub fn by_signal(number: i32) -> String {
    let Ok(signal) = Signal::try_from(number) else {
        return format!("was ended by signal {number}");
    };
    let why = match signal {
        Signal::SIGSEGV | Signal::SIGBUS => {
            ": it touched memory that is not its own, or its stack overflowed"
        }
        Signal::SIGABRT => {
            ": it aborted, as Rust does when memory runs out, a stack overflows, or a panic meets \
             another"
        }
        Signal::SIGKILL => ": somebody killed it, perhaps the system for want of memory",
        _ => "",
    };
    format!("was ended by {signal}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "exited with status 3");
        assert!(how(ExitStatus::from_raw(9)).contains("SIGKILL"));
        assert!(how(ExitStatus::from_raw(11)).contains("stack overflowed"));
    }
}
