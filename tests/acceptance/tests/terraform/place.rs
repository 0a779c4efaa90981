//! Where a server goes: pool, storage and network by the provider's settings, by name, by UUID.

use acceptance::{Lab, under_each_tool, whole_life};
use serde_json::Value as Json;

use crate::{A, SERVER, server};

fn uuid(record: &Json) -> &str {
    record["uuid"].as_str().unwrap_or_default()
}

#[test]
fn everything_by_uuid() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let (_, template) = lab.named("lab1", "VM", "tmpl-debian12");
        let (_, network) = lab.named("lab1", "network", "test-net");
        let (_, storage) = lab.named("lab1", "SR", "ssd");
        let wanted = server(&format!(
            "  template = {:?}\n  network = {:?}\n  storage = {:?}",
            uuid(&template).to_uppercase(),
            uuid(&network),
            uuid(&storage)
        ));
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&lab.provider().only("lab1").to_string(), &wanted]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "network"), uuid(&network), "as it was written");
            assert_eq!(state.text(A, "storage"), uuid(&storage));
            assert_eq!(state.text(A, "template_uuid"), uuid(&template));
            assert!(state.text(A, "ip_address").starts_with("10.2."));
        });
    });
}

#[test]
fn by_the_settings_of_the_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let provider = lab.provider().only("lab1").edit("lab1", |pool| {
            pool.with("network", "\"lab-net\"")
                .with("networks", "{ debian12 = \"test-net\" }")
        });
        let other = "resource \"dynvm_server\" \"b\" {\n  name = \"b\"\n  os = \"ubuntu22\"\n}\n";
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), SERVER, other]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "network"), "test-net");
            assert_eq!(state.text("dynvm_server.b", "network"), "lab-net");
        });
    });
}

#[test]
fn a_template_without_a_nic_gets_one() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| world.pools["lab1"].templates["tmpl-debian12"].networks.clear());
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&lab.provider().only("lab1").to_string(), SERVER]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "network"), "lab-net");
            assert!(state.text(A, "ip_address").starts_with("10.1."));
        });
    });
}

#[test]
fn a_replacement_that_comes_before_the_end_of_the_old() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let lines = |os: &str| {
            server(&format!(
                "  os = {os:?}\n  lifecycle {{ create_before_destroy = true }}"
            ))
        };
        let workspace = lab.workspace(tool, &[&lines("debian12")]);
        workspace.apply();
        let first = workspace.state().text(A, "id");
        workspace.main(&[&lab.provider().to_string(), &lines("ubuntu22")]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_ne!(workspace.state().text(A, "id"), first);
        assert!(!lab.has_vm(&first));
        workspace.destroy();
        acceptance::assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_pool_that_is_down_leaves_the_others() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let dead = acceptance::PoolBlock::of(&lab.pool("lab1"))
            .with("url", "\"http://127.0.0.1:1\"")
            .with_aliases(["debian12"]);
        let provider = lab.provider().only("lab2").with_pool("dead", dead);
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), &server("  os = \"debian12\"\n  pool = \"lab2\"")]);
        whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "lab2"));
    });
}
