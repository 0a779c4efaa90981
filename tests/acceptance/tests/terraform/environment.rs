//! Without `pools`, the environment names the one pool; and who asks is found there too.

use acceptance::{Lab, Workspace, under_each_tool, whole_life};

use crate::{A, SERVER, server};

#[test]
fn a_pool_from_the_environment() {
    under_each_tool(|tool| {
        let lab = Lab::with_tls();
        let pool = lab.pool("lab1");
        let mut workspace = Workspace::new(tool);
        workspace.set("DYNVM_URL", &pool.url);
        workspace.set("DYNVM_USERNAME", &pool.username);
        workspace.set("DYNVM_PASSWORD", &pool.password);
        workspace.set("DYNVM_TLS_FINGERPRINT", &pool.member_fingerprints.join(","));
        workspace.set("DYNVM_OWNER", "ci/nightly <7>");
        workspace.main(&[&server("  template = \"tmpl-debian12\"")]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "pool"), "default");
            let tags = lab.vm(&state.text(A, "id")).tags();
            assert!(tags.contains("dynvm:owner=ci%2Fnightly%20%3C7%3E"), "{tags:?}");
        });
    });
}

#[test]
fn the_owner_of_the_configuration_comes_first() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let mut workspace = Workspace::new(tool);
        workspace.set("DYNVM_OWNER", "environment");
        workspace.set("CI_JOB_URL", "https://ci.example/7");
        for (line, owner) in [("owner = \"configured\"", "configured"), ("", "environment")] {
            workspace.main(&[&lab.provider().setting(line).to_string(), SERVER]);
            workspace.apply();
            let tags = lab.vm(&workspace.state().text(A, "id")).tags();
            assert!(tags.contains(&format!("dynvm:owner={owner}")), "{tags:?}");
            workspace.destroy();
        }
    });
}
