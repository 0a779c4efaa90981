//! What happens behind Terraform's back: each is told apart, and nothing is given up without the pool's own word.

use std::time::Duration;

use acceptance::{Lab, assert_unchanged, under_each_tool};
use serde_json::{Value as Json, json};

use crate::{A, SERVER, server};

#[test]
fn a_server_deleted_by_hand_is_planned_anew() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        lab.control().destroy_vm(&id).expect("gone");
        assert_eq!(workspace.plan().actions(A), ["create"]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_ne!(workspace.state().text(A, "id"), id);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn another_pool_behind_the_url_is_an_error_and_the_state_stays() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let state = workspace.state();
        let (id, pool) = (state.text(A, "id"), state.text(A, "pool"));
        lab.control().replace_pool(&pool).expect("replaced");
        let world = lab.world();
        for outcome in [workspace.try_plan(), workspace.try_destroy()] {
            let error = outcome.only_error();
            error.expect_text("Another pool behind the address").expect_text(&pool);
        }
        assert_eq!(workspace.state().text(A, "id"), id, "the state stays");
        assert_unchanged(&lab, &world);
    });
}

/// Makes all hosts of lab2 reachable or not.
pub(crate) fn reachable(lab: &Lab, is_so: bool) {
    lab.wait_for(async {
        for host in ["xen21", "xen22", "xen23"] {
            lab.control()
                .set_host_reachable("lab2", host, is_so)
                .expect("a host of lab2");
        }
    });
}

#[test]
fn a_pool_out_of_reach_is_an_error_and_the_state_stays() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  pool = \"lab2\"")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        reachable(&lab, false);
        workspace.try_plan().only_error().expect_text("lab2");
        assert_eq!(workspace.state().text(A, "id"), id);
        reachable(&lab, true);
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_server_halted_by_hand_is_read_without_waiting() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        lab.control().set_power_state(&id, "Halted").expect("halted");
        lab.forget_requests();
        let outcome = workspace.try_plan().expect_code(0);
        assert!(outcome.took < Duration::from_secs(10), "{outcome}");
        let long_polls = lab
            .requests()
            .into_iter()
            .filter(|request| request.method == "event.from")
            .filter(|request| request.ended_us.is_none_or(|end| end - request.started_us > 1_000_000))
            .count();
        assert_eq!(long_polls, 0, "a plan waits for nothing");
        assert!(!lab.methods().contains_key("VM.start_on"), "{:?}", lab.methods());
        workspace.refresh();
        let state = workspace.state();
        assert_eq!(state.values(A)["ip_address"], Json::Null);
        assert_eq!(state.values(A)["resident_host"], Json::Null);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_others_may_do_is_no_difference() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(
            tool,
            &[&server(
                "  template = \"tmpl-debian12\"\n  pool = \"lab1\"\n  tags = [\"mine\"]",
            )],
        );
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.call("lab1", "VM.add_tags", json!([vm.reference, "backup:weekly"]));
        lab.call(
            "lab1",
            "VM.add_to_other_config",
            json!([vm.reference, "xo:note", "looked at"]),
        );
        let (template, _) = lab.named("lab1", "VM", "tmpl-debian12");
        lab.call("lab1", "VM.set_name_label", json!([template, "tmpl-debian12 (old)"]));
        workspace.expect_empty_plan();
        lab.control()
            .set_networks(&vm.uuid(), networks(&["10.1.200.7"]))
            .expect("a new lease");
        workspace.refresh();
        assert_eq!(workspace.state().text(A, "ip_address"), "10.1.200.7");
        workspace.expect_empty_plan();
        lab.control()
            .set_networks(&vm.uuid(), networks(&["10.1.1.1", "10.1.200.7"]))
            .expect("a second address");
        workspace.refresh();
        assert_eq!(
            workspace.state().text(A, "ip_address"),
            "10.1.200.7",
            "kept while it is usable"
        );
        workspace.destroy();
    });
}

fn networks(addresses: &[&str]) -> sim::StringMap {
    let first = addresses.first().map(|first| ("0/ip".to_owned(), (*first).to_owned()));
    let all = addresses
        .iter()
        .enumerate()
        .map(|(index, address)| (format!("0/ipv4/{index}"), (*address).to_owned()));
    first.into_iter().chain(all).collect()
}

#[test]
fn a_name_and_tags_changed_by_hand_are_put_right() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  tags = [\"mine\", \"too\"]")]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.call(&vm.pool, "VM.set_name_label", json!([vm.reference, "theirs"]));
        lab.call(&vm.pool, "VM.remove_tags", json!([vm.reference, "too"]));
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        let now = lab.vm(&vm.uuid());
        assert_eq!(now.text("name_label"), "web");
        assert!(now.tags().contains("too"));
        workspace.destroy();
    });
}

#[test]
fn a_lease_extended_elsewhere_is_read_back_without_a_difference() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"1h\"")]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        let mark = "dynvm:expires=2036-01-02T03:04:05Z/01JD0000000000000000000000";
        lab.call(&vm.pool, "VM.add_tags", json!([vm.reference, mark]));
        workspace.expect_empty_plan();
        workspace.refresh();
        assert_eq!(workspace.state().text(A, "expires_at"), "2036-01-02T03:04:05Z");
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn marks_on_one_side_are_enough() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.control()
            .set_tags(&vm.uuid(), vec!["dynvm:keep".to_owned()])
            .expect("tags");
        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();
        workspace.destroy();
        assert!(
            !lab.has_vm(&vm.uuid()),
            "what a person asks reapers to keep, its own Terraform may destroy"
        );
    });
}

#[test]
fn an_entry_of_another_name_is_an_error_and_the_state_stays() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let state = workspace.state();
        let pool = state.text(A, "pool");
        let renamed = acceptance::PoolBlock::of(&lab.pool(&pool)).with_aliases(["debian12"]);
        let provider = acceptance::ProviderBlock::default().with_pool("elsewhere", renamed);
        workspace.main(&[&provider.to_string(), SERVER]);
        for outcome in [workspace.try_plan(), workspace.try_destroy()] {
            outcome.only_error().expect_text(&pool).expect_text("elsewhere");
        }
        assert_eq!(workspace.state().text(A, "id"), state.text(A, "id"));
        workspace.main(&[&lab.provider().to_string(), SERVER]);
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_lease_that_is_over_is_a_warning() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"10m\"")]);
        workspace.apply();
        for pool in ["lab1", "lab2"] {
            lab.control().set_clock_offset(pool, 12 * 60).expect("a later clock");
        }
        workspace.expect_empty_plan();
        let warnings = workspace.try_plan().expect_code(0).warnings();
        assert!(
            warnings.iter().any(|warning| warning.summary == "Lease is over"),
            "{warnings:#?}"
        );
        workspace.destroy();
    });
}

#[test]
fn lost_marks_are_written_again() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(
            tool,
            &[&server("  os = \"debian12\"\n  ttl = \"1h\"\n  tags = [\"mine\"]")],
        );
        workspace.apply();
        let id = workspace.state().text(A, "id");
        lab.control().set_tags(&id, vec!["mine".to_owned()]).expect("tags");
        let kept = lab
            .vm(&id)
            .other_config()
            .into_iter()
            .filter(|(key, _)| !key.starts_with("dynvm:"));
        lab.control()
            .set_other_config(&id, kept.collect())
            .expect("other_config");
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"]);
        assert!(plan.is_unknown(A, "expires_at"));
        workspace.apply();
        workspace.expect_empty_plan();
        let vm = lab.vm(&id);
        assert_eq!(vm.other_config().get("dynvm:vm"), Some(&id), "{:?}", vm.other_config());
        assert!(
            vm.tags().iter().any(|tag| tag.starts_with("dynvm:expires=")),
            "{:?}",
            vm.tags()
        );
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_lost_expiry_is_not_taken_for_an_unfinished_birth() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let is_kept = |mark: &String| !mark.starts_with("dynvm:expires=");
        let vm = lab.vm(&id);
        let keys = vm.other_config().into_iter().filter(|(key, _)| is_kept(key));
        lab.control()
            .set_other_config(&id, keys.collect())
            .expect("other_config");
        lab.control()
            .set_tags(&id, vm.tags().into_iter().filter(is_kept).collect())
            .expect("tags");
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"]);
        assert_eq!(plan.change(A)["before"]["expires_at"], Json::Null);
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

#[test]
fn a_server_on_another_host_is_no_difference() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  pool = \"lab1\"")]);
        workspace.apply();
        let state = workspace.state();
        let vm = lab.vm(&state.text(A, "id"));
        let other = if state.text(A, "resident_host") == "xen11" {
            "xen12"
        } else {
            "xen11"
        };
        let (host, _) = lab.named("lab1", "host", other);
        lab.call("lab1", "VM.pool_migrate", json!([vm.reference, host, {"live": "true"}]));
        workspace.expect_empty_plan();
        workspace.refresh();
        assert_eq!(workspace.state().text(A, "resident_host"), other);
        workspace.destroy();
    });
}
