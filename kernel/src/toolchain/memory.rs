//! What the real tools have answered, and whether they would answer the same now.
//!
//! An answer is kept under a digest of everything that decides about it: the words of the question, the compiler, the
//! environment, and the contents of all manifests, lock files and settings that cargo reads for it.
//! So an answer need never be forgotten because something has changed: it is just not found any more.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Tool, metadata};
use crate::Result;

/// In an answer, the folder that a kernel builds in, which is another one for each kernel.
const WORKSPACE: &str = "\u{1}workspace\u{1}";

/// Names a copy of a lock file that rust-analyzer makes, each time in another place.
const LOCK_COPY: &str = "CARGO_RESOLVER_LOCKFILE_PATH";

/// Variables that are different in each process and decide nothing.
const NO_MATTER: [&str; 11] = [
    LOCK_COPY,
    "EVCXR_TMPDIR",
    "EVCXR_CONFIG_DIR",
    "EVCXR_EXECUTION_SO_PATH",
    "COURSE_RUNNER",
    "RUST_SRC_PATH",
    "PWD",
    "OLDPWD",
    "_",
    "SHLVL",
    "JPY_PARENT_PID",
];

/// So many answers are kept: kernels differ in their variables, as in the folder of their server.
const MOST: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub status: i32,
    pub out: String,
    pub error: String,
}

/// Collects what decides about an answer.
pub struct Key {
    digest: Sha256,
    workspace: PathBuf,
}

impl Key {
    /// With the words of the question, the compiler and the environment.
    pub fn new(folder: &Path, words: &[&str]) -> Result<Key> {
        let workspace = workspace()?;
        let mut key = Key {
            digest: Sha256::new(),
            workspace,
        };
        for word in words {
            let word = key.without_workspace(word);
            key.add(word.as_bytes());
        }
        if let Some(copy) = env::var_os(LOCK_COPY) {
            key.add_contents(Path::new(&copy));
        }
        // Another version of this program may answer otherwise.
        key.add(crate::ID.as_bytes());
        for tool in [Tool::Cargo, Tool::Rustc] {
            key.add_state(&fs::canonicalize(tool.real(folder))?);
        }
        let mut variables: Vec<_> = env::vars_os().collect();
        variables.sort();
        for (name, value) in variables {
            let is_of_kernel = NO_MATTER.iter().any(|no| name == *no)
                || name.as_encoded_bytes().starts_with(b"JPY_");
            if !is_of_kernel {
                key.add(name.as_encoded_bytes());
                let value = key.without_workspace(&value.to_string_lossy());
                key.add(value.as_bytes());
            }
        }
        Ok(key)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// With the place of a file, its size and when it was changed.
    pub fn add_state(&mut self, file: &Path) {
        self.add(file.as_os_str().as_encoded_bytes());
        match fs::metadata(file) {
            Ok(about) => {
                let state = [
                    about.len() as i64,
                    about.mtime(),
                    about.mtime_nsec(),
                    about.ino() as i64,
                ];
                state
                    .iter()
                    .for_each(|number| self.add(&number.to_le_bytes()));
            }
            Err(_) => self.add(b"-"),
        }
    }

    /// With what is in a file, or that there is none. Gives what is in it.
    pub fn add_contents(&mut self, file: &Path) -> String {
        let Ok(text) = fs::read_to_string(file) else {
            self.add(b"-");
            return String::new();
        };
        // evcxr writes dependencies in any order.
        let own = self.without_workspace(&text);
        let mut lines: Vec<_> = own.lines().collect();
        lines.sort_unstable();
        self.add(lines.join("\n").as_bytes());
        text
    }

    /// With all that cargo reads to know what the workspace in this folder consists of. Gives the folders of
    /// crates that come from no registry.
    pub fn add_manifests(&mut self, from: &Path) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut left = vec![from.to_owned()];
        while let Some(folder) = left.pop() {
            if !folders.insert(folder.clone()) {
                continue;
            }
            self.add_targets(&folder);
            // What a manifest leaves open stands in that of its workspace.
            for above in folder.ancestors() {
                let text = self.add_contents(&above.join("Cargo.toml"));
                let members = if above == folder {
                    members_in(&text)
                } else {
                    Some(Vec::new())
                };
                match (paths_in(&text), members) {
                    (Some(mut paths), Some(members)) => {
                        paths.extend(members);
                        left.extend(paths.iter().map(|path| tidy(&above.join(path))));
                    }
                    _ => self.never_again(),
                }
            }
        }
        for above in from.ancestors() {
            self.add_contents(&above.join("Cargo.lock"));
            self.add_settings(&above.join(".cargo"));
            for name in ["rust-toolchain", "rust-toolchain.toml"] {
                self.add_contents(&above.join(name));
            }
        }
        self.add_settings(&cargo_home());
        folders
    }

    /// With cargo's settings in a folder.
    fn add_settings(&mut self, folder: &Path) {
        for name in ["config", "config.toml"] {
            // They may name manifests, or other settings. That is rare.
            if names_others(&self.add_contents(&folder.join(name))) {
                self.never_again();
            }
        }
    }

    /// With the files of a crate that are targets because they are there.
    fn add_targets(&mut self, folder: &Path) {
        for file in ["build.rs", "src/lib.rs", "src/main.rs"] {
            self.add(&[u8::from(folder.join(file).exists())]);
        }
        for kind in ["src/bin", "examples", "tests", "benches"] {
            let entries = fs::read_dir(folder.join(kind)).into_iter().flatten();
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            self.add(&names.len().to_le_bytes());
            names
                .iter()
                .for_each(|name| self.add(name.as_encoded_bytes()));
        }
    }

    /// With something that no other question has: there is no telling what decides.
    fn never_again(&mut self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.add(&now.as_nanos().to_le_bytes());
        self.add(&std::process::id().to_le_bytes());
    }

    pub fn without_workspace(&self, text: &str) -> String {
        text.replace(&*self.workspace.to_string_lossy(), WORKSPACE)
    }

    pub fn with_workspace(&self, text: &str) -> String {
        text.replace(WORKSPACE, &self.workspace.to_string_lossy())
    }

    pub fn finish(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }
}

/// The folder of the workspace that a kernel builds in: that above the cell's crate.
pub fn workspace() -> Result<PathBuf> {
    let cell = env::var_os("EVCXR_TMPDIR").ok_or("EVCXR_TMPDIR is not set")?;
    let workspace = Path::new(&cell).parent();
    Ok(workspace.ok_or("EVCXR_TMPDIR has no parent")?.to_owned())
}

fn cargo_home() -> PathBuf {
    let home = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// The places of crates that a manifest names, and of its workspace. Nothing if one is written in a way that
/// only cargo reads.
fn paths_in(manifest: &str) -> Option<Vec<&str>> {
    let mut paths = Vec::new();
    for key in ["path", "workspace"] {
        for (at, _) in manifest.match_indices(key) {
            let is_end_of_word =
                manifest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = manifest[at + key.len()..].trim_start_matches([' ', '\t', '"', '\'']);
            match rest.strip_prefix('=').map(str::trim_start) {
                // `workspace = true` takes something over from the workspace.
                Some(value) if !is_end_of_word && !value.starts_with("true") => {
                    paths.push(text_at(value)?);
                }
                _ => {}
            }
        }
    }
    Some(paths)
}

/// Whether settings name manifests or other settings.
fn names_others(settings: &str) -> bool {
    let is_key = |line: &str, key: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let has_keys = settings
        .lines()
        .any(|line| is_key(line, "paths") || is_key(line, "include"));
    has_keys || paths_in(settings).is_none_or(|paths| !paths.is_empty())
}

/// The members of a workspace, likewise.
fn members_in(manifest: &str) -> Option<Vec<&str>> {
    let Some((_, rest)) = manifest.split_once("\nmembers") else {
        return Some(Vec::new());
    };
    let list = rest.trim_start().strip_prefix('=')?.trim_start();
    let list = list.strip_prefix('[')?.split(']').next()?;
    let members = list
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty());
    members
        .map(|member| text_at(member).filter(|path| !path.contains(['*', '?', '['])))
        .collect()
}

/// The text in quotes that this begins with, if it means what it says.
fn text_at(toml: &str) -> Option<&str> {
    let quote = toml.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let text = toml[1..].split(quote).next()?;
    (!text.is_empty() && !text.contains(['\\', '\n'])).then_some(text)
}

/// A path without `..`, as text: what the file system says of it is what cargo says as well.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    tidy
}

/// Answers a question about the workspace or the compiler, from memory if it has been answered before.
/// Nothing if it is none of those that are remembered.
pub fn answer(folder: &Path, words: &[&str]) -> Result<Option<i32>> {
    let is_about_compiler = words.contains(&"--print");
    if words[0] == "rustc" && !is_about_compiler {
        return Ok(None);
    }
    let here = match manifest(words) {
        Some(path) => tidy(&path).parent().unwrap_or(Path::new("/")).to_owned(),
        None => env::current_dir()?,
    };
    let mut key = Key::new(folder, words)?;
    key.add(key.without_workspace(&here.to_string_lossy()).as_bytes());
    let folders = key.add_manifests(&here);
    let place = folder.join("memory/answers").join(key.finish());
    let answer = match recall::<Answer>(&place) {
        Some(answer) if still_there(&key.with_workspace(&answer.out)) => answer,
        _ => {
            let output = Command::new(Tool::Cargo.real(folder))
                .args(words)
                .stdin(Stdio::null())
                .output()?;
            let answer = Answer {
                status: output.status.code().unwrap_or(101),
                out: key.without_workspace(&String::from_utf8_lossy(&output.stdout)),
                error: key.without_workspace(&String::from_utf8_lossy(&output.stderr)),
            };
            // A failure may be the network's.
            if answer.status == 0 {
                keep(&place, &answer);
            }
            answer
        }
    };
    let mut out = key.with_workspace(&answer.out);
    let is_for_analysis = words[0] == "metadata" && words.contains(&"--filter-platform");
    if is_for_analysis
        && folders
            .iter()
            .any(|folder| folder.starts_with(&key.workspace))
    {
        out = metadata::cut(&out).unwrap_or(out);
    }
    std::io::stderr().write_all(key.with_workspace(&answer.error).as_bytes())?;
    std::io::stdout().write_all(out.as_bytes())?;
    Ok(Some(answer.status))
}

fn manifest(words: &[&str]) -> Option<PathBuf> {
    let at = words.iter().position(|word| *word == "--manifest-path")?;
    Some(PathBuf::from(words.get(at + 1)?))
}

/// Whether all manifests that an answer names are there: somebody may have tidied cargo's folder up.
fn still_there(out: &str) -> bool {
    let paths = out.split("\"manifest_path\":\"").skip(1);
    let mut paths = paths.filter_map(|rest| rest.split('"').next());
    paths.all(|path| Path::new(path).exists())
}

pub fn recall<T: DeserializeOwned>(place: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

/// Keeps an answer, as a whole or not at all.
pub fn keep<T: Serialize>(place: &Path, answer: &T) {
    let Ok(text) = serde_json::to_vec(answer) else {
        return;
    };
    let partial = place.with_extension(std::process::id().to_string());
    let folder = place.parent().unwrap_or(Path::new("/"));
    // In vain on a full disk: then it is asked again.
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&partial, text));
    let _ = written.and_then(|()| fs::rename(&partial, place));
    forget_oldest(folder, MOST);
}

/// Deletes what was kept first, until no more than so many entries are left.
pub fn forget_oldest(folder: &Path, most: usize) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut aged: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    aged.sort();
    let excess = aged.len().saturating_sub(most);
    for (_, path) in aged.into_iter().take(excess) {
        let _ = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_crates_are_found_in_manifests() {
        let manifest = "[workspace]\nmembers = [\"a\", 'b']\n[dependencies]\nx = { path = \"../x\" }\n\
                        y = { version = \"1\", path='/y' }\nz = { workspace = true }\n\
                        [lib]\npath = \"src/lib.rs\"\n[package]\nworkspace = \"../..\"\n";
        assert_eq!(
            paths_in(manifest).unwrap(),
            ["../x", "/y", "src/lib.rs", "../.."]
        );
        assert_eq!(members_in(manifest).unwrap(), ["a", "b"]);
        for unclear in ["path = \"a\\u0062\"", "path = \"\"\"a\"\"\"", "path = a"] {
            assert_eq!(paths_in(unclear), None, "{unclear}");
        }
        assert_eq!(members_in("[workspace]\nmembers = [\"crates/*\"]"), None);
        assert_eq!(tidy(Path::new("/a/b/../c")), Path::new("/a/c"));
    }

    #[test]
    fn settings_that_name_others_are_told_from_those_that_do_not() {
        for settings in [
            "paths = [\"/x\"]",
            "include = \"x.toml\"",
            "[patch.crates-io]\nx = { path = \"/x\" }",
        ] {
            assert!(names_others(settings), "{settings}");
        }
        for settings in [
            "[alias]\nxtask = \"run --manifest-path xtask/Cargo.toml --\"",
            "[env]\nX = { value = \"x\", relative = true }\n# paths and includes",
        ] {
            assert!(!names_others(settings), "{settings}");
        }
    }

    #[test]
    fn a_place_that_is_gone_is_noticed() {
        assert!(still_there("{\"manifest_path\":\"/\"}"));
        assert!(!still_there("{\"manifest_path\":\"/no/such\"}"));
    }
}
