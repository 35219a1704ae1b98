//! The program that starts ranks, and how it is told what is wanted.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use crate::allocation::Allocation;
use crate::error::MpiError;
use crate::settings::{Host, Settings};

/// A launcher and the family that it belongs to: each has options of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) family: Family,
    /// What it calls itself.
    pub(crate) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    OpenMpi,
    /// MPICH, Intel MPI, MVAPICH and others, whose `mpiexec` is called Hydra.
    Hydra,
    Slurm,
    Unknown,
}

/// What was found out about launchers, so that it is asked once.
static KNOWN: Mutex<Option<HashMap<PathBuf, Launcher>>> = Mutex::new(None);

/// The variable for the folder of Open MPI's launcher on this host only.
const FOLDER_HERE: &str = "PRTE_MCA_prte_local_tmpdir_base";

/// By which algorithm ranks wait for each other in `MPI_Init`. The one that Slurm takes for itself lets
/// those of one node go on without the others if the job has fewer nodes than Slurm's `TreeWidth`: see
/// `reverse_tree_info` in the source of Slurm 22.05 to 26.05. Then a message may come to a rank of Open
/// MPI 4 before it can take one, and it crashes.
const FENCE: &str = "SLURM_PMIX_FENCE";

impl Launcher {
    /// The launcher of a job: the one that was asked for, else `mpiexec`.
    pub(crate) fn find(settings: &Settings) -> Result<Launcher, MpiError> {
        let program = match &settings.launcher {
            Some(program) => program.clone(),
            None => PathBuf::from("mpiexec"),
        };
        let path = on_path(&program).ok_or_else(|| {
            MpiError::start(format!(
                "there is no program `{}`{}. In the course's clone run: cargo xtask setup; on a \
                 cluster, load the module of an MPI library",
                program.display(),
                if program.components().count() > 1 {
                    ""
                } else {
                    " on PATH"
                },
            ))
        })?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(launcher) = known.get(&path) {
            return Ok(launcher.clone());
        }
        let launcher = Launcher::ask(path.clone())
            .map_err(|error| MpiError::start(format!("cannot run {}: {error}", path.display())))?;
        known.insert(path, launcher.clone());
        Ok(launcher)
    }

    fn ask(program: PathBuf) -> io::Result<Launcher> {
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (family, name) = recognise(&text);
        Ok(Launcher {
            program,
            family,
            name,
        })
    }

    /// A command that starts the job's ranks; the rank program and its arguments go behind it.
    ///
    /// `folder` is the job's own and goes when the job goes.
    pub(crate) fn command(
        &self,
        settings: &Settings,
        variables: &[(OsString, OsString)],
        folder: &Path,
    ) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        if let Some(folder) = settings.folder.as_ref().filter(|folder| folder.is_dir()) {
            // Launchers have their ranks work where they do.
            command.current_dir(folder);
        }
        let ranks = settings.ranks.to_string();
        let mut args: Vec<OsString> = vec!["-n".into(), ranks.into()];
        if settings.is_local() {
            // The launcher's own files. Ranks get their usual folder back; see `program`.
            command.env("TMPDIR", folder);
        } else {
            // On other hosts nobody would delete it. Versions before 5 tidy up by themselves.
            command.env(FOLDER_HERE, folder);
        }
        let granted = Allocation::of_slurm();
        if granted.is_some() {
            // Or what starts its ranks by a step of Slurm's waits for the end of all other steps: of
            // a pool that lives, or of the one that this program is in.
            command.env("SLURM_OVERLAP", "1");
        }
        let is_crowded = granted.is_some_and(|granted| settings.ranks > granted.tasks);
        let mut option = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        let per_node = settings.ranks_per_node.map(|ranks| ranks.to_string());
        match self.family {
            Family::OpenMpi => {
                // Waiting ranks let others have their core: there may be more ranks than cores.
                option(&["--mca", "mpi_yield_when_idle", "1", "--bind-to", "none"]);
                if settings.is_local() || is_crowded {
                    option(&["--oversubscribe"]);
                }
                if settings.is_local() {
                    // With TCP, which ranks of one host do not need, the end takes a second.
                    let memory = if self.name.contains("OpenRTE") {
                        "vader" // as version 4 has it
                    } else {
                        "sm"
                    };
                    option(&["--mca", "btl", &format!("self,{memory}")]);
                    let shared = folder.to_string_lossy();
                    let name = format!("btl_{memory}_backing_directory");
                    option(&["--mca", &name, &shared]);
                }
                if let Some(ranks) = &per_node {
                    option(&["--map-by", &format!("ppr:{ranks}:node")]);
                }
                if nix::unistd::Uid::effective().is_root() {
                    // In containers there is nobody else.
                    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
                    command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
                }
                // Other families pass all variables on to other hosts.
                for (name, _) in variables {
                    args.extend(["-x".into(), name.clone()]);
                }
            }
            Family::Hydra => {
                option(&["-bind-to", "none"]);
                if let Some(ranks) = &per_node {
                    option(&["-ppn", ranks]);
                }
            }
            Family::Slurm => {
                // As all other launchers do.
                option(&["--kill-on-bad-exit=1"]);
                if env::var_os(FENCE).is_none() {
                    command.env(FENCE, "ring");
                }
                if let Some(ranks) = &per_node {
                    option(&["--ntasks-per-node", ranks]);
                }
                if is_crowded {
                    option(&["--overcommit", "--cpus-per-task", "1"]);
                }
                if let Some(interface) = self.interface(settings)? {
                    option(&[&format!("--mpi={interface}")]);
                }
            }
            Family::Unknown => {}
        }
        if !settings.hosts.is_empty() {
            match self.family {
                Family::Slurm => {
                    let names: Vec<_> = settings.hosts.iter().map(|host| &*host.name).collect();
                    args.extend(["--nodelist".into(), names.join(",").into()]);
                }
                family => {
                    let file = folder.join("hosts");
                    fs::write(&file, host_file(&settings.hosts, family))?;
                    let option = match family {
                        Family::Hydra => "-f",
                        _ => "--hostfile",
                    };
                    args.extend([option.into(), file.into()]);
                }
            }
        }
        command.args(args).args(&settings.launcher_args);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

impl Launcher {
    /// By which interface `srun` is to tell ranks who they are; `None` if somebody has said it.
    fn interface(&self, settings: &Settings) -> io::Result<Option<&'static str>> {
        let is_told = |arg: &OsString| arg.to_string_lossy().starts_with("--mpi");
        if settings.launcher_args.iter().any(is_told) || env::var_os("SLURM_MPI_TYPE").is_some() {
            return Ok(None);
        }
        let library = mpi::environment::library_version().unwrap_or_default();
        let wanted = if library.contains("Open MPI") {
            "pmix"
        } else {
            "pmi2"
        };
        let output = Command::new(&self.program)
            .arg("--mpi=list")
            .stdin(Stdio::null())
            .output()?;
        // Some versions write the list to stderr.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        if text.split_whitespace().any(|word| word == wanted) {
            return Ok(Some(wanted));
        }
        let offered = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(io::Error::other(format!(
            "{} cannot start ranks of this MPI library: they need `--mpi={wanted}`, and \
             `srun --mpi=list` says: {offered}. Use mpiexec, or name another interface by \
             `launcher_args`",
            self.program.display(),
        )))
    }
}

fn recognise(version: &str) -> (Family, String) {
    let first = version.lines().next().unwrap_or_default().trim();
    let family = if version.contains("Open MPI") || version.contains("OpenRTE") {
        Family::OpenMpi
    } else if version.contains("HYDRA") || version.contains("Intel(R) MPI") {
        Family::Hydra
    } else if first.starts_with("slurm") {
        Family::Slurm
    } else {
        Family::Unknown
    };
    let name = match family {
        Family::Hydra if first.starts_with("HYDRA") => {
            let number = version
                .lines()
                .find_map(|line| line.trim().strip_prefix("Version:"));
            format!("MPICH's Hydra {}", number.unwrap_or_default().trim())
        }
        _ => first.to_owned(),
    };
    (family, name)
}

/// The hosts as this family of launchers wants them to be written.
fn host_file(hosts: &[Host], family: Family) -> String {
    let mut text = String::new();
    for Host { name, slots } in hosts {
        // Writing to a text does not fail.
        let _ = match family {
            Family::Hydra => writeln!(text, "{name}:{slots}"),
            _ => writeln!(text, "{name} slots={slots}"),
        };
    }
    text
}

/// The file of a program that is named as in a shell.
fn on_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_own_words() {
        let open_mpi = "mpiexec (Open MPI) 5.0.11\n\nReport bugs to …\n";
        assert_eq!(
            recognise(open_mpi),
            (Family::OpenMpi, "mpiexec (Open MPI) 5.0.11".to_owned())
        );
        let hydra = "HYDRA build details:\n    Version:           5.0.2\n    CC: cc\n";
        assert_eq!(
            recognise(hydra),
            (Family::Hydra, "MPICH's Hydra 5.0.2".to_owned())
        );
        assert_eq!(recognise("slurm 24.05.1\n").0, Family::Slurm);
        assert_eq!(recognise("").0, Family::Unknown);
    }

    #[test]
    fn ranks_that_srun_starts_wait_for_each_other_before_they_send_messages() {
        let slurm = Launcher {
            program: "srun".into(),
            family: Family::Slurm,
            name: "slurm".to_owned(),
        };
        let mut settings = Settings::new(2);
        settings.launcher_args.push("--mpi=pmix".into());
        let command = slurm.command(&settings, &[], Path::new("/tmp")).unwrap();
        let told = command.get_envs().find(|(name, _)| *name == FENCE);
        let (_, how) = told.expect("srun is told how");
        assert_eq!(how, Some("ring".as_ref()));
    }

    #[test]
    fn hosts_are_written_as_each_family_wants_them() {
        let name = "node1".to_owned();
        let hosts = [Host { name, slots: 8 }];
        assert_eq!(host_file(&hosts, Family::OpenMpi), "node1 slots=8\n");
        assert_eq!(host_file(&hosts, Family::Hydra), "node1:8\n");
    }

    #[test]
    fn a_missing_launcher_is_an_error_with_the_remedy() {
        let mut settings = Settings::new(1);
        settings.launcher = Some("no-such-mpiexec".into());
        let told = Launcher::find(&settings).unwrap_err().to_string();
        assert!(told.contains("`no-such-mpiexec` on PATH"), "{told}");
        assert!(told.contains("cargo xtask setup"), "{told}");
    }
}
