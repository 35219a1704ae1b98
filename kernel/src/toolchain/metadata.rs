//! What rust-analyzer need not read.
//!
//! It reads every crate that `cargo metadata` names, also those that no reader's code can name: what builds other
//! crates, what macros are made of, and what a crate uses only within its functions.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::Result;

/// In a crate's manifest: `[package.metadata.course] hidden = […]`, crates below it that no signature names which
/// a reader comes across.
const HIDDEN: &str = "/metadata/course/hidden";

/// The answer without what need not be read. What a reader has added is left in full.
pub fn cut(answer: &str) -> Result<String> {
    let mut answer: Value = serde_json::from_str(answer)?;
    let packages = answer["packages"].as_array().ok_or("no packages")?;
    let names: HashMap<String, String> = packages
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let hidden: HashMap<String, HashSet<String>> = packages
        .iter()
        .filter_map(|package| {
            let names = package.pointer(HIDDEN)?.as_array()?;
            Some((text(&package["id"]), names.iter().map(text).collect()))
        })
        .collect();
    let of_macros = packages.iter().filter(|package| is_proc_macro(package));
    let of_macros: HashSet<String> = of_macros.map(|package| text(&package["id"])).collect();
    let members = answer["workspace_members"].as_array();
    let members: Vec<String> = members.into_iter().flatten().map(text).collect();
    let nodes = answer["resolve"]["nodes"].as_array().ok_or("no nodes")?;
    let edges: HashMap<String, Vec<String>> = nodes
        .iter()
        .map(|node| (text(&node["id"]), used(node)))
        .collect();

    // Each crate that is reached, and whose hidden crates are hidden from it: nobody's, if it is reached in any
    // other way than from a crate that hides some.
    let mut reached: HashMap<String, HashSet<String>> = HashMap::new();
    let mut left: Vec<_> = members.into_iter().map(|id| (id, HashSet::new())).collect();
    while let Some((id, from_above)) = left.pop() {
        let hides = match hidden.get(&id) {
            Some(own) => &from_above | own,
            None => from_above,
        };
        let now = match reached.get(&id) {
            Some(before) if before.is_subset(&hides) => continue,
            Some(before) => before & &hides,
            None => hides,
        };
        // What makes macros is never run here.
        let below = edges.get(&id).filter(|_| !of_macros.contains(&id));
        for to in below.into_iter().flatten() {
            if !names.get(to).is_some_and(|name| now.contains(name)) {
                left.push((to.clone(), now.clone()));
            }
        }
        reached.insert(id, now);
    }

    if let Some(packages) = answer["packages"].as_array_mut() {
        packages.retain(|package| reached.contains_key(&text(&package["id"])));
    }
    if let Some(nodes) = answer["resolve"]["nodes"].as_array_mut() {
        nodes.retain(|node| reached.contains_key(&text(&node["id"])));
        for node in nodes {
            let id = text(&node["id"]);
            let used = used(node);
            let is_left = |to: &String| {
                let is_hidden = names
                    .get(to)
                    .is_some_and(|name| reached[&id].contains(name));
                used.contains(to)
                    && !is_hidden
                    && !of_macros.contains(&id)
                    && reached.contains_key(to)
            };
            if let Some(dependencies) = node["deps"].as_array_mut() {
                dependencies.retain(|dependency| is_left(&text(&dependency["pkg"])));
                let ids: Vec<_> = dependencies.iter().map(|one| one["pkg"].clone()).collect();
                node["dependencies"] = ids.into();
            }
        }
    }
    Ok(answer.to_string())
}

/// The crates that a crate uses itself, not only its build or its tests.
fn used(node: &Value) -> Vec<String> {
    let dependencies = node["deps"].as_array();
    let usual = dependencies.into_iter().flatten().filter(|dependency| {
        let kinds = dependency["dep_kinds"].as_array();
        // The usual kind has no name.
        kinds
            .into_iter()
            .flatten()
            .any(|kind| kind["kind"].is_null())
    });
    usual.map(|dependency| text(&dependency["pkg"])).collect()
}

fn is_proc_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array();
    let mut kinds = targets
        .into_iter()
        .flatten()
        .filter_map(|target| target["kind"].as_array())
        .flatten();
    kinds.any(|kind| kind == "proc-macro")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, kind: &str) -> Value {
        json!({"id": name, "name": name, "targets": [{"kind": [kind]}]})
    }

    fn node(name: &str, to: &[(&str, Value)]) -> Value {
        let edges = to
            .iter()
            .map(|(to, kind)| json!({"pkg": to, "dep_kinds": [{"kind": kind}]}));
        json!({"id": name, "deps": edges.collect::<Vec<_>>()})
    }

    /// What is left, with the crates that each uses, if a cell uses these.
    fn left(of_cell: &[&str]) -> Vec<(String, Vec<String>)> {
        let usual = |names: &[&'static str]| {
            names
                .iter()
                .map(|name| (*name, Value::Null))
                .collect::<Vec<_>>()
        };
        let mut helpers = package("helpers", "lib");
        helpers["metadata"] = json!({"course": {"hidden": ["nix", "libc"]}});
        let cell: Vec<_> = of_cell.iter().map(|name| (*name, Value::Null)).collect();
        let mut of_helpers = usual(&["nix", "rayon", "derive"]);
        of_helpers.push(("cc", json!("build")));
        let answer = json!({
            "packages": [package("ctx", "cdylib"), helpers, package("nix", "lib"), package("libc", "lib"),
                package("rayon", "lib"), package("cc", "lib"), package("derive", "proc-macro"), package("syn", "lib")],
            "workspace_members": ["ctx"],
            "resolve": {"nodes": [
                node("ctx", &cell), node("helpers", &of_helpers), node("nix", &usual(&["libc"])),
                node("derive", &usual(&["syn"])), node("rayon", &usual(&["libc"])),
                node("libc", &[]), node("cc", &[]), node("syn", &[]),
            ]},
        });
        let cut: Value = serde_json::from_str(&cut(&answer.to_string()).unwrap()).unwrap();
        let nodes = cut["resolve"]["nodes"].as_array().unwrap().iter();
        let mut left: Vec<_> = nodes.map(|node| (text(&node["id"]), used(node))).collect();
        left.sort();
        let mut packages: Vec<_> = cut["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(&one["id"]))
            .collect();
        packages.sort();
        assert_eq!(
            packages,
            left.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()
        );
        left
    }

    fn named(left: &[(String, Vec<String>)]) -> Vec<&str> {
        left.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn only_what_can_be_named_is_left() {
        let left = left(&["helpers"]);
        assert_eq!(named(&left), ["ctx", "derive", "helpers", "rayon"]);
        assert_eq!(left[2].1, ["rayon", "derive"]);
        assert!(left[1].1.is_empty() && left[3].1.is_empty(), "{left:?}");
    }

    #[test]
    fn what_a_reader_adds_is_seen_in_full() {
        let all = left(&["helpers", "nix"]);
        assert_eq!(
            named(&all),
            ["ctx", "derive", "helpers", "libc", "nix", "rayon"]
        );
        // A crate that is reached in both ways, too.
        let both = left(&["helpers", "rayon"]);
        assert_eq!(named(&both), ["ctx", "derive", "helpers", "libc", "rayon"]);
        assert_eq!(both[4].1, ["libc"]);
    }
}
