//! What copies of a VM take over from it, and what is seen of them while they are made.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use serde_json::{Value as Json, json};
use sim::ClockMode;

const OWNER: &str = "tool:owner";

/// A VM whose record and disk say whose they are.
async fn marked(lab: &Lab) -> String {
    let vm = lab.clone_of("linux", "marked").await;
    let disk = lab.disks(&vm).await.remove(0);
    lab.call("VM.add_tags", vec![json!(vm), json!("mine")]).await;
    for (class, object) in [("VM", &vm), ("VDI", &disk)] {
        let mark = vec![json!(object), json!(OWNER), json!("me")];
        lab.call(&format!("{class}.add_to_other_config"), mark).await;
    }
    vm
}

async fn running(lab: &Lab) -> String {
    let vm = marked(lab).await;
    lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
    lab.address(&vm, "10.1.0.").await;
    vm
}

/// The only disk of a copy, which is none of the source's.
async fn check(lab: &Lab, source: &str, copy: &str) -> Json {
    let record = lab.record("VM", copy).await;
    assert_eq!(record["tags"], json!(["golden", "mine"]));
    assert_eq!(record["other_config"][OWNER], "me");
    assert_ne!(record["uuid"], lab.record("VM", source).await["uuid"]);
    let (old, new) = (lab.disks(source).await, lab.disks(copy).await);
    assert!(old.len() == 1 && new.len() == 1 && old != new);
    let disk = lab.record("VDI", &new[0]).await;
    assert_eq!(disk["other_config"], json!({ OWNER: "me" }));
    disk
}

#[tokio::test]
async fn marks_of_a_vm_and_of_its_disks_are_on_every_copy() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = marked(&lab).await;
    let clone = lab.text("VM.clone", vec![json!(vm), json!("clone")]).await;
    assert_eq!(check(&lab, &vm, &clone).await["is_a_snapshot"], false);
    let far = lab.by_name("SR", "local2").await;
    let copy = lab.text("VM.copy", vec![json!(vm), json!("copy"), json!(far)]).await;
    assert_eq!(check(&lab, &vm, &copy).await["SR"], json!(far));
    let snapshot = lab.text("VM.snapshot", vec![json!(vm), json!("snapshot")]).await;
    let disk = check(&lab, &vm, &snapshot).await;
    assert_eq!((&disk["is_a_snapshot"], &disk["managed"]), (&json!(true), &json!(true)));
    assert_eq!(disk["snapshot_of"], json!(lab.disks(&vm).await[0]));
}

#[tokio::test]
async fn a_vm_that_became_a_template_gives_its_marks_on() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = marked(&lab).await;
    lab.call("VM.set_is_a_template", vec![json!(vm), json!(true)]).await;
    let template = lab.record("VM", &vm).await;
    assert_eq!(
        (&template["is_a_template"], &template["metrics"]),
        (&json!(true), &json!("OpaqueRef:NULL"))
    );
    let start = vec![json!(vm), json!(false), json!(false)];
    lab.fails("VM.start", start, "VM_IS_TEMPLATE").await;
    let clone = lab.text("VM.clone", vec![json!(vm), json!("clone")]).await;
    check(&lab, &vm, &clone).await;
    let record = lab.record("VM", &clone).await;
    assert_eq!(record["is_a_template"], true);
    assert_eq!(record["other_config"]["base_template_name"], "marked");
    lab.call("VM.set_is_a_template", vec![json!(clone), json!(false)]).await;
    let running = running(&lab).await;
    let failure = lab.fails(
        "VM.set_is_a_template",
        vec![json!(running), json!(true)],
        "VM_BAD_POWER_STATE",
    );
    assert_eq!(failure.await[1..], ["halted", "running"]);
}

#[tokio::test]
async fn a_clone_in_flight_is_a_disk_without_a_vm() {
    let lab = Lab::start(ClockMode::Manual).await;
    let template = lab.by_name("VM", "linux").await;
    let managed = async || {
        let found = lab
            .call("VDI.get_all_records_where", vec![json!("field \"managed\"=\"true\"")])
            .await;
        found.as_object().unwrap().clone()
    };
    // Two disks: the first is there while the second is made.
    let sr = lab.by_name("SR", "thin").await;
    let extra = json!({"SR": sr, "virtual_size": 1 << 30, "type": "user", "sharable": false, "read_only": false, "other_config": {}});
    let second = std::time::Duration::from_secs(1);
    lab.text("Async.VDI.create", vec![extra]).await;
    lab.control.advance(second * 2).await.unwrap();
    let loose = managed()
        .await
        .into_iter()
        .find(|(_, vdi)| vdi["VBDs"] == json!([]) && vdi["SR"] == json!(sr));
    let device = json!({"VM": template, "VDI": loose.unwrap().0, "userdevice": "1", "bootable": false, "mode": "RW",
        "type": "Disk", "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}});
    lab.call("VBD.create", vec![device]).await;
    let before = managed().await;
    let task = lab.text("Async.VM.clone", vec![json!(template), json!("x")]).await;
    lab.control.advance(second * 5 / 2).await.unwrap();
    let operations = lab.record("VM", &template).await["current_operations"].clone();
    assert_eq!(operations, json!({ task.clone(): "clone" }));
    let made: Vec<Json> = managed()
        .await
        .into_iter()
        .filter(|(vdi, _)| !before.contains_key(vdi))
        .map(|(_, vdi)| vdi)
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["VBDs"], json!([]), "nobody's yet");
    assert_eq!(lab.call("VM.get_by_name_label", vec![json!("x")]).await, json!([]));
    lab.control.advance(second * 3).await.unwrap();
    let clone = lab.by_name("VM", "x").await;
    assert_eq!(lab.disks(&clone).await.len(), 2, "all at once");
    assert_eq!(lab.record("VM", &template).await["current_operations"], json!({}));
}

#[tokio::test]
async fn a_hard_shutdown_ends_every_state_and_its_image() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = running(&lab).await;
    let state = async || lab.record("VM", &vm).await["power_state"].clone();
    lab.call("VM.pause", vec![json!(vm)]).await;
    assert_eq!(state().await, "Paused");
    lab.fails("VM.destroy", vec![json!(vm)], "VM_BAD_POWER_STATE").await;
    lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
    assert_eq!(state().await, "Halted");
    lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
    lab.address(&vm, "10.1.0.").await;
    lab.call("VM.suspend", vec![json!(vm)]).await;
    let image = lab.text("VM.get_suspend_VDI", vec![json!(vm)]).await;
    assert_eq!(lab.record("VDI", &image).await["VBDs"], json!([]));
    lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
    let halted = lab.record("VM", &vm).await;
    assert_eq!(
        (&halted["power_state"], &halted["suspend_VDI"]),
        (&json!("Halted"), &json!("OpaqueRef:NULL"))
    );
    lab.fails("VDI.get_record", vec![json!(image)], "HANDLE_INVALID").await;
}

#[tokio::test]
async fn a_suspended_vm_that_is_destroyed_leaves_its_image() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = marked(&lab).await;
    let uuid = lab.text("VM.get_uuid", vec![json!(vm)]).await;
    lab.control.set_power_state(&uuid, "Running").unwrap();
    let before = lab.control.world();
    lab.control.set_power_state(&uuid, "Suspended").unwrap();
    let image = lab.text("VM.get_suspend_VDI", vec![json!(vm)]).await;
    let record = lab.record("VDI", &image).await;
    assert_eq!((&record["type"], &record["managed"]), (&json!("suspend"), &json!(true)));
    lab.control.set_power_state(&uuid, "Running").unwrap();
    lab.fails("VDI.get_record", vec![json!(image)], "HANDLE_INVALID").await;
    assert_eq!(lab.control.world()["one"]["VDI"], before["one"]["VDI"]);
    lab.control.set_power_state(&uuid, "Suspended").unwrap();
    let image = lab.text("VM.get_suspend_VDI", vec![json!(vm)]).await;
    lab.destroy(&vm).await;
    assert_eq!(lab.record("VDI", &image).await["type"], "suspend");
    lab.call("VDI.destroy", vec![json!(image)]).await;
}

#[tokio::test]
async fn a_checkpoint_is_a_snapshot_with_an_image() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = running(&lab).await;
    let checkpoint = lab.text("VM.checkpoint", vec![json!(vm), json!("c")]).await;
    check(&lab, &vm, &checkpoint).await;
    let record = lab.record("VM", &checkpoint).await;
    assert_eq!(
        (&record["power_state"], &record["is_a_snapshot"], &record["snapshot_of"]),
        (&json!("Suspended"), &json!(true), &json!(vm))
    );
    let image = record["suspend_VDI"].as_str().unwrap().to_owned();
    let disk = lab.record("VDI", &image).await;
    assert_eq!(
        (&disk["type"], &disk["is_a_snapshot"]),
        (&json!("suspend"), &json!(true))
    );
    let source = lab.record("VM", &vm).await;
    assert_eq!(
        (&source["power_state"], &source["suspend_VDI"], &source["snapshots"]),
        (&json!("Running"), &json!("OpaqueRef:NULL"), &json!([checkpoint]))
    );
    lab.destroy(&checkpoint).await;
    lab.call("VDI.destroy", vec![json!(image)]).await;
    lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
    lab.fails("VM.checkpoint", vec![json!(vm), json!("c")], "VM_BAD_POWER_STATE")
        .await;
}

#[tokio::test]
async fn blocked_operations_are_refused_first_and_are_not_inherited() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = marked(&lab).await;
    for op in ["destroy", "hard_shutdown"] {
        let block = vec![json!(vm), json!(op), json!("by hand")];
        lab.call("VM.add_to_blocked_operations", block).await;
    }
    for method in ["VM.destroy", "VM.hard_shutdown"] {
        let refused = lab.fails(method, vec![json!(vm)], "OPERATION_BLOCKED").await;
        assert_eq!(refused, [vm.clone(), "by hand".to_owned()], "also for a halted one");
    }
    let clone = lab.text("VM.clone", vec![json!(vm), json!("free")]).await;
    assert_eq!(lab.record("VM", &clone).await["blocked_operations"], json!({}));
    lab.destroy(&clone).await;
    lab.call("VM.set_blocked_operations", vec![json!(vm), json!({})]).await;
    lab.destroy(&vm).await;
}
