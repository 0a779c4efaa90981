//! What a change of the configuration means: in place where the contract says so, a replacement where it must be.

use acceptance::{Lab, State, Vm, Workspace, assert_unchanged, under_each_tool};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sim::{FaultKind, FaultRule};

use crate::{A, server};

/// Rewrites the module.
pub(crate) fn rewrite(lab: &Lab, workspace: &Workspace, server: &str) {
    workspace.main(&[&lab.provider().to_string(), server]);
}

pub(crate) fn time(state: &State, attribute: &str) -> Timestamp {
    let text = state.text(A, attribute);
    text.parse()
        .unwrap_or_else(|error| panic!("{attribute} = {text}: {error}"))
}

/// When the VM was last started, as its pool knows it.
pub(crate) fn started(lab: &Lab, vm: &Vm) -> String {
    let metrics = lab.call(&vm.pool, "VM_metrics.get_start_time", json!([vm.text("metrics")]));
    metrics.to_string()
}

#[test]
fn name_and_tags_in_place_beside_the_tags_of_others() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  tags = [\"one\", \"two\"]")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let vm = lab.vm(&id);
        let first_start = started(&lab, &vm);
        lab.call(&vm.pool, "VM.add_tags", json!([vm.reference, "theirs"]));
        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();

        let changed = "resource \"dynvm_server\" \"a\" {\n  name = \"renamed\"\n  os = \"debian12\"\n  tags = [\"two\", \"three\"]\n}\n";
        rewrite(&lab, &workspace, changed);
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"]);
        for known in [
            "ip_address",
            "ip_addresses",
            "expires_at",
            "resident_host",
            "os_version",
            "lease_started_at",
        ] {
            assert!(!plan.is_unknown(A, known), "{known} does not depend on name and tags");
        }
        workspace.apply();
        workspace.expect_empty_plan();
        let vm = lab.vm(&id);
        assert_eq!(vm.text("name_label"), "renamed");
        for (tag, there) in [("one", false), ("two", true), ("three", true), ("theirs", true)] {
            assert_eq!(vm.tags().contains(tag), there, "{tag} in {:?}", vm.tags());
        }
        assert_eq!(started(&lab, &vm), first_start, "the guest was not touched");

        rewrite(&lab, &workspace, &server("  os = \"debian12\""));
        workspace.apply();
        workspace.expect_empty_plan();
        let tags = lab.vm(&id).tags();
        assert!(
            tags.contains("theirs") && !tags.contains("two") && !tags.contains("three"),
            "{tags:?}"
        );
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn ttl_in_place_with_the_expiry_known_in_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"1h\"")]);
        workspace.apply();
        let first = workspace.state();
        let start = time(&first, "lease_started_at");
        assert_eq!(time(&first, "expires_at"), start + SignedDuration::from_hours(1));
        let vm = lab.vm(&first.text(A, "id"));
        let first_start = started(&lab, &vm);

        for (ttl, minutes) in [("90m", 90), ("30m", 30), ("1h30m", 90)] {
            rewrite(
                &lab,
                &workspace,
                &server(&format!("  os = \"debian12\"\n  ttl = {ttl:?}")),
            );
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["update"], "{ttl}");
            let expected = (start + SignedDuration::from_mins(minutes)).to_string();
            assert_eq!(plan.after(A)["expires_at"], expected.as_str(), "{ttl}");
            assert!(!plan.is_unknown(A, "ip_address"));
            workspace
                .run(&["apply", "-input=false", "-no-color", "tfplan"])
                .expect_success();
            workspace.expect_empty_plan();
            workspace.expect_empty_refresh();
            let state = workspace.state();
            assert_eq!(state.text(A, "expires_at"), expected);
            assert_eq!(state.text(A, "id"), first.text(A, "id"));
            let vm = lab.vm(&state.text(A, "id"));
            let marks: Vec<String> = vm
                .tags()
                .into_iter()
                .filter(|tag| tag.starts_with("dynvm:expires="))
                .collect();
            assert_eq!(marks.len(), 1, "the mark before is gone: {marks:?}");
            assert!(marks[0].starts_with(&format!("dynvm:expires={expected}/")), "{marks:?}");
        }
        assert_eq!(
            started(&lab, &lab.vm(&first.text(A, "id"))),
            first_start,
            "the guest was not touched"
        );

        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"90m\""));
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn a_ttl_that_would_be_over_is_an_error_and_changes_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"2h\"")]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.control().set_clock_offset(&vm.pool, 3600).expect("a later clock");
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"30m\""));
        workspace.try_apply().only_error().expect_at("ttl");
        assert_eq!(lab.vm(&vm.uuid()).tags(), vm.tags());
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"2h\""));
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn a_null_ttl_follows_the_providers_default() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[crate::SERVER]);
        let with_default = |ttl: &str| {
            let provider = lab.provider().setting(&format!("default_ttl = {ttl:?}"));
            workspace.main(&[&provider.to_string(), crate::SERVER]);
        };
        with_default("2h");
        workspace.apply();
        let first = workspace.state();
        assert_eq!(first.text(A, "ttl"), "2h");
        with_default("120m");
        workspace.expect_empty_plan();
        with_default("3h");
        assert_eq!(workspace.plan().actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        let second = workspace.state();
        assert_eq!(second.text(A, "ttl"), "3h");
        assert_eq!(
            time(&second, "expires_at"),
            time(&first, "lease_started_at") + SignedDuration::from_hours(3)
        );
        workspace.destroy();
    });
}

#[test]
fn a_template_by_its_uuid_is_the_same_template() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let by_name = server("  template = \"tmpl-debian12\"\n  pool = \"lab1\"");
        let workspace = lab.workspace(tool, &[&by_name]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let template = |name: &str| {
            let (_, record) = lab.named("lab1", "VM", name);
            let uuid = record["uuid"].as_str().unwrap_or_default().to_owned();
            server(&format!("  template = {uuid:?}\n  pool = \"lab1\""))
        };
        rewrite(&lab, &workspace, &template("tmpl-debian12"));
        let actions = workspace.plan();
        assert!(!actions.actions(A).contains(&"delete"), "{:?}", actions.actions(A));
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), id);

        rewrite(&lab, &workspace, &template("tmpl-ubuntu22"));
        assert_eq!(workspace.plan().actions(A), ["delete", "create"]);
        workspace.destroy();
    });
}

#[test]
fn what_cannot_change_in_place_replaces() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let base = "  os = \"debian12\"\n  pool = \"lab1\"";
        let workspace = lab.workspace(tool, &[&server(base)]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let changes = [
            "  os = \"ubuntu22\"\n  pool = \"lab1\"",
            "  os = \"debian12\"\n  pool = \"lab2\"",
            "  os = \"debian12\"\n  pool = \"lab1\"\n  network = \"test-net\"",
            "  os = \"debian12\"\n  pool = \"lab1\"\n  storage = \"xen11-local\"",
            "  os = \"debian12\"\n  pool = \"lab1\"\n  mac_address = \"02:00:5e:00:aa:02\"",
        ];
        for lines in changes {
            rewrite(&lab, &workspace, &server(lines));
            assert_eq!(workspace.plan().actions(A), ["delete", "create"], "{lines}");
        }
        rewrite(&lab, &workspace, &server(changes[0]));
        workspace.apply();
        workspace.expect_empty_plan();
        assert!(!lab.has_vm(&id), "the one before is gone");
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn options_of_creation_change_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let options = "  os = \"debian12\"\n  wait_for_ip = false\n  ip_attempts = 5\n  ip_cidrs = [\"10.0.0.0/8\"]\n  \
                       keep_on_failure = true\n  timeouts = { ip = \"10m\" }";
        rewrite(&lab, &workspace, &server(options));
        assert_eq!(workspace.plan().actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), id);
        workspace.destroy();
    });
}

#[test]
fn a_renewal_under_a_claim_fails_and_takes_its_mark_back() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"1h\"")]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        let claim = "dynvm:reaping=01JD4Q8QCGTF0000000000000A";
        lab.call(&vm.pool, "VM.add_tags", json!([vm.reference, claim]));
        lab.call(&vm.pool, "VM.add_to_other_config", json!([vm.reference, claim, ""]));
        let claimed = lab.vm(&vm.uuid());
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"2h\""));
        workspace.try_apply().only_error().expect_text("being reaped");
        let now = lab.vm(&vm.uuid());
        assert_eq!(
            (now.tags(), now.other_config()),
            (claimed.tags(), claimed.other_config())
        );
        assert_eq!(
            workspace.state().text(A, "ttl"),
            "1h",
            "what was not acknowledged is not in the state"
        );
        workspace.destroy();
    });
}

#[test]
fn half_of_an_update_is_in_the_state() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(
            tool,
            &[&server("  os = \"debian12\"\n  ttl = \"1h\"\n  tags = [\"one\"]")],
        );
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let changed = "resource \"dynvm_server\" \"a\" {\n  name = \"renamed\"\n  os = \"debian12\"\n  ttl = \"2h\"\n  tags = [\"two\"]\n}\n";
        rewrite(&lab, &workspace, changed);
        lab.control().fault(FaultRule::always(
            "VM.add_tags",
            FaultKind::Error {
                code: "INTERNAL_ERROR".to_owned(),
                params: vec!["no tags today".to_owned()],
            },
        ));
        workspace
            .try_apply()
            .only_error()
            .expect_text("INTERNAL_ERROR")
            .expect_text("no tags today");
        lab.control().clear_faults();
        let state = workspace.state();
        assert_eq!(state.text(A, "id"), id);
        assert!(!state.is_tainted(A), "a change that failed is no reason to replace");
        workspace.expect_empty_refresh();
        assert_eq!(workspace.plan().actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        let vm = lab.vm(&id);
        assert_eq!(vm.text("name_label"), "renamed");
        assert!(
            vm.tags().contains("two") && !vm.tags().contains("one"),
            "{:?}",
            vm.tags()
        );
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
