//! What must be on the machine before anything can be installed, and how to tell.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Result;
use crate::command::{find_program, output_of};
use crate::paths::Paths;

const OLDEST_RUST: (u32, u32) = (1, 95);
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// A Python that can make the virtual environment.
#[derive(Debug)]
pub struct Python {
    pub program: PathBuf,
    pub version: String,
}

/// The compiler's full description: what has been compiled holds for this one only.
pub fn rustc_version() -> Option<String> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    VERSION.get_or_init(|| output_of("rustc", &["-vV"])).clone()
}

/// The folder into which cargo and rustup install programs.
pub fn cargo_programs() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    home.map(|home| home.join("bin"))
}

/// Makes sure that `PATH` has the compiler, for this process and all that it starts.
///
/// A program that a desktop starts, such as VS Code, does not see what a shell's start-up files
/// add to `PATH`. Then this program starts itself once more, with cargo's folder on it.
pub fn put_rust_on_path() -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(longer) = path_with_rust(&path, cargo_programs().as_deref())? else {
        return Ok(());
    };
    let mut command = Command::new(env::current_exe()?);
    command.args(env::args_os().skip(1)).env("PATH", longer);
    Err(format!("cannot start {command:?}: {}", command.exec()).into())
}

/// What `PATH` must be so that the compiler is found, if it is another than it is.
fn path_with_rust(path: &OsStr, cargo_programs: Option<&Path>) -> Result<Option<OsString>> {
    let has_rust = |folder: &Path| folder.join("rustc").is_file();
    if env::split_paths(path).any(|folder| has_rust(&folder)) {
        return Ok(None);
    }
    let usual = cargo_programs.filter(|folder| has_rust(folder));
    let usual = usual.ok_or_else(|| {
        let place = cargo_programs.map_or(String::new(), |folder| {
            format!(", nor is it in {}", folder.display())
        });
        format!(
            "the Rust compiler, rustc, is not on PATH{place}; without it no cell can run. Start \
             Jupyter from a terminal in which `rustc --version` works, or install Rust from \
             https://rustup.rs"
        )
    })?;
    let all = env::split_paths(path).chain([usual.to_owned()]);
    let is_named = |folder: &PathBuf| !folder.as_os_str().is_empty();
    Ok(Some(env::join_paths(all.filter(is_named))?))
}

pub fn check_rust() -> Result<String> {
    let version = output_of("rustc", &["--version"])
        .ok_or("Rust is missing; install it from https://rustup.rs")?;
    // "rustc 1.95.0 (…)"
    let number = version.split(' ').nth(1).unwrap_or_default();
    if parse_version(number) < Some(OLDEST_RUST) {
        let (major, minor) = OLDEST_RUST;
        return Err(
            format!("{version} is too old: {major}.{minor} is needed; run: rustup update").into(),
        );
    }
    Ok(version)
}

/// The linker driver that rustc calls.
pub fn check_c_compiler() -> Result<PathBuf> {
    find_program(&["cc", "gcc", "clang"]).ok_or_else(|| {
        "a C compiler is missing: rustc links with it. On Debian and Ubuntu run: \
         sudo apt install build-essential; on Fedora: sudo dnf install gcc; \
         on macOS: xcode-select --install"
            .into()
    })
}

pub fn check_python() -> Result<Python> {
    let (major, minor) = OLDEST_PYTHON;
    let found = ["python3", "python"].into_iter().find_map(|name| {
        let about = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
        output_of(name, &["-c", about])
    });
    let Some(about) = found else {
        return Err(format!(
            "Python {major}.{minor} or later is missing. On Debian and Ubuntu run: \
             sudo apt install python3 python3-venv; elsewhere see https://www.python.org"
        )
        .into());
    };
    let (version, program) = about.split_once('\n').unwrap_or((&about, "python3"));
    if parse_version(version) < Some(OLDEST_PYTHON) {
        return Err(
            format!("Python {version} ({program}) is too old: {major}.{minor} is needed").into(),
        );
    }
    if output_of(program, &["-c", "import venv, ensurepip"]).is_none() {
        return Err(format!(
            "Python {version} ({program}) lacks its venv module. On Debian and Ubuntu run: \
             sudo apt install python3-venv"
        )
        .into());
    }
    Ok(Python {
        program: program.into(),
        version: version.to_owned(),
    })
}

/// The sources of the standard library, without which the kernel cannot tell the type of any
/// variable.
pub fn rust_src() -> Option<PathBuf> {
    let sysroot = output_of("rustc", &["--print", "sysroot"])?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
    library.is_dir().then_some(library)
}

/// A browser that can run JupyterLab without a window.
pub fn browser(paths: &Paths) -> Option<PathBuf> {
    if let Some(named) = env::var_os("COURSE_BROWSER") {
        return Some(named.into());
    }
    find_program(&[
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ])
    .or_else(|| downloaded_browser(&paths.course().join("browsers")))
}

fn downloaded_browser(folder: &Path) -> Option<PathBuf> {
    let mut found = fs::read_dir(folder).ok()?.flatten().flat_map(|version| {
        let builds = fs::read_dir(version.path()).into_iter().flatten().flatten();
        builds.map(|build| build.path()).collect::<Vec<_>>()
    });
    found.find_map(|build| {
        let names = ["chrome", "headless_shell", "chrome-headless-shell"];
        names
            .iter()
            .map(|name| build.join(name))
            .find(|program| program.is_file())
    })
}

/// The first two numbers of a version.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("1.95.0"), Some((1, 95)));
        assert!(parse_version("1.100.0-nightly") > parse_version("1.95.0"));
        assert!(parse_version("3.9.18") < Some(OLDEST_PYTHON));
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn path_gets_the_compiler_where_it_has_none() {
        let folder = env::temp_dir().join(format!("course-tools-{}", std::process::id()));
        let (with, without) = (folder.join("cargo home/bin"), folder.join("bin"));
        fs::create_dir_all(&with).unwrap();
        fs::create_dir_all(&without).unwrap();
        fs::write(with.join("rustc"), "").unwrap();
        let join = |folders: &[&Path]| env::join_paths(folders).unwrap();
        let plain = join(&[&without]);
        let longer = path_with_rust(&plain, Some(&with)).unwrap();
        assert_eq!(longer, Some(join(&[&without, &with])));
        // Once is enough.
        assert_eq!(path_with_rust(&longer.unwrap(), Some(&with)).unwrap(), None);
        let alone = path_with_rust(OsStr::new(""), Some(&with)).unwrap();
        assert_eq!(alone, Some(join(&[&with])));
        // Who has another compiler keeps it.
        assert_eq!(path_with_rust(&join(&[&with]), None).unwrap(), None);
        for nowhere in [Some(without.as_path()), None] {
            let error = path_with_rust(&plain, nowhere).unwrap_err().to_string();
            assert!(error.contains("rustc, is not on PATH"), "{error}");
            assert!(error.contains("https://rustup.rs"), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
