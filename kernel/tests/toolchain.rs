//! The tools that stand in for cargo and rustc: when they answer from memory, and when they must not.
//!
//! The real tools are scripts here, which note that they were called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Answers with the workspace's packages, or with what stands in `answer`.
const CARGO: &str = r#"#!/bin/sh
echo "cargo $1" >> "$LOG"
case $1 in
    build)
        # As the real one, it looks at the source that the compiler has named.
        if [ -e with-store/src/lib.rs ]; then echo fresh >> "$LOG"; exit; fi
        "$COURSE_TOOLCHAIN/bin/rustc" --crate-name ctx src/lib.rs --emit=dep-info,link --out-dir target/deps \
            -L dependency=target/deps --extern other=target/deps/libother.rlib || exit 101
        echo "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"ctx\"},\"filenames\":[\"$PWD/target/deps/libctx.so\"]}" ;;
    *)
        if [ -e "$EVCXR_TMPDIR/../fails" ]; then echo broken >&2; exit 3; fi
        echo "{\"manifest_path\":\"$EVCXR_TMPDIR/Cargo.toml\"}" ;;
esac
"#;
const RUSTC: &str = "#!/bin/sh\necho rustc >> \"$LOG\"\n: > target/deps/libctx.so\n";
const METADATA: [&str; 3] = ["metadata", "--format-version", "1"];
const BUILD: [&str; 3] = ["build", "--message-format", "json"];

/// A toolchain, a reader's folder, and a kernel's folder that depends on a crate beside it.
struct Place {
    folder: PathBuf,
    /// Changes from test to test.
    kernel: &'static str,
    variables: Vec<(&'static str, &'static str)>,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = fs::canonicalize(env!("CARGO_TARGET_TMPDIR"))
            .unwrap()
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        let place = Place {
            folder,
            kernel: "one",
            variables: Vec::new(),
        };
        for (tool, script) in [("cargo", CARGO), ("rustc", RUSTC)] {
            place.write(&format!("tools/real/bin/{tool}"), script);
            let path = place.path(&format!("tools/real/bin/{tool}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            fs::create_dir_all(place.path("tools/bin")).unwrap();
            let program = env!("CARGO_BIN_EXE_course-kernel");
            symlink(program, place.path(&format!("tools/bin/{tool}"))).unwrap();
        }
        place.write("crate/Cargo.toml", "[package]\nname = \"other\"\n");
        place.write("crate/src/lib.rs", "");
        place.write("Cargo.toml", "[workspace]\nmembers = [\"crate\"]\n");
        place.write("home/config.toml", "");
        place.write("aside.rs", "");
        place.make_kernel("one");
        place.make_kernel("two");
        place
    }

    /// The folder that a kernel builds in.
    fn make_kernel(&self, name: &str) {
        let cell = format!("kernels/{name}/cell");
        self.write(
            &format!("{cell}/Cargo.toml"),
            "[package]\nname = \"ctx\"\n[dependencies]\nother = { path = \"../../../crate\" }\n",
        );
        self.write(&format!("{cell}/src/lib.rs"), "fn a() {}");
        self.write(&format!("{cell}/target/deps/libother.rlib"), "");
        let notes = format!(
            "x: {}/crate/src/lib.rs {0}/aside.rs\n",
            self.folder.display()
        );
        self.write(&format!("{cell}/target/deps/other.d"), &notes);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Whom the log names when `cargo` is asked.
    fn ask(&self, words: &[&str]) -> (String, Output) {
        let _ = fs::remove_file(self.path("log"));
        let cell = self.path(&format!("kernels/{}/cell", self.kernel));
        let output = Command::new(self.path("tools/bin/cargo"))
            .args(words)
            .current_dir(&cell)
            .env("COURSE_TOOLCHAIN", self.path("tools"))
            .env("EVCXR_TMPDIR", &cell)
            .env("CARGO_HOME", self.path("home"))
            .env("LOG", self.path("log"))
            .envs(self.variables.iter().copied())
            .output()
            .unwrap();
        (
            fs::read_to_string(self.path("log")).unwrap_or_default(),
            output,
        )
    }

    fn asks(&self, words: &[&str]) -> String {
        let (log, output) = self.ask(words);
        assert!(output.status.success(), "{output:?}");
        log
    }
}

type Change = (&'static str, fn(&mut Place));

/// What may change between two questions. After each the real cargo must be asked.
const CHANGES: [Change; 17] = [
    ("the kernel's manifest", |place| {
        let manifest = "[package]\nname = \"ctx\"\n[dependencies]\nother = { path = '../../../crate' }\nnew = \"1\"\n";
        place.write("kernels/one/cell/Cargo.toml", manifest);
    }),
    ("the kernel's lock file", |place| {
        place.write("kernels/one/cell/Cargo.lock", "version = 4\n")
    }),
    ("a lock file above", |place| {
        place.write("Cargo.lock", "version = 4\n")
    }),
    ("the manifest of a crate by path", |place| {
        place.write(
            "crate/Cargo.toml",
            "[package]\nname = \"other\"\nversion = \"2.0.0\"\n",
        );
    }),
    ("the manifest of that crate's workspace", |place| {
        place.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"crate\"]\nresolver = \"3\"\n",
        );
    }),
    ("a new target of that crate", |place| {
        place.write("crate/src/bin/new.rs", "fn main() {}")
    }),
    ("a build script of that crate", |place| {
        place.write("crate/build.rs", "fn main() {}")
    }),
    ("settings beside", |place| {
        place.write("kernels/one/cell/.cargo/config.toml", "[net]\n")
    }),
    ("settings above", |place| {
        place.write(".cargo/config", "[net]\n")
    }),
    ("the reader's settings", |place| {
        place.write("home/config.toml", "[net]\n")
    }),
    ("a file that chooses the toolchain", |place| {
        place.write("rust-toolchain.toml", "[toolchain]\n")
    }),
    ("flags", |place| {
        place.variables.push(("RUSTFLAGS", "-C target-cpu=native"))
    }),
    ("the profile", |place| {
        place.variables.push(("CARGO_PROFILE_DEV_OPT_LEVEL", "1"))
    }),
    ("any other variable", |place| {
        place.variables.push(("LIBCLANG_PATH", "/x"))
    }),
    ("the compiler", |place| {
        renew(&place.path("tools/real/bin/rustc"))
    }),
    ("cargo", |place| renew(&place.path("tools/real/bin/cargo"))),
    ("another lock file for this question", |place| {
        place.write("copy.lock", "version = 4\n");
        let copy = place.path("copy.lock").display().to_string();
        place
            .variables
            .push(("CARGO_RESOLVER_LOCKFILE_PATH", copy.leak()));
    }),
];

/// As an update does: the same text, in a new file.
fn renew(path: &Path) {
    let new = path.with_extension("new");
    fs::copy(path, &new).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn what_has_not_changed_is_answered_from_memory_and_in_the_other_folder_s_words() {
    let mut place = Place::new("same");
    assert_eq!(place.asks(&METADATA), "cargo metadata\n");
    let (log, answer) = place.ask(&METADATA);
    assert_eq!((log.as_str(), answer.status.code()), ("", Some(0)));
    assert!(
        String::from_utf8_lossy(&answer.stdout).contains("kernels/one/cell"),
        "{answer:?}"
    );
    place.kernel = "two";
    // Reads the same in its folder, so it is the same question.
    let (log, answer) = place.ask(&METADATA);
    assert_eq!(log, "");
    assert!(
        String::from_utf8_lossy(&answer.stdout).contains("kernels/two/cell"),
        "{answer:?}"
    );
}

#[test]
fn whatever_changes_is_asked_again() {
    let mut missed = Vec::new();
    for (what, change) in CHANGES {
        for words in [METADATA, BUILD] {
            let mut place = Place::new("changes");
            place.asks(&words);
            let from_memory = if words == BUILD { "rustc\n" } else { "" };
            assert_eq!(place.asks(&words), from_memory, "before: {what}");
            change(&mut place);
            if !place.asks(&words).starts_with("cargo ") {
                missed.push((words[0], what));
            }
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn other_words_are_another_question() {
    let place = Place::new("words");
    place.asks(&METADATA);
    assert_eq!(
        place.asks(&["metadata", "--format-version", "1", "--no-deps"]),
        "cargo metadata\n"
    );
    for _ in 0..2 {
        // Never remembered.
        assert_eq!(place.asks(&["tree"]), "cargo tree\n");
        assert_eq!(place.asks(&["rustc", "--release"]), "cargo rustc\n");
    }
    assert_eq!(place.asks(&["rustc", "--print", "cfg"]), "cargo rustc\n");
    assert_eq!(place.asks(&["rustc", "--print", "cfg"]), "");
}

#[test]
fn a_failure_is_not_remembered() {
    let place = Place::new("failure");
    place.write("kernels/one/fails", "");
    for _ in 0..2 {
        let (log, output) = place.ask(&METADATA);
        assert_eq!(
            (log.as_str(), output.status.code()),
            ("cargo metadata\n", Some(3))
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "broken\n");
    }
}

#[test]
fn a_damaged_memory_and_an_answer_that_names_what_is_gone_are_asked_again() {
    let place = Place::new("damaged");
    place.asks(&METADATA);
    for entry in fs::read_dir(place.path("tools/memory/answers")).unwrap() {
        fs::write(entry.unwrap().path(), "{\"status\":0,\"out\":\"").unwrap();
    }
    assert_eq!(place.asks(&METADATA), "cargo metadata\n");
    assert_eq!(place.asks(&METADATA), "");
    for entry in fs::read_dir(place.path("tools/memory/answers")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("cell/Cargo.toml", "gone/Cargo.toml");
        fs::write(&path, text).unwrap();
    }
    assert_eq!(place.asks(&METADATA), "cargo metadata\n");
}

#[test]
fn what_only_cargo_can_read_is_never_remembered() {
    for (name, file, text) in [
        ("paths", "home/config.toml", "paths = [\"/x\"]\n"),
        ("include", ".cargo/config.toml", "include = \"x.toml\"\n"),
        (
            "escape",
            "crate/Cargo.toml",
            "[dependencies]\nx = { path = \"\\u0061\" }\n",
        ),
        (
            "members",
            "kernels/one/cell/Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\"]\n",
        ),
    ] {
        let place = Place::new(name);
        place.write(file, text);
        for _ in 0..2 {
            assert_eq!(place.asks(&METADATA), "cargo metadata\n", "{name}");
        }
    }
}

#[test]
fn a_crate_that_only_the_workspace_of_another_names_is_looked_at() {
    let place = Place::new("inherited");
    place.write(
        "Cargo.toml",
        "[workspace.dependencies]\nfar = { path = 'far' }\n",
    );
    place.write("far/Cargo.toml", "[package]\nname = \"far\"\n");
    place.asks(&METADATA);
    assert_eq!(place.asks(&METADATA), "");
    place.write(
        "far/Cargo.toml",
        "[package]\nname = \"far\"\nedition = \"2024\"\n",
    );
    assert_eq!(place.asks(&METADATA), "cargo metadata\n");
}

#[test]
fn a_cell_is_compiled_by_the_compiler_alone_until_a_source_or_a_library_changes() {
    let place = Place::new("cell");
    assert_eq!(place.asks(&BUILD), "cargo build\nrustc\n");
    place.write("kernels/one/cell/src/lib.rs", "fn b() {}");
    assert_eq!(place.asks(&BUILD), "rustc\n");
    for changed in [
        "crate/src/lib.rs",
        "crate/src/new.rs",
        "crate/data.txt",
        "aside.rs",
        "kernels/one/cell/target/deps/libother.rlib",
    ] {
        place.write(changed, "// new");
        assert_eq!(place.asks(&BUILD), "cargo build\nrustc\n", "{changed}");
        assert_eq!(place.asks(&BUILD), "rustc\n", "{changed}");
    }
}

#[test]
fn a_cell_that_does_not_compile_is_not_taken_for_one_that_does() {
    let place = Place::new("broken");
    place.asks(&BUILD);
    place.write(
        "tools/real/bin/rustc",
        "#!/bin/sh\necho rustc >> \"$LOG\"\nexit 1\n",
    );
    for expected in ["cargo build\nrustc\n", "rustc\n"] {
        let (log, output) = place.ask(&BUILD);
        assert_eq!((log.as_str(), output.status.code()), (expected, Some(101)));
    }
}

#[test]
fn a_kept_cell_is_not_written_over_a_library_that_is_loaded() {
    let mut place = Place::new("kept");
    for kernel in ["one", "two"] {
        place.write(
            &format!("kernels/{kernel}/cell/Cargo.toml"),
            "[package]\nname = \"ctx\"\n[dependencies]\n",
        );
    }
    assert_eq!(place.asks(&BUILD), "cargo build\nrustc\n");
    place.kernel = "two";
    // As cargo links what it has made, and evcxr renames it.
    place.write("kernels/two/cell/target/deps/libctx.so", "loaded");
    let loaded = place.path("kernels/two/cell/target/libcode_2.so");
    fs::hard_link(
        place.path("kernels/two/cell/target/deps/libctx.so"),
        &loaded,
    )
    .unwrap();
    assert_eq!(place.asks(&BUILD), "", "it was compiled before");
    assert_eq!(fs::read_to_string(loaded).unwrap(), "loaded");
}

#[test]
fn cargo_never_takes_a_cell_for_the_one_before() {
    let place = Place::new("fresh");
    place.write("kernels/one/cell/with-store/src/lib.rs", "fn before() {}");
    assert_eq!(place.asks(&BUILD), "cargo build\nrustc\n");
}
