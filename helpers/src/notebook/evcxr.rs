//! What evcxr does, on which both kernels are built: the words that pass between its program and
//! what runs in it, and how it runs cells.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::{env, fs};

use nix::sys::signal::{Signal, raise};

/// Set by the kernel in the process that runs the cells, and so in what that starts.
const RUNNING_IN_A_CELL: &str = "EVCXR_IS_RUNTIME";

/// Whether this code runs in a notebook's kernel.
pub fn is_notebook() -> bool {
    env::var_os(RUNNING_IN_A_CELL).is_some()
}

/// Keeps a stock kernel's own program, which brings mimalloc along, from clearing memory at its start
/// for work that a worker never does: 0.8 of 3.3 ms. Cells and this crate use the system's
/// allocator.
pub const SMALL_START: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// What the kernel's program obeys when it runs as the process of the cells: to load a library,
/// and to call its function of this name.
pub fn load_and_run(library: &CStr, function: &str) -> OsString {
    let mut order = OsString::from("LOAD_AND_RUN ");
    order.push(OsStr::from_bytes(library.to_bytes()));
    order.push(" ");
    order.push(function);
    order
}

/// The text of the cell that runs, if `file` is its name in the compiler's words.
///
/// A cell is compiled as `src/lib.rs` of a crate that the kernel writes, with lines of its own
/// around the reader's: the line's number says nothing, its text does.
pub(super) fn source_of_cell(file: &str) -> Option<String> {
    let path = Path::new(file);
    let folder = env::var_os("EVCXR_TMPDIR")?;
    let is_cell = path.is_relative() && path.ends_with("src/lib.rs");
    let text = is_cell.then(|| fs::read_to_string(Path::new(&folder).join("src/lib.rs")));
    text?.ok()
}

/// The kernel that started this process, if it runs a notebook's cells.
#[derive(Clone, Copy, Debug)]
pub struct Kernel(Option<u32>);

impl Kernel {
    /// The one that there is now.
    pub fn here() -> Kernel {
        Kernel(is_notebook().then(parent_id))
    }

    /// Whether it has ended. A kernel that was killed leaves the process of its cells behind.
    pub fn is_gone(self) -> bool {
        self.0.is_some_and(|kernel| kernel != parent_id())
    }

    /// Ends this process, if the kernel is gone: nobody is left who could want anything.
    pub(crate) fn end_with_it(self) {
        if self.is_gone() {
            let _ = raise(Signal::SIGKILL);
        }
    }
}

/// The text with nothing in it that a notebook's kernel would obey.
///
/// The kernel takes its orders from the same stream as the text that it shows, as lines that
/// begin with or hold certain words; the course's own kernel also what follows certain signs. A mark
/// that is not seen in the middle of such a word makes it a word like any other.
pub fn harmless(bytes: &[u8], in_notebook: bool) -> String {
    const COMMANDS: [(&str, &str); 2] = [
        ("EVCXR_", "EVCXR\u{2060}_"),
        ("\x1b_course", "\x1b_\u{2060}course"),
    ];
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if in_notebook {
        for (command, defused) in COMMANDS {
            if text.contains(command) {
                text = text.replace(command, defused);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_command_lose_their_power() {
        let printed = b"a EVCXR_BEGIN_CONTENT text/html\nEVCXR_EXECUTION_COMPLETE\n\xff";
        let shown = harmless(printed, true);
        assert!(!shown.contains("EVCXR_"));
        assert_eq!(
            shown.replace('\u{2060}', ""),
            String::from_utf8_lossy(printed)
        );
        assert_eq!(harmless(b"EVCXR_\n", false), "EVCXR_\n");
        let order = "a\x1b_course {\"do\":\"clear\"}\x1b\\ \x1b[31mred\n";
        let shown = harmless(order.as_bytes(), true);
        assert!(!shown.contains("\x1b_course"));
        assert_eq!(shown.replace('\u{2060}', ""), order);
    }
}
