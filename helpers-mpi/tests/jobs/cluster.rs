//! What is for a cluster, tested without one: the example, run as its batch script has it, and a
//! job that is started by hand in an allocation of Slurm.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command};
use std::{env, iter};

use helpers_mpi::prelude::*;

use crate::common::{guarded, passed};

/// Stands in for Slurm's `srun`: notes each of its arguments, and has `mpiexec` start the ranks.
const SRUN: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo slurm 24.05.4; exit; fi
if [ "$1" = --mpi=list ]; then echo "MPI plugin types are... none pmi2 pmix"; exit; fi
printf '%s\0' "$@" > "$0.told"
ranks=$2
while [ "$1" != sh ]; do shift; done
# Or mpiexec would ask Slurm for hosts.
unset SLURM_JOB_ID SLURM_JOB_NODELIST SLURM_NNODES
case $(mpiexec --version) in
*"Open MPI"*) set -- --oversubscribe --bind-to none "$@";;
esac
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 exec mpiexec -n "$ranks" "$@"
"#;

/// What a batch system does with the script: it runs it by `bash`, with a few variables. No Slurm
/// is needed for that, and this test has none.
#[test]
fn the_batch_script_works_as_it_stands() {
    guarded(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/primes.sbatch");
        let program = env::current_exe().unwrap();
        // Beside the folder of the tests.
        let folder = program.ancestors().nth(2).unwrap().join("examples");
        assert!(
            folder.join("primes").is_file(),
            "cargo builds it with the tests"
        );
        let output = Command::new("bash")
            .arg(script)
            .current_dir(folder)
            .env("SLURM_NTASKS", "3")
            // More ranks than cores, and the administrator.
            .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.contains("78498 primes, found by 2 ranks"),
            "{told}{problem}"
        );
        assert!(output.status.success(), "{problem}");
    });
}

#[test]
fn srun_starts_the_ranks_of_a_job_in_an_allocation() {
    guarded(|| {
        let folder = env::temp_dir().join(format!("helpers-mpi-srun-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let script = folder.join("srun");
        fs::write(&script, SRUN).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let path = env::var_os("PATH").unwrap();
        let path = env::join_paths(iter::once(folder.clone()).chain(env::split_paths(&path)));
        let mut program = Command::new(env::current_exe().unwrap());
        program
            .env("PATH", path.unwrap())
            .env("SLURM_JOB_ID", "1234")
            .env("SLURM_JOB_NODELIST", "node[1-2]")
            .env("SLURM_NNODES", "2");
        passed("cluster::in_an_allocation", &mut program);
        fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
#[ignore = "runs in what looks like an allocation"]
fn in_an_allocation() {
    let job = MpiRun::new(2).launcher("srun");
    assert_eq!(job.run(|world| world.rank()).unwrap(), [0, 1]);
    let told = told_srun();
    // By the library that this is built with.
    let interface = told.last().unwrap().clone();
    assert!(interface == "--mpi=pmix" || interface == "--mpi=pmi2");
    assert_eq!(
        told.join(" "),
        format!("-n 2 --kill-on-bad-exit=1 {interface}")
    );
    let job = job
        .hosts(["node1:4", "node2"])
        .ranks_per_node(1)
        .launcher_args(["--mpi=pmix", "--time=00:05:00"]);
    assert_eq!(job.run(|world| world.size()).unwrap(), [2, 2]);
    // What is said is not said twice.
    let wanted = "-n 2 --kill-on-bad-exit=1 --ntasks-per-node 1 --nodelist node1,node2 \
                  --mpi=pmix --time=00:05:00";
    assert_eq!(told_srun().join(" "), wanted);
    let pool = MpiPool::builder(2).launcher("srun").build().unwrap();
    assert_eq!(pool.map(|x: u64| x * x, [1, 2, 3]).unwrap(), [1, 4, 9]);
    // Two workers, and the manager.
    assert_eq!(
        told_srun().join(" "),
        format!("-n 3 --kill-on-bad-exit=1 {interface}")
    );
}

/// The options that the stand-in for `srun` got, in front of the program of the ranks.
fn told_srun() -> Vec<String> {
    let folder = env::split_paths(&env::var_os("PATH").unwrap()).next();
    let told = fs::read_to_string(folder.unwrap().join("srun.told")).unwrap();
    let words: Vec<_> = told.split_terminator('\0').map(str::to_owned).collect();
    let program = words.iter().position(|word| word == "sh").unwrap();
    let (options, program) = words.split_at(program);
    let [sh, run, _, file, _, order] = program else {
        panic!("{program:?}");
    };
    let this = env::current_exe().unwrap();
    let this = this.to_string_lossy();
    let wanted = ["sh", "-c", &*this, "helpers-mpi-rank"];
    assert_eq!([sh, run, file, order], wanted);
    options.to_vec()
}
