//! What the machine grants this process.

use std::fmt;
use std::thread;

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Environment variables that numerical libraries obey when they start threads of their own.
pub(crate) const THREAD_SETTINGS: [&str; 7] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];

/// What the machine grants this process: cores, memory, and how the code was built.
///
/// Made by [`environment`]; shows itself as the last expression of a notebook cell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// Logical cores that this process may use: those of the machine, less what CPU affinity and
    /// a container's limits take away. The right number of workers for work that needs CPU.
    pub cores: usize,
    /// Logical cores of the machine.
    pub logical_cores: usize,
    /// Physical cores of the machine; two logical cores that share one are not twice as fast.
    pub physical_cores: Option<usize>,
    /// The processor's name, empty where the system does not tell.
    pub cpu: String,
    /// Memory that this process may use, in bytes: the machine's or the container's; 0 where the
    /// system does not tell.
    pub memory: u64,
    /// Memory that is free for use now, in bytes.
    pub available_memory: u64,
    /// Whether this crate was built with optimisation, and its opt-level.
    pub opt_level: &'static str,
    /// Whether this crate was built with debug assertions.
    pub debug_assertions: bool,
    /// The variables that libraries with threads of their own obey, and their values where set.
    pub thread_settings: Vec<(&'static str, Option<String>)>,
}

/// Tells what the machine grants this process: cores, memory, processor, build profile, and the
/// thread settings that libraries obey.
///
/// ```
/// let here = helpers::environment();
/// assert!(here.cores >= 1);
/// println!("{here}");
/// ```
pub fn environment() -> Environment {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let logical_cores = cpus.len().max(1);
    let (memory, available_memory) =
        system
            .as_ref()
            .map_or((0, 0), |system| match system.cgroup_limits() {
                // Files that are kept in memory give way when it is wanted.
                Some(container) => {
                    let left = container.total_memory.saturating_sub(container.rss);
                    (container.total_memory, left.min(system.available_memory()))
                }
                None => (system.total_memory(), system.available_memory()),
            });
    Environment {
        // The standard library knows about affinity and about a container's CPU quota.
        cores: thread::available_parallelism().map_or(logical_cores, |cores| cores.get()),
        logical_cores,
        physical_cores: System::physical_core_count().ok(),
        cpu: cpus
            .first()
            .map_or(String::new(), |cpu| cpu.brand().trim().to_owned()),
        memory,
        available_memory,
        opt_level: env!("HELPERS_OPT_LEVEL"),
        debug_assertions: cfg!(debug_assertions),
        thread_settings: THREAD_SETTINGS
            .map(|name| (name, std::env::var(name).ok()))
            .to_vec(),
    }
}

impl Environment {
    /// Shows the environment when it is the last expression of a notebook cell.
    pub fn evcxr_display(&self) {
        crate::show::as_result(self);
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GIB: f64 = (1u64 << 30) as f64;
        let physical = match self.physical_cores {
            Some(cores) => format!("{cores} physical"),
            None => "physical unknown".to_owned(),
        };
        writeln!(
            f,
            "cores     {} for this process; the machine has {} logical, {physical}",
            self.cores, self.logical_cores
        )?;
        let cpu = if self.cpu.is_empty() {
            "unknown"
        } else {
            &self.cpu
        };
        writeln!(f, "processor {cpu}")?;
        writeln!(
            f,
            "memory    {:.1} GiB, {:.1} GiB of it available",
            self.memory as f64 / GIB,
            self.available_memory as f64 / GIB
        )?;
        writeln!(
            f,
            "build     opt-level {}, debug assertions {}",
            self.opt_level,
            if self.debug_assertions { "on" } else { "off" }
        )?;
        let set: Vec<String> = self
            .thread_settings
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect();
        let unset: Vec<String> = self
            .thread_settings
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let (set, unset) = (wrapped(&set), wrapped(&unset));
        match (set.as_str(), unset.as_str()) {
            (set, "") => write!(f, "set       {set}"),
            ("", unset) => write!(f, "not set   {unset}"),
            (set, unset) => write!(f, "set       {set}\nnot set   {unset}"),
        }
    }
}

/// Four words a line, below each other.
fn wrapped(words: &[String]) -> String {
    let lines: Vec<String> = words.chunks(4).map(|line| line.join(" ")).collect();
    lines.join("\n          ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_believable_machine() {
        let here = environment();
        assert!(here.cores >= 1 && here.cores <= here.logical_cores);
        assert!(here.memory > 1 << 26, "{} bytes of memory", here.memory);
        assert!(here.available_memory <= here.memory);
        assert!(here.to_string().contains("for this process"));
    }
}
