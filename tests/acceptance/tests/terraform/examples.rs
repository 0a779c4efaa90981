//! Every example is planned: what the documentation shows must work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use acceptance::{Lab, Workspace, quoted, under_each_tool};
use regex::Regex;
use serde_json::{Value as Json, json};

use crate::SERVER;

fn examples() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the root of the workspace").join("examples")
}

/// Each folder with a module in it, and the module's files by name.
fn modules() -> BTreeMap<PathBuf, BTreeMap<String, String>> {
    let mut found: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
    let mut open = vec![examples()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of examples").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "tf") {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("import-") {
                    // About an object that must exist: see `import`.
                    continue;
                }
                let text = fs::read_to_string(&path).expect("an example");
                found.entry(folder.clone()).or_default().insert(name, text);
            }
        }
    }
    found
}

/// The pools of a lab as the examples' variables take them.
fn pools(lab: &Lab) -> Json {
    let entry = |pool: sim::PoolAddress| {
        let value = json!({
            "url": pool.url, "username": pool.username, "password": pool.password, "fingerprints": pool.member_fingerprints,
        });
        (pool.name, value)
    };
    Json::Object(lab.control().pools().into_iter().map(entry).collect())
}

/// An example with a pool of the lab in place of the one that it invents: a plan asks its pools.
fn at_home(lab: &Lab, text: &str) -> String {
    let pool = lab.pool("lab1");
    let pinned: Vec<String> = pool.member_fingerprints.iter().map(|one| quoted(one)).collect();
    let fingerprint = Regex::new("\"sha256:[0-9A-F:]+\"").expect("a pattern");
    let text = text.replace("https://10.1.0.11", &pool.url);
    fingerprint.replace_all(&text, pinned.join(", ")).into_owned()
}

/// A workspace with one example and what it leaves to its reader.
fn prepared(lab: &Lab, tool: &acceptance::Tool, files: &BTreeMap<String, String>) -> Workspace {
    let mut workspace = Workspace::new(tool);
    let whole: String = files.values().map(String::as_str).collect();
    for (name, text) in files {
        workspace.write(name, &at_home(lab, text));
    }
    let provider = lab.provider().to_string();
    match (
        whole.contains("required_providers"),
        whole.contains("provider \"dynvm\""),
    ) {
        (true, true) => {}
        (true, false) => workspace.write("provider.tf", &provider),
        (false, true) => workspace.write("required.tf", acceptance::REQUIRED),
        (false, false) => workspace.write("provider.tf", &format!("{}{provider}", acceptance::REQUIRED)),
    }
    if !whole.contains("\nresource ") && !whole.starts_with("resource ") && !whole.contains("data ") {
        workspace.write("server.tf", SERVER);
    }
    for name in ["pools", "staging", "production"] {
        if whole.contains(&format!("variable \"{name}\"")) {
            workspace.set(&format!("TF_VAR_{name}"), &pools(lab).to_string());
        }
    }
    if whole.contains("variable \"xen_password\"") {
        workspace.set("TF_VAR_xen_password", &lab.pool("lab1").password);
    }
    workspace
}

#[test]
fn each_is_valid_and_plans() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let (mirror, _) = lab.named("lab1", "VM", "build-server");
        lab.call("lab1", "VM.set_name_label", json!([mirror, "shared-mirror"]));
        let modules = modules();
        assert!(modules.len() >= 8, "{:?}", modules.keys());
        for (folder, files) in modules {
            let workspace = prepared(&lab, tool, &files);
            let shown = folder.display();
            let valid = workspace.run(&["validate", "-no-color"]);
            assert_eq!(valid.code, Some(0), "{shown}\n{valid}");
            let planned = workspace.try_plan();
            assert_eq!(planned.code, Some(0), "{shown}\n{planned}");
            assert!(planned.warnings().is_empty(), "{shown}\n{planned}");
        }
    });
}

#[test]
fn the_quickstart_lives_and_leaves_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let modules = modules();
        let workspace = prepared(&lab, tool, &modules[&examples().join("quickstart")]);
        acceptance::whole_life(&lab, &workspace, |state| {
            let servers = state.output("servers").as_object().cloned().unwrap_or_default();
            assert_eq!(servers.keys().collect::<Vec<_>>(), ["db", "web-1", "web-2"]);
            for server in servers.values() {
                assert!(
                    server["ip_address"].is_string() && server["expires_at"].is_string(),
                    "{server}"
                );
            }
        });
    });
}
