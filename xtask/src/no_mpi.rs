//! What cells get in place of the crate `mpi` where there is no MPI library.
//!
//! The crate's own build would fail, and a cell would show all that cargo has to say about that,
//! which is pages. But of a crate that does not compile, evcxr shows the compiler's message and no
//! more. So cargo is told in a build folder's settings to take another crate of that name, which
//! consists of a message. Nothing else is compiled anew for it, and once there is a library,
//! the settings go.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::build_folder;
use crate::mpi::{self, Which};
use crate::paths::Paths;

const SETTINGS: &str = ".cargo";
const CRATE: &str = "no-mpi";

/// Puts a crate that says what to do in the place of `mpi`, or takes it away again.
pub fn stand_in(paths: &Paths, folder: &Path) -> Result<()> {
    let (settings, stand_in) = (folder.join(SETTINGS), folder.join(CRATE));
    let Err(missing) = mpi::find(paths, Which::Usual) else {
        build_folder::remove(&settings)?;
        return build_folder::remove(&stand_in);
    };
    // cargo keeps to the version that the lock file names.
    let lock = fs::read_to_string(paths.root().join("Cargo.lock"))?;
    let version = locked_version(&lock, "mpi").ok_or("Cargo.lock does not name the crate mpi")?;
    fs::create_dir_all(&settings)?;
    fs::create_dir_all(&stand_in)?;
    fs::write(
        settings.join("config.toml"),
        format!("[patch.crates-io]\nmpi = {{ path = \"{CRATE}\" }}\n"),
    )?;
    fs::write(
        stand_in.join("Cargo.toml"),
        format!(
            "[package]\nname = \"mpi\"\nversion = \"{version}\"\nedition = \"2024\"\n\n\
             [lib]\npath = \"message.rs\"\n\n[workspace]\n"
        ),
    )?;
    let message = format!(
        "helpers-mpi cannot be used: {missing}. In a terminal, in the folder of the course, {}\n\
         Then restart the kernel.",
        mpi::REMEDY
    );
    // A file of another name than `lib.rs`, which evcxr takes for the cell. The debug form of a
    // text is a literal of Rust.
    fs::write(
        stand_in.join("message.rs"),
        format!("compile_error!({message:?});\n"),
    )?;
    Ok(())
}

/// The version of a package in the text of a lock file.
fn locked_version<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_package_of_that_very_name() {
        let lock = "[[package]]\nname = \"mpi-sys\"\nversion = \"0.2.4\"\n\n\
                    [[package]]\nname = \"mpi\"\nversion = \"0.8.2\"\nsource = \"…\"\n";
        assert_eq!(locked_version(lock, "mpi"), Some("0.8.2"));
        assert_eq!(locked_version(lock, "mp"), None);
    }
}
