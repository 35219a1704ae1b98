//! Tasks of other processes that end when a test wants it. The tests of `helpers-mpi` have this as well.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, process, thread};

/// A file that ends the tasks which wait for it: [`until`].
pub struct Flag(PathBuf);

impl Flag {
    pub fn new(name: &str) -> Flag {
        let name = format!("{}-{name}-{}", env!("CARGO_PKG_NAME"), process::id());
        Flag(env::temp_dir().join(name))
    }

    pub fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    pub fn raise(&self) {
        fs::write(&self.0, "").unwrap();
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An item that ends when there is a file of this name, or at once if the name is empty.
pub fn until(flag: String) {
    while !flag.is_empty() && !fs::exists(&flag).unwrap() {
        thread::sleep(Duration::from_millis(5));
    }
}
