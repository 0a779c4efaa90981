//! What a plan says of room: all new servers together, replacements as nothing, and the apply counts nothing twice.

use acceptance::{Diagnostic, Lab, Outcome, PoolBlock, ProviderBlock, Workspace, assert_unchanged, under_each_tool};
use sim::{FaultKind, FaultRule};

use crate::{A, server};

/// The first pool with room for so many servers, the second without a template for `rocky9`.
fn provider(lab: &Lab, room: usize, policy: &str) -> ProviderBlock {
    let provider = lab
        .provider()
        .edit("lab1", |pool| pool.with("max_servers", &room.to_string()));
    provider.setting(&format!("admission = {policy:?}"))
}

/// So many servers that only the first pool can take.
fn servers(name: &str, count: usize, lines: &str) -> String {
    format!(
        "resource \"dynvm_server\" {name:?} {{\n  count = {count}\n  name  = \"node\"\n  os    = \"rocky9\"\n{lines}\n}}\n"
    )
}

/// What is said of room.
fn said(outcome: &Outcome) -> Vec<Diagnostic> {
    let mut found = outcome.diagnostics();
    found.retain(|one| one.summary == "No room for a new server");
    found.sort_by(|a, b| a.detail.cmp(&b.detail));
    found
}

/// What is said besides that TLS is missing.
fn of_pools(outcome: &Outcome) -> Vec<Diagnostic> {
    let mut found = outcome.diagnostics();
    found.retain(|one| one.summary != "Unencrypted connection");
    found
}

/// Demands that a plan says nothing of room, and is one.
#[track_caller]
fn silent(workspace: &Workspace) {
    let outcome = workspace.try_plan().expect_code(0);
    assert_eq!(said(&outcome), [], "{outcome}");
}

/// Applies a module with one server, which is cloned and never starts.
#[track_caller]
fn fail_to_start(lab: &Lab, workspace: &Workspace) {
    let refusal = FaultKind::Error {
        code: "NO_HOSTS_AVAILABLE".to_owned(),
        params: Vec::new(),
    };
    lab.control().fault(FaultRule::always("VM.start*", refusal));
    assert_eq!(workspace.try_apply().code, Some(1));
    lab.control().clear_faults();
    assert!(workspace.state().is_tainted(A));
}

#[test]
fn a_plan_counts_all_its_new_servers() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::new(tool);
        let (two, three) = (servers("a", 2, ""), servers("b", 3, ""));
        for (policy, code, severity) in [("warn", 0, "warning"), ("error", 1, "error"), ("off", 0, "")] {
            workspace.main(&[&provider(&lab, 3, policy).to_string(), &two, &three]);
            let outcome = workspace.try_plan().expect_code(code);
            let found = said(&outcome);
            assert!(found.iter().all(|one| one.severity == severity), "{policy}\n{outcome}");
            if policy == "off" {
                assert_eq!(found, []);
                continue;
            }
            assert_eq!(found.len(), 2, "one for each server beyond\n{outcome}");
            for (one, says) in found.iter().zip([
                "4th new server of this plan, 3 fit",
                "5th new server of this plan, 3 fit",
            ]) {
                one.expect_text(says)
                    .expect_text("lab1 limited by max_servers")
                    .expect_text("lab2 lacks the template");
                assert!(one.address.starts_with("dynvm_server."), "{one:?}");
            }
        }
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_exists_is_counted_by_the_pool_and_not_by_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::new(tool);
        let strict = |room| provider(&lab, room, "error").to_string();
        workspace.main(&[&strict(3), &servers("a", 2, "")]);
        workspace.apply();
        workspace.main(&[&strict(3), &servers("a", 3, "")]);
        silent(&workspace);
        workspace.main(&[&strict(3), &servers("a", 4, "")]);
        let found = said(&workspace.try_plan().expect_code(1));
        assert_eq!(found.len(), 1);
        found[0].expect_text("2nd new server of this plan, 1 fits");
        // The plan before a destroy says the same, unless there is none.
        assert_eq!(said(&workspace.try_destroy().expect_code(1)).len(), 1);
        workspace
            .run(&["destroy", "-auto-approve", "-input=false", "-refresh=false"])
            .expect_success();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn an_apply_counts_nothing_twice() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::new(tool);
        // More than Terraform creates at a time: some are planned again while others are made.
        workspace.main(&[&provider(&lab, 14, "error").to_string(), &servers("a", 14, "")]);
        let outcome = workspace.try_apply().expect_success();
        assert_eq!(said(&outcome), [], "{outcome}");
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_server_beyond_fails_in_the_apply_before_it_is_cloned() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider(&lab, 1, "warn").to_string(), &servers("a", 2, "")]);
        lab.forget_requests();
        let error = workspace.try_apply().only_error();
        error.expect_text("lab1");
        assert_eq!(lab.methods().get("VM.clone"), Some(&1), "{:?}", lab.methods());
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_replacement_counts_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let provider = provider(&lab, 2, "error").to_string();
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider, &servers("a", 2, "")]);
        workspace.apply();

        let forced = [
            "plan",
            "-input=false",
            "-json",
            "-replace=dynvm_server.a[0]",
            "-replace=dynvm_server.a[1]",
        ];
        let outcome = workspace.run(&forced).expect_code(0);
        assert_eq!(said(&outcome), [], "{outcome}");

        let larger = servers("a", 2, "  cpus = 3");
        workspace.main(&[&provider, &larger, &servers("b", 1, "")]);
        let found = said(&workspace.try_plan().expect_code(1));
        assert_eq!(found.len(), 1, "only the new one");
        found[0].expect_text("1st new server of this plan, 0 fit");

        workspace.main(&[&provider, &larger]);
        let outcome = workspace.try_apply().expect_success();
        assert_eq!(said(&outcome), [], "{outcome}");
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn one_in_place_of_a_failed_one_counts_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let provider = provider(&lab, 1, "error").to_string();
        let kept = server("  os = \"rocky9\"\n  keep_on_failure = true");
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider, &kept]);
        fail_to_start(&lab, &workspace);
        silent(&workspace);

        // Nor does it when the state was refreshed meanwhile; but a second one is one more.
        workspace.refresh();
        silent(&workspace);
        workspace.main(&[&provider, &kept, &servers("b", 1, "")]);
        let found = said(&workspace.try_plan().expect_code(1));
        assert_eq!(found.len(), 1);
        found[0].expect_text("1st new server of this plan, 0 fit");

        workspace.main(&[&provider, &kept]);
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn one_that_was_untainted_is_one_that_exists() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let provider = provider(&lab, 1, "error").to_string();
        let kept =
            |name: &str| server("  os = \"rocky9\"\n  keep_on_failure = true").replace("\"a\"", &format!("{name:?}"));
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider, &kept("a")]);
        lab.control()
            .fault(FaultRule::always("VM.start*", FaultKind::CutBefore));
        assert_eq!(workspace.try_apply().code, Some(1));
        lab.control().clear_faults();
        workspace.run(&["untaint", A]).expect_success();
        // One plan after the other: which server of a name is the failed one is known once that is planned.
        workspace.main(&[
            &provider,
            &kept("a"),
            &kept("b").replace("keep_on_failure", "depends_on = [dynvm_server.a]\n  keep_on_failure"),
        ]);
        let found = said(&workspace.try_plan().expect_code(1));
        assert_eq!(found.len(), 1);
        workspace.main(&[&provider, &kept("a")]);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_can_never_fit_is_an_error_under_each_policy() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = Workspace::new(tool);
        for policy in ["warn", "error", "off"] {
            for (lines, at) in [
                ("memory_mib = 1048576", "memory_mib"),
                ("cpus = 1000", "cpus"),
                ("host = \"xen99\"", "host"),
                ("host = \"xen11\"\n  memory_mib = 1048576", "memory_mib"),
            ] {
                let server = server(&format!("  os = \"rocky9\"\n  {lines}"));
                workspace.main(&[&provider(&lab, 3, policy).only("lab1").to_string(), &server]);
                workspace.try_plan().only_error().expect_at(at);
            }
        }
    });
}

#[test]
fn a_server_that_is_not_known_yet_is_not_spoken_of() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = Workspace::new(tool);
        let later = "resource \"terraform_data\" \"size\" { input = 2 }\n";
        let late = servers("late", 2, "  cpus = terraform_data.size.output");
        workspace.main(&[
            &provider(&lab, 3, "error").to_string(),
            later,
            &late,
            &servers("a", 1, ""),
        ]);
        silent(&workspace);
        workspace.main(&[&provider(&lab, 0, "error").to_string(), later, &late]);
        silent(&workspace);
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_pool_that_is_down() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        // A port that any program may take would be taken by the next lab: this one belongs to a service of 1983.
        let dead = PoolBlock::of(&lab.pool("lab1"))
            .with("url", "\"http://127.0.0.1:1\"")
            .with_aliases(["debian12"]);
        let one = server("  os = \"debian12\"");
        let servers_of_both = format!("{one}{}", one.replace("\"a\"", "\"b\""));
        let pinned = server("  os = \"debian12\"\n  pool = \"dead\"");
        let both = lab.provider().only("lab2").with_pool("dead", dead);
        let alone = both.clone().only("dead");
        let workspace = Workspace::new(tool);

        workspace.main(&[&both.to_string(), &servers_of_both]);
        let told = of_pools(&workspace.try_plan().expect_code(0));
        assert_eq!(told.len(), 1, "one word for the pool: {told:#?}");
        told[0].expect_text("Pool passed over").expect_text("127.0.0.1:1");
        for policy in ["warn", "error"] {
            let strict = both.clone().setting(&format!("admission = {policy:?}"));
            workspace.main(&[&strict.to_string(), &pinned]);
            let told = of_pools(&workspace.try_plan());
            assert_eq!(told.len(), 1, "{told:#?}");
            told[0].expect_at("pool").expect_text("dead").expect_text("127.0.0.1:1");
            assert_eq!(told[0].severity, "error");
        }
        workspace.main(&[&alone.to_string(), &one]);
        let told = of_pools(&workspace.try_plan().expect_code(0));
        assert_eq!(told.len(), 1, "{told:#?}");
        told[0].expect_text("127.0.0.1:1");

        let small = both.edit("lab2", |pool| pool.with("max_servers", "1"));
        workspace.main(&[&small.to_string(), &servers_of_both]);
        let found = said(&workspace.try_plan().expect_code(0));
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].expect_text("1 fits: dead cannot be asked, lab2 limited by max_servers");
    });
}
