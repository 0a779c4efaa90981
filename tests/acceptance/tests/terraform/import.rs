//! Import: what exists comes into the state, and the plan after it is empty; what dynvm did not make gets a lease only where one is asked for.

use std::fs;
use std::path::Path;

use acceptance::{Lab, Workspace, assert_unchanged, under_each_tool};
use serde_json::json;

use crate::change::rewrite;
use crate::{A, server};

/// The module with an import block for `dynvm_server.a`.
fn importing(lab: &Lab, workspace: &Workspace, id: &str, server: &str) {
    let block = format!("import {{\n  to = {A}\n  id = {id:?}\n}}\n");
    workspace.main(&[&lab.provider().to_string(), &block, server]);
}

fn foreign(lab: &Lab) -> acceptance::Vm {
    let all = lab.all_vms();
    let found = all.into_iter().find(|vm| vm.text("name_label") == "old-jenkins");
    found.expect("a VM of a person in the lab")
}

#[test]
fn a_server_by_command_and_by_block_with_and_without_its_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let lines = "  os = \"debian12\"\n  pool = \"lab1\"\n  cpus = 4\n  ttl = \"90m\"\n  tags = [\"web\", \"ci\"]";
        let maker = lab.workspace(tool, &[&server(lines)]);
        maker.apply();
        let made = maker.state();
        let id = made.text(A, "id");
        for (by, lines) in [(id.clone(), lines), (format!("lab1/{id}"), lines)] {
            let taker = lab.workspace(tool, &[&server(lines)]);
            taker
                .run(&["import", "-input=false", "-no-color", A, &by])
                .expect_success();
            taker.expect_empty_plan();
            let (mut told, mut kept) = (taker.state().values(A).clone(), made.values(A).clone());
            assert_eq!(told["ttl"], "1h30m", "the same in other words");
            for apart in ["ttl", "timings"] {
                told[apart] = json!(null);
                kept[apart] = json!(null);
            }
            assert_eq!(told, kept, "all but how long the creation took");
        }
        let taker = Workspace::new(tool);
        importing(
            &lab,
            &taker,
            &id,
            &server(&format!("{lines}\n  timeouts = {{ read = \"2m\" }}")),
        );
        let plan = taker.plan();
        assert_eq!(plan.actions(A), ["update"], "what only a configuration knows");
        taker.apply();
        taker.expect_empty_plan();
        assert_eq!(lab.vm(&id).tags(), lab.vm(&made.text(A, "id")).tags());
        taker.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_configuration_is_generated_and_its_plan_is_empty() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let maker = lab.workspace(tool, &[&server("  os = \"debian12\"\n  tags = [\"web\"]")]);
        maker.apply();
        let id = maker.state().text(A, "id");
        let taker = Workspace::new(tool);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the root");
        let example = root.join("examples/resources/dynvm_server/import-by-string-id.tf");
        let block = fs::read_to_string(example).expect("the example");
        let pool = maker.state().text(A, "pool");
        let block = block
            .replace("dynvm_server.web", A)
            .replace("lab1/0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10", &format!("{pool}/{id}"));
        taker.main(&[&lab.provider().to_string(), &block]);
        taker
            .run(&["plan", "-input=false", "-no-color", "-generate-config-out=generated.tf"])
            .expect_success();
        taker.apply();
        taker.expect_empty_plan();
        taker.destroy();
    });
}

#[test]
fn a_vm_of_a_person_needs_a_ttl_and_stays_what_it_is() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let vm = foreign(&lab);
        let taker = Workspace::new(tool);
        importing(
            &lab,
            &taker,
            &vm.uuid(),
            "resource \"dynvm_server\" \"a\" {\n  name = \"old-jenkins\"\n  os = \"debian12\"\n}\n",
        );
        taker.try_plan().only_error().expect_text("has no lease");
        assert_eq!(lab.vm(&vm.uuid()).record, vm.record, "nothing was changed");
        let lines = "resource \"dynvm_server\" \"a\" {\n  name = \"old-jenkins\"\n  os = \"debian12\"\n  ttl = \"2h\"\n  power_state = \"halted\"\n}\n";
        importing(&lab, &taker, &vm.uuid(), lines);
        assert_eq!(taker.plan().actions(A), ["update"]);
        taker.apply();
        taker.expect_empty_plan();
        let now = lab.vm(&vm.uuid());
        assert_eq!(now.other_config().get("dynvm:vm"), Some(&vm.uuid()));
        assert!(now.tags().iter().any(|tag| tag.starts_with("dynvm:expires=")));
        rewrite(&lab, &taker, lines);
        taker.destroy();
        assert!(!lab.has_vm(&vm.uuid()), "it is a server now, and goes as one");
    });
}

#[test]
fn a_vm_that_was_only_imported_is_not_destroyed() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let vm = foreign(&lab);
        let lines =
            "resource \"dynvm_server\" \"a\" {\n  name = \"old-jenkins\"\n  os = \"debian12\"\n  ttl = \"2h\"\n}\n";
        let taker = lab.workspace(tool, &[lines]);
        let id = vm.uuid();
        taker
            .run(&["import", "-input=false", "-no-color", A, &id])
            .expect_success();
        taker.try_destroy().only_error().expect_text("never given a lease");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_is_no_vm_is_refused() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let (_, template) = lab.named("lab1", "VM", "tmpl-debian12");
        let domain = lab
            .records("lab1", "VM")
            .into_values()
            .find(|vm| vm["is_control_domain"] == true);
        let uuid = |record: &serde_json::Value| record["uuid"].as_str().expect("a UUID").to_owned();
        for (id, says) in [
            (uuid(&template), "is a template"),
            (uuid(&domain.expect("a control domain")), "is a control domain"),
            ("0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".to_owned(), "no server"),
            ("web".to_owned(), "neither"),
            (format!("lab9/{}", uuid(&template)), "lab9"),
        ] {
            let taker = lab.workspace(tool, &[&server("  os = \"debian12\"")]);
            let outcome = taker
                .run(&["import", "-input=false", "-no-color", A, &id])
                .expect_code(1);
            outcome.expect_text(says);
        }
    });
}

#[test]
fn functions_are_called_without_a_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let outputs = "output \"seconds\" {\n  value = provider::dynvm::parse_ttl(\"1h30m\")\n}\n\
                       output \"inventory\" {\n  value = provider::dynvm::inventory([{ id = \"u\", name = \"web\", ip_address = \"10.1.0.5\" }])\n}\n";
        let workspace = lab.workspace(tool, &[outputs]);
        workspace.apply();
        let state = workspace.state();
        assert_eq!(state.output("seconds"), &json!(5400));
        let inventory: serde_json::Value =
            serde_json::from_str(state.output("inventory").as_str().expect("a text")).expect("JSON");
        assert_eq!(inventory["all"]["hosts"]["web"]["ansible_host"], "10.1.0.5");
    });
}
