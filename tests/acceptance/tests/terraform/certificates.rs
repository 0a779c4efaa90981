//! Certificates: verified, pinned, or refused with the words that pin them.

use std::time::Duration;

use acceptance::{Lab, ProviderBlock, assert_unchanged, under_each_tool, whole_life};

use crate::{A, SERVER, server};

/// The provider's configuration with another `tls` for every pool.
fn with_tls(lab: &Lab, tls: &str) -> ProviderBlock {
    ["lab1", "lab2"].iter().fold(lab.provider(), |provider, pool| {
        provider.edit(pool, |block| block.with("tls", tls))
    })
}

#[test]
fn pinned_by_fingerprint() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let workspace = lab.workspace(tool, &[SERVER]);
        let outcome = workspace.try_plan().expect_code(0);
        assert!(outcome.warnings().is_empty(), "{outcome}");
        whole_life(&lab, &workspace, |state| {
            assert!(state.text(A, "ip_address").starts_with("10."))
        });
    });
}

#[test]
fn not_looked_at_on_demand() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&with_tls(&lab, "{ insecure = true }").to_string(), SERVER]);
        whole_life(&lab, &workspace, |_| {});
    });
}

#[test]
fn a_self_signed_one_is_refused_with_its_fingerprint() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let before = lab.world();
        let provider = lab.provider().only("lab1").edit("lab1", |pool| pool.without("tls"));
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), &server("  os = \"debian12\"")]);
        let error = workspace.try_apply().only_error();
        let fingerprint = lab.pool("lab1").certificate_fingerprint.unwrap_or_default();
        error
            .expect_text("lab1")
            .expect_text(&fingerprint)
            .expect_text("fingerprints");
        assert!(lab.methods().is_empty(), "no password was sent: {:?}", lab.methods());
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn one_that_changed_under_way_is_refused() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  pool = \"lab1\"")]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        lab.control().change_certificate("lab1").expect("another certificate");
        let fingerprint = lab.pool("lab1").certificate_fingerprint.unwrap_or_default();
        lab.forget_requests();
        workspace
            .try_plan()
            .only_error()
            .expect_text("lab1")
            .expect_text(&fingerprint);
        assert!(lab.methods().is_empty(), "nothing was sent: {:?}", lab.methods());
        assert_eq!(workspace.state().text(A, "id"), id);
        workspace.main(&[
            &lab.provider().to_string(),
            &server("  os = \"debian12\"\n  pool = \"lab1\""),
        ]);
        workspace.expect_empty_plan();
        workspace.destroy();
    });
}

/// Whoever takes a pool's place in the middle of a run, and its address, is not sent so much as the session.
#[test]
fn one_that_changes_while_a_server_comes_up_is_refused() {
    under_each_tool(|tool| {
        let lab = Lab::changed(|world| {
            for pool in world.pools.values_mut() {
                pool.tls = true;
                pool.templates["tmpl-debian12"].guest.never = true;
            }
        });
        let module = server("  os = \"debian12\"\n  pool = \"lab1\"\n  timeouts = { create = \"5s\" }");
        let workspace = lab.workspace(tool, &[&module]);
        let running = workspace.spawn(&["apply", "-auto-approve", "-input=false", "-no-color", "-json"]);
        lab.until("the server runs and its address is awaited", || {
            let mut vms = lab.vms().into_iter();
            vms.any(|vm| vm.text("name_label") == "web" && vm.text("power_state") == "Running")
        });
        lab.control().change_certificate("lab1").expect("another certificate");
        lab.forget_requests();
        let error = running.wait(Duration::from_secs(60)).expect_code(1).only_error();
        let fingerprint = lab.pool("lab1").certificate_fingerprint.unwrap_or_default();
        error.expect_text("lab1").expect_text(&fingerprint);
        assert!(lab.methods().is_empty(), "something was sent: {:?}", lab.methods());

        let state = workspace.state();
        assert_eq!(state.addresses(), [A], "what exists is in the state");
        let id = state.text(A, "id");
        assert!(state.is_tainted(A) && lab.has_vm(&id));
        workspace.main(&[&lab.provider().to_string(), &module]);
        workspace.destroy();
        // The ticket of the create, which nobody could release, ends by its time.
        assert!(!lab.has_vm(&id));
    });
}
