//! How a job ended, as its ranks and its launcher tell it.

use helpers::internals::ended_by_signal;
use nix::sys::signal::Signal;

/// The end of a job that did not come to its good end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobExit {
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

impl Account {
    /// Who was lost, and how: `first` is the rank that is known to have been the first to close its
    /// connection, `lost` one that has closed it.
    ///
    /// A launcher tells what it hears first. When a rank is killed on one host, those on another miss
    /// it, and abort: the launcher may hear of that earlier.
    pub(crate) fn of_first(
        self,
        first: Option<usize>,
        lost: Option<usize>,
    ) -> (Option<usize>, String) {
        let rank = first.or(self.rank).or(lost);
        let is_of_it = self.rank.is_none() || self.rank == rank;
        let how = self.how.filter(|_| is_of_it);
        (rank, how.unwrap_or_else(|| WITHOUT_A_WORD.to_owned()))
    }
}

/// A process that exits says so, see `owner`.
const WITHOUT_A_WORD: &str = "its process ended without a word, as one that is killed or crashes, \
                              and the launcher does not say by which signal";

/// Finds in a launcher's words which rank ended badly, and how.
pub(crate) fn account(words: &str) -> Account {
    // Open MPI passes on what its ranks say about errors of MPI.
    let lines: Vec<_> = words.lines().map(str::to_owned).collect();
    let fatal = fatal_error(&lines);
    // It breaks its own lines anywhere.
    let words = &words.split_whitespace().collect::<Vec<_>>().join(" ");
    if let (None, Some((_, task, how))) = (&fatal, by_srun(&lines)) {
        return Account {
            rank: Some(task),
            how: Some(how),
        };
    }
    let how = fatal
        .or_else(|| cannot_begin(&lines))
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

/// `srun: error: n2: task 2: Aborted` says Slurm of the first, and of others that it has ended, by
/// `tasks 0-1: Killed`, at the same time.
fn by_srun(lines: &[String]) -> Option<(String, usize, String)> {
    let told = |line: &String| {
        let (_, rest) = line.split_once("srun: error: ")?;
        let (host, rest) = rest.split_once(": task ")?;
        let (task, what) = rest.split_once(": ")?;
        let what = what.trim_end_matches(" (core dumped)");
        let how = match what.strip_prefix("Exited with exit code ") {
            Some(code) => exit_in_words(code.parse().ok()?),
            None => {
                let (_, signal) = SIGNALS.iter().find(|(name, _)| *name == what)?;
                signal_in_words(*signal as i32)
            }
        };
        Some((host.to_owned(), task.parse().ok()?, how))
    };
    lines.iter().find_map(told)
}

/// What the C library calls signals that end a program.
const SIGNALS: &[(&str, Signal)] = &[
    ("Aborted", Signal::SIGABRT),
    ("Killed", Signal::SIGKILL),
    ("Segmentation fault", Signal::SIGSEGV),
    ("Bus error", Signal::SIGBUS),
    ("Illegal instruction", Signal::SIGILL),
    ("Floating point exception", Signal::SIGFPE),
    ("Terminated", Signal::SIGTERM),
];

/// What a rank says that ends before it is one.
fn cannot_begin(lines: &[String]) -> Option<String> {
    let told = |line: &String| Some(line.split_once(CANNOT_BEGIN)?.1.trim().to_owned());
    let why = lines.iter().find_map(told)?;
    Some(format!("it cannot begin: {why}"))
}

pub(crate) const CANNOT_BEGIN: &str = "a rank cannot begin: ";

/// On which host a rank finds no program: the first process of the rank says it, see `program`. Slurm
/// may lose those words, but not the status that tells the same.
pub(crate) fn missing_program(words: &str) -> Option<String> {
    let said = |line: &str| {
        // A launcher may put something before it.
        let start = line.find(NO_PROGRAM)?;
        let host = line[..start].rsplit_once("on ")?.1;
        Some((
            host.to_owned(),
            line[start + NO_PROGRAM.len()..].trim().to_owned(),
        ))
    };
    let by_status = || {
        let lines: Vec<_> = words.lines().map(str::to_owned).collect();
        let (host, _, how) = by_srun(&lines)?;
        let file = std::env::current_exe().ok()?.display().to_string();
        (how == exit_in_words(NOT_FOUND)).then_some((host, file))
    };
    let (host, file) = words.lines().find_map(said).or_else(by_status)?;
    Some(format!(
        "on {host} there is no program {file}. All nodes must see it under this path: put it into a folder that they share, or copy \
         it to each, in a batch script by `sbcast`"
    ))
}

/// The status of a shell that finds no program.
const NOT_FOUND: i32 = 127;

/// Behind "on HOST", before the path.
pub(crate) const NO_PROGRAM: &str = " there is no program ";

fn leading_number(text: &str) -> Option<i32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

fn signal_in_words(number: i32) -> String {
    format!("its process {}", ended_by_signal(number))
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
        let begins = "a rank cannot begin: no way\n   Process name: [x,1]\n   Exit code: 1\n";
        let told = account(begins);
        assert_eq!(told.how.unwrap(), "it cannot begin: no way");
    }

    #[test]
    fn the_first_to_close_is_lost_whatever_the_launcher_hears_first() {
        let aborted = account(
            "prterun has exited due to process rank 1 with PID 0 on node n1 calling \"abort\".",
        );
        let (rank, how) = aborted.clone().of_first(Some(2), Some(2));
        assert_eq!(rank, Some(2));
        assert!(how.contains("without a word"), "{how}");
        // Where no order is known, the launcher is all there is.
        assert_eq!(aborted.of_first(None, Some(0)).0, Some(1));
        let of_another = account("srun: error: n1: task 0: Exited with exit code 14");
        let (rank, how) = of_another.of_first(Some(1), Some(1));
        assert_eq!(rank, Some(1));
        assert!(!how.contains("status 14"), "{how}");
        let killed = account("srun: error: n2: task 2: Killed");
        let (rank, how) = killed.of_first(Some(2), Some(2));
        assert_eq!(rank, Some(2));
        assert!(how.contains("SIGKILL"), "{how}");
    }

    #[test]
    fn an_account_of_slurm_is_understood() {
        let words = "slurmstepd-n1: error: *** STEP 14.0 ON n1 CANCELLED ***\n\
                     srun: error: n1: tasks 0-1: Killed\n\
                     srun: error: n2: task 2: Aborted (core dumped)\n";
        let told = account(words);
        assert_eq!(told.rank, Some(2));
        assert!(told.how.unwrap().contains("SIGABRT"));
        let told = account("srun: error: n2: task 3: Exited with exit code 16");
        assert_eq!(told.rank, Some(3));
        assert!(told.how.unwrap().contains("status 16"));
    }

    #[test]
    fn a_missing_program_is_told_with_its_host() {
        let words = "srun: something\n[1,3]<stderr>: on n2 there is no program /home/me/primes\n";
        let told = missing_program(words).unwrap();
        assert!(told.starts_with("on n2 there is no program /home/me/primes. "));
        let told = missing_program("srun: error: n2: task 1: Exited with exit code 127").unwrap();
        assert!(told.starts_with("on n2 there is no program /"));
        assert_eq!(missing_program("all is well"), None);
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
