//! What needs what among the files of the crates: never in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module, as the names on the way to it; the crate itself is the empty list.
type Module = Vec<String>;

#[test]
fn no_two_files_need_each_other() {
    for crate_folder in ["../helpers", "../helpers-mpi"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(crate_folder)
            .join("src");
        let circles = circles(&needs(&read(&source)));
        assert!(
            circles.is_empty(),
            "these files of {crate_folder} need each other:\n{}\nMove what both need to a file of \
             its own, or to the one below.",
            circles.join("\n")
        );
    }
}

#[test]
fn a_circle_is_seen_through_a_name_that_is_handed_on() {
    let files = [
        (vec![], "mod a;\nmod b;\npub use self::b::B;\n"),
        (vec!["a"], "use super::B;\npub struct A(B);\n"),
        (vec!["b"], "pub struct B;\nfn f(_: crate::a::A) {}\n"),
    ];
    let files = files.map(|(module, code)| {
        let module = module.into_iter().map(str::to_owned).collect();
        (module, Code::new(code))
    });
    let circles = circles(&needs(&BTreeMap::from(files)));
    assert_eq!(circles, ["a → b → a"]);
}

/// What is of interest in a file.
struct Code {
    /// The paths that it names, from the place where it stands, each with the name that it gets.
    named: Vec<(Module, String)>,
    /// The names that it hands on, each with its path.
    handed_on: BTreeMap<String, Module>,
}

impl Code {
    fn new(text: &str) -> Code {
        // Tests and comments may look anywhere.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
        let lines = text.lines().map(str::trim);
        let lines: Vec<_> = lines.filter(|line| !line.starts_with("//")).collect();
        let mut code = Code {
            named: Vec::new(),
            handed_on: BTreeMap::new(),
        };
        let mut rest = String::new();
        for statement in lines.join(" ").split_inclusive(['{', ';', '}']) {
            rest.push_str(statement);
            let start = rest.trim_start();
            let is_use = start.starts_with("use ") || start.starts_with("pub use ");
            let is_use = is_use || (start.starts_with("pub(") && start.contains(") use "));
            // The braces of a `use` do not end it.
            if is_use && !statement.ends_with(';') {
                continue;
            }
            if is_use {
                let (visible, tree) = start.split_once("use ").unwrap_or_default();
                let mut paths = Vec::new();
                flatten(&[], tree.trim_end_matches(';'), &mut paths);
                if visible.is_empty() {
                    code.named.extend(paths);
                } else {
                    let named = paths.into_iter().map(|(path, name)| (name, path));
                    code.handed_on.extend(named);
                }
            } else {
                code.named.extend(paths_in(start));
            }
            rest.clear();
        }
        code
    }
}

/// The paths of a `use` tree behind `before`, each with the name that it gets.
fn flatten(before: &[String], tree: &str, paths: &mut Vec<(Module, String)>) {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{')
        && !head.contains(',')
    {
        let mut path = before.to_vec();
        let names = head.split("::").map(|name| name.trim().to_owned());
        path.extend(names.filter(|name| !name.is_empty()));
        let inner = rest.strip_suffix('}').unwrap_or(rest);
        let (mut depth, mut start) = (0, 0);
        for (at, sign) in inner.char_indices() {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(&path, &inner[start..at], paths);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return flatten(&path, &inner[start..], paths);
    }
    if tree.is_empty() {
        return;
    }
    let (tree, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path = before.to_vec();
    path.extend(tree.split("::").map(|name| name.trim().to_owned()));
    path.retain(|name| name != "self" || before.is_empty());
    let name = match name {
        "" => path.last().cloned().unwrap_or_default(),
        name => name.trim().to_owned(),
    };
    paths.push((path, name));
}

/// The paths from the crate's root or the module above that stand in code.
fn paths_in(code: &str) -> Vec<(Module, String)> {
    let is_of_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    let words = code.split(|sign: char| !is_of_path(sign) && sign != '$');
    let paths = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    let names = |path: &str| path.split("::").map(str::to_owned).collect();
    paths.map(|path| (names(path), String::new())).collect()
}

/// All files below a folder.
fn read(source: &Path) -> BTreeMap<Module, Code> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(source.to_owned(), Module::new())];
    while let Some((folder, module)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut inner = module.clone();
            if path.is_dir() {
                inner.push(name);
                folders.push((path, inner));
            } else if path.extension().is_some_and(|end| end == "rs") {
                if !["lib", "mod"].contains(&name.as_str()) {
                    inner.push(name);
                }
                files.insert(inner, Code::new(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 10, "{} was read", source.display());
    files
}

/// For each file those that it needs.
fn needs(files: &BTreeMap<Module, Code>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let needs = files.iter().map(|(module, code)| {
        let paths = code.named.iter().map(|(path, _)| path);
        let found = paths.filter_map(|path| place_of(files, module, path, 0));
        (module, found.filter(|found| *found != module).collect())
    });
    needs.collect()
}

/// The file in which lies what `module` calls `path`; `None` for what another crate has.
fn place_of<'f>(
    files: &'f BTreeMap<Module, Code>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<&'f Module> {
    assert!(
        depth < 20,
        "{path:?} in {module:?} is handed on in a circle"
    );
    let mut at = module.clone();
    let mut names = path.iter().peekable();
    let child = |at: &Module, name: &String| [at.clone(), vec![name.clone()]].concat();
    match names.peek()?.as_str() {
        "crate" => {
            at.clear();
            names.next();
        }
        "self" => drop(names.next()),
        "super" => {
            while names.next_if(|name| *name == "super").is_some() {
                at.pop();
            }
        }
        _ if files.contains_key(&child(module, names.peek()?)) => {}
        _ => return None,
    }
    while let Some(name) = names.next_if(|name| files.contains_key(&child(&at, name))) {
        at = child(&at, name);
    }
    if let Some(name) = names.next()
        && let Some(on) = files.get(&at)?.handed_on.get(name)
    {
        let whole: Vec<_> = on.iter().chain(names).cloned().collect();
        return place_of(files, &at, &whole, depth + 1);
    }
    files.get_key_value(&at).map(|(at, _)| at)
}

/// Circles, of which none holds the first file of another one.
fn circles(needs: &BTreeMap<&Module, BTreeSet<&Module>>) -> Vec<String> {
    let mut left: BTreeSet<&Module> = needs.keys().copied().collect();
    let mut told = Vec::new();
    loop {
        // What needs nothing that is left is in no circle.
        let mut before = usize::MAX;
        while left.len() < before {
            before = left.len();
            let all = left.clone();
            left.retain(|module| !needs[module].is_disjoint(&all));
        }
        let Some(&start) = left.first() else {
            return told;
        };
        let mut way = vec![start];
        let circle = loop {
            let last = way[way.len() - 1];
            // There is one, or `last` would not be left.
            let next = needs[last].iter().find(|next| left.contains(*next));
            way.extend(next);
            let first = way.iter().position(|module| Some(module) == next);
            if let Some(first) = first.filter(|&first| first + 1 < way.len()) {
                break &way[first..];
            }
        };
        let names = circle.iter().map(|module| module.join("::"));
        told.push(names.collect::<Vec<_>>().join(" → "));
        left.remove(circle[0]);
    }
}
