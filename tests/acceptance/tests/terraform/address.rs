//! Which address counts: the first usable one of the primary NIC, seen after this start.

use std::time::Duration;

use acceptance::{Lab, assert_unchanged, under_each_tool, whole_life};
use serde_json::json;
use sim::World;

use crate::{A, server};

/// The built-in lab with other guests inside `tmpl-debian12` of both pools.
fn guests(change: impl Fn(&mut sim::world::GuestSpec)) -> Lab {
    Lab::changed(|world: &mut World| {
        for pool in world.pools.values_mut() {
            change(&mut pool.templates["tmpl-debian12"].guest);
        }
    })
}

fn debian(lines: &str) -> String {
    server(&format!("  os = \"debian12\"\n{lines}"))
}

#[test]
fn one_from_dhcp_after_one_that_the_guest_gave_itself() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"rocky9\"")]);
        whole_life(&lab, &workspace, |state| {
            let address = state.text(A, "ip_address");
            assert!(address.starts_with("10.1."), "{address}, not 169.254");
            assert_eq!(state.values(A)["ip_addresses"], json!([address]));
        });
    });
}

#[test]
fn not_the_one_that_the_template_still_shows() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"centos7\"\n  tags = [\"mine\"]")]);
        whole_life(&lab, &workspace, |state| {
            let address = state.text(A, "ip_address");
            assert!(
                address.starts_with("10.1.") || address.starts_with("10.3."),
                "{address}"
            );
            let vm = lab.vm(&state.text(A, "id"));
            assert!(
                !vm.tags().contains("golden"),
                "the template's tags stay with it: {:?}",
                vm.tags()
            );
            assert!(vm.tags().contains("mine"));
        });
    });
}

#[test]
fn the_primary_of_two_nics() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for template in world.pools["lab1"].templates.values_mut() {
                template.networks = vec!["lab-net".to_owned(), "test-net".to_owned()];
            }
        });
        let workspace = lab.workspace(tool, &[&debian("  pool = \"lab1\"")]);
        whole_life(&lab, &workspace, |state| {
            assert!(state.text(A, "ip_address").starts_with("10.1."));
            let all = state.values(A)["ip_addresses"].as_array().cloned().unwrap_or_default();
            assert_eq!(all.len(), 2, "{all:?}");
            assert!(
                all.iter()
                    .any(|one| one.as_str().is_some_and(|one| one.starts_with("10.2."))),
                "{all:?}"
            );
        });
    });
}

#[test]
fn of_the_family_that_was_asked_for() {
    under_each_tool(|tool| {
        let lab = guests(|guest| guest.ipv6 = Some("2001:db8:1::/64".to_owned()));
        let workspace = lab.workspace(tool, &[&debian("  ip_family = \"ipv6\"")]);
        whole_life(&lab, &workspace, |state| {
            assert!(state.text(A, "ip_address").starts_with("2001:db8:1:"));
        });
    });
}

#[test]
fn of_a_guest_that_counts_its_nics_from_one() {
    under_each_tool(|tool| {
        let lab = guests(|guest| guest.first_device = 1);
        let workspace = lab.workspace(tool, &[&debian("")]);
        whole_life(&lab, &workspace, |state| {
            assert!(state.text(A, "ip_address").starts_with("10."));
        });
    });
}

/// A create that never sees an address: one error at this attribute that names the stage; nothing stays.
#[track_caller]
fn fails(lab: &Lab, lines: &str, attribute: &str, stage: &str) {
    under_each_tool(|tool| {
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&debian(lines)]);
        let outcome = workspace.try_apply();
        let error = outcome.only_error();
        error.expect_text(stage).expect_text("No usable address");
        if !error.line.starts_with("resource ") {
            error.expect_at(attribute);
        }
        assert!(
            outcome.took < Duration::from_secs(30),
            "bounded by timeouts.ip\n{outcome}"
        );
        assert_eq!(workspace.state().addresses(), [] as [&str; 0]);
        assert_unchanged(lab, &before);
    });
}

#[test]
fn none_for_lack_of_an_agent() {
    let lab = guests(|guest| guest.no_agent = true);
    fails(
        &lab,
        "  wait_for_ip = true\n  timeouts = { ip = \"1s\" }",
        "wait_for_ip",
        "no guest agent",
    );
    let clones = lab.methods().get("VM.clone").copied().unwrap_or_default();
    assert_eq!(clones, 2, "ip_attempts is 2 unless it is set");
}

#[test]
fn none_for_lack_of_dhcp_in_the_attempts_that_were_asked_for() {
    let lab = guests(|guest| guest.never = true);
    fails(
        &lab,
        "  wait_for_ip = true\n  ip_attempts = 3\n  timeouts = { ip = \"1s\" }",
        "wait_for_ip",
        "agent without address",
    );
    let clones = lab.methods().get("VM.clone").copied().unwrap_or_default();
    assert_eq!(clones, 3);
}

#[test]
fn none_but_link_local_ones() {
    let lab = guests(|guest| guest.addresses = vec!["fe80".to_owned(), "169.254".to_owned()]);
    fails(
        &lab,
        "  wait_for_ip = true\n  ip_attempts = 1\n  timeouts = { ip = \"2s\" }",
        "wait_for_ip",
        "169.254.",
    );
}

#[test]
fn none_inside_the_networks_that_count() {
    let lab = Lab::standard();
    fails(
        &lab,
        "  ip_cidrs = [\"192.0.2.0/24\"]\n  ip_attempts = 1\n  timeouts = { ip = \"2s\" }",
        "ip_cidrs",
        "ip_cidrs",
    );
}

#[test]
fn the_second_attempt_may_succeed() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.templates["tmpl-debian12"].guest.boot_seconds = 20.0;
            }
        });
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&debian("  ip_attempts = 2\n  timeouts = { ip = \"5s\" }")]);
        let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-json"]);
        let newborn = || lab.vms().into_iter().find(|vm| vm.text("name_label") == "web");
        lab.until("the first clone runs", || {
            newborn().is_some_and(|vm| vm.text("power_state") == "Running")
        });
        let first = newborn().expect("the first clone").uuid();
        lab.control().guest_never(&first).expect("silenced");
        running.wait(Duration::from_secs(60)).expect_success();
        let second = workspace.state().text(A, "id");
        assert_ne!(first, second);
        assert!(!lab.has_vm(&first), "the clone without an address is gone");
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn none_and_the_server_is_kept_to_be_looked_at() {
    under_each_tool(|tool| {
        let lab = guests(|guest| guest.no_agent = true);
        let before = lab.world();
        let lines = "  ttl = \"3h\"\n  keep_on_failure = true\n  ip_attempts = 2\n  timeouts = { ip = \"1s\" }";
        let workspace = lab.workspace(tool, &[&debian(lines)]);
        workspace.try_apply().only_error().expect_text("no guest agent");
        let state = workspace.state();
        assert!(state.is_tainted(A));
        let vm = lab.vm(&state.text(A, "id"));
        assert_eq!(vm.text("power_state"), "Running");
        let expires = vm.tags().iter().filter(|tag| tag.starts_with("dynvm:expires=")).count();
        assert_eq!(expires, 1, "with its full ttl: {:?}", vm.tags());
        let ours = lab
            .vms()
            .into_iter()
            .filter(|vm| vm.text("name_label") == "web")
            .count();
        assert_eq!(ours, 1, "only the last attempt is kept");
        assert_eq!(workspace.plan().actions(A), ["delete", "create"]);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
