//! Compiling a cell: by the same call of the compiler as the last one, as long as nothing but the cell is new.
//!
//! cargo takes a tenth of a second to find that out. The first cell is compiled by the real cargo, and the compiler's
//! call is kept beside the cell, with a digest of all that decided about it. Whoever calls the compiler,
//! the cell is the same: it uses the store of variables that is compiled already, and takes from it only
//! the variables that it mentions.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Tool;
use super::memory::{self, Answer, Key};
use crate::Result;

/// evcxr's name for the crate of a cell.
const CRATE: &str = "ctx";
const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libctx.dylib"
} else {
    "libctx.so"
};

/// The module that evcxr puts into a cell for its variables.
const STORE_BEGIN: &str = "mod evcxr_internal_runtime {\n";
const STORE_END: &str = "\npub fn create_variable_store() -> *mut VariableStore {\n    Box::into_raw(Box::new(VariableStore::new()))\n}\n}\n";
const STORE_NAME: &str = "course_store";

/// In the folder of the cell, the source as it is compiled.
const CHANGED: &str = "with-store/src/lib.rs";

/// Compilations that are kept as a whole, of kernels that have loaded no crate yet.
const MOST_KEPT: usize = 24;

/// A call of the compiler, as it would be in any kernel's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    folder: PathBuf,
    words: Vec<String>,
    variables: BTreeMap<String, String>,
    /// Files that decided about it, and when each was changed: libraries that it reads, and sources of other crates.
    files: Vec<(PathBuf, i64, i64)>,
}

/// Whether this process was started in the folder of the cell.
pub fn is_here() -> bool {
    let cell = env::var_os("EVCXR_TMPDIR").and_then(|cell| fs::canonicalize(cell).ok());
    cell.is_some() && cell == env::current_dir().ok()
}

/// In cargo's place: compiles the cell. The status is cargo's.
pub fn build(folder: &Path, words: &[&str]) -> Result<i32> {
    let here = env::current_dir()?;
    let key = key(folder, words, &here)?;
    let name = key.finish();
    let kept = kept_place(folder, &name, &here)?;
    if let Some(status) = kept.as_deref().and_then(|place| take_kept(place, &here)) {
        return Ok(status);
    }
    let calls = folder.join("memory/calls");
    let call = memory::recall::<String>(&calls.join(&name));
    let call = call.and_then(|text| serde_json::from_str::<Call>(&key.with_workspace(&text)).ok());
    if let Some(call) = call.filter(Call::files_are_same) {
        return finish(call.make(folder)?, kept.as_deref(), &here);
    }
    let record = memory::workspace()?.join("call.json");
    // Anything that fails on the way leaves no record.
    let _ = fs::remove_file(&record);
    // cargo looks at what was compiled last, and would take the cell for compiled if that has not changed.
    let _ = fs::remove_file(here.join(CHANGED));
    let output = Command::new(Tool::Cargo.real(folder))
        .args(words)
        .env(RECORD, &record)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if let Ok(text) = fs::read_to_string(&record) {
        let call = key.without_workspace(&text);
        memory::keep(&calls.join(&name), &call);
        // cargo may have written the lock file; asked again, it would do the same.
        let now = self::key(folder, words, &here)?.finish();
        if now != name {
            memory::keep(&calls.join(now), &call);
        }
    }
    let answer = Answer {
        status: output.status.code().unwrap_or(101),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        error: String::new(),
    };
    finish(answer, kept.as_deref(), &here)
}

/// Tells the compiler where to note how it was called.
const RECORD: &str = "COURSE_RECORD";

/// A digest of all that decides how a cell is compiled, but for the cell.
fn key(folder: &Path, words: &[&str], here: &Path) -> Result<Key> {
    let mut key = Key::new(folder, words)?;
    let workspace = memory::workspace()?;
    for path in key.add_manifests(here) {
        // The cell itself is what is new. Crates in other folders may be edited while the kernel runs.
        if !path.starts_with(&workspace) {
            add_sources(&mut key, &path);
        }
    }
    Ok(key)
}

/// With the state of all files in a crate's folder.
fn add_sources(key: &mut Key, folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_hidden || name == "target" {
            continue;
        }
        match path.is_dir() {
            true => add_sources(key, &path),
            false => key.add_state(&path),
        }
    }
}

impl Call {
    fn files_are_same(&self) -> bool {
        let mut all = self.files.iter();
        all.all(|(path, seconds, nanos)| {
            fs::metadata(path)
                .is_ok_and(|about| about.mtime() == *seconds && about.mtime_nsec() == *nanos)
        })
    }

    /// Calls the compiler again, and says what cargo would say of it.
    fn make(&self, folder: &Path) -> Result<Answer> {
        let mut compiler = Command::new(Tool::Rustc.real(folder));
        compiler
            .current_dir(&self.folder)
            .args(prepared(&self.folder, &self.words)?)
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = compiler.spawn()?;
        let said = child.stderr.take().ok_or("the compiler has no stderr")?;
        let (mut out, mut error) = (String::new(), String::new());
        for line in BufReader::new(said).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if line.starts_with('{') {
                // Notes of files that were written are not cargo's to pass on.
                if !line.contains("\"artifact\":") {
                    out.push_str(&format!(
                        "{{\"reason\":\"compiler-message\",\"message\":{line}}}\n"
                    ));
                }
            } else {
                error.push_str(&line);
                error.push('\n');
            }
        }
        let is_well = child.wait()?.success();
        if is_well {
            let library = self.output()?.join(LIBRARY);
            let artifact = json!({
                "reason": "compiler-artifact",
                "target": {"name": CRATE},
                "filenames": [library],
            });
            out.push_str(&format!("{artifact}\n"));
        }
        Ok(Answer {
            status: if is_well { 0 } else { 101 },
            out,
            error,
        })
    }

    fn output(&self) -> Result<PathBuf> {
        let at = self.words.iter().position(|word| word == "--out-dir");
        let folder = at.and_then(|at| self.words.get(at + 1));
        Ok(self
            .folder
            .join(folder.ok_or("the call names no --out-dir")?))
    }
}

/// Passes an answer on, and keeps it where that is worth it.
fn finish(answer: Answer, kept: Option<&Path>, here: &Path) -> Result<i32> {
    if let Some(place) = kept {
        keep(place, &answer, here);
    }
    std::io::stderr().write_all(answer.error.as_bytes())?;
    std::io::stdout().write_all(answer.out.as_bytes())?;
    Ok(answer.status)
}

/// In the compiler's place: compiles a cell so that it has little to compile. Nothing if it is asked for something else.
pub fn compile(folder: &Path, words: &[&str]) -> Result<Option<i32>> {
    let is_cell = words.windows(2).any(|pair| pair == ["--crate-name", CRATE]);
    if !is_cell {
        return Ok(None);
    }
    let here = env::current_dir()?;
    let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let makes_library = words
        .iter()
        .any(|word| word.starts_with("--emit") && word.contains("link"));
    if let (Some(record), true) = (env::var_os(RECORD), makes_library) {
        let call = Call {
            files: files_that_decided(&here, words),
            folder: here.clone(),
            words: owned.clone(),
            variables: variables_of_call(),
        };
        let _ = fs::write(record, serde_json::to_vec(&call)?);
    }
    let error = Command::new(Tool::Rustc.real(folder))
        .args(prepared(&here, &owned)?)
        .exec();
    Err(error.into())
}

/// What cargo tells the compiler, but for the means by which they share the processor.
fn variables_of_call() -> BTreeMap<String, String> {
    let of_sharing = ["CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS", RECORD];
    env::vars()
        .filter(|(name, _)| !of_sharing.contains(&name.as_str()))
        .collect()
}

/// The libraries that a call names, and all sources of crates that are there already: a crate by `path` may
/// read files outside its folder.
fn files_that_decided(here: &Path, words: &[&str]) -> Vec<(PathBuf, i64, i64)> {
    let named = words.iter().filter_map(|word| word.split_once('='));
    let mut folders = BTreeSet::new();
    let mut files = BTreeSet::new();
    for (key, path) in named {
        let path = here.join(path);
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("rlib" | "rmeta" | "so" | "dylib")) {
            folders.extend(path.parent().map(Path::to_owned));
            files.insert(path);
        } else if key == "dependency" {
            folders.insert(path);
        }
    }
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "d") {
                files.extend(sources_in(
                    &fs::read_to_string(path).unwrap_or_default(),
                    here,
                ));
            }
        }
    }
    let state = |path: PathBuf| {
        let about = fs::metadata(&path).ok()?;
        Some((path, about.mtime(), about.mtime_nsec()))
    };
    files.into_iter().filter_map(state).collect()
}

/// The sources that the compiler has noted for make, but those that never change or change with each cell.
fn sources_in(notes: &str, here: &Path) -> Vec<PathBuf> {
    let sources = notes.lines().filter_map(|line| line.split_once(": "));
    let paths = sources.flat_map(|(_, files)| files.split(' '));
    // Paths with spaces are left out: a crate in such a folder is seen by its folder.
    let paths = paths.map(Path::new).filter(|path| path.is_absolute());
    let paths = paths.filter(|path| {
        let is_fixed = path.components().any(|part| part.as_os_str() == "registry");
        !is_fixed && !path.starts_with(here)
    });
    paths.map(Path::to_owned).collect()
}

/// The words of a call, for the cell as it is compiled in truth.
fn prepared(here: &Path, words: &[String]) -> Result<Vec<String>> {
    let mut words = words.to_vec();
    let store = memory::workspace()?.join("store");
    let Some(source) = words.iter_mut().find(|word| word.ends_with("src/lib.rs")) else {
        return Ok(words);
    };
    let text = fs::read_to_string(here.join(&*source))?;
    let Some(text) = with_store(&text).filter(|_| store.is_dir()) else {
        return Ok(words);
    };
    // Of the same name, by which evcxr and readers know it, in a folder beside.
    let package = Path::new(&*source).parent().and_then(Path::parent);
    let changed = package.unwrap_or(Path::new("")).join(CHANGED);
    let file = here.join(&changed);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
    fs::write(&file, text)?;
    *source = changed.to_string_lossy().into_owned();
    words.extend([
        "--extern".to_owned(),
        format!("{STORE_NAME}={}", library_in(&store).display()),
    ]);
    Ok(words)
}

fn library_in(store: &Path) -> PathBuf {
    store.join(match cfg!(target_os = "macos") {
        true => "libcourse_store.dylib",
        false => "libcourse_store.so",
    })
}

/// A cell's source with the compiled store in place of evcxr's text, and without the variables that it does not
/// mention. All lines stay where they are. Nothing if the text is not as expected.
fn with_store(source: &str) -> Option<String> {
    let begin = source.find(STORE_BEGIN)?;
    let end = begin + source[begin..].find(STORE_END)? + STORE_END.len();
    let lines = source[begin..end].matches('\n').count();
    let instead = format!(
        "extern crate {STORE_NAME} as evcxr_internal_runtime;{}",
        "\n".repeat(lines)
    );
    let text = [&source[..begin], &instead, &source[end..]].concat();
    Some(without_idle_variables(&text))
}

/// How evcxr takes a variable out of the store and puts it back.
const TAKE: &str = " = evcxr_variable_store.take_variable::<";
const CHECK: &str = "vars_ok &= evcxr_variable_store.check_variable::<";
const PUT: &str = "evcxr_variable_store.put_variable::<";

fn without_idle_variables(text: &str) -> String {
    let counts = words(text).fold(BTreeMap::new(), |mut counts, word| {
        *counts.entry(word).or_insert(0) += 1;
        counts
    });
    let mut idle: BTreeMap<&str, usize> = BTreeMap::new();
    // A variable that is taken, and not mentioned but where it is checked, taken and put back.
    for line in text.lines().filter(|line| line.contains(TAKE)) {
        if let Some(name) = name_in(line) {
            let own: usize = text
                .lines()
                .filter(|line| is_of_store(line) && name_in(line) == Some(name))
                .map(|line| words(line).filter(|word| *word == name).count())
                .sum();
            idle.insert(name, own);
        }
    }
    idle.retain(|name, own| counts.get(name) == Some(own));
    let keeps = |line: &&str| {
        let is_idle =
            is_of_store(line) && name_in(line).is_some_and(|name| idle.contains_key(name));
        !is_idle
    };
    let mut result = String::with_capacity(text.len());
    for line in text.lines() {
        result.push_str(if keeps(&line) { line } else { "" });
        result.push('\n');
    }
    result
}

fn is_of_store(line: &str) -> bool {
    line.starts_with(CHECK)
        || line.starts_with(PUT)
        || (line.starts_with("let ") && line.contains(TAKE))
}

/// The variable of `… stringify!(name) …`.
fn name_in(line: &str) -> Option<&str> {
    let (_, rest) = line.rsplit_once("stringify!(")?;
    rest.split(')').next()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Where a compilation is kept, of a kernel that has loaded no crate yet: the first cells of all kernels are the same.
fn kept_place(folder: &Path, key: &str, here: &Path) -> Result<Option<PathBuf>> {
    let manifest = fs::read_to_string(here.join("Cargo.toml")).unwrap_or_default();
    let has_crates = manifest
        .split_once("[dependencies]")
        .is_none_or(|(_, rest)| !rest.trim().is_empty());
    if has_crates {
        return Ok(None);
    }
    let source = fs::read(here.join("src/lib.rs"))?;
    let mut place = Key::new(folder, &["cell"])?;
    place.add(key.as_bytes());
    place.add(&source);
    Ok(Some(folder.join("memory/cells").join(place.finish())))
}

/// Gives what is kept under a name in place of a compilation; nothing if nothing is.
fn take_kept(place: &Path, here: &Path) -> Option<i32> {
    let answer: Answer = memory::recall(&place.join("answer"))?;
    let out = answer.out.replace(HERE, &here.to_string_lossy());
    if answer.status == 0 {
        let library = library_named(&out)?;
        fs::create_dir_all(library.parent()?).ok()?;
        // A file of its own: the one that lies there may be the library of an earlier cell by another name, which
        // is loaded. cargo makes such links.
        let _ = fs::remove_file(&library);
        fs::copy(place.join(LIBRARY), library).ok()?;
    }
    std::io::stdout().write_all(out.as_bytes()).ok()?;
    Some(answer.status)
}

const HERE: &str = "\u{1}here\u{1}";

fn keep(place: &Path, answer: &Answer, here: &Path) {
    if place.exists() || !matches!(answer.status, 0 | 101) {
        return;
    }
    // Whoever looks finds all of it or nothing.
    let partial = place.with_extension(std::process::id().to_string());
    let write = || {
        fs::create_dir_all(&partial).ok()?;
        if answer.status == 0 {
            fs::copy(library_named(&answer.out)?, partial.join(LIBRARY)).ok()?;
        }
        let answer = Answer {
            status: answer.status,
            out: answer.out.replace(&*here.to_string_lossy(), HERE),
            error: String::new(),
        };
        memory::keep(&partial.join("answer"), &answer);
        fs::rename(&partial, place).ok()
    };
    if write().is_none() {
        let _ = fs::remove_dir_all(&partial);
    }
    memory::forget_oldest(place.parent().unwrap_or(Path::new("/")), MOST_KEPT);
}

/// The library that cargo's messages name.
fn library_named(out: &str) -> Option<PathBuf> {
    let messages = out.lines().rev();
    let mut parsed =
        messages.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let artifact = parsed.find(|message| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == CRATE
    })?;
    let files = artifact["filenames"].as_array()?.iter();
    files
        .filter_map(|file| file.as_str())
        .map(PathBuf::from)
        .find(|file| file.file_name().is_some_and(|name| name == LIBRARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_the_store_goes() {
        let store = format!("{STORE_BEGIN}pub struct VariableStore {{}}\n{STORE_END}");
        let source = format!("#![allow(x)]\n{store}fn a() {{}}\n");
        let changed = with_store(&source).unwrap();
        assert_eq!(changed.lines().count(), source.lines().count());
        let place = |text: &str| text.lines().position(|line| line == "fn a() {}");
        assert_eq!(place(&changed), place(&source));
        assert!(!changed.contains("VariableStore {}"), "{changed}");
        assert_eq!(with_store("fn a() {}"), None);
    }

    #[test]
    fn only_variables_that_are_mentioned_are_taken() {
        let lines = |name: &str| {
            format!(
                "{CHECK}u8>(stringify!({name}));\nlet mut {name}{TAKE}u8>(stringify!({name}));\n{PUT}u8>(stringify!({name}), {name});\n"
            )
        };
        let text = format!(
            "{}{}{}f(\"{{used}}\");\n",
            lines("used"),
            lines("idle"),
            lines("idle_too")
        );
        let left = without_idle_variables(&text);
        assert_eq!(left.lines().count(), text.lines().count());
        assert!(!left.contains("idle"), "{left}");
        assert_eq!(left.matches("used").count(), 6, "{left}");
    }
}
