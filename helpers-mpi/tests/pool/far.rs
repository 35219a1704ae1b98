//! Ranks on other machines, as far as they can tell: each sees a machine of another name, so nothing
//! is shared with it but messages, and nobody can wake it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use helpers::prelude::*;
use helpers_mpi::prelude::*;

use crate::common::{AT_ONCE, assert_goes_on, family, guarded, ids, spin_for, vanish};

/// Starts each rank behind a name of the machine that only it sees.
const SCRIPT: &str = r#"#!/bin/bash
there='name=$(mktemp) && echo "far $$" > $name &&
mount --bind $name /proc/sys/kernel/random/boot_id && rm $name; exec "$@"'
command=(mpiexec)
for word in "$@"; do
    if [ "$word" = sh ] && [ -z "$found" ]; then
        found=1
        command+=(unshare --mount sh -c "$there" far)
    fi
    command+=("$word")
done
exec "${command[@]}"
"#;

/// A pool whose ranks are far; `None` if this process may not pretend so.
fn pool(workers: usize) -> Option<MpiPool> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let folder = std::env::temp_dir().join(format!("far-ranks-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let script = folder.join("mpiexec");
    if !script.exists() {
        let draft = folder.join(format!("{:?}", std::thread::current().id()));
        fs::write(&draft, SCRIPT).unwrap();
        fs::set_permissions(&draft, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(draft, &script).unwrap();
    }
    let pool = MpiPool::builder(workers).launcher(script).build().unwrap();
    let name = |()| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let name = pool.submit(name, ()).join().unwrap();
    assert!(name.starts_with("far"), "{name}");
    Some(pool)
}

#[test]
fn far_ranks_do_what_near_ones_do() {
    guarded(|| {
        let Some(pool) = pool(2) else { return };
        let squares: Vec<u64> = (0..3000).map(|x| x * x).collect();
        assert_eq!(pool.map(|x: u64| x * x, 0..3000), Ok(squares.clone()));
        let view = pool.chunk_size(1).unwrap();
        assert_eq!(view.map(|x: u64| x * x, 0..3000), Ok(squares));
        let arrays = (0..8).map(|n| vec![n; 300_000]);
        let sums = view.map(|array: Vec<u64>| array.iter().sum::<u64>(), arrays);
        assert_eq!(sums, Ok((0..8).map(|n| n * 300_000).collect()));
        let (results, timing) = measure(|| pool.map(spin_for, [100, 100]));
        assert!(
            results.is_ok() && timing.workers >= Duration::from_millis(100),
            "{timing}"
        );
    });
}

#[test]
fn faults_of_far_ranks_are_told_as_well() {
    guarded(|| {
        let Some(pool) = pool(2) else { return };
        let error = pool.map(|x: u64| assert!(x != 5, "ill"), 0..8).unwrap_err();
        assert!(error.is_panic() && error.item() == Some(5), "{error}");
        let view = pool.chunk_size(1).unwrap();
        let leave = |x: u64| {
            if x == 5 {
                process::exit(3)
            }
        };
        let error = view.map(leave, 0..8).unwrap_err();
        assert!(
            error.is_worker_lost() && error.to_string().contains("status 3"),
            "{error}"
        );
        assert_goes_on(&pool);
    });
}

#[test]
fn far_ranks_have_a_time_limit() {
    guarded(|| {
        let Some(pool) = pool(2) else { return };
        let before = family(&pool);
        let start = Instant::now();
        let view = pool.time_limit(Duration::from_millis(300)).unwrap();
        let error = view
            .submit(|()| sleep(Duration::from_secs(1000)), ())
            .join();
        let error = error.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(start.elapsed() < AT_ONCE);
        assert!(vanish(&before));
        assert_eq!(ids(&pool).len(), 2);
    });
}
