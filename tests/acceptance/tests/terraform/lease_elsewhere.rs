//! A lease that others write to: what they extended is read back, what they took away is written again, what they claim is theirs.

use acceptance::{Lab, Vm, assert_unchanged, under_each_tool};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use crate::change::{rewrite, time};
use crate::lease::{ANEW, ahead, check_mark, expiries, renewing, unknown, writes};
use crate::{A, server};

fn lines(ttl: &str, further: &str) -> String {
    server(&format!("  os = \"debian12\"\n  ttl = {ttl:?}\n{further}"))
}

/// The mark of an extension, and when it ends.
fn extension(from: Timestamp, hours: i64, number: u8) -> (String, String) {
    let until = (from + SignedDuration::from_hours(hours)).to_string();
    (
        format!("dynvm:expires={until}/01JD00000000000000000000{number:02}"),
        until,
    )
}

fn tag(lab: &Lab, vm: &Vm, mark: &str) {
    lab.call(&vm.pool, "VM.add_tags", json!([vm.reference, mark]));
}

fn key(lab: &Lab, vm: &Vm, mark: &str, value: &str) {
    lab.call(&vm.pool, "VM.add_to_other_config", json!([vm.reference, mark, value]));
}

#[test]
fn an_extension_on_either_side_is_read_back_and_is_no_difference() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("1h", "")]);
        workspace.apply();
        let first = workspace.state();
        let (start, end) = (time(&first, "lease_started_at"), time(&first, "expires_at"));
        let vm = lab.vm(&first.text(A, "id"));
        let record = json!({ "start": start.to_string(), "ttl": 14_400, "by": "dynvm-reaper/0.1.0 admin" }).to_string();
        let ways = [
            ("a tag alone", true, None),
            ("a key alone", false, Some("")),
            ("both", true, Some("")),
            ("both, with a record", true, Some(record.as_str())),
        ];
        for (number, (how, on_tags, value)) in (1..).zip(ways) {
            let (mark, until) = extension(end, i64::from(number), number);
            if on_tags {
                tag(&lab, &vm, &mark);
            }
            if let Some(value) = value {
                key(&lab, &vm, &mark, value);
            }
            workspace.expect_empty_plan();
            workspace.refresh();
            let state = workspace.state();
            assert_eq!(state.text(A, "expires_at"), until, "{how}");
            assert_eq!(state.text(A, "lease_started_at"), start.to_string(), "{how}");
            assert_eq!(
                state.text(A, "ttl"),
                "1h",
                "{how}: what is asked for is not what is found"
            );
            lab.forget_requests();
            workspace.apply();
            assert!(writes(&lab).is_empty(), "{how}: {:?}", writes(&lab));
        }
        let renamed = lines("1h", "").replace("\"web\"", "\"renamed\"");
        rewrite(&lab, &workspace, &renamed);
        let plan = workspace.plan();
        assert_eq!(unknown(&plan), [""; 0]);
        workspace.apply();
        let extended = workspace.state().text(A, "expires_at");
        assert_eq!(extended, (end + SignedDuration::from_hours(4)).to_string());
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn another_ttl_and_a_renewal_end_an_extension() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("1h", "")]);
        workspace.apply();
        let first = workspace.state();
        let start = time(&first, "lease_started_at");
        let vm = lab.vm(&first.text(A, "id"));

        let (mark, _) = extension(start, 20, 1);
        tag(&lab, &vm, &mark);
        rewrite(&lab, &workspace, &lines("2h", ""));
        let plan = workspace.plan();
        let until = (start + SignedDuration::from_hours(2)).to_string();
        assert_eq!(plan.after(A)["expires_at"], until.as_str());
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();
        let second = workspace.state();
        assert_eq!(second.text(A, "expires_at"), until);
        check_mark(&lab, &second);

        let (mark, _) = extension(start, 20, 2);
        tag(&lab, &vm, &mark);
        key(&lab, &vm, &mark, "");
        rewrite(&lab, &workspace, &lines("2h", "  renew_triggers = { run = \"1\" }"));
        assert_eq!(unknown(&workspace.plan()), ANEW);
        workspace.apply();
        workspace.expect_empty_plan();
        let third = workspace.state();
        let lasts = time(&third, "expires_at").duration_since(time(&third, "lease_started_at"));
        assert_eq!(lasts, SignedDuration::from_hours(2));
        check_mark(&lab, &third);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn an_extension_without_its_record_starts_anew_with_another_ttl() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("1h", "")]);
        workspace.apply();
        let first = workspace.state();
        let vm = lab.vm(&first.text(A, "id"));
        let (mark, until) = extension(time(&first, "expires_at"), 1, 1);
        tag(&lab, &vm, &mark);
        let [_, keys] = expiries(&vm);
        for old in keys {
            lab.call(&vm.pool, "VM.remove_from_other_config", json!([vm.reference, old]));
        }
        workspace.expect_empty_plan();
        workspace.refresh();
        let extended = workspace.state();
        assert_eq!(extended.text(A, "expires_at"), until);
        assert_eq!(extended.values(A)["lease_started_at"], Json::Null);
        ahead(&lab, 1800);
        rewrite(&lab, &workspace, &lines("30m", ""));
        assert_eq!(unknown(&workspace.plan()), ANEW);
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();
        let anew = workspace.state();
        let from = time(&anew, "lease_started_at").duration_since(time(&first, "lease_started_at"));
        assert!(from.as_secs() >= 1800, "{from:?}");
        check_mark(&lab, &anew);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn lost_marks_start_a_lease_anew_whatever_else_changes() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&lines("1h", "")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        let changes = [
            lines("1h", ""),
            lines("2h", ""),
            lines("2h", "  renew_triggers = { run = \"1\" }"),
            lines("2h", "  renew_triggers = { run = \"1\" }\n  tags = [\"mine\"]"),
        ];
        for (step, changed) in (1..).zip(changes) {
            ahead(&lab, step * 600);
            let first = workspace.state();
            let vm = lab.vm(&id);
            let is_other = |text: &String| !text.starts_with("dynvm:");
            lab.control()
                .set_tags(&id, vm.tags().into_iter().filter(is_other).collect())
                .expect("tags");
            let keys = vm.other_config().into_iter().filter(|(key, _)| is_other(key));
            lab.control()
                .set_other_config(&id, keys.collect())
                .expect("other_config");
            rewrite(&lab, &workspace, &changed);
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["update"], "{changed}");
            assert_eq!(plan.change(A)["before"]["expires_at"], Json::Null, "{changed}");
            assert_eq!(unknown(&plan), ANEW, "{changed}");
            workspace.apply();
            workspace.expect_empty_plan();
            workspace.expect_empty_refresh();
            let second = workspace.state();
            check_mark(&lab, &second);
            let start = |state: &acceptance::State| time(state, "lease_started_at");
            assert!(start(&second) > start(&first), "{changed}");
            assert_eq!(second.text(A, "created_at"), first.text(A, "created_at"), "{changed}");
        }
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_a_reaper_has_claimed_is_not_renewed_and_then_planned_anew() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&renewing("1h", "{ run = \"1\" }")]);
        workspace.apply();
        let first = workspace.state();
        let vm = lab.vm(&first.text(A, "id"));
        ahead(&lab, 7200);
        let claim = "dynvm:reaping=01JD4Q8QCGTF0000000000000A";
        lab.call(&vm.pool, "VM.add_tags", json!([vm.reference, claim]));
        lab.call(&vm.pool, "VM.add_to_other_config", json!([vm.reference, claim, ""]));
        let claimed = lab.vm(&vm.uuid());
        rewrite(&lab, &workspace, &renewing("1h", "{ run = \"2\" }"));
        let refused = workspace.try_apply().only_error();
        refused.expect_text("being reaped").expect_text(&vm.uuid());
        let now = lab.vm(&vm.uuid());
        assert_eq!(
            (now.tags(), now.other_config()),
            (claimed.tags(), claimed.other_config())
        );
        let state = workspace.state();
        assert_eq!(
            state.values(A),
            first.values(A),
            "what was not acknowledged is not in the state"
        );

        lab.control().destroy_vm(&vm.uuid()).expect("reaped");
        workspace.refresh();
        assert!(workspace.state().addresses().is_empty());
        assert_eq!(workspace.plan().actions(A), ["create"]);
        workspace.apply();
        workspace.expect_empty_plan();
        check_mark(&lab, &workspace.state());
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
