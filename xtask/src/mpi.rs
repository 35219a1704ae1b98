//! The MPI library that `helpers-mpi` is built with: found, or installed, and how to use it.
//!
//! If `mpicc` is on `PATH`, the library is the system's. Else the set-up installs Open MPI from
//! PyPI into `.course/mpi`. The tests also install MPICH, into `.course/mpich`. Each lies in a
//! folder of its own, since both bring an `mpicc`, and so that kernels see no other programs.
//!
//! A machine that cannot have it opens all other lessons: it is no error of the set-up.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::build_folder;
use crate::command;
use crate::paths::Paths;

/// What the packages of a folder were made from; or, behind `FAILED`, could not be.
const MARK: &str = "packages";
const FAILED: &str = "failed: ";

/// Said wherever MPI is missing.
pub const REMEDY: &str = "run: cargo xtask setup";

/// What is missing, where something is.
const NO_LIBRARY: &str = "there is no MPI library";
const NO_LIBCLANG: &str = "there is no libclang, with which Rust reads the MPI library's header";

/// An MPI library, and where its parts are.
#[derive(Clone, Debug)]
pub struct Mpi {
    /// The folder of `mpicc` and `mpiexec`.
    bin: PathBuf,
    /// Folders of its libraries that the system does not look into by itself.
    libraries: Vec<PathBuf>,
    /// The folder of libclang, which makes the library's header known to Rust.
    libclang: Option<PathBuf>,
}

/// Which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of notebooks: the system's, or Open MPI.
    Usual,
    /// The other one that the tests run with.
    Mpich,
}

/// Installs what is missing; a failure is told, and is not tried again until [`forget_failure`].
pub fn install(paths: &Paths, which: Which) -> Result<()> {
    let folder = folder(paths, which);
    let (list, name) = match which {
        Which::Usual => ("requirements-mpi.txt", "Open MPI, which lesson 05 needs"),
        Which::Mpich => (
            "requirements-mpich.txt",
            "MPICH, with which the tests run as well",
        ),
    };
    let requirements = paths.root().join(list);
    let all = fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    // Where the system has the library, only what reads its header is missing.
    let has_library = which == Which::Usual && of_system().is_some();
    let is_wanted = |line: &&str| !(has_library && line.starts_with("openmpi"));
    let wanted: String = all.split_inclusive('\n').filter(is_wanted).collect();
    let mark = folder.join(MARK);
    let found = fs::read_to_string(&mark).unwrap_or_default();
    let failed = format!("{FAILED}{wanted}");
    // More than is wanted does no harm, and a server that runs may use it: who starts another one
    // may have an MPI library of the system on `PATH`.
    if found == wanted || found == all || found == failed {
        return Ok(());
    }
    println!("Installing {name} …");
    build_folder::remove(&folder)?;
    fs::create_dir_all(&folder)?;
    let list = folder.join("requirements.txt");
    fs::write(&list, &wanted)?;
    let installed = command::run(
        command::python(paths)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--only-binary=:all:",
                "--ignore-installed",
                "--no-warn-script-location",
            ])
            .arg("--prefix")
            .arg(&folder)
            .arg("-r")
            .arg(&list),
    );
    let Err(error) = installed else {
        fs::write(mark, wanted)?;
        return Ok(());
    };
    if which == Which::Mpich {
        return Err(error);
    }
    fs::write(mark, failed)?;
    // The system may have what is missing.
    if find(paths, which).is_err() {
        let (name, means) = match has_library {
            true => ("libclang", "libclang"),
            false => ("Open MPI", "an MPI library with its `mpicc`"),
        };
        println!(
            "{name} could not be installed, so lesson 05 will not run; all else does. To try \
             again, {REMEDY}. If there is no package for this machine, install {means} by other \
             means."
        );
    }
    Ok(())
}

/// Has the next [`install`] try again what failed.
pub fn forget_failure(paths: &Paths) -> Result<()> {
    let mark = folder(paths, Which::Usual).join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|found| found.starts_with(FAILED)) {
        fs::remove_file(mark)?;
    }
    Ok(())
}

/// The library that is there, or what is missing; nothing is installed.
pub fn find(paths: &Paths, which: Which) -> Result<Mpi, &'static str> {
    let bin = match of_system() {
        Some(bin) if which == Which::Usual => bin,
        _ => folder(paths, which).join("bin"),
    };
    if !bin.join("mpicc").is_file() || !bin.join("mpiexec").is_file() {
        return Err(NO_LIBRARY);
    }
    let shown = command::output_of(bin.join("mpicc"), &["-show"]).ok_or(NO_LIBRARY)?;
    let is_set = env::var_os("LIBCLANG_PATH").is_some();
    let libclang = clang_in(&folder(paths, Which::Usual)).filter(|_| !is_set);
    if libclang.is_none() && !is_set && !system_has_libclang() {
        return Err(NO_LIBCLANG);
    }
    Ok(Mpi {
        bin,
        libraries: library_folders(&shown),
        libclang,
    })
}

impl Mpi {
    /// Lets a command, and all that it starts, build and run programs with this library.
    pub fn lend_to(&self, command: &mut Command) {
        prepend(command, "PATH", std::slice::from_ref(&self.bin));
        prepend(command, "LD_LIBRARY_PATH", &self.libraries);
        if let Some(libclang) = &self.libclang {
            command.env("LIBCLANG_PATH", libclang);
        }
        // The package of libclang lacks the headers that come with a compiler.
        if env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none()
            && let Some(headers) = command::output_of("cc", &["-print-file-name=include"])
            && Path::new(&headers).is_dir()
        {
            // Quoted, since there may be spaces in it.
            command.env("BINDGEN_EXTRA_CLANG_ARGS", format!("-isystem '{headers}'"));
        }
    }

    /// The program that starts ranks.
    pub fn launcher(&self) -> PathBuf {
        self.bin.join("mpiexec")
    }

    /// What decides whether something that was built with it can still be used.
    pub fn identity(&self) -> String {
        let library = fs::metadata(self.bin.join("mpicc")).and_then(|about| about.modified());
        format!("{} {:?} {library:?}", self.bin.display(), self.libraries)
    }

    /// Its `mpiexec`, with its own words about its version.
    pub fn describe(&self) -> String {
        let program = self.launcher();
        let version = command::output_of(&program, &["--version"]).unwrap_or_default();
        let is_version = |line: &&str| line.contains("Open MPI") || line.contains("Version:");
        let version = version.lines().find(is_version).unwrap_or_default();
        let version = version.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{version} ({})", program.display())
    }
}

fn folder(paths: &Paths, which: Which) -> PathBuf {
    paths.course().join(match which {
        Which::Usual => "mpi",
        Which::Mpich => "mpich",
    })
}

/// The folder of the system's `mpicc`.
fn of_system() -> Option<PathBuf> {
    let mpicc = command::find_program(&["mpicc"])?;
    Some(mpicc.parent()?.to_owned())
}

/// The folder of libclang among the packages in a folder.
fn clang_in(folder: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(folder.join("lib")).ok()?.flatten();
    versions
        .map(|version| version.path().join("site-packages/clang/native"))
        .find(|native| native.is_dir())
}

/// Whether libclang is where systems have their libraries, as `llvm-14/lib/libclang.so.1`.
fn system_has_libclang() -> bool {
    let is_libclang = |name: &OsStr| {
        let name = name.to_string_lossy();
        // Not `libclang-cpp.so`, which is another library.
        let ours = ["libclang.", "libclang-1", "libclang-2"];
        let is_shared = name.contains(".so") || name.ends_with(".dylib");
        is_shared && ours.iter().any(|start| name.starts_with(start))
    };
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let roots = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/opt/homebrew/opt/llvm/lib",
    ];
    let mut folders: Vec<PathBuf> = roots.map(PathBuf::from).into();
    for root in roots {
        for entry in entries(root.into()) {
            folders.extend([entry.path(), entry.path().join("lib")]);
        }
    }
    folders
        .into_iter()
        .flat_map(entries)
        .any(|entry| is_libclang(&entry.file_name()))
}

/// The folders that a compiler's command line names, less those that the loader knows.
fn library_folders(shown: &str) -> Vec<PathBuf> {
    let folders = shown
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("-L"));
    let unknown = folders.filter(|folder| {
        !["/lib", "/usr/lib", "/lib64", "/usr/lib64"].contains(&folder.trim_end_matches('/'))
    });
    unknown.map(PathBuf::from).collect()
}

/// Puts folders before those that a variable of the command has, or of this process.
fn prepend(command: &mut Command, name: &str, folders: &[PathBuf]) {
    if folders.is_empty() {
        return;
    }
    let set = command.get_envs().find(|(known, _)| *known == name);
    let before: OsString = match set {
        Some((_, value)) => value.unwrap_or_default().to_owned(),
        None => env::var_os(name).unwrap_or_default(),
    };
    let before = env::split_paths(&before).filter(|path| !path.as_os_str().is_empty());
    let all: Vec<PathBuf> = folders.iter().cloned().chain(before).collect();
    // A folder with a colon in it cannot be in such a list.
    if let Ok(value) = env::join_paths(all) {
        command.env(name, AsRef::<OsStr>::as_ref(&value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_libraries_are_those_that_the_loader_does_not_know() {
        let shown = "cc -I/opt/mpi/include -pthread -L/opt/mpi/lib -L/usr/lib64 -Wl,-rpath -lmpi";
        assert_eq!(library_folders(shown), [PathBuf::from("/opt/mpi/lib")]);
    }

    #[test]
    fn folders_come_before_those_that_are_there() {
        let mut command = Command::new("true");
        command.env("PATH", "/usr/bin:/bin");
        prepend(&mut command, "PATH", &["/opt/mpi/bin".into()]);
        let value = command
            .get_envs()
            .find(|(name, _)| *name == "PATH")
            .unwrap()
            .1;
        assert_eq!(value, Some(OsStr::new("/opt/mpi/bin:/usr/bin:/bin")));
    }
}
