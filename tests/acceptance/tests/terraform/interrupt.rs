//! Ctrl-C and other ends of a run while a server comes up: it ends soon, and what exists is in the state or says itself until when it may be.

use std::time::Duration;

use acceptance::{Lab, Reaper, Running, Tool, Workspace, assert_unchanged, is_group_alive, under_each_tool};

use crate::{A, server};

/// Generous: a loaded machine is no reason to fail. What it takes is said by the benchmark.
const SOON: Duration = Duration::from_secs(10);

/// A lab whose `tmpl-debian12` never names an address, and an apply that waits for one.
fn waiting(lab: &Lab, workspace: &Workspace) -> Running {
    let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    lab.until("the server runs and its address is awaited", || {
        let mut vms = lab.vms().into_iter();
        vms.any(|vm| vm.text("name_label") == "web" && vm.text("power_state") == "Running")
    });
    running
}

fn silent() -> Lab {
    Lab::changed(|world| {
        for pool in world.pools.values_mut() {
            pool.templates["tmpl-debian12"].guest.never = true;
        }
    })
}

#[test]
fn during_the_wait_for_an_address() {
    under_each_tool(|tool| {
        let lab = silent();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
        let running = waiting(&lab, &workspace);
        running.interrupt();
        let outcome = running.wait(SOON);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        let state = workspace.state();
        assert_eq!(state.addresses(), [A], "what exists is in the state");
        assert!(state.is_tainted(A));
        let vm = lab.vm(&state.text(A, "id"));
        assert!(
            vm.tags().iter().any(|tag| tag.starts_with("dynvm:creating=")),
            "{:?}",
            vm.tags()
        );
        assert_eq!(workspace.plan().actions(A), ["delete", "create"]);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn during_the_clone() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| world.latencies.vdi_clone_ms = sim::world::Span::fixed(60_000));
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
        let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        lab.until("the clone is under way", || {
            lab.methods().keys().any(|method| method.ends_with("VM.clone"))
        });
        running.interrupt();
        let outcome = running.wait(SOON);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        let known = workspace.state().addresses().len();
        workspace.destroy();
        if known > 0 {
            assert_unchanged(&lab, &before);
            return;
        }
        // Not in the state: then its name says until when it may be there.
        let newborn = || {
            let mut names = lab.all_vms().into_iter().map(|vm| vm.text("name_label"));
            names.find(|name| name.starts_with("dynvm-new-"))
        };
        lab.until("the clone is there", || newborn().is_some());
        let name = newborn().unwrap_or_default();
        let deadline = name.rsplit('-').next().and_then(|seconds| seconds.parse::<i64>().ok());
        assert!(
            deadline.is_some_and(|deadline| deadline > jiff::Timestamp::now().as_second()),
            "{name}"
        );
    });
}

#[test]
fn during_the_destroy() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| world.latencies.hard_shutdown_ms = sim::world::Span::fixed(60_000));
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
        workspace.apply();
        lab.forget_requests();
        let running = workspace.spawn(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
        lab.until("the shutdown is under way", || {
            lab.methods().keys().any(|method| method.ends_with("VM.hard_shutdown"))
        });
        running.interrupt();
        let outcome = running.wait(SOON);
        assert_eq!(outcome.code, Some(1), "{outcome}");
        assert_eq!(
            workspace.state().addresses(),
            [A],
            "what may still be there stays in the state"
        );
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_provider_without_its_terraform_ends_itself() {
    under_each_tool(|tool| {
        let lab = silent();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
        let running = waiting(&lab, &workspace);
        let group = running.pid();
        running.kill_alone();
        drop(running.wait(SOON));
        lab.until("the provider has ended too", || !is_group_alive(group));
        let vm = lab.vms().into_iter().find(|vm| vm.text("name_label") == "web");
        let tags = vm.map(|vm| vm.tags()).unwrap_or_default();
        assert!(
            tags.iter().any(|tag| tag.starts_with("dynvm:creating=")),
            "under its creation lease: {tags:?}"
        );
    });
}

/// How far the pool's clock is behind while servers are made: later than a creation lease.
const BEHIND: i64 = 150 * 60;
const POOL: &str = "lab1";

/// Ends an apply that waits for an address by these signals to the whole group; says whether the server is in the state. If it is not, the
/// reaper collects it when its creation lease is over.
fn ended_by(tool: &Tool, signals: &[&str]) -> bool {
    let lab = silent();
    let clock = |offset| lab.control().set_clock_offset(POOL, offset).expect("another clock");
    clock(-BEHIND);
    let before = lab.world();
    let workspace = lab.workspace(tool, &[]);
    let provider = lab.provider().only(POOL).to_string();
    workspace.main(&[&provider, &server("  os = \"debian12\"")]);
    let running = waiting(&lab, &workspace);
    let group = running.pid();
    for signal in signals {
        running.signal(signal);
    }
    let outcome = running.wait(SOON);
    assert_ne!(outcome.code, Some(0), "{outcome}");
    lab.until("the provider has ended too", || !is_group_alive(group));
    let vm = lab.vms().into_iter().find(|vm| vm.text("name_label") == "web");
    let tags = vm.map(|vm| vm.tags()).unwrap_or_default();
    assert!(
        tags.iter().any(|tag| tag.starts_with("dynvm:creating=")),
        "under its creation lease: {tags:?}"
    );
    let is_known = workspace.state().addresses() == [A];
    if is_known {
        workspace.destroy();
    } else {
        clock(0);
        Reaper::new(&lab).run_once().expect_success();
    }
    assert_unchanged(&lab, &before);
    is_known
}

#[test]
fn a_second_time() {
    // Terraform leaves at once then, and may have had no time to write down what the provider answered.
    under_each_tool(|tool| {
        let _is_known = ended_by(tool, &["INT", "INT"]);
    });
}

#[test]
fn by_the_end_of_a_pipeline_stage() {
    under_each_tool(|tool| assert!(ended_by(tool, &["TERM"]), "what exists is in the state"));
}

#[test]
fn by_the_end_of_a_pipeline_that_does_not_ask() {
    under_each_tool(|tool| assert!(!ended_by(tool, &["KILL"])));
}
