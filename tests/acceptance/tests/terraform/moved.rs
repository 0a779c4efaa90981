//! `moved`: a VM that another provider made becomes a server, without that provider. Its pool is told nothing before it has a `ttl`.

use std::fs;
use std::os::unix::fs::symlink;

use acceptance::{Lab, Tool, Vm, Workspace, assert_unchanged, idle_provider_binary, under_each_tool};
use serde_json::{Value as Json, json};

use crate::A;

fn vm(lab: &Lab) -> Vm {
    let mut all = lab.all_vms().into_iter();
    all.find(|vm| vm.text("name_label") == "old-jenkins")
        .expect("a VM of a person in the lab")
}

/// A state as another provider left it.
fn stored(provider: &str, resource: &str, attributes: &Json) -> String {
    json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "6f0c7d52-9a1e-4a7f-8d5b-0f5c2f6f3a10", "outputs": {},
        "resources": [{
            "mode": "managed", "type": resource, "name": "old", "provider": format!("provider[\"{provider}\"]"),
            "instances": [{ "schema_version": 0, "attributes": attributes, "sensitive_attributes": [], "private": "bm90IG91cnM=" }],
        }],
    })
    .to_string()
}

/// A workspace with that state. Terraform wants every provider of a state to be installed, though it asks the old one for its schema at
/// most: one that does nothing stands in for it.
fn left_by(tool: &Tool, provider: &str, state: &str) -> Workspace {
    let workspace = Workspace::new(tool);
    let (_, address) = provider.split_once('/').expect("an address");
    let (_, name) = address.split_once('/').expect("an address");
    let folder = workspace.path("old");
    fs::create_dir(&folder).expect("a folder");
    symlink(
        idle_provider_binary(),
        folder.join(format!("terraform-provider-{name}")),
    )
    .expect("a link");
    let overrides = format!(
        "dev_overrides {{\n    {provider:?} = {:?}\n",
        folder.display().to_string()
    );
    let file = workspace.path("cli.tfrc");
    let text = fs::read_to_string(&file).expect("the CLI configuration");
    fs::write(&file, text.replace("dev_overrides {", &overrides)).expect("the CLI configuration");
    workspace.write("terraform.tfstate", state);
    workspace
}

/// A module that takes the resource over.
fn taking(lab: &Lab, workspace: &Workspace, resource: &str, lines: &str) {
    let provider = lab.provider().to_string();
    let moved = format!("moved {{\n  from = {resource}.old\n  to   = {A}\n}}\n");
    let server = format!("resource \"dynvm_server\" \"a\" {{\n  name = \"old-jenkins\"\n{lines}\n}}\n");
    workspace.main(&[&provider, &moved, &server]);
}

fn xenserver(vm: &Vm) -> Json {
    json!({
        "id": vm.uuid(), "uuid": vm.uuid(), "name_label": "old-jenkins", "vcpus": 2, "static_mem_max": 2_147_483_648_u64,
        "template_name": "Debian Bookworm 12", "hard_drive": [], "network_interface": [], "other_config": {}, "default_ip": "",
    })
}

#[test]
fn a_vm_of_either_provider_becomes_a_server() {
    under_each_tool(|tool| {
        let orchestra = |vm: &Vm| json!({ "id": vm.uuid(), "name_label": "old-jenkins", "cpus": 2, "memory_max": 2_147_483_648_u64, "tags": [], "power_state": "Running" });
        for (provider, resource, attributes) in [
            (
                "registry.terraform.io/xenserver/xenserver",
                "xenserver_vm",
                xenserver as fn(&Vm) -> Json,
            ),
            (
                "registry.terraform.io/vatesfr/xenorchestra",
                "xenorchestra_vm",
                orchestra,
            ),
            (
                "registry.terraform.io/terra-farm/xenorchestra",
                "xenorchestra_vm",
                orchestra,
            ),
        ] {
            let lab = Lab::standard();
            let (vm, before) = (vm(&lab), lab.world());
            let workspace = left_by(tool, provider, &stored(provider, resource, &attributes(&vm)));
            let halted = "  os = \"debian12\"\n  power_state = \"halted\"";
            taking(&lab, &workspace, resource, halted);
            workspace.try_plan().only_error().expect_text("has no lease");
            assert_unchanged(&lab, &before);

            taking(&lab, &workspace, resource, &format!("{halted}\n  ttl = \"2h\""));
            assert_eq!(workspace.plan().actions(A), ["update"]);
            workspace.apply();
            workspace.expect_empty_plan();
            assert_eq!(workspace.state().addresses(), [A]);
            assert_eq!(lab.vm(&vm.uuid()).other_config().get("dynvm:vm"), Some(&vm.uuid()));
            workspace.destroy();
            assert!(!lab.has_vm(&vm.uuid()), "it is a server now, and goes as one");
        }
    });
}

#[test]
fn a_server_of_dynvm_that_another_provider_took_over_comes_back_with_its_lease() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let lines = "  os   = \"debian12\"\n  ttl  = \"90m\"";
        let maker = lab.workspace(
            tool,
            &[&format!(
                "resource \"dynvm_server\" \"a\" {{\n  name = \"old-jenkins\"\n{lines}\n}}\n"
            )],
        );
        maker.apply();
        let made = lab.vm(&maker.state().text(A, "id"));
        let state = stored(
            "registry.terraform.io/xenserver/xenserver",
            "xenserver_vm",
            &xenserver(&made),
        );
        let workspace = left_by(tool, "registry.terraform.io/xenserver/xenserver", &state);
        taking(&lab, &workspace, "xenserver_vm", lines);
        assert_eq!(workspace.plan().actions(A), ["no-op"], "all is known of it");
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn what_cannot_be_moved_is_told_with_what_can() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let state = stored(
            "registry.terraform.io/hashicorp/aws",
            "aws_instance",
            &json!({ "id": "i-1" }),
        );
        let workspace = left_by(tool, "registry.terraform.io/hashicorp/aws", &state);
        taking(&lab, &workspace, "aws_instance", "  os = \"debian12\"\n  ttl = \"2h\"");
        workspace
            .try_plan()
            .only_error()
            .expect_text("xenserver_vm of xenserver/xenserver; xenorchestra_vm of vatesfr/xenorchestra or");
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_vm_that_no_pool_has_stays_in_the_state() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let gone = json!({ "uuid": "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10", "name_label": "old-jenkins" });
        let state = stored("registry.terraform.io/xenserver/xenserver", "xenserver_vm", &gone);
        let workspace = left_by(tool, "registry.terraform.io/xenserver/xenserver", &state);
        taking(&lab, &workspace, "xenserver_vm", "  os = \"debian12\"\n  ttl = \"2h\"");
        workspace.try_plan().only_error().expect_text("no server");
        workspace
            .run(&["apply", "-auto-approve", "-input=false", "-json", "-refresh=false"])
            .only_error()
            .expect_text("to be read first");
    });
}
