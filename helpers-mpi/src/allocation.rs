//! What a batch system has granted: nodes, tasks and CPUs.

use std::env;

/// Set by batch systems in all that they start.
const MARKS: &[&str] = &["SLURM_JOB_ID", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE"];

/// What Slurm has granted to this program's job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) nodes: usize,
    pub(crate) tasks: usize,
    pub(crate) cpus: usize,
    /// Whether its only node is the one that this program runs on.
    is_here: bool,
}

impl Allocation {
    /// That of Slurm, if this program runs in one.
    pub(crate) fn of_slurm() -> Option<Allocation> {
        Allocation::read(|name| env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Allocation> {
        variable("SLURM_JOB_ID")?;
        let nodes = variable("SLURM_JOB_NUM_NODES").or_else(|| variable("SLURM_NNODES"))?;
        let nodes = nodes.parse().ok()?;
        let tasks = sum(&variable("SLURM_TASKS_PER_NODE")?)?;
        let cpus = variable("SLURM_JOB_CPUS_PER_NODE").and_then(|text| sum(&text));
        // Slurm names the node only to what it starts there.
        let here = variable("SLURMD_NODENAME");
        let is_here = nodes == 1 && here.is_some() && here == variable("SLURM_JOB_NODELIST");
        Some(Allocation {
            nodes,
            tasks,
            cpus: cpus.unwrap_or(tasks),
            is_here,
        })
    }
}

/// Whether ranks that are started without the names of hosts may run on another one than this.
pub(crate) fn may_be_elsewhere() -> bool {
    let is_in = MARKS.iter().any(|name| env::var_os(name).is_some());
    is_in && !Allocation::of_slurm().is_some_and(|granted| granted.is_here)
}

/// Adds up Slurm's way of writing a number for each node: `4(x2),1`.
fn sum(text: &str) -> Option<usize> {
    let number = |part: &str| {
        let (count, times) = match part.split_once("(x") {
            Some((count, times)) => (count, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        Some(count.parse::<usize>().ok()? * times)
    };
    text.split(',').map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<Allocation> {
        let variable = |name: &str| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        };
        Allocation::read(variable)
    }

    #[test]
    fn numbers_for_each_node_are_added_up() {
        assert_eq!(sum("4"), Some(4));
        assert_eq!(sum("4(x2),1"), Some(9));
        assert_eq!(sum("four"), None);
        assert_eq!(sum(""), None);
    }

    #[test]
    fn one_node_is_here_if_slurm_has_started_this_there() {
        let variables = [
            ("SLURM_JOB_ID", "7"),
            ("SLURM_JOB_NUM_NODES", "1"),
            ("SLURM_TASKS_PER_NODE", "1"),
            ("SLURM_JOB_CPUS_PER_NODE", "4"),
            ("SLURM_JOB_NODELIST", "n1"),
            ("SLURMD_NODENAME", "n1"),
        ];
        let there = read(&variables[..5]).unwrap();
        assert!(!there.is_here);
        assert_eq!((there.tasks, there.cpus), (1, 4));
        assert!(read(&variables).unwrap().is_here);
        assert_eq!(read(&variables[1..]), None);
    }
}
