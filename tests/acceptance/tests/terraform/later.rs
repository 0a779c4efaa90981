//! What is not known at plan time, and plans that are applied later.

use acceptance::{Lab, Workspace, assert_unchanged, quoted, under_each_tool, whole_life};
use serde_json::json;

use crate::{A, SERVER, server};

#[test]
fn a_name_from_another_resource() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let unknown = r#"
resource "terraform_data" "label" { input = "from-elsewhere" }
resource "dynvm_server" "a" {
  name = terraform_data.label.output
  os   = "debian12"
  tags = [terraform_data.label.output]
  ttl  = terraform_data.label.output == "x" ? "1h" : "2h"
}
"#;
        let workspace = lab.workspace(tool, &[unknown]);
        let plan = workspace.plan();
        for attribute in ["name", "ttl", "id", "ip_address", "expires_at", "cpus", "timings"] {
            assert!(plan.is_unknown(A, attribute), "{attribute}");
        }
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text(A, "name"), "from-elsewhere");
            assert_eq!(state.values(A)["tags"], json!(["from-elsewhere"]));
            assert_eq!(state.text(A, "ttl"), "2h");
        });
    });
}

#[test]
fn an_os_and_a_pool_from_another_resource() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let unknown = r#"
resource "terraform_data" "choice" { input = { os = "debian12", pool = "lab2" } }
resource "dynvm_server" "a" {
  name = "web"
  os   = terraform_data.choice.output.os
  pool = terraform_data.choice.output.pool
}
"#;
        let workspace = lab.workspace(tool, &[unknown]);
        whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "lab2"));
    });
}

#[test]
fn wrong_values_that_were_not_known_in_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        for (attribute, value, word) in [
            ("ttl", "25h", "max_ttl"),
            ("os", "debain12", "debain12"),
            ("pool", "lab3", "lab3"),
        ] {
            let os = if attribute == "os" { "" } else { "  os = \"debian12\"\n" };
            let unknown = format!(
                "resource \"terraform_data\" \"late\" {{ input = {value:?} }}\n\
                 resource \"dynvm_server\" \"a\" {{\n  name = \"web\"\n{os}  {attribute} = terraform_data.late.output\n}}\n"
            );
            let workspace = lab.workspace(tool, &[&unknown]);
            workspace.try_plan().expect_code(0);
            workspace
                .try_apply()
                .only_error()
                .expect_at(attribute)
                .expect_text(word);
        }
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn provider_settings_that_are_not_known_in_the_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let address = lab.pool("lab1");
        let late = format!(
            "resource \"terraform_data\" \"address\" {{ input = {} }}\n",
            quoted(&address.url)
        );
        let provider = lab
            .provider()
            .only("lab1")
            .edit("lab1", |pool| pool.with("url", "terraform_data.address.output"));
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&provider.to_string(), &late, SERVER]);
        workspace.plan();
        assert!(
            lab.methods().is_empty(),
            "no pool can be asked yet: {:?}",
            lab.methods()
        );
        whole_life(&lab, &workspace, |state| assert_eq!(state.text(A, "pool"), "lab1"));
    });
}

#[test]
fn a_pool_that_moves_while_there_are_servers() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let address = lab.pool("lab1");
        let provider = lab
            .provider()
            .only("lab1")
            .edit("lab1", |pool| pool.with("url", "terraform_data.address.output"));
        let workspace = lab.workspace(tool, &[]);
        let write = |url: &str| {
            let late = format!(
                "resource \"terraform_data\" \"address\" {{ input = {} }}\n",
                quoted(url)
            );
            workspace.main(&[&provider.to_string(), &late, SERVER]);
        };
        write(&address.url);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        write(&address.member_urls[1]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), id, "the same pool by another member");
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn two_provider_configurations() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let second = lab
            .provider()
            .only("lab2")
            .setting("alias = \"second\"")
            .setting("default_ttl = \"1h\"");
        let both = r#"
resource "dynvm_server" "a" {
  name = "one"
  os   = "debian12"
}
resource "dynvm_server" "b" {
  provider = dynvm.second
  name     = "two"
  os       = "debian12"
}
"#;
        let workspace = lab.workspace(tool, &[]);
        workspace.main(&[&lab.provider().only("lab1").to_string(), &second.to_string(), both]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text("dynvm_server.a", "pool"), "lab1");
            assert_eq!(state.text("dynvm_server.a", "ttl"), "12h");
            assert_eq!(state.text("dynvm_server.b", "pool"), "lab2");
            assert_eq!(state.text("dynvm_server.b", "ttl"), "1h");
        });
    });
}

fn apply_saved(workspace: &Workspace) {
    workspace
        .run(&["apply", "-input=false", "-no-color", "tfplan"])
        .expect_success();
}

#[test]
fn a_saved_plan() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&server("  os = \"debian12\"\n  ttl = \"1h\"")]);
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["create"]);
        assert_unchanged(&lab, &before);
        apply_saved(&workspace);
        workspace.expect_empty_plan();
        workspace.main(&[
            &lab.provider().to_string(),
            &server("  os = \"debian12\"\n  ttl = \"2h\""),
        ]);
        workspace.plan();
        apply_saved(&workspace);
        workspace.expect_empty_plan();
        workspace
            .run(&["plan", "-destroy", "-out=tfplan", "-input=false"])
            .expect_success();
        apply_saved(&workspace);
        assert_unchanged(&lab, &before);
    });
}
