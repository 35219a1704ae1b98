//! Where everything lies: all that the course installs is under `.course/` in the clone.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Result;

/// The clone, and the places in it.
#[derive(Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Finds the clone: from the place of the installed copy of this program (how Jupyter
    /// starts it), else from cargo, else from the current folder.
    pub fn find() -> Result<Paths> {
        let installed = env::current_exe().ok().and_then(|exe| {
            let course = exe.parent()?.parent()?;
            course
                .ends_with(".course")
                .then(|| course.parent())?
                .map(PathBuf::from)
        });
        let from_cargo = || {
            let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
            package.parent().map(PathBuf::from)
        };
        let from_here = || {
            let here = env::current_dir().ok()?;
            here.ancestors()
                .find(|folder| is_clone(folder))
                .map(PathBuf::from)
        };
        let root = installed
            .or_else(from_cargo)
            .filter(|root| is_clone(root))
            .or_else(from_here)
            .ok_or("run this inside a clone of the course")?;
        // Canonical, because cargo and the kernel compare paths as text.
        Ok(Paths {
            root: fs::canonicalize(root)?,
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn notebooks(&self) -> PathBuf {
        self.root.join("notebooks")
    }

    pub fn helpers(&self) -> PathBuf {
        self.root.join("helpers")
    }

    pub fn helpers_mpi(&self) -> PathBuf {
        self.root.join("helpers-mpi")
    }

    /// The folder of a Python script of the xtask package.
    pub fn scripts(&self) -> PathBuf {
        self.root.join("xtask/python")
    }

    pub fn course(&self) -> PathBuf {
        self.root.join(".course")
    }

    pub fn venv(&self) -> PathBuf {
        self.course().join("venv")
    }

    pub fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    pub fn kernelspec(&self) -> PathBuf {
        self.venv().join("share/jupyter/kernels/rust")
    }

    /// The same for a Jupyter other than the course's own.
    pub fn plain_kernelspec(&self) -> PathBuf {
        self.course().join("kernelspec/rust")
    }

    pub fn kernel_install(&self) -> PathBuf {
        self.course().join("kernel")
    }

    /// The kernel's own program: compiled here, or a link to one that was found elsewhere.
    pub fn kernel_program(&self) -> PathBuf {
        self.kernel_install().join("bin/course-kernel")
    }

    /// What the kernel's program is compiled in.
    pub fn kernel_target(&self) -> PathBuf {
        self.kernel_install().join("target")
    }

    /// The copy of this program that Jupyter starts. A copy, so that rebuilding xtask never
    /// touches a kernel that is running.
    pub fn launcher(&self) -> PathBuf {
        self.course().join("bin/course-kernel")
    }

    /// What all parts of the kernel are made from.
    pub fn kernel_sources(&self) -> PathBuf {
        self.root.join("kernel")
    }

    /// The program that runs cells.
    pub fn runner_source(&self) -> PathBuf {
        self.kernel_sources().join("runner/main.rs")
    }

    /// What cells keep their variables in.
    pub fn store_source(&self) -> PathBuf {
        self.kernel_sources().join("store/lib.rs")
    }

    /// What stands in for the Rust toolchain where the kernel compiles.
    pub fn toolchain(&self) -> PathBuf {
        self.course().join("toolchain")
    }

    /// The Python package through which Jupyter starts the kernel.
    pub fn provisioner(&self) -> PathBuf {
        self.kernel_sources().join("provisioner")
    }

    /// What a spare kernel runs to get warm.
    pub fn spare_cells(&self) -> PathBuf {
        self.kernel_sources().join("spare/warm_up.evcxr")
    }

    /// The sources of Rust's standard library, as kernels read them.
    pub fn rust_src(&self) -> PathBuf {
        self.course().join("rust-src")
    }

    pub fn jupyter(&self) -> PathBuf {
        self.course().join("jupyter")
    }

    pub fn warm(&self) -> PathBuf {
        self.course().join("warm")
    }

    /// The folder that holds one build folder for each running kernel.
    ///
    /// evcxr tells its child `LOAD_AND_RUN <path> <symbol>`, split at spaces, so a build folder
    /// cannot lie in a path with a space in it: such a clone uses the system's temporary folder.
    pub fn kernels(&self) -> Result<PathBuf> {
        let inside = self.course().join("kernels");
        if !has_whitespace(&inside) {
            return Ok(inside);
        }
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        // Named after the owner too: the temporary folder is shared with other people.
        let owner = fs::metadata(&self.root)?.uid();
        let name = format!("rust-course-{owner}-{:016x}", hasher.finish());
        let outside = env::temp_dir().join(name);
        if has_whitespace(&outside) {
            return Err(format!(
                "the kernel cannot build in a path with a space in it, and both the clone ({}) \
                 and the temporary folder ({}) have one: set TMPDIR to a folder without",
                self.root.display(),
                env::temp_dir().display()
            )
            .into());
        }
        Ok(outside)
    }
}

fn is_clone(folder: &Path) -> bool {
    folder.join("xtask/Cargo.toml").is_file() && folder.join("helpers/Cargo.toml").is_file()
}

fn has_whitespace(path: &Path) -> bool {
    path.to_string_lossy().contains(char::is_whitespace)
}
