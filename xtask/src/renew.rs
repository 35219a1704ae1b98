//! `cargo xtask renew python|crates|kernel`: newer versions of what is pinned.
//!
//! Each of the three changes files of the clone and nothing else. What to do then is said at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::build_folder;
use crate::command;
use crate::paths::Paths;
use crate::tools;

/// The oldest Python that the lists of packages are for.
const OLDEST_PYTHON: &str = "3.10";

/// The list that all others come on top of.
const MAIN: &str = "requirements.txt";

/// Lists that nothing else is beside: what they name lies in a folder of its own.
const APART: [&str; 2] = ["requirements-mpi.txt", "requirements-mpich.txt"];

/// Before the names of the packages that a list was made from.
const FROM: &str = "# From: ";

const THEN: &str = "Then: cargo xtask test, cargo xtask notebooks, and look at the outputs.";

pub fn run(paths: &Paths, args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["python"] => python(paths),
        ["crates"] => crates(paths),
        ["kernel"] => kernel(paths, None),
        ["kernel", version] => kernel(paths, Some(version)),
        _ => Err("write: cargo xtask renew python, crates, or kernel [version of evcxr]".into()),
    }
}

/// Writes the lists of Python packages anew.
fn python(paths: &Paths) -> Result<()> {
    let uv = install_uv(paths)?;
    let mut lists: Vec<_> = fs::read_dir(paths.root())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("requirements-") && name.ends_with(".txt"))
        .collect();
    lists.sort();
    lists.insert(0, MAIN.to_owned());
    for name in lists {
        let path = paths.root().join(&name);
        let old = fs::read_to_string(&path)?;
        let sources = sources_of(&old);
        if sources.is_empty() {
            return Err(format!("{name} names no packages: neither `{FROM}…` nor any line").into());
        }
        let main = fs::read_to_string(paths.root().join(MAIN))?;
        let is_beside = name != MAIN && !APART.contains(&&*name);
        let mut command = Command::new(&uv);
        command
            .args(["pip", "compile", "-", "--quiet", "--universal"])
            .args(["--no-header", "--no-annotate"])
            .args(["--python-version", OLDEST_PYTHON]);
        if is_beside {
            command.args(["-c", MAIN]);
        }
        println!("{name}: {}", sources.join(", "));
        let pinned = output_with(command.current_dir(paths.root()), &sources.join("\n"))?;
        let kept = if is_beside {
            beyond(&pinned, &main)
        } else {
            pinned
        };
        let new = comments_of(&old) + &kept;
        report(&name, &old, &new);
        fs::write(&path, new).map_err(|error| format!("cannot write {name}: {error}"))?;
    }
    println!("{THEN}");
    Ok(())
}

/// What a list was made from: as its comment says, or what it holds.
fn sources_of(list: &str) -> Vec<String> {
    let named = list.lines().find_map(|line| line.strip_prefix(FROM));
    match named {
        Some(names) => names
            .split(", ")
            .map(|name| name.trim().to_owned())
            .collect(),
        None => list
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| name_of(line).to_owned())
            .collect(),
    }
}

fn name_of(line: &str) -> &str {
    line.split("==").next().unwrap_or(line)
}

/// The comment that a list begins with.
fn comments_of(list: &str) -> String {
    let lines = list.split_inclusive('\n');
    lines.take_while(|line| line.starts_with('#')).collect()
}

/// The lines for what the main list does not hold: neither the same line, nor one for all systems.
fn beyond(list: &str, main: &str) -> String {
    let is_there = |line: &str| {
        let pinned = line.split(" ; ").next().unwrap_or(line);
        main.lines().any(|other| other == line || other == pinned)
    };
    let lines = list.split_inclusive('\n');
    lines.filter(|line| !is_there(line.trim_end())).collect()
}

/// Says which lines are new and which are gone.
fn report(name: &str, old: &str, new: &str) {
    for (sign, these, others) in [("-", old, new), ("+", new, old)] {
        for line in these
            .lines()
            .filter(|&line| others.lines().all(|l| l != line))
        {
            println!("  {name}: {sign}{line}");
        }
    }
}

/// The program that finds versions which fit each other, in an environment of its own.
fn install_uv(paths: &Paths) -> Result<PathBuf> {
    let folder = paths.course().join("renew");
    build_folder::remove(&folder)?;
    let python = tools::check_python()?;
    command::run(
        Command::new(python.program)
            .args(["-m", "venv"])
            .arg(&folder),
    )?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "uv",
    ];
    command::run(Command::new(folder.join("bin/python")).args(pip))?;
    Ok(folder.join("bin/uv"))
}

/// Runs a program with a text as its input, and gives its output.
fn output_with(command: &mut Command, input: &str) -> Result<String> {
    command::announce(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut stdin, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let program = command.get_program().to_string_lossy().into_owned();
        return Err(format!("`{program}` failed ({})", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Takes the newest versions of crates that `Cargo.toml` allows.
fn crates(paths: &Paths) -> Result<()> {
    command::run(
        Command::new("cargo")
            .arg("update")
            .current_dir(paths.root()),
    )?;
    println!("{THEN}");
    Ok(())
}

/// Takes a version of evcxr, with the versions of all crates that it was published with.
fn kernel(paths: &Paths, version: Option<&str>) -> Result<()> {
    let is_number = |part: &str| part.parse::<u64>().is_ok();
    if let Some(version) = version
        && !(version.split('.').count() == 3 && version.split('.').all(is_number))
    {
        return Err(format!("`{version}` is no version of evcxr; write one such as 0.22.0").into());
    }
    let (version, published) = publication(paths, version)?;
    let lock = fs::read_to_string(published.join("Cargo.lock")).map_err(|error| {
        format!("evcxr_jupyter {version} was published without a Cargo.lock: {error}")
    })?;
    let syntax = version_in(&lock, "ra_ap_syntax")
        .ok_or_else(|| format!("evcxr_jupyter {version} does not use ra_ap_syntax any more"))?;
    let manifest = paths.kernel_sources().join("Cargo.toml");
    let mut text = fs::read_to_string(&manifest)?;
    for (name, wanted) in [
        ("evcxr", &version),
        ("evcxr_jupyter", &version),
        ("ra_ap_syntax", &syntax),
    ] {
        text = with_version(&text, name, wanted)
            .ok_or_else(|| format!("no line `{name} = \"=…\"` in {}", manifest.display()))?;
        println!("{name} {wanted}");
    }
    fs::write(&manifest, text)?;
    fs::write(paths.kernel_sources().join("Cargo.lock"), lock)?;
    // Cargo takes what it finds in the lock file, and adds what is missing.
    let metadata = ["metadata", "--quiet", "--format-version=1"];
    let mut complete = Command::new("cargo");
    complete
        .args(metadata)
        .stdout(Stdio::null())
        .current_dir(paths.kernel_sources());
    command::run(&mut complete)?;
    println!("{THEN}");
    Ok(())
}

/// A version of evcxr_jupyter, the newest if none is named, and its folder as it was published.
fn publication(paths: &Paths, version: Option<&str>) -> Result<(String, PathBuf)> {
    let version = version.map_or_else(|| "*".to_owned(), |version| format!("={version}"));
    let folder = paths.course().join("renew-kernel");
    build_folder::remove(&folder)?;
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"renew\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nevcxr_jupyter = \"{version}\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let mut command = Command::new("cargo");
    command
        .args(["metadata", "--quiet", "--format-version=1"])
        .current_dir(&folder);
    let about: serde_json::Value = serde_json::from_str(&output_with(&mut command, "")?)?;
    build_folder::remove(&folder)?;
    let packages = about["packages"].as_array().into_iter().flatten();
    let package = packages
        .into_iter()
        .find(|package| package["name"] == "evcxr_jupyter");
    let text = |key: &str| package?[key].as_str();
    let place = text("manifest_path").and_then(|path| Path::new(path).parent());
    match (text("version"), place) {
        (Some(version), Some(place)) => Ok((version.to_owned(), place.to_owned())),
        // Cargo leaves out what has no library.
        _ => Err(format!("there is no library in evcxr_jupyter {version}").into()),
    }
}

/// The version of a package in a lock file.
fn version_in(lock: &str, name: &str) -> Option<String> {
    let line = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|&l| l != line).skip(1);
    let version = lines
        .next()?
        .strip_prefix("version = \"")?
        .strip_suffix('"')?;
    Some(version.to_owned())
}

/// The manifest with another exact version of a dependency; none if it has no such line.
fn with_version(manifest: &str, name: &str, version: &str) -> Option<String> {
    let start = format!("{name} = \"=");
    let line = manifest.lines().find(|line| line.starts_with(&start))?;
    let old = line[start.len()..].split('"').next()?;
    let new = line.replacen(&format!("{start}{old}"), &format!("{start}{version}"), 1);
    Some(manifest.replacen(line, &new, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_it_was_made_from() {
        let list = "# What for.\n# From: jupyterlab, flit-core\nanyio==1\njupyterlab==2\n";
        assert_eq!(sources_of(list), ["jupyterlab", "flit-core"]);
        assert_eq!(sources_of("# What for.\nopenmpi==5.0.11\n"), ["openmpi"]);
        assert_eq!(
            comments_of(list),
            "# What for.\n# From: jupyterlab, flit-core\n"
        );
    }

    #[test]
    fn all_lists_of_the_clone_say_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lists = [
            "requirements.txt",
            "requirements-book.txt",
            "requirements-mpi.txt",
        ];
        for (list, first) in lists.iter().zip(["jupyterlab", "furo", "libclang"]) {
            let text = fs::read_to_string(root.join(list)).unwrap();
            assert_eq!(sources_of(&text)[0], first, "{list}");
        }
    }

    #[test]
    fn what_the_main_list_holds_is_not_held_twice() {
        let main = "a==1\nb==2 ; python_version < '3'\nc==3\n";
        let list = "a==1\na==1 ; x\nb==2\nb==2 ; python_version < '3'\nc==4\nd==5\n";
        assert_eq!(beyond(list, main), "b==2\nc==4\nd==5\n");
    }

    #[test]
    fn versions_are_read_and_written() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0\"\n";
        assert_eq!(version_in(lock, "a").as_deref(), Some("2.0"));
        assert_eq!(version_in(lock, "c"), None);
        let manifest = "evcxr = \"=1\"\nevcxr_jupyter = \"=1\" # both\nx = \"1\"\n";
        assert_eq!(
            with_version(manifest, "evcxr_jupyter", "2").as_deref(),
            Some("evcxr = \"=1\"\nevcxr_jupyter = \"=2\" # both\nx = \"1\"\n")
        );
        assert_eq!(with_version(manifest, "x", "2"), None);
    }
}
