//! What a job of ranks is asked to be.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::allocation::{self, Allocation};
use crate::control::Role;
use crate::error::MpiError;

const TIME_TO_START: Duration = Duration::from_secs(60);
/// Two slow cores start four of them in a second.
const TIME_TO_START_RANK: Duration = Duration::from_millis(250);

/// More ranks than this are a typing mistake.
const MOST_RANKS: usize = 1 << 14;

/// What `MpiRun` and the builder of a `MpiPool` collect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) ranks: usize,
    pub(crate) hosts: Vec<Host>,
    pub(crate) ranks_per_node: Option<usize>,
    pub(crate) launcher: Option<PathBuf>,
    pub(crate) launcher_args: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where ranks work, as long as there is such a folder; else where this process does.
    pub(crate) folder: Option<PathBuf>,
    /// What was wrong with a setting, until somebody can be told.
    problem: Option<MpiError>,
}

/// A host, and how many ranks it has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) slots: usize,
}

impl Settings {
    pub(crate) fn new(ranks: usize) -> Settings {
        Settings {
            ranks,
            ..Settings::default()
        }
    }

    pub(crate) fn add_hosts<H: AsRef<str>>(&mut self, hosts: impl IntoIterator<Item = H>) {
        for host in hosts {
            match Host::parse(host.as_ref()) {
                Ok(host) => self.hosts.push(host),
                Err(error) => self.problem = Some(error),
            }
        }
    }

    pub(crate) fn add_host_file(&mut self, path: &Path) {
        let hosts = fs::read_to_string(path)
            .map_err(|error| {
                MpiError::invalid_input(format!("cannot read {}: {error}", path.display()))
            })
            .and_then(|text| parse_host_file(&text, path));
        match hosts {
            Ok(hosts) => self.hosts.extend(hosts),
            Err(error) => self.problem = Some(error),
        }
    }

    /// Fails if no job can be as these settings have it.
    pub(crate) fn check(&self) -> Result<(), MpiError> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if self.ranks == 0 || self.ranks > MOST_RANKS {
            return Err(MpiError::invalid_input(format!(
                "{} ranks were asked for; a job has 1 to {MOST_RANKS}",
                self.ranks
            )));
        }
        if self.ranks_per_node == Some(0) {
            return Err(MpiError::invalid_input(
                "0 ranks on each node were asked for; a node runs at least 1",
            ));
        }
        let per_node = self.ranks_per_node.unwrap_or(usize::MAX);
        let slots: usize = self.hosts.iter().map(|host| host.slots.min(per_node)).sum();
        if !self.hosts.is_empty() && self.ranks > slots {
            return Err(MpiError::invalid_input(format!(
                "{} ranks were asked for, but the hosts have room for {slots}: {}. Write how many \
                 ranks a host may run behind its name, as in \"node1:8\"",
                self.ranks,
                list(&self.hosts)
            )));
        }
        Ok(())
    }

    /// How long ranks may take to begin: the more they are, the longer.
    pub(crate) fn time_to_start(&self) -> Duration {
        TIME_TO_START + TIME_TO_START_RANK * u32::try_from(self.ranks).unwrap_or(u32::MAX)
    }

    /// Whether all ranks run on this host, as far as the settings say.
    pub(crate) fn is_local(&self) -> bool {
        self.hosts.is_empty() && !allocation::may_be_elsewhere()
    }

    /// Fails if Slurm has granted less room than the ranks need.
    pub(crate) fn check_room(&self, role: Role) -> Result<(), MpiError> {
        let granted = Allocation::of_slurm().filter(|_| self.hosts.is_empty() && !self.is_local());
        let Some(granted) = granted else {
            return Ok(());
        };
        let Allocation {
            nodes, tasks, cpus, ..
        } = granted;
        // A manager needs no CPU of its own.
        let manager = usize::from(role == Role::Pool && cpus > tasks);
        let ranks = self.ranks;
        if ranks <= tasks.max(cpus + manager) {
            return Ok(());
        }
        let (wanted, less) = match role {
            Role::Pool => (
                format!("{} workers and 1 manager were asked for", ranks - 1),
                format!(
                    "a pool of {}",
                    tasks.max(cpus + manager).saturating_sub(1).max(1)
                ),
            ),
            Role::Run => (
                format!("{ranks} ranks were asked for"),
                format!("a job of {}", tasks.max(cpus)),
            ),
        };
        Err(MpiError::invalid_input(format!(
            "{wanted}; the allocation has {}{} on {}. Ask Slurm for --ntasks={ranks}, or start {less}",
            counted(tasks, "task"),
            if cpus > tasks {
                format!(" with {}", counted(cpus, "CPU"))
            } else {
                String::new()
            },
            counted(nodes, "node"),
        )))
    }
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

impl Host {
    /// `name` or `name:slots`.
    fn parse(text: &str) -> Result<Host, MpiError> {
        let (name, slots) = match text.trim().rsplit_once(':') {
            None => (text.trim(), Some(1)),
            Some((name, slots)) => (name, slots.parse().ok().filter(|&slots| slots > 0)),
        };
        match slots {
            Some(slots) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(Host {
                name: name.to_owned(),
                slots,
            }),
            _ => Err(MpiError::invalid_input(format!(
                "{text:?} is no host: write a name, or a name and how many ranks the host may \
                 run, as in \"node1:8\""
            ))),
        }
    }
}

/// Reads what both families of MPI libraries write: `name slots=4` and `name:4`.
fn parse_host_file(text: &str, path: &Path) -> Result<Vec<Host>, MpiError> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else {
            continue;
        };
        let mut host = Host::parse(first)?;
        for word in words {
            if let Some(slots) = word.strip_prefix("slots=") {
                host = Host::parse(&format!("{}:{slots}", host.name))?;
            }
        }
        hosts.push(host);
    }
    if hosts.is_empty() {
        let path = path.display();
        return Err(MpiError::invalid_input(format!("{path} names no host")));
    }
    Ok(hosts)
}

fn list(hosts: &[Host]) -> String {
    let mut text = String::new();
    for host in hosts {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a text does not fail.
        let _ = write!(text, "{}:{}", host.name, host.slots);
    }
    text
}

/// The settings that all jobs have, as methods of a builder with a field `settings`.
macro_rules! settings_methods {
    () => {
        /// Runs ranks on these hosts: names, each with how many ranks the host may run behind a
        /// colon (1 if there is none), as in `["node1:8", "node2:8"]`.
        ///
        /// Without it, ranks run on this host, or in a Slurm allocation on the hosts of the
        /// allocation. The program, and in a notebook the kernel's folder, must lie under the
        /// same path on all hosts, as they do in a home folder that hosts share.
        pub fn hosts<H: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
            self.settings.add_hosts(hosts);
            self
        }

        /// Runs ranks on the hosts that a file names, one on a line, as `node1 slots=8` or
        /// `node1:8`.
        pub fn host_file(mut self, path: impl AsRef<std::path::Path>) -> Self {
            self.settings.add_host_file(path.as_ref());
            self
        }

        /// Runs at most so many ranks on each host.
        pub fn ranks_per_node(mut self, ranks: usize) -> Self {
            self.settings.ranks_per_node = Some(ranks);
            self
        }

        /// Starts ranks with this program instead of `mpiexec`. Inside a Slurm allocation it may
        /// be `srun`, which is told by `--mpi` how the MPI library wants to be started, unless the
        /// launcher's arguments or `SLURM_MPI_TYPE` say it.
        pub fn launcher(mut self, program: impl Into<std::path::PathBuf>) -> Self {
            self.settings.launcher = Some(program.into());
            self
        }

        /// Gives the launcher more arguments.
        pub fn launcher_args<A: Into<std::ffi::OsString>>(
            mut self,
            args: impl IntoIterator<Item = A>,
        ) -> Self {
            let args = args.into_iter().map(Into::into);
            self.settings.launcher_args.extend(args);
            self
        }

        /// Sets a variable in the environment of the ranks.
        pub fn env(
            mut self,
            name: impl Into<std::ffi::OsString>,
            value: impl Into<std::ffi::OsString>,
        ) -> Self {
            self.settings.environment.push((name.into(), value.into()));
            self
        }
    };
}
pub(crate) use settings_methods;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, slots: usize) -> Host {
        let name = name.to_owned();
        Host { name, slots }
    }

    #[test]
    fn hosts_are_read_in_both_forms() {
        let text = "# nodes\nnode1 slots=8\nnode2:4   # the small one\n\nnode3\n";
        let hosts = parse_host_file(text, Path::new("hosts")).unwrap();
        assert_eq!(
            hosts,
            [host("node1", 8), host("node2", 4), host("node3", 1)]
        );
        for wrong in ["", "node1:", "node1:0", "node1:many", ":4", "a b"] {
            let error = Host::parse(wrong).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
        let error = parse_host_file("# nobody\n", Path::new("hosts")).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
    }

    #[test]
    fn more_ranks_than_slots_are_an_error_that_names_both() {
        let mut settings = Settings::new(5);
        settings.add_hosts(["a:2", "b:2"]);
        let told = settings.check().unwrap_err().to_string();
        assert!(
            told.contains("5 ranks") && told.contains("room for 4: a:2, b:2"),
            "{told}"
        );
        settings.ranks = 3;
        assert_eq!(settings.check(), Ok(()));
        settings.ranks_per_node = Some(1);
        assert!(
            settings
                .check()
                .unwrap_err()
                .to_string()
                .contains("room for 2")
        );
    }

    #[test]
    fn what_no_job_can_be_is_an_error() {
        assert!(
            Settings::new(0)
                .check()
                .unwrap_err()
                .to_string()
                .contains("0 ranks")
        );
        assert!(Settings::new(usize::MAX).check().is_err());
        let mut settings = Settings::new(1);
        settings.ranks_per_node = Some(0);
        assert!(settings.check().is_err());
        let mut settings = Settings::new(1);
        settings.add_host_file(Path::new("/no/such/file"));
        assert!(
            settings
                .check()
                .unwrap_err()
                .to_string()
                .contains("/no/such/file")
        );
    }
}
