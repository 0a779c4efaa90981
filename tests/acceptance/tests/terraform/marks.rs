//! What is written on a VM, to the letter: other tools rely on it.

use std::collections::BTreeSet;

use acceptance::{Lab, State, Vm, under_each_tool, whole_life};
use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde_json::Value as Json;

use crate::{A, SERVER, server};

/// The marks among some texts.
fn marks<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    texts
        .into_iter()
        .map(String::as_str)
        .filter(|text| text.starts_with("dynvm:"))
        .collect()
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn check_marks(lab: &Lab, state: &State, vm: &Vm, owner: &str) {
    let uuid = vm.uuid();
    let (tags, keys) = (vm.tags(), vm.other_config());
    let expires_at = state.text(A, "expires_at");
    let expires = Regex::new(&format!("^dynvm:expires={expires_at}/[0-9A-HJKMNP-TV-Z]{{26}}$")).expect("a pattern");
    let mut on_tags = marks(&tags);
    // The key of the creation lease goes with the first lease. A tag alone condemns nothing: it may stay until the first renewal.
    on_tags.retain(|mark| !mark.starts_with("dynvm:creating="));
    let expiry = on_tags.iter().find(|mark| expires.is_match(mark));
    let expiry = expiry
        .unwrap_or_else(|| panic!("no {expires} in {on_tags:?}"))
        .to_string();
    let vm_mark = format!("dynvm:vm={uuid}");
    let owner_mark = format!("dynvm:owner={owner}");
    assert_eq!(
        on_tags,
        BTreeSet::from([vm_mark.as_str(), owner_mark.as_str(), expiry.as_str()]),
        "tags"
    );

    let on_keys = marks(keys.keys());
    let expected = BTreeSet::from([
        "dynvm:vm",
        vm_mark.as_str(),
        "dynvm:spec",
        owner_mark.as_str(),
        expiry.as_str(),
    ]);
    assert_eq!(on_keys, expected, "keys of other_config");
    assert_eq!(keys["dynvm:vm"], uuid);
    for text in tags.iter().chain(keys.keys()) {
        assert!(!text.contains(['<', '>', '&', '"']), "{text} breaks other tools");
    }
    check_spec(lab, state, vm, &parsed(&keys["dynvm:spec"]));
    let record = parsed(&keys[&expiry]);
    assert_eq!(record["start"], state.text(A, "lease_started_at").as_str(), "{record}");
    let disks = lab.records(&vm.pool, "VDI");
    let own = disks
        .values()
        .filter(|disk| disk["other_config"]["dynvm:vm"] == uuid.as_str());
    assert_eq!(own.count(), 1, "the disk of the VM carries its mark");
}

fn check_spec(lab: &Lab, state: &State, vm: &Vm, spec: &Json) {
    let (_, template) = lab.named(&vm.pool, "VM", "tmpl-debian12");
    assert_eq!(spec["template_uuid"], template["uuid"], "{spec}");
    assert_eq!(spec["template_name"], "tmpl-debian12", "{spec}");
    assert_eq!(spec["os"], "debian12", "{spec}");
    assert_eq!(spec["created_at"], state.text(A, "created_at").as_str(), "{spec}");
    let request = spec["request_id"].as_str().unwrap_or_default();
    assert_eq!(request.len(), 26, "a ULID: {spec}");
    assert!(
        spec["provider"].as_str().is_some_and(|version| version.contains('.')),
        "{spec}"
    );
}

#[test]
fn on_a_server_that_is_up() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let mut workspace = lab.workspace(
            tool,
            &[&server("  os = \"debian12\"\n  ttl = \"90m\"\n  tags = [\"mine\"]")],
        );
        workspace.set("DYNVM_OWNER", "ci/nightly");
        whole_life(&lab, &workspace, |state| {
            let vm = lab.vm(&state.text(A, "id"));
            check_marks(&lab, state, &vm, "ci%2Fnightly");
        });
    });
}

#[test]
fn times_are_the_pools_and_not_the_callers() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        for pool in ["lab1", "lab2"] {
            lab.control()
                .set_clock_offset(pool, 40 * 86_400)
                .expect("another clock");
        }
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"1h\"")]);
        whole_life(&lab, &workspace, |state| {
            let time = |attribute: &str| state.text(A, attribute).parse::<Timestamp>().expect("a time");
            let ahead = time("lease_started_at").duration_since(Timestamp::now());
            assert!((ahead.as_hours() - 40 * 24).abs() <= 1, "{ahead:?} ahead");
            assert_eq!(
                time("expires_at"),
                time("lease_started_at") + SignedDuration::from_hours(1)
            );
            assert!(time("created_at") <= time("lease_started_at"));
            assert!(state.text(A, "expires_at").ends_with('Z'));
        });
    });
}

#[test]
fn what_the_template_inherited_is_stripped() {
    under_each_tool(|tool| {
        let old = "dynvm:expires=2020-01-01T00:00:00Z/01DXF6DT000000000000000000";
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                let template = &mut pool.templates["tmpl-debian12"];
                template.tags = vec!["golden".to_owned(), old.to_owned(), "dynvm:keep".to_owned()];
                let stale = [
                    (old, "{}"),
                    ("dynvm:vm", "00000000-0000-4000-8000-000000000001"),
                    ("site", "north"),
                ];
                template
                    .other_config
                    .extend(stale.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
        });
        let mut workspace = lab.workspace(tool, &[SERVER]);
        workspace.set("DYNVM_OWNER", "ci/nightly");
        whole_life(&lab, &workspace, |state| {
            let vm = lab.vm(&state.text(A, "id"));
            check_marks(&lab, state, &vm, "ci%2Fnightly");
            assert_eq!(
                vm.other_config().get("site").map(String::as_str),
                Some("north"),
                "not dynvm's: kept"
            );
            assert!(!vm.tags().contains("golden"));
        });
    });
}

#[test]
fn under_its_birth_name_until_it_is_marked() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(
            tool,
            &[&server("  os = \"debian12\"\n  timeouts = { create = \"10m\" }")],
        );
        lab.control().fault(sim::FaultRule {
            count: 1,
            ..sim::FaultRule::once("VM.set_other_config", sim::FaultKind::Delay(40_000))
        });
        let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        let newborn = |lab: &Lab| -> Option<String> {
            let mut names = lab.all_vms().into_iter().map(|vm| vm.text("name_label"));
            names.find(|name| name.starts_with("dynvm-new-"))
        };
        lab.until("a clone under its birth name", || newborn(&lab).is_some());
        let name = newborn(&lab).unwrap_or_default();
        let parts: Vec<&str> = name.trim_start_matches("dynvm-new-").rsplitn(2, '-').collect();
        let deadline: i64 = parts[0].parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(parts[1].len(), 26, "{name}: a ULID");
        let left = deadline - Timestamp::now().as_second();
        assert!(
            (18 * 60..=20 * 60).contains(&left),
            "{name}: create timeout + 10 min, not {left} s"
        );
        running.wait(std::time::Duration::from_secs(60)).expect_success();
        assert!(newborn(&lab).is_none(), "it has its own name now");
        workspace.destroy();
    });
}
