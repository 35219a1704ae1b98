//! What must be on the machine before anything can be installed, and how to tell.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::{find_program, output_of};
use crate::paths::Paths;

pub const KERNEL_VERSION: &str = "0.22.0";
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
    output_of("rustc", &["-vV"])
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

/// A kernel of the right version that is on the machine already.
pub fn installed_kernel() -> Option<PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let usual = cargo_home.map(|home| home.join("bin/evcxr_jupyter"));
    let candidates = [find_program(&["evcxr_jupyter"]), usual];
    candidates
        .into_iter()
        .flatten()
        .find(|program| is_right_kernel(program))
}

/// Says whether this is the kernel in the version that the course is made for.
///
/// evcxr_jupyter has no `--version`. Its banner bears the version, as text in the program.
pub fn is_right_kernel(program: &Path) -> bool {
    let banner = format!("EvCxR {KERNEL_VERSION} - Evaluation Context");
    fs::read(program).is_ok_and(|bytes| contains(&bytes, banner.as_bytes()))
}

/// A browser that can run JupyterLab without a window.
pub fn browser(paths: &Paths) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("COURSE_BROWSER") {
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

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
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
    fn text_is_found_in_bytes() {
        assert!(contains(b"..EvCxR 0.22.0 - E", b"EvCxR 0.22.0"));
        assert!(!contains(b"..EvCxR 0.21.1 - E", b"EvCxR 0.22.0"));
    }
}
