//! Which crate may use which: the arrows of docs/architecture.md, read from cargo itself.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of a test fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The normal (not dev) dependencies that each of our crates has on others of ours. A new arrow is a decision: it is made here, and in
/// docs/architecture.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("acceptance", &["cty", "engine", "plugin", "sim", "xenapi"]),
    ("cty", &[]),
    ("dynvm", &["cty", "engine", "fleet", "history", "plugin", "xenapi"]),
    ("engine", &["cty"]),
    ("fleet", &["xenapi"]),
    ("history", &[]),
    (
        "inputs",
        &["cty", "dynvm", "engine", "fleet", "plugin", "reaper", "xenapi"],
    ),
    ("plugin", &["cty", "engine", "proto"]),
    ("proto", &[]),
    ("reaper", &["fleet", "history", "xenapi"]),
    ("sim", &[]),
    ("soak", &["fleet", "reaper", "sim", "xenapi"]),
    ("tidy", &[]),
    ("xenapi", &[]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"])
        .current_dir(tidy::root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// crate -> names of the dependencies for which `wanted(kind)` holds.
fn dependencies(wanted: impl Fn(Option<&str>) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let names = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|dependency| wanted(dependency["kind"].as_str()))
                .map(|dependency| dependency["name"].as_str().expect("name").to_owned())
                .collect();
            (package["name"].as_str().expect("name").to_owned(), names)
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_arrows_allow() {
    let ours: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    let found = dependencies(|kind| kind.is_none());
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        ours.keys().copied().collect::<Vec<_>>(),
        "every crate of the workspace has its line in ARROWS"
    );
    for (name, uses) in &found {
        let between_ours: BTreeSet<&str> = uses
            .iter()
            .map(String::as_str)
            .filter(|used| ours.contains_key(used))
            .collect();
        assert_eq!(between_ours, ours[name.as_str()], "the arrows of {name}");
    }
}

#[test]
fn only_the_crates_that_need_a_protocol_library_have_it() {
    let found = dependencies(|kind| kind.is_none());
    let users = |library: &str| -> Vec<&str> {
        found
            .iter()
            .filter(|(_, uses)| uses.contains(library))
            .map(|(name, _)| name.as_str())
            .collect()
    };
    assert_eq!(users("tonic"), ["plugin", "proto"]);
    assert_eq!(users("reqwest"), ["xenapi"]);
    assert_eq!(users("axum"), ["reaper", "sim"]);
}

#[test]
fn the_architecture_page_draws_every_crate() {
    let page = tidy::text(&tidy::root().join("docs/architecture.md"));
    for (name, _) in ARROWS {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/architecture.md does not name `{name}`"
        );
    }
}

#[test]
fn every_library_has_its_line_in_the_dependencies_page() {
    let page = tidy::text(&tidy::root().join("docs/dependencies.md"));
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let used: BTreeSet<String> = dependencies(|_| true).into_values().flatten().collect();
    let missing: Vec<&str> = used
        .iter()
        .map(String::as_str)
        .filter(|name| !ours.contains(name) && !page.contains(&format!("| `{name}` |")))
        .collect();
    assert!(missing.is_empty(), "docs/dependencies.md has no line for {missing:?}");
    let named: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let unused: Vec<&&str> = named.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "docs/dependencies.md still names {unused:?}");
}

#[test]
fn every_library_of_the_workspace_is_used_by_a_crate() {
    let used: BTreeSet<String> = dependencies(|_| true).into_values().flatten().collect();
    let list = tidy::text(&tidy::root().join("Cargo.toml"));
    let offered = list
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
    let idle: Vec<&str> = offered.filter(|name| !used.contains(*name)).collect();
    assert!(idle.is_empty(), "in the workspace's list, used by no crate: {idle:?}");
}
