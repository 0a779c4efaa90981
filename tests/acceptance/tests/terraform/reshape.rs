//! Size, power state and host change in place: what the plan says of it, what the pool is asked for, and what the state says afterwards.

use acceptance::{Lab, Workspace, assert_unchanged, under_each_tool};
use serde_json::json;

use crate::change::{rewrite, started};
use crate::{A, server};

const AFTER_A_START: [&str; 4] = ["ip_address", "ip_addresses", "resident_host", "os_version"];

fn lines(more: &str) -> String {
    server(&format!("  os = \"debian12\"\n  pool = \"lab1\"\n{more}"))
}

/// The warnings of a plan but for the one that a lab without TLS gives.
fn warnings(workspace: &Workspace) -> Vec<acceptance::Diagnostic> {
    let mut warnings = workspace.try_plan().expect_code(0).warnings();
    warnings.retain(|warning| warning.summary != "Unencrypted connection");
    warnings
}

#[test]
fn another_size_restarts_the_server_and_the_plan_says_so() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("")]);
        workspace.apply();
        let first = workspace.state();
        let id = first.text(A, "id");
        let first_start = started(&lab, &lab.vm(&id));
        for (more, changed, cpus, memory_mib) in [
            ("  cpus = 4", "cpus", 4, 2048),
            ("  cpus = 1\n  memory_mib = 3072", "cpus` and `memory_mib", 1, 3072),
            ("  cpus = 1\n  memory_mib = 1024", "memory_mib", 1, 1024),
        ] {
            rewrite(&lab, &workspace, &lines(more));
            match warnings(&workspace).as_slice() {
                [warning] => {
                    warning
                        .expect_text(&format!("Another `{changed}`"))
                        .expect_text("is stopped");
                }
                found => panic!("{more}: {found:#?}"),
            }
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["update"], "{more}");
            for unknown in AFTER_A_START {
                assert!(plan.is_unknown(A, unknown), "{unknown} after {more}");
            }
            for known in [
                "id",
                "expires_at",
                "lease_started_at",
                "created_at",
                "mac_address",
                "disk_bytes",
            ] {
                assert!(!plan.is_unknown(A, known), "{known} after {more}");
            }
            workspace.apply();
            workspace.expect_empty_plan();
            let state = workspace.state();
            assert_eq!(state.text(A, "id"), id);
            assert_eq!(state.values(A)["cpus"], cpus);
            assert_eq!(state.values(A)["memory_mib"], memory_mib);
            assert!(!state.text(A, "ip_address").is_empty());
            assert_eq!(state.text(A, "expires_at"), first.text(A, "expires_at"));
            let vm = lab.vm(&id);
            assert_eq!(vm.record["VCPUs_at_startup"], cpus);
            assert_eq!(vm.record["memory_static_max"], i64::from(memory_mib) << 20);
        }
        assert_ne!(started(&lab, &lab.vm(&id)), first_start);
        rewrite(&lab, &workspace, &lines(""));
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn power_states_in_place_and_back_after_drift() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("  power_state = \"halted\"")]);
        workspace.apply();
        workspace.expect_empty_plan();
        let id = workspace.state().text(A, "id");
        assert_eq!(lab.vm(&id).text("power_state"), "Halted");
        assert!(workspace.state().values(A)["ip_address"].is_null());
        for (wanted, is) in [
            ("running", "Running"),
            ("suspended", "Suspended"),
            ("running", "Running"),
            ("halted", "Halted"),
            ("running", "Running"),
        ] {
            rewrite(&lab, &workspace, &lines(&format!("  power_state = {wanted:?}")));
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["update"], "{wanted}");
            assert!(plan.is_unknown(A, "ip_address"), "{wanted}");
            workspace.apply();
            workspace.expect_empty_plan();
            let state = workspace.state();
            assert_eq!(lab.vm(&id).text("power_state"), is);
            assert_eq!(state.values(A)["ip_address"].is_null(), wanted != "running", "{wanted}");
            assert_eq!(
                state.values(A)["resident_host"].is_null(),
                wanted != "running",
                "{wanted}"
            );
        }
        lab.control().set_power_state(&id, "Halted").expect("halted");
        rewrite(&lab, &workspace, &lines(""));
        let plan = workspace.plan();
        assert_eq!(
            (plan.actions(A), &plan.after(A)["power_state"]),
            (vec!["update"], &json!("running"))
        );
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(lab.vm(&id).text("power_state"), "Running");
        rewrite(&lab, &workspace, &lines("  power_state = \"paused\""));
        workspace.try_plan().only_error().expect_at("power_state");
        rewrite(&lab, &workspace, &lines(""));
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn another_host_moves_it_live() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("")]);
        workspace.apply();
        let state = workspace.state();
        let (id, resident) = (state.text(A, "id"), state.text(A, "resident_host"));
        let first_start = started(&lab, &lab.vm(&id));
        let other = if resident == "xen11" { "xen12" } else { "xen11" };
        for host in [other, resident.as_str(), resident.as_str()] {
            rewrite(&lab, &workspace, &lines(&format!("  host = {host:?}")));
            workspace.apply();
            workspace.expect_empty_plan();
            let now = workspace.state();
            assert_eq!(
                (now.text(A, "id"), now.text(A, "resident_host")),
                (id.clone(), host.to_owned())
            );
            assert_eq!(now.text(A, "ip_address"), state.text(A, "ip_address"));
        }
        assert_eq!(started(&lab, &lab.vm(&id)), first_start, "it ran all the time");
        rewrite(&lab, &workspace, &lines("  host = \"xen99\""));
        workspace.try_plan().only_error().expect_at("host").expect_text("xen99");
        rewrite(&lab, &workspace, &lines(""));
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_cannot_be_is_an_error_in_the_plan_at_its_attribute() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&lines("  storage = \"xen11-local\"")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        for (more, attribute) in [
            ("  cpus = 1000", "cpus"),
            ("  memory_mib = 1048576", "memory_mib"),
            ("  host = \"xen12\"", "host"),
        ] {
            rewrite(
                &lab,
                &workspace,
                &lines(&format!("  storage = \"xen11-local\"\n{more}")),
            );
            workspace.try_plan().only_error().expect_at(attribute);
        }
        assert!(lab.has_vm(&id));
        rewrite(&lab, &workspace, &lines("  storage = \"xen11-local\""));
        workspace.destroy();
        let suspended = lab.workspace(tool, &[&lines("  power_state = \"suspended\"")]);
        suspended.try_plan().only_error().expect_at("power_state");
    });
}
