//! The example for a cluster, run as its batch script has it.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::common::guarded;

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
