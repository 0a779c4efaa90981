//! A pool that fails half-way: what was begun is finished, undone, or in the state; never an orphan.

use std::time::Duration;

use acceptance::{Diagnostic, Lab, assert_unchanged, under_each_tool};
use sim::{FaultKind, FaultRule};

use crate::{A, SERVER, server};

fn error(code: &str, params: &[&str]) -> FaultKind {
    FaultKind::Error {
        code: code.to_owned(),
        params: params.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// A create that fails by this fault, and leaves nothing.
#[track_caller]
fn fails(rule: FaultRule, look: impl Fn(&Diagnostic)) {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        lab.control().fault(rule.clone());
        look(&workspace.try_apply().only_error());
        lab.control().clear_faults();
        assert_eq!(workspace.state().addresses(), [] as [&str; 0]);
        assert_unchanged(&lab, &before);
    });
}

/// A create that succeeds in spite of this fault, as one server.
#[track_caller]
fn survives(rule: &FaultRule) {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let foreign = lab.vms().len();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  pool = \"lab1\"")]);
        lab.control().fault(rule.clone());
        workspace.apply();
        lab.control().clear_faults();
        assert_eq!(
            lab.vms().len(),
            foreign + 1,
            "one server, whatever became of the answer"
        );
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn no_room_on_the_storage() {
    fails(
        FaultRule::always("VM.clone", error("SR_FULL", &["20", "10"])),
        |error| {
            error.expect_text("SR_FULL");
        },
    );
}

#[test]
fn no_host_for_the_start() {
    fails(
        FaultRule::always("VM.start*", error("NO_HOSTS_AVAILABLE", &[])),
        |error| {
            error.expect_text("NO_HOSTS_AVAILABLE");
        },
    );
}

#[test]
fn a_role_that_may_not_write_the_marks() {
    let refusal = error(
        "RBAC_PERMISSION_DENIED",
        &["vm.set_other_config", "No permission in user session"],
    );
    fails(FaultRule::always("VM.set_other_config", refusal), |error| {
        error.expect_text("RBAC_PERMISSION_DENIED");
    });
}

#[test]
fn an_error_that_nobody_knows() {
    fails(
        FaultRule::always("VM.start*", error("XENOPSD_FELL_OVER", &["at once"])),
        |error| {
            error.expect_text("XENOPSD_FELL_OVER").expect_text("at once");
        },
    );
}

#[test]
fn the_answer_to_the_clone_is_lost() {
    survives(&FaultRule::once("VM.clone", FaultKind::CutAfter));
}

#[test]
fn the_clone_never_arrived() {
    survives(&FaultRule::once("VM.clone", FaultKind::CutBefore));
}

#[test]
fn no_clone_ever_arrives() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(
            tool,
            &[&server("  os = \"debian12\"\n  timeouts = { create = \"8s\" }")],
        );
        lab.control().fault(FaultRule::always("VM.clone", FaultKind::CutBefore));
        let outcome = workspace.try_apply();
        outcome.only_error().expect_text("dynvm-new-");
        assert!(outcome.took < Duration::from_secs(30), "{outcome}");
        lab.control().clear_faults();
        assert_unchanged(&lab, &before);
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn the_answer_to_the_start_is_lost() {
    survives(&FaultRule::once("VM.start*", FaultKind::CutAfter));
}

#[test]
fn the_session_is_forgotten_under_way() {
    survives(&FaultRule::once("VM.set_tags", FaultKind::SessionInvalid));
}

#[test]
fn the_wait_for_events_is_cut() {
    survives(&FaultRule {
        skip: 1,
        ..FaultRule::once("event.from", FaultKind::CutBefore)
    });
}

#[test]
fn a_member_is_asked_first() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let member = lab.pool("lab1").member_urls[1].clone();
        let provider = lab
            .provider()
            .only("lab1")
            .edit("lab1", |pool| pool.with("url", &acceptance::quoted(&member)));
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), SERVER]);
        acceptance::whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "lab1"));
    });
}

#[test]
fn the_destroy_is_cut_and_done_again() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        lab.control()
            .fault(FaultRule::always("VM.destroy", error("INTERNAL_ERROR", &["it broke"])));
        workspace
            .try_destroy()
            .only_error()
            .expect_text("INTERNAL_ERROR")
            .expect_text("it broke");
        assert_eq!(
            workspace.state().addresses(),
            [A],
            "what may still be there stays in the state"
        );
        lab.control().clear_faults();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
