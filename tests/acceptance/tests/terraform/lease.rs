//! A lease from plan to plan: renewed, moved, over, and left alone.

use std::collections::BTreeSet;

use acceptance::{Diagnostic, Lab, Plan, State, Vm, Workspace, assert_unchanged, under_each_tool};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use sim::{FaultKind, FaultRule};

use crate::change::{rewrite, started, time};
use crate::drift::reachable;
use crate::{A, SERVER, server};

/// What a lease that starts anew leaves open in a plan, and the only thing.
pub(crate) const ANEW: [&str; 2] = ["expires_at", "lease_started_at"];

/// A server with a ttl and, as an HCL expression, triggers.
pub(crate) fn renewing(ttl: &str, triggers: &str) -> String {
    server(&format!(
        "  os = \"debian12\"\n  ttl = {ttl:?}\n  renew_triggers = {triggers}"
    ))
}

/// The paths that a plan does not know yet, all depths.
pub(crate) fn unknown(plan: &Plan) -> Vec<String> {
    fn collect(path: &str, open: &Json, found: &mut Vec<String>) {
        let below = |key: &str| {
            if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        match open {
            Json::Bool(true) => found.push(path.to_owned()),
            Json::Object(fields) => fields.iter().for_each(|(key, open)| collect(&below(key), open, found)),
            Json::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, open)| collect(&below(&index.to_string()), open, found));
            }
            Json::Null | Json::Bool(false) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect("", &plan.change(A)["after_unknown"], &mut found);
    found
}

/// The attributes of the server in one document that are others in the other.
fn differing(before: &Json, after: &Json) -> Vec<String> {
    let fields = before.as_object().into_iter().flatten();
    let others = fields.filter(|(name, value)| after[name.as_str()] != **value);
    others.map(|(name, _)| name.clone()).collect()
}

/// The expiry marks of a VM, in its tags and in its other_config.
pub(crate) fn expiries(vm: &Vm) -> [BTreeSet<String>; 2] {
    let is_expiry = |mark: &String| mark.starts_with("dynvm:expires=");
    let keys = vm.other_config().into_keys();
    [
        vm.tags().into_iter().filter(is_expiry).collect(),
        keys.filter(is_expiry).collect(),
    ]
}

/// Demands that the one expiry mark of a VM stands on both sides and says what the state says.
#[track_caller]
pub(crate) fn check_mark(lab: &Lab, state: &State) {
    let vm = lab.vm(&state.text(A, "id"));
    let [tags, keys] = expiries(&vm);
    assert_eq!((tags.len(), &tags), (1, &keys), "one mark on both sides");
    let mark = tags.into_iter().next().unwrap_or_default();
    let expected = format!("dynvm:expires={}/", state.text(A, "expires_at"));
    assert!(mark.starts_with(&expected), "{mark} is not {expected}");
    let record: Json = serde_json::from_str(&vm.other_config()[&mark]).expect("a record");
    assert_eq!(record["start"], state.text(A, "lease_started_at").as_str(), "{record}");
}

/// What was written on VMs since requests were forgotten.
pub(crate) fn writes(lab: &Lab) -> BTreeSet<String> {
    let called = lab.methods().into_keys();
    called
        .filter(|method| method.contains("VM.") && !method.contains("VM.get_"))
        .collect()
}

fn lasts(state: &State) -> SignedDuration {
    time(state, "expires_at").duration_since(time(state, "lease_started_at"))
}

fn moves(first: &State, second: &State) -> i64 {
    let start = |state: &State| time(state, "lease_started_at");
    start(second).duration_since(start(first)).as_secs()
}

fn is_over(warning: &Diagnostic) -> bool {
    warning.summary == "Lease is over"
}

fn apply_saved(workspace: &Workspace) {
    workspace
        .run(&["apply", "-input=false", "-no-color", "tfplan"])
        .expect_success();
}

/// Moves the clocks of both pools, which are not the caller's, so many seconds ahead of it.
pub(crate) fn ahead(lab: &Lab, seconds: i64) {
    for pool in ["lab1", "lab2"] {
        lab.control().set_clock_offset(pool, seconds).expect("another clock");
    }
}

#[test]
fn a_renewal_counts_from_the_apply_and_touches_nothing_else() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("1h", "{ run = \"1\" }")]);
        let created = unknown(&workspace.plan());
        assert!(
            ANEW.iter().all(|name| created.contains(&(*name).to_owned())),
            "{created:?}"
        );
        workspace.apply();
        workspace.expect_empty_plan();
        let first = workspace.state();
        check_mark(&lab, &first);
        let vm = lab.vm(&first.text(A, "id"));
        let first_start = started(&lab, &vm);
        ahead(&lab, 1800);

        rewrite(&lab, &workspace, &renewing("1h", "{ run = \"2\" }"));
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"]);
        assert_eq!(unknown(&plan), ANEW);
        let change = plan.change(A);
        let lease = ["expires_at", "lease_started_at", "renew_triggers"];
        assert_eq!(differing(&change["before"], &change["after"]), lease);
        lab.forget_requests();
        apply_saved(&workspace);
        let marks = [
            "VM.add_tags",
            "VM.add_to_other_config",
            "VM.remove_from_other_config",
            "VM.remove_tags",
        ];
        let written = writes(&lab);
        assert!(
            written.iter().all(|method| marks.contains(&method.as_str())),
            "{written:?}"
        );
        assert_eq!(started(&lab, &lab.vm(&vm.uuid())), first_start);

        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();
        let second = workspace.state();
        assert_eq!(differing(first.values(A), second.values(A)), lease);
        let by = moves(&first, &second);
        assert!((1800..1980).contains(&by), "{by} s later by the pool's clock");
        assert_eq!(lasts(&second), SignedDuration::from_hours(1));
        check_mark(&lab, &second);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_first_map_and_its_removal_renew_and_an_empty_one_is_none() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("2h", "null")]);
        workspace.apply();
        let steps = [
            ("{}", false),
            ("{ run = \"1\" }", true),
            ("{ run = \"1\", by = \"ci\" }", true),
            ("{ by = \"ci\" }", true),
            ("{}", true),
            ("null", false),
        ];
        for (step, (triggers, renews)) in (1..).zip(steps) {
            ahead(&lab, step * 600);
            let first = workspace.state();
            rewrite(&lab, &workspace, &renewing("2h", triggers));
            let plan = workspace.plan();
            let open = unknown(&plan);
            let expected: &[&str] = if renews { &ANEW } else { &[] };
            assert_eq!(open, expected, "{triggers}");
            lab.forget_requests();
            apply_saved(&workspace);
            assert_eq!(!writes(&lab).is_empty(), renews, "{triggers}: {:?}", writes(&lab));
            workspace.expect_empty_plan();
            let second = workspace.state();
            assert_eq!(moves(&first, &second) > 0, renews, "{triggers}");
            check_mark(&lab, &second);
        }
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_trigger_known_only_after_apply_renews_if_it_is_another() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[]);
        let write = |made: u8, input: &str| {
            let run = format!(
                "resource \"terraform_data\" \"run\" {{\n  triggers_replace = {made}\n  input = {input:?}\n}}\n"
            );
            let server = renewing("1h", "{ run = terraform_data.run.output }");
            workspace.main(&[&lab.provider().to_string(), &run, &server]);
        };
        write(1, "one");
        workspace.apply();
        workspace.expect_empty_plan();
        let mut first = workspace.state();
        for (made, input, renews) in [(2, "one", false), (3, "two", true)] {
            ahead(&lab, i64::from(made) * 600);
            write(made, input);
            let open = unknown(&workspace.plan());
            assert_eq!(open, ["expires_at", "lease_started_at", "renew_triggers.run"]);
            apply_saved(&workspace);
            workspace.expect_empty_plan();
            let second = workspace.state();
            assert_eq!(moves(&first, &second) > 0, renews, "{input}");
            check_mark(&lab, &second);
            first = second;
        }
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn another_ttl_with_other_triggers_is_one_lease_from_now() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("2h", "{ run = \"1\" }")]);
        workspace.apply();
        let first = workspace.state();
        ahead(&lab, 5400);
        // From the old start on, this ttl would be over.
        rewrite(&lab, &workspace, &renewing("1h", "{ run = \"2\" }"));
        assert_eq!(unknown(&workspace.plan()), ANEW);
        lab.forget_requests();
        apply_saved(&workspace);
        let methods = lab.methods();
        for once in ["VM.add_tags", "VM.add_to_other_config"] {
            assert_eq!(methods.get(once), Some(&1), "{methods:?}");
        }
        workspace.expect_empty_plan();
        let second = workspace.state();
        assert!(moves(&first, &second) >= 5400);
        assert_eq!(second.text(A, "ttl"), "1h");
        assert_eq!(lasts(&second), SignedDuration::from_hours(1));
        check_mark(&lab, &second);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn applying_again_extends_nothing() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("1h", "{ run = \"1\" }")]);
        workspace.apply();
        let first = workspace.state();
        ahead(&lab, 1800);
        rewrite(&lab, &workspace, &renewing("60m", "{ run = \"1\" }"));
        lab.forget_requests();
        workspace.apply();
        assert!(writes(&lab).is_empty(), "{:?}", writes(&lab));
        assert_eq!(workspace.state().values(A), first.values(A), "60m is 1h");
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_ttl_that_is_over_by_the_pools_clock_fails_in_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"3h\"")]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        // By the caller's clock there is an hour left.
        ahead(&lab, 7000);
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"1h\""));
        let refused = workspace.try_plan().only_error();
        refused
            .expect_at("ttl")
            .expect_text("Lease would be over")
            .expect_text("renew_triggers");
        let provider = lab.provider().setting("default_ttl = \"90m\"");
        workspace.main(&[&provider.to_string(), SERVER]);
        workspace.try_plan().only_error().expect_text("Lease would be over");

        let replaced = server("  os = \"ubuntu22\"\n  ttl = \"1h\"");
        rewrite(&lab, &workspace, &replaced);
        assert_eq!(
            workspace.plan().actions(A),
            ["delete", "create"],
            "another server, with a lease of its own"
        );

        // In time when it is planned, and past when it is applied.
        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"2h\""));
        workspace.plan();
        ahead(&lab, 9000);
        let late = workspace
            .run(&["apply", "-input=false", "-json", "tfplan"])
            .only_error();
        late.expect_text("Lease would be over");
        assert_eq!(expiries(&lab.vm(&vm.uuid())), expiries(&vm), "nothing was written");
        assert_eq!(workspace.state().text(A, "ttl"), "3h");

        rewrite(&lab, &workspace, &server("  os = \"debian12\"\n  ttl = \"3h\""));
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_plan_without_a_refresh_does_without_the_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let lines = |ttl: &str| server(&format!("  os = \"debian12\"\n  pool = \"lab2\"\n  ttl = {ttl:?}"));
        let workspace = lab.workspace(tool, &[&lines("1h")]);
        workspace.apply();
        reachable(&lab, false);
        for (ttl, code) in [("1h", 0), ("2h", 2)] {
            rewrite(&lab, &workspace, &lines(ttl));
            let arguments = ["plan", "-refresh=false", "-detailed-exitcode", "-input=false"];
            workspace.run(&arguments).expect_code(code);
        }
        reachable(&lab, true);
        rewrite(&lab, &workspace, &lines("1h"));
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_server_whose_lease_is_over_warns_changes_renews_and_goes() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("1h", "null")]);
        workspace.apply();
        let first = workspace.state();
        ahead(&lab, 86_400);
        workspace.expect_empty_plan();
        let warnings = workspace.try_plan().expect_code(0).warnings();
        let told = warnings.iter().find(|warning| is_over(warning));
        told.unwrap_or_else(|| panic!("{warnings:#?}")).expect_at("ttl");

        let named = renewing("1h", "null").replace("\"web\"", "\"late\"");
        rewrite(&lab, &workspace, &named);
        let warnings = workspace.try_apply().expect_code(0).warnings();
        assert!(warnings.iter().any(is_over), "{warnings:#?}");
        let renamed = workspace.state();
        assert_eq!(lab.vm(&first.text(A, "id")).text("name_label"), "late");
        assert_eq!(renamed.text(A, "expires_at"), first.text(A, "expires_at"));

        rewrite(&lab, &workspace, &renewing("1h", "{ run = \"1\" }"));
        let applied = workspace.try_apply().expect_code(0);
        assert!(!applied.warnings().iter().any(is_over), "{applied}");
        workspace.expect_empty_plan();
        let renewed = workspace.state();
        assert!(moves(&first, &renewed) >= 86_400);
        check_mark(&lab, &renewed);

        ahead(&lab, 2 * 86_400);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_renewal_that_was_acknowledged_is_in_the_state_of_a_failed_update() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("1h", "{ run = \"1\" }")]);
        workspace.apply();
        let first = workspace.state();
        ahead(&lab, 1800);
        let changed = renewing("2h", "{ run = \"2\" }").replace("\"web\"", "\"renamed\"");
        rewrite(&lab, &workspace, &changed);
        lab.control().fault(FaultRule::always(
            "VM.set_name_label",
            FaultKind::Error {
                code: "INTERNAL_ERROR".to_owned(),
                params: vec!["no names today".to_owned()],
            },
        ));
        workspace.try_apply().only_error().expect_text("no names today");
        lab.control().clear_faults();
        let half = workspace.state();
        assert_eq!(half.text(A, "name"), "web");
        assert_eq!(half.text(A, "ttl"), "2h");
        assert_eq!(half.values(A)["renew_triggers"], json!({ "run": "2" }));
        let by = moves(&first, &half);
        assert!((1800..1980).contains(&by), "{by}");
        check_mark(&lab, &half);

        ahead(&lab, 3600);
        assert_eq!(unknown(&workspace.plan()), [""; 0], "only the name is left to change");
        apply_saved(&workspace);
        workspace.expect_empty_plan();
        let whole = workspace.state();
        assert_eq!(whole.text(A, "name"), "renamed");
        assert_eq!(moves(&half, &whole), 0, "once is enough");
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_lease_is_measured_by_the_clock_of_its_own_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        lab.control()
            .set_clock_offset("lab1", -40 * 86_400)
            .expect("a slow clock");
        lab.control()
            .set_clock_offset("lab2", 40 * 86_400)
            .expect("a fast clock");
        for (pool, days) in [("lab1", -40), ("lab2", 40)] {
            let before = lab.world();
            let lines = |run: u8| {
                let place = format!("  os = \"debian12\"\n  pool = {pool:?}\n  ttl = \"1h\"\n");
                server(&format!("{place}  renew_triggers = {{ run = \"{run}\" }}"))
            };
            let workspace = lab.workspace(tool, &[&lines(1)]);
            workspace.apply();
            rewrite(&lab, &workspace, &lines(2));
            workspace.apply();
            let planned = workspace.try_plan().expect_code(0);
            assert!(!planned.warnings().iter().any(is_over), "{planned}");
            workspace.expect_empty_plan();
            let state = workspace.state();
            let off = time(&state, "lease_started_at").duration_since(Timestamp::now());
            assert!((off.as_hours() - days * 24).abs() <= 1, "{pool}: {off:?}");
            assert_eq!(lasts(&state), SignedDuration::from_hours(1));
            workspace.destroy();
            assert_unchanged(&lab, &before);
        }
    });
}
