//! The sources of the standard library, as the kernel reads them.
//!
//! In each kernel rust-analyzer reads all of them, to tell the types of variables. Half of their
//! text is for other processors or for tests. So kernels read a copy in which the files that no
//! cell needs are empty. They are still there: cargo and the crates themselves name them. What is left of the
//! others says the kernel's own program: see `kernel/src/toolchain/reduce.rs`.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::build_folder;
use crate::command;
use crate::kernel_program;
use crate::paths::Paths;
use crate::tools;

/// Says what a copy was made from; one without is not whole.
const MARK: &str = "made-from";

/// To be counted up when another part of the sources is left out.
const CHOICE: u32 = 2;

/// Files and folders of nothing but tests.
const FOR_TESTS: &[&str] = &[
    "tests",
    "tests.rs",
    "benches",
    "examples",
    "coretests",
    "alloctests",
];

/// Makes the copy, unless it is there and of this compiler.
pub fn ensure(paths: &Paths) -> Result<()> {
    if reduced(paths).is_some() {
        return Ok(());
    }
    let Some(library) = tools::rust_src() else {
        // A compiler that has come since the set-up. The next one adds them.
        return Ok(());
    };
    let folder = paths.rust_src();
    let new = folder.with_extension("new");
    build_folder::remove(&new)?;
    copy(&library, &new.join("library"), Path::new(""))
        .map_err(|error| format!("cannot copy {}: {error}", library.display()))?;
    let mut reduce = Command::new(paths.kernel_program());
    command::run(reduce.arg("--reduce-sources").arg(new.join("library")))?;
    build_folder::remove(&folder)?;
    fs::rename(&new, &folder)?;
    fs::write(folder.join(MARK), wanted(paths)?)?;
    Ok(())
}

/// The copy, if it is there and of the compiler that is used now: what a kernel is told as
/// `RUST_SRC_PATH`. Without it the kernel reads the whole.
pub fn reduced(paths: &Paths) -> Option<PathBuf> {
    let made_from = fs::read_to_string(paths.rust_src().join(MARK)).ok()?;
    let is_right = wanted(paths).is_ok_and(|wanted| wanted == made_from);
    is_right.then(|| paths.rust_src().join("library"))
}

fn wanted(paths: &Paths) -> Result<String> {
    let compiler = tools::rustc_version().unwrap_or_default();
    // The kernel's program says what is left of each file.
    let kernel = kernel_program::id(paths)?;
    Ok(format!("{CHOICE}\n{compiler}\n{kernel}\n"))
}

/// Copies what cargo and rust-analyzer read; `place` is where in the sources this is.
fn copy(from: &Path, to: &Path, place: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = entry.map(|e| (e.path(), to.join(e.file_name())))?;
        let place = place.join(entry.file_name().unwrap_or_default());
        let extension = entry.extension().and_then(|name| name.to_str());
        if entry.is_dir() {
            copy(&entry, &target, &place)?;
        } else if extension == Some("rs") && !is_read_by_cells(&place, ARCH) {
            fs::write(&target, "")?;
        } else if let Some("rs" | "toml" | "lock") = extension {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

/// Whether a source file says anything about the types that cells have to do with.
fn is_read_by_cells(place: &Path, processor: &str) -> bool {
    let parts: Vec<_> = place.iter().filter_map(|part| part.to_str()).collect();
    if parts.iter().any(|part| FOR_TESTS.contains(part)) {
        return false;
    }
    match parts.as_slice() {
        // These name the others.
        ["stdarch", "crates", "core_arch", "src", _] => true,
        // The instructions of processors. Those of AVX-512 are a quarter of all text.
        ["stdarch", "crates", "core_arch", "src", family, .., file] => {
            let families: &[&str] = match processor {
                "x86_64" => &["x86", "x86_64"],
                "aarch64" => &["aarch64", "arm_shared"],
                _ => &[family],
            };
            families.contains(family) && !file.starts_with("avx512")
        }
        ["stdarch", ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cells_use_is_kept() {
        let arch = "stdarch/crates/core_arch/src";
        let is_read = |place: &str| is_read_by_cells(Path::new(place), "x86_64");
        for kept in ["core/src/lib.rs", "std/src/sys/pal/unix/mod.rs"] {
            assert!(is_read(kept), "{kept}");
        }
        for kept in ["mod.rs", "x86/avx2.rs", "x86_64/sse.rs"] {
            assert!(is_read(&format!("{arch}/{kept}")), "{kept}");
        }
        for left_out in [
            "x86/avx512f.rs",
            "arm_shared/neon/generated.rs",
            "wasm32/simd128.rs",
        ] {
            assert!(!is_read(&format!("{arch}/{left_out}")), "{left_out}");
        }
        for left_out in [
            "coretests/tests/lib.rs",
            "std/benches/lib.rs",
            "alloc/src/raw_vec/tests.rs",
            "stdarch/examples/hex.rs",
        ] {
            assert!(!is_read(left_out), "{left_out}");
        }
        let neon = format!("{arch}/arm_shared/neon/generated.rs");
        assert!(is_read_by_cells(Path::new(&neon), "aarch64"));
    }

    /// cargo and the crates name files, which must be there.
    #[test]
    fn no_file_is_missing() {
        let Some(library) = tools::rust_src() else {
            // The set-up adds them.
            return;
        };
        let copied = std::env::temp_dir().join(format!("course-library-{}", std::process::id()));
        copy(&library, &copied, Path::new("")).unwrap();
        let (files, bytes) = sources_in(&library);
        let (files_copied, bytes_copied) = sources_in(&copied);
        let has_workspace = copied.join("Cargo.lock").is_file();
        fs::remove_dir_all(copied).unwrap();
        assert_eq!(files, files_copied);
        assert!(has_workspace);
        assert!(
            bytes_copied * 2 < bytes,
            "{bytes_copied} of {bytes} bytes: the sources are arranged in another way than they \
             were, so `is_read_by_cells` leaves less out than it could"
        );
    }

    /// How many source files there are, and their bytes.
    fn sources_in(folder: &Path) -> (usize, u64) {
        let mut sum = (0, 0);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let (files, bytes) = sources_in(&path);
                sum = (sum.0 + files, sum.1 + bytes);
            } else if path.extension().is_some_and(|name| name == "rs") {
                sum = (sum.0 + 1, sum.1 + path.metadata().unwrap().len());
            }
        }
        sum
    }
}
