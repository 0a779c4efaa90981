//! Destroy: the VM, its own disks, its snapshots, and nothing else.

use acceptance::{Lab, Vm, assert_unchanged, under_each_tool};
use serde_json::{Value as Json, json};
use sim::{FaultKind, FaultRule};

use crate::{A, SERVER, server};

/// A disk of a person on the SR of `tmpl-debian12` in lab1.
fn persons_disk(lab: &Lab) -> (String, String) {
    let (sr, _) = lab.named("lab1", "SR", "ssd");
    let record = json!({
        "name_label": "important data", "name_description": "", "SR": sr, "virtual_size": 1_073_741_824, "type": "user",
        "sharable": false, "read_only": false, "other_config": {}, "xenstore_data": {}, "sm_config": {}, "tags": []
    });
    let reference = text(&lab.call("lab1", "VDI.create", json!([record])));
    let uuid = text(&lab.call("lab1", "VDI.get_uuid", json!([reference])));
    (reference, uuid)
}

fn text(value: &Json) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

fn attach(lab: &Lab, vm: &Vm, vdi: &str) {
    let record = json!({
        "VM": vm.reference, "VDI": vdi, "userdevice": "5", "bootable": false, "mode": "RW", "type": "Disk", "unpluggable": true,
        "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}
    });
    let vbd = text(&lab.call("lab1", "VBD.create", json!([record])));
    lab.call("lab1", "VBD.plug", json!([vbd]));
}

fn in_lab1() -> String {
    server("  os = \"debian12\"\n  pool = \"lab1\"")
}

#[test]
fn a_disk_that_a_person_attached_is_kept_with_a_word() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let (disk, uuid) = persons_disk(&lab);
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        attach(&lab, &lab.vm(&workspace.state().text(A, "id")), &disk);
        workspace.expect_empty_plan();
        let outcome = workspace.try_destroy().expect_code(0);
        let warnings = outcome.warnings();
        let word = warnings.iter().find(|warning| warning.summary == "Disk kept");
        let word = word.unwrap_or_else(|| panic!("a warning about the disk in {warnings:#?}"));
        assert!(
            word.detail.contains(&uuid) || word.detail.contains("important data"),
            "{word:#?}"
        );
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn an_iso_in_the_drive_is_only_taken_out() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        let drives = lab.records("lab1", "VBD");
        let mut drives = drives
            .iter()
            .filter(|(_, vbd)| vbd["VM"] == vm.reference.as_str() && vbd["type"] == "CD");
        let (drive, _) = drives.next().expect("a CD drive");
        let (iso, _) = lab.named("lab1", "VDI", "debian-12.iso");
        lab.call("lab1", "VBD.insert", json!([drive, iso]));
        workspace.expect_empty_plan();
        let outcome = workspace.try_destroy().expect_code(0);
        assert!(
            outcome.warnings().iter().all(|warning| warning.summary != "Disk kept"),
            "{outcome}"
        );
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn snapshots_go_with_the_server() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.call("lab1", "VM.snapshot", json!([vm.reference, "before the upgrade"]));
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_copy_that_a_person_made_stays() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let copies = "data \"dynvm_server\" \"copy\" {\n  name = \"copy\"\n}\n";
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.control().set_power_state(&vm.uuid(), "Halted").expect("halted");
        let copy = text(&lab.call("lab1", "VM.clone", json!([vm.reference, "copy"])));
        let uuid = text(&lab.call("lab1", "VM.get_uuid", json!([copy])));
        let disks = || {
            let all = lab.records("lab1", "VBD").into_values();
            let of_copy = all.filter(|vbd| vbd["VM"] == copy.as_str() && vbd["type"] == "Disk");
            of_copy.map(|vbd| text(&vbd["VDI"])).collect::<Vec<_>>()
        };
        let before = disks();
        assert_eq!(before.len(), 1);
        workspace.destroy();
        assert!(!lab.has_vm(&vm.uuid()));
        assert!(lab.has_vm(&uuid), "what inherits the marks is not dynvm's");
        assert_eq!(disks(), before);
        workspace.main(&[&lab.provider().to_string(), copies]);
        workspace.apply();
        assert_eq!(workspace.state().values("data.dynvm_server.copy")["managed"], false);
    });
}

#[test]
fn from_any_power_state() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        for state in ["Paused", "Halted", "Suspended"] {
            workspace.apply();
            let vm = lab.vm(&workspace.state().text(A, "id"));
            match state {
                "Suspended" => drop(lab.call("lab1", "VM.suspend", json!([vm.reference]))),
                other => lab.control().set_power_state(&vm.uuid(), other).expect("the state"),
            }
            workspace.destroy();
            assert_unchanged(&lab, &before);
        }
    });
}

#[test]
fn already_gone_is_success() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        lab.control()
            .destroy_vm(&workspace.state().text(A, "id"))
            .expect("gone");
        let outcome = workspace.run(&["destroy", "-refresh=false", "-auto-approve", "-input=false", "-json"]);
        let warnings = outcome.expect_code(0).warnings();
        assert!(
            warnings
                .iter()
                .all(|warning| warning.summary == "Unencrypted connection"),
            "{warnings:#?}"
        );
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_server_that_became_a_template_is_not_deleted() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        lab.control().set_power_state(&vm.uuid(), "Halted").expect("halted");
        lab.call("lab1", "VM.set_is_a_template", json!([vm.reference, true]));
        let world = lab.world();
        workspace.try_destroy().only_error().expect_text("template");
        assert_unchanged(&lab, &world);
        assert_eq!(workspace.state().addresses(), [A], "the state stays");
    });
}

#[test]
fn a_vm_with_the_marks_of_another_is_refused() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let vm = lab.vm(&workspace.state().text(A, "id"));
        let other = "00000000-1111-4222-8333-444444444444";
        let foreign = vm
            .other_config()
            .into_iter()
            .map(|(key, value)| (key.replace(&vm.uuid(), other), value.replace(&vm.uuid(), other)));
        lab.control()
            .set_other_config(&vm.uuid(), foreign.collect())
            .expect("other_config");
        let tags = vm.tags().into_iter().map(|tag| tag.replace(&vm.uuid(), other));
        lab.control().set_tags(&vm.uuid(), tags.collect()).expect("tags");
        let outcome = workspace.run(&["destroy", "-refresh=false", "-auto-approve", "-input=false", "-json"]);
        outcome.only_error().expect_text("nothing was changed");
        assert!(lab.has_vm(&vm.uuid()));
    });
}

/// Terraform hands on nothing of what is remembered about a tainted server when it is replaced.
#[test]
fn a_tainted_server_is_replaced() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        let first = workspace.state().text(A, "id");
        workspace.run(&["taint", A]).expect_success();
        workspace.apply();
        workspace.expect_empty_plan();
        assert_ne!(workspace.state().text(A, "id"), first);
        assert!(!lab.has_vm(&first));

        // Gone between plan and apply.
        let second = workspace.state().text(A, "id");
        workspace.run(&["taint", A]).expect_success();
        workspace.plan();
        lab.control().destroy_vm(&second).expect("it is there");
        workspace.run(&["apply", "-input=false", "tfplan"]).expect_success();
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}

#[test]
fn a_tainted_server_is_gone_only_on_the_word_of_its_own_pool() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let workspace = lab.workspace(tool, &[&in_lab1()]);
        workspace.apply();
        let id = workspace.state().text(A, "id");
        workspace.run(&["taint", A]).expect_success();
        workspace.plan();
        lab.control().replace_pool("lab1").expect("another pool");
        let error = workspace
            .run(&["apply", "-input=false", "-json", "tfplan"])
            .only_error();
        error.expect_text(&id).expect_text("another pool than the one");
        assert_eq!(workspace.state().addresses(), [A], "it stays in the state");
        workspace.try_plan().only_error().expect_text(&id);
    });
}

#[test]
fn a_tainted_server_that_cannot_be_destroyed_stays_known() {
    under_each_tool(|tool| {
        let lab = Lab::standard();
        let before = lab.world();
        let workspace = lab.workspace(tool, &[SERVER]);
        workspace.apply();
        workspace.run(&["taint", A]).expect_success();
        let broken = FaultKind::Error {
            code: "INTERNAL_ERROR".to_owned(),
            params: Vec::new(),
        };
        lab.control().fault(FaultRule::always("VM.destroy", broken));
        workspace.try_apply().only_error().expect_text("INTERNAL_ERROR");
        lab.control().clear_faults();
        workspace.apply();
        workspace.expect_empty_plan();
        workspace.destroy();
        assert_unchanged(&lab, &before);
    });
}
