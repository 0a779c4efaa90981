//! Labels of pools, and a host: what a plan can tell of them by the configuration alone.

use acceptance::{Lab, ProviderBlock, Workspace, assert_unchanged, under_each_tool, whole_life};
use serde_json::json;

use crate::{A, server};

/// Both pools are reserved: the first for `gpu` and `big`, the second for `fpga`.
fn reserved(lab: &Lab) -> ProviderBlock {
    let provider = lab.provider();
    let provider = provider.edit("lab1", |pool| pool.with("labels", "[\"gpu\", \"big\"]"));
    provider.edit("lab2", |pool| pool.with("labels", "[\"fpga\"]"))
}

fn rewrite(workspace: &Workspace, provider: &ProviderBlock, lines: &str) {
    workspace.main(&[&provider.to_string(), &server(&format!("  os = \"debian12\"\n{lines}"))]);
}

#[test]
fn what_no_pool_is_for_is_refused_without_asking_one() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let (some, all) = (
            lab.provider().edit("lab1", |pool| pool.with("labels", "[\"gpu\"]")),
            reserved(&lab),
        );
        let workspace = Workspace::new(tool);
        for (provider, lines, at, says) in [
            (
                &all,
                "pool_labels = [\"gup\", \"x\"]",
                "pool_labels",
                "labels gup, x. Known here: big, fpga, gpu.",
            ),
            (
                &all,
                "pool = \"lab2\"\npool_labels = [\"gpu\"]",
                "pool_labels",
                "\"lab2\" has none of the labels gpu. It has: fpga.",
            ),
            (
                &some,
                "pool = \"lab1\"",
                "pool",
                "\"lab1\" takes only servers that ask for one of its labels: gpu.",
            ),
            (
                &some,
                "pool = \"lab2\"\npool_labels = [\"gpu\"]",
                "pool_labels",
                "It has: none.",
            ),
            (&some, "pool_labels = [\"\"]", "pool_labels", "1"),
        ] {
            rewrite(&workspace, provider, lines);
            workspace.try_plan().only_error().expect_at(at).expect_text(says);
        }
        rewrite(&workspace, &all, "");
        let error = workspace.try_plan().only_error();
        error.expect_text("Ask for one with `pool_labels`: big, fpga, gpu.");
        workspace.main(&[&some.to_string(), &server("  os = \"rocky9\"")]);
        let error = workspace.try_plan().only_error();
        error.expect_at("os").expect_text("rocky9");
        assert!(lab.methods().is_empty(), "no pool was asked: {:?}", lab.methods());
    });
}

#[test]
fn other_labels_replace_only_what_is_out_of_place() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let provider = reserved(&lab);
        let workspace = Workspace::new(tool);
        rewrite(&workspace, &provider, "pool = \"lab1\"\npool_labels = [\"gpu\"]");
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.expect_empty_refresh();
        let id = workspace.state().text(A, "id");

        rewrite(&workspace, &provider, "pool_labels = [\"fpga\", \"big\"]");
        let plan = workspace.plan();
        assert_eq!(plan.actions(A), ["update"], "one of them is its pool's");
        assert_eq!(plan.change(A)["after_unknown"], json!({}));
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), id);

        for lines in ["pool_labels = [\"fpga\"]", "pool = \"lab2\"\npool_labels = [\"fpga\"]"] {
            rewrite(&workspace, &provider, lines);
            let plan = workspace.plan();
            assert_eq!(plan.actions(A), ["delete", "create"]);
            let paths = plan.change(A)["replace_paths"].to_string();
            assert!(paths.contains("pool_labels"), "{paths}");
        }

        // The pool's labels change: the server stays, and what it asks for is looked at only when that changes.
        let none = provider.edit("lab1", |pool| pool.without("labels"));
        rewrite(&workspace, &none, "pool_labels = [\"fpga\", \"big\"]");
        workspace.expect_empty_plan();
        rewrite(&workspace, &none, "");
        assert_eq!(workspace.plan().actions(A), ["update"]);
        workspace.apply();
        workspace.expect_empty_plan();
        assert_eq!(workspace.state().text(A, "id"), id);
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn capacity_takes_labels_or_none() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = Workspace::new(tool);
        let data = |lines: &str| format!("data \"dynvm_capacity\" \"a\" {{\n  os = \"debian12\"\n{lines}\n}}\n");
        let both = data("  ignore_labels = true\n  pool_labels = [\"gpu\"]");
        workspace.main(&[&reserved(&lab).to_string(), &both]);
        let error = workspace.try_plan().only_error();
        error.expect_at("ignore_labels").expect_text("pool_labels");
        workspace.main(&[&reserved(&lab).to_string(), &data("  ignore_labels = true")]);
        workspace.apply();
        let state = workspace.state();
        let pools = &state.values("data.dynvm_capacity.a")["pools"];
        let labels = |index: usize| &pools[index]["labels"];
        assert_eq!((labels(0), labels(1)), (&json!(["big", "gpu"]), &json!(["fpga"])));
    });
}

#[test]
fn a_reserved_pool_takes_only_those_who_ask() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let provider = lab.provider().edit("lab1", |pool| pool.with("labels", "[\"gpu\"]"));
        let parts = r#"
resource "dynvm_server" "plain" {
  name = "plain"
  os   = "debian12"
}
resource "dynvm_server" "gpu" {
  name        = "gpu"
  os          = "debian12"
  pool_labels = ["fpga", "gpu"]
  host        = "xen12"
}
data "dynvm_capacity" "plain" { os = "debian12" }
data "dynvm_capacity" "gpu" {
  os          = "debian12"
  pool_labels = ["gpu"]
}
data "dynvm_capacity" "all" {
  os            = "debian12"
  ignore_labels = true
}
"#;
        let workspace = Workspace::new(tool);
        workspace.main(&[&provider.to_string(), parts]);
        whole_life(&lab, &workspace, |state| {
            assert_eq!(state.text("dynvm_server.plain", "pool"), "lab2");
            assert_eq!(state.text("dynvm_server.gpu", "pool"), "lab1");
            assert_eq!(state.text("dynvm_server.gpu", "resident_host"), "xen12");
            for (name, expect) in [("plain", &["lab2"][..]), ("gpu", &["lab1"]), ("all", &["lab1", "lab2"])] {
                let pools = &state.values(&format!("data.dynvm_capacity.{name}"))["pools"];
                let named = pools.as_array().into_iter().flatten().map(|pool| &pool["pool"]);
                assert_eq!(named.collect::<Vec<_>>(), expect, "{name}");
            }
        });
    });
}
