//! How a pool is used: not before it is needed, by one session for each process, and left in the end.

use acceptance::{Lab, assert_unchanged, under_each_tool};
use sim::{FaultKind, FaultRule};

use crate::SERVER;

#[test]
fn a_plan_only_looks_and_only_for_new_servers() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.try_plan().expect_code(0);
        assert!(!lab.methods().is_empty(), "what is free is asked for");
        assert_unchanged(&lab, &before);
        workspace.apply();
        lab.forget_requests();
        workspace
            .run(&["plan", "-refresh=false", "-input=false", "-json"])
            .expect_code(0);
        assert!(lab.methods().is_empty(), "{:?}", lab.methods());
        workspace.destroy();
    });
}

#[test]
fn every_login_ends_in_a_logout() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let ten = "resource \"dynvm_server\" \"node\" {\n  count = 10\n  name = \"n\"\n  os = \"debian12\"\n  pool = \"lab1\"\n}\n";
        let workspace = lab.workspace(tool, &[ten]);
        let counts = || {
            let methods = lab.methods();
            let count = |name: &str| methods.get(name).copied().unwrap_or_default();
            (count("session.login_with_password"), count("session.logout"))
        };
        workspace.apply();
        assert_eq!(counts(), (2, 2), "one session for the plan, one for the apply");
        lab.forget_requests();
        workspace.expect_empty_plan();
        assert_eq!(counts(), (1, 1), "one session for all reads");
        lab.forget_requests();
        workspace.destroy();
        let (logins, logouts) = counts();
        assert_eq!(logins, logouts);
        assert!(logins <= 2, "one for the refresh, one for the destroy, not {logins}");
    });
}

#[test]
fn a_session_says_who_opened_it() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let wire = lab.wiretap("lab1");
        let provider = lab.provider().only("lab1");
        let provider = provider.edit("lab1", |pool| pool.with("url", &acceptance::quoted(wire.url())));
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), SERVER]);
        workspace.apply();
        assert!(
            wire.heard().contains("dynvm-provider/0."),
            "the originator of the login"
        );
        assert_eq!(wire.sessions().len(), 2, "one session for the plan, one for the apply");
        workspace.destroy();
    });
}

#[test]
fn a_pool_that_does_not_answer_a_logout_does_not_hold_the_end() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        lab.control()
            .fault(FaultRule::always("session.logout", FaultKind::Hang));
        let outcome = workspace.try_plan().expect_code(0);
        assert!(outcome.took < std::time::Duration::from_secs(10), "{outcome}");
        lab.control().clear_faults();
        workspace.destroy();
    });
}
