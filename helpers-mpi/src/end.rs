//! How a job ended, as its ranks and its launcher tell it.

/// The end of a job that did not come to its good end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// The rank that was the first to end, where it is known.
    pub(crate) rank: Option<usize>,
    pub(crate) host: Option<String>,
    /// In words that follow "rank 2 was lost: ".
    pub(crate) how: String,
}

/// What a launcher says about a rank that ended badly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) rank: Option<usize>,
    pub(crate) how: Option<String>,
}

/// Finds in a launcher's words which rank ended badly, and how.
pub(crate) fn account(words: &str) -> Account {
    // Open MPI passes on what its ranks say about errors of MPI.
    let lines: Vec<_> = words.lines().map(str::to_owned).collect();
    let fatal = fatal_error(&lines);
    // It breaks its own lines anywhere.
    let words = &words.split_whitespace().collect::<Vec<_>>().join(" ");
    let how = fatal
        .or_else(|| signal(words).map(signal_in_words))
        .or_else(|| exit_code(words).map(exit_in_words));
    Account {
        rank: rank(words),
        how,
    }
}

/// `process rank 2 with PID …` and `Process name: [prterun-host-1@1,2]` say Open MPI's launchers,
/// `RANK 2 PID …` says Hydra.
fn rank(words: &str) -> Option<usize> {
    for mark in ["process rank ", "RANK "] {
        if let Some((_, rest)) = words.split_once(mark)
            && let Some(number) = leading_number(rest)
        {
            return Some(number as usize);
        }
    }
    let (_, rest) = words.split_once("Process name:")?;
    let (_, rest) = rest.split_once(',')?;
    leading_number(rest).map(|number| number as usize)
}

/// `exited on signal 9 (Killed)` says Open MPI, `EXIT STRING: Killed (signal 9)` says Hydra.
fn signal(words: &str) -> Option<i32> {
    for mark in ["exited on signal ", "(signal "] {
        if let Some((_, rest)) = words.split_once(mark) {
            return leading_number(rest);
        }
    }
    None
}

/// `Exit code:    3` says Open MPI, `EXIT CODE: 3` says Hydra.
fn exit_code(words: &str) -> Option<i32> {
    for mark in ["Exit code:", "EXIT CODE:"] {
        if let Some((_, rest)) = words.split_once(mark) {
            return leading_number(rest.trim_start());
        }
    }
    None
}

fn leading_number(text: &str) -> Option<i32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

fn signal_in_words(number: i32) -> String {
    use nix::sys::signal::Signal;
    let Ok(signal) = Signal::try_from(number) else {
        return format!("its process was ended by signal {number}");
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
    format!("its process was ended by {signal}{why}")
}

pub(crate) fn exit_in_words(code: i32) -> String {
    format!("its process exited with status {code} before the function returned")
}

/// The MPI library's own words about an error that it takes for fatal, among what a rank printed.
pub(crate) fn fatal_error(lines: &[String]) -> Option<String> {
    let line = lines
        .iter()
        .rev()
        .find(|line| line.contains("MPI_ERR_") || line.contains("Fatal error in "))?;
    let line = line
        .rsplit_once("*** ")
        .map_or(line.as_str(), |(_, rest)| rest);
    let call = lines.iter().rev().find_map(|line| {
        let (_, call) = line.split_once("An error occurred in ")?;
        Some(format!(" in {}", call.trim()))
    });
    Some(format!(
        "the MPI library found an error{}, and ended the job: {}",
        call.unwrap_or_default(),
        line.trim()
    ))
}

/// A launcher's words without the frames that it puts around them.
pub(crate) fn without_frames(words: &str) -> String {
    let lines: Vec<_> = words
        .lines()
        .map(str::trim_end)
        .filter(|line| !(line.len() > 8 && line.chars().all(|c| c == '-' || c == '=')))
        .skip_while(|line| line.is_empty())
        .collect();
    lines.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_both_families_are_understood() {
        let open_mpi = "prterun noticed that process rank 2 with PID 123 on node vm exited \
                        on\nsignal 9 (Killed).";
        let told = account(open_mpi);
        assert_eq!(told.rank, Some(2));
        assert!(told.how.clone().unwrap().contains("SIGKILL"), "{told:?}");
        let code = "   Process name: [prterun-vm-123@1,1]\n   Exit code:    3\n";
        let told = account(code);
        assert_eq!(told.rank, Some(1));
        assert!(told.how.clone().unwrap().contains("status 3"), "{told:?}");
        let hydra = "=   RANK 1 PID 456 RUNNING AT vm\n=   EXIT CODE: 9\nYOUR APPLICATION \
                     TERMINATED WITH THE EXIT STRING: Killed (signal 9)";
        let told = account(hydra);
        assert_eq!(told.rank, Some(1));
        assert!(told.how.clone().unwrap().contains("SIGKILL"), "{told:?}");
        assert_eq!(account("all is well"), Account::default());
    }

    #[test]
    fn frames_are_taken_off() {
        let framed = "-----------------\n\nNot enough slots.\n  Really.\n-----------------\n";
        assert_eq!(without_frames(framed), "Not enough slots.\n  Really.");
    }

    #[test]
    fn fatal_errors_are_found_in_what_a_rank_printed() {
        let lines = [
            "[vm:00000] *** An error occurred in MPI_Recv",
            "[vm:00000] *** MPI_ERR_TRUNCATE: message truncated",
            "[vm:00000] *** MPI_ERRORS_ARE_FATAL (processes will now abort)",
        ]
        .map(str::to_owned);
        let told = fatal_error(&lines[..2]).unwrap();
        assert!(
            told.contains("in MPI_Recv") && told.contains("message truncated"),
            "{told}"
        );
        assert_eq!(fatal_error(&["a panic".to_owned()]), None);
    }
}
