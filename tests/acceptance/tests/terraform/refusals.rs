//! Bad input: one clear diagnostic, at the attribute that is at fault, with what there is and what to do.

use acceptance::{Diagnostic, Lab, Outcome, PoolBlock, ProviderBlock, assert_unchanged, under_each_tool};
use serde_json::json;

use crate::server;

/// Applies these parts, demands one error, and that the pools were not changed.
#[track_caller]
fn refused(lab: &Lab, parts: &[&str], look: impl Fn(&Diagnostic, &Outcome)) {
    under_each_tool(|tool| {
        let before = lab.world();
        let workspace = acceptance::Workspace::new(tool);
        workspace.main(parts);
        let outcome = workspace.try_apply();
        look(&outcome.only_error(), &outcome);
        assert_unchanged(lab, &before);
    });
}

/// The same with the lab's own provider configuration.
#[track_caller]
fn refused_server(lab: &Lab, lines: &str, look: impl Fn(&Diagnostic)) {
    let provider = lab.provider().to_string();
    refused(lab, &[&provider, &server(lines)], |error, _| look(error));
}

#[test]
fn an_unknown_os() {
    let lab = Lab::standard();
    refused_server(&lab, "  os = \"debain12\"", |error| {
        error.expect_at("os").expect_text("debain12").expect_text("debian12");
    });
    assert!(lab.methods().is_empty(), "no pool was asked: {:?}", lab.methods());
}

#[test]
fn an_os_that_the_chosen_pool_lacks() {
    refused_server(&Lab::standard(), "  os = \"rocky9\"\n  pool = \"lab2\"", |error| {
        error.expect_at("os").expect_text("lab2");
    });
}

#[test]
fn an_unknown_pool() {
    refused_server(&Lab::standard(), "  os = \"debian12\"\n  pool = \"lab3\"", |error| {
        error.expect_at("pool").expect_text("lab3").expect_text("lab1, lab2");
    });
}

#[test]
fn an_unknown_template() {
    refused_server(
        &Lab::standard(),
        "  template = \"tmpl-debain12\"\n  pool = \"lab1\"",
        |error| {
            error
                .expect_at("template")
                .expect_text("tmpl-debain12")
                .expect_text("tmpl-debian12");
        },
    );
}

#[test]
fn an_ambiguous_template() {
    let lab = Lab::standard();
    let (twin, record) = lab.named("lab1", "VM", "tmpl-ubuntu22");
    lab.call("lab1", "VM.set_name_label", json!([twin, "tmpl-debian12"]));
    let uuid = record["uuid"].as_str().unwrap_or_default().to_owned();
    refused_server(&lab, "  template = \"tmpl-debian12\"\n  pool = \"lab1\"", |error| {
        error
            .expect_at("template")
            .expect_text("tmpl-debian12")
            .expect_text(&uuid);
    });
}

#[test]
fn a_missing_network() {
    refused_server(
        &Lab::standard(),
        "  os = \"debian12\"\n  pool = \"lab1\"\n  network = \"lab-nte\"",
        |error| {
            error
                .expect_at("network")
                .expect_text("lab-nte")
                .expect_text("lab-net")
                .expect_text("lab1");
        },
    );
}

#[test]
fn a_missing_storage() {
    refused_server(
        &Lab::standard(),
        "  os = \"debian12\"\n  pool = \"lab1\"\n  storage = \"sdd\"",
        |error| {
            error.expect_at("storage").expect_text("\"sdd\"").expect_text("ssd");
        },
    );
}

#[test]
fn a_wrong_password() {
    let lab = Lab::standard();
    let provider = lab
        .provider()
        .only("lab1")
        .edit("lab1", |pool| pool.with("password", "\"not the one\""));
    refused(
        &lab,
        &[&provider.to_string(), &server("  os = \"debian12\"")],
        |error, outcome| {
            error
                .expect_text("lab1")
                .expect_text("SESSION_AUTHENTICATION_FAILED")
                .expect_text("password");
            assert!(
                !outcome.text().contains("not the one"),
                "a wrong password is a password\n{outcome}"
            );
        },
    );
}

#[test]
fn an_unreachable_pool() {
    let lab = Lab::standard();
    // A port that any program may take would be taken by the next lab: this one belongs to a service of 1983.
    let address = "127.0.0.1:1";
    let provider = lab.provider().only("lab1");
    let provider = provider.edit("lab1", |pool| pool.with("url", &format!("\"http://{address}\"")));
    refused(
        &lab,
        &[&provider.to_string(), &server("  os = \"debian12\"")],
        |error, outcome| {
            error
                .expect_text("lab1")
                .expect_text(address)
                .expect_text("no connection");
            assert!(outcome.took < std::time::Duration::from_secs(60), "{outcome}");
        },
    );
}

#[test]
fn two_entries_that_are_one_pool() {
    let lab = Lab::standard();
    let address = lab.pool("lab2");
    let again = PoolBlock::of(&address).with("url", &acceptance::quoted(&address.member_urls[1]));
    let provider = lab.provider().with_pool("lab9", again.with_aliases(["debian12"]));
    refused(
        &lab,
        &[&provider.to_string(), &server("  os = \"debian12\"")],
        |error, _| {
            error.expect_text("lab2").expect_text("lab9").expect_text(&address.uuid);
        },
    );
}

#[test]
fn a_ttl_over_max_ttl_in_the_plan() {
    let lab = Lab::standard();
    refused_server(&lab, "  os = \"debian12\"\n  ttl = \"25h\"", |error| {
        error.expect_at("ttl").expect_text("max_ttl of 1d");
    });
    let provider = lab
        .provider()
        .setting("max_ttl = \"30m\"")
        .setting("default_ttl = \"20m\"");
    refused(
        &lab,
        &[&provider.to_string(), &server("  os = \"debian12\"\n  ttl = \"1h\"")],
        |error, _| {
            error.expect_at("ttl").expect_text("30m");
        },
    );
    assert!(lab.methods().is_empty(), "no pool was asked: {:?}", lab.methods());
}

#[test]
fn values_that_cannot_be() {
    let lab = Lab::standard();
    let cases = [
        ("  os = \"debian12\"\n  ttl = \"soon\"", "ttl"),
        ("  os = \"debian12\"\n  ttl = \"0s\"", "ttl"),
        ("  os = \"debian12\"\n  cpus = 0", "cpus"),
        ("  os = \"debian12\"\n  cpus = 1.5", "cpus"),
        (
            "  os = \"debian12\"\n  mac_address = \"01:00:5e:00:00:01\"",
            "mac_address",
        ),
        ("  os = \"debian12\"\n  ip_family = \"ipv5\"", "ip_family"),
        ("  os = \"debian12\"\n  ip_cidrs = [\"10.0.0.0/33\"]", "ip_cidrs"),
        ("  os = \"debian12\"\n  ip_attempts = 0", "ip_attempts"),
        ("  os = \"debian12\"\n  tags = [\"dynvm:keep\"]", "tags"),
        ("  os = \"debian12\"\n  tags = [\"a<b\"]", "tags"),
    ];
    for (lines, attribute) in cases {
        refused_server(&lab, lines, |error| {
            error.expect_at(attribute);
        });
    }
}

/// Terraform shows the line of a top-level attribute only: what is inside one is named in the text.
#[test]
fn a_timeout_that_cannot_be() {
    refused_server(
        &Lab::standard(),
        "  os = \"debian12\"\n  timeouts = { create = \"x\" }",
        |error| {
            error.expect_text("timeouts.create").expect_text("duration");
        },
    );
}

#[test]
fn names_that_cannot_be() {
    let lab = Lab::standard();
    let provider = lab.provider().to_string();
    for name in [String::new(), "dynvm-new-01".to_owned(), "x".repeat(256)] {
        let server = format!("resource \"dynvm_server\" \"a\" {{\n  name = {name:?}\n  os = \"debian12\"\n}}\n");
        refused(&lab, &[&provider, &server], |error, _| {
            error.expect_at("name");
        });
    }
}

#[test]
fn both_os_and_template_or_neither() {
    let lab = Lab::standard();
    refused_server(&lab, "  os = \"debian12\"\n  template = \"tmpl-debian12\"", |error| {
        error.expect_text("os").expect_text("template");
    });
    refused_server(&lab, "  ttl = \"1h\"", |error| {
        error.expect_text("os").expect_text("template");
    });
}

#[test]
fn a_provider_that_says_too_little_or_too_much() {
    let lab = Lab::standard();
    let plain = server("  os = \"debian12\"");
    let no_pools = ProviderBlock::default();
    refused(&lab, &[&no_pools.to_string(), &plain], |error, _| {
        error.expect_text("pools").expect_text("DYNVM_URL");
    });
    let lab1 = |edit: fn(PoolBlock) -> PoolBlock| lab.provider().only("lab1").edit("lab1", edit);
    let cases = [
        (lab1(|pool| pool.without("url")), "url"),
        (lab1(|pool| pool.with("urls", "[\"http://127.0.0.1:1\"]")), "urls"),
        (lab1(|pool| pool.with("url", "\"ftp://127.0.0.1\"")), "ftp"),
        (
            lab1(|pool| pool.with("tls", "{ insecure = true, ca_file = \"x.pem\" }")),
            "at most one",
        ),
        (lab.provider().setting("admission = \"maybe\""), "`off`"),
        (lab1(|pool| pool.with("labels", "[\"gpu\", null]")), "null"),
    ];
    for (provider, word) in cases {
        refused(&lab, &[&provider.to_string(), &plain], |error, _| {
            error.expect_text(word);
        });
    }
}

#[test]
fn plain_http_warns_and_works() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[]);
        let warnings = workspace.try_plan().expect_code(0).warnings();
        assert!(warnings.is_empty(), "nothing uses the provider: {warnings:#?}");
        let workspace = lab.workspace(tool, &[crate::SERVER]);
        let warnings = workspace.try_plan().expect_code(0).warnings();
        assert!(
            warnings
                .iter()
                .all(|warning| warning.summary == "Unencrypted connection"),
            "{warnings:#?}"
        );
        assert_eq!(warnings.len(), 2, "one for each pool: {warnings:#?}");
    });
}

#[test]
fn a_role_that_does_not_suffice() {
    let lab = Lab::changed(|world| {
        world.pools["lab1"].users.push(sim::world::UserSpec {
            name: "viewer".to_owned(),
            password: "view".to_owned(),
            role: "read-only".to_owned(),
        });
    });
    let provider = lab.provider().only("lab1").edit("lab1", |pool| {
        pool.with("username", "\"viewer\"").with("password", "\"view\"")
    });
    refused(
        &lab,
        &[&provider.to_string(), &server("  os = \"debian12\"")],
        |error, _| {
            error.expect_text("RBAC_PERMISSION_DENIED").expect_text("lab1");
        },
    );
}
