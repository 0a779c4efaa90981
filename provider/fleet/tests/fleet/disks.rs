//! Which disks go with a server, and which are somebody else's.

use std::collections::BTreeSet;

use fleet::{DeleteReport, Server};
use serde_json::{Value, json};
use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, spec, spec_of};

/// On the simulator's clock; long enough for a colleague to attach a disk meanwhile.
const A_WHILE: FaultKind = FaultKind::Delay(200_000);

fn refused() -> FaultKind {
    FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    }
}

/// Creates a server and stops it.
async fn halted(lab: &Lab, name: &str, template: &str) -> (Server, Value) {
    let server = lab.create(spec_of(name, template)).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.hard_shutdown", json!([vm])).await;
    (server, vm)
}

/// The drives of a VM that hold disks, with the disks.
async fn drives(lab: &Lab, vm: &Value) -> Vec<(Value, Value)> {
    let record = lab.call("VM.get_record", json!([vm])).await;
    let mut drives = Vec::new();
    for vbd in record["VBDs"].as_array().unwrap() {
        let drive = lab.call("VBD.get_record", json!([vbd])).await;
        if drive["type"] == "Disk" {
            drives.push((vbd.clone(), drive["VDI"].clone()));
        }
    }
    drives
}

/// Attaches a disk to a VM, as a person's tool does to a disk that hangs on nothing else.
async fn attach(lab: &Lab, vm: &Value, disk: &Value, device: &str) -> Value {
    let vbd = json!({
        "VM": vm, "VDI": disk, "userdevice": device, "bootable": false, "mode": "RW", "type": "Disk", "empty": false,
        "unpluggable": true, "other_config": { "owner": "" }, "qos_algorithm_type": "", "qos_algorithm_params": {},
    });
    lab.call("VBD.create", json!([vbd])).await
}

async fn disk(lab: &Lab, vdi: &Value) -> Value {
    lab.call("VDI.get_record", json!([vdi])).await
}

fn kept(report: &DeleteReport) -> BTreeSet<String> {
    report.kept_disks.iter().map(|disk| disk.uuid.to_string()).collect()
}

/// What `VM.revert` makes of a VM's only disk: a clone of the snapshot's in its place.
async fn reverted(lab: &Lab, vm: &Value) {
    let snapshot = lab.call("VM.snapshot", json!([vm, "before"])).await;
    let (_, of_snapshot) = drives(lab, &snapshot).await.remove(0);
    let (drive, before) = drives(lab, vm).await.remove(0);
    let now = lab.call("VDI.clone", json!([of_snapshot])).await;
    lab.call("VBD.destroy", json!([drive])).await;
    lab.call("VDI.destroy", json!([before])).await;
    attach(lab, vm, &now, "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reverted_server_goes_with_the_disk_that_the_revert_made() {
    let lab = Lab::small().await;
    let before = lab.world();
    let (server, vm) = halted(&lab, "web", "tmpl-debian12").await;
    for _ in 0..2 {
        reverted(&lab, &vm).await;
    }
    let read = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert_eq!(read.disk_bytes, server.disk_bytes);
    let report = lab.delete(&server).await.unwrap();
    assert!(report.kept_disks.is_empty(), "{report:?}");
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_of_a_revert_that_another_vm_uses_is_kept() {
    let lab = Lab::small().await;
    let (server, vm) = halted(&lab, "web", "tmpl-debian12").await;
    let (_, user) = halted(&lab, "other", "tmpl-debian12").await;
    reverted(&lab, &vm).await;
    let (_, vdi) = drives(&lab, &vm).await.remove(0);
    let vbd = attach(&lab, &user, &vdi, "7").await;
    let report = lab.delete(&server).await.unwrap();
    assert!(report.kept_disks[0].reason.contains("another VM"), "{report:?}");
    assert_eq!(disk(&lab, &vdi).await["VBDs"], json!([vbd]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_beside_its_original_is_kept() {
    let lab = Lab::small().await;
    let (server, vm) = halted(&lab, "web", "tmpl-debian12").await;
    let (_, original) = drives(&lab, &vm).await.remove(0);
    let copy = lab.call("VDI.clone", json!([original])).await;
    attach(&lab, &vm, &copy, "7").await;
    let read = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert_eq!(read.disk_bytes, server.disk_bytes);
    let report = lab.delete(&server).await.unwrap();
    assert_eq!(report.kept_disks.len(), 1);
    assert!(report.kept_disks[0].reason.contains("copy"), "{report:?}");
    assert_eq!(disk(&lab, &copy).await["VBDs"], json!([]));
}

/// Deletes a server, and attaches these disks to another VM once the first `VDI.destroy` after so many others is on its way:
/// this one has been looked at already, and goes. Gives the drives.
async fn attached_while_deleting(
    lab: &Lab,
    server: &Server,
    others: u64,
    user: &Value,
    disks: &[Value],
) -> (DeleteReport, Vec<Value>) {
    lab.control.fault(FaultRule {
        skip: others,
        ..FaultRule::once("VDI.destroy", A_WHILE)
    });
    lab.control.reset_requests();
    let attached = async {
        let sent = || lab.control.request_counts().get("VDI.destroy").copied();
        while sent() != Some(others + 1) {
            tokio::task::yield_now().await;
        }
        let mut drives = Vec::new();
        for (disk, device) in disks.iter().zip(["7", "8"]) {
            drives.push(attach(lab, user, disk, device).await);
        }
        drives
    };
    let (report, drives) = tokio::join!(lab.delete(server), attached);
    (report.unwrap(), drives)
}

/// Checks that the disk whose turn had not come is there with the drive that it was given, and was told of.
async fn check_kept(lab: &Lab, report: &DeleteReport, drives: &[Value], user: &Value) {
    assert_eq!(report.kept_disks.len(), 1, "{report:?}");
    assert!(report.kept_disks[0].reason.contains("another VM"), "{report:?}");
    let vdi = lab
        .call("VDI.get_by_uuid", json!([report.kept_disks[0].uuid.to_string()]))
        .await;
    let left = disk(lab, &vdi).await["VBDs"].clone();
    assert!(
        left.as_array().unwrap().len() == 1 && drives.contains(&left[0]),
        "{left}"
    );
    let of_user = lab.call("VM.get_VBDs", json!([user])).await;
    assert!(of_user.as_array().unwrap().contains(&left[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_attached_elsewhere_while_it_waits_for_its_turn_is_kept() {
    let lab = Lab::small().await;
    let (_, user) = halted(&lab, "other", "tmpl-debian12").await;
    let (server, vm) = halted(&lab, "web", "tmpl-two-nics").await;
    let disks: Vec<Value> = drives(&lab, &vm).await.into_iter().map(|(_, vdi)| vdi).collect();
    let (report, drives) = attached_while_deleting(&lab, &server, 0, &user, &disks).await;
    check_kept(&lab, &report, &drives, &user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_a_disk_of_a_snapshot() {
    let lab = Lab::small().await;
    let (_, user) = halted(&lab, "other", "tmpl-debian12").await;
    let (server, vm) = halted(&lab, "web", "tmpl-two-nics").await;
    let snapshot = lab.call("VM.snapshot", json!([vm, "before"])).await;
    let disks: Vec<Value> = drives(&lab, &snapshot).await.into_iter().map(|(_, vdi)| vdi).collect();
    let (report, drives) = attached_while_deleting(&lab, &server, 2, &user, &disks).await;
    check_kept(&lab, &report, &drives, &user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_domain_that_has_a_disk_for_a_moment_is_no_other_vm() {
    let lab = Lab::small().await;
    let before = lab.world();
    let (server, vm) = halted(&lab, "web", "tmpl-two-nics").await;
    let disks: Vec<Value> = drives(&lab, &vm).await.into_iter().map(|(_, vdi)| vdi).collect();
    let domains = lab
        .call("VM.get_all_where", json!(["field \"is_control_domain\"=\"true\""]))
        .await;
    let (report, _) = attached_while_deleting(&lab, &server, 0, &domains[0], &disks).await;
    assert!(report.kept_disks.is_empty(), "{report:?}");
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_let_go_of_before_it_is_judged_is_nobody_elses() {
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    let (_, vdi) = drives(&lab, &vm).await.remove(0);
    let domains = lab
        .call("VM.get_all_where", json!(["field \"is_control_domain\"=\"true\""]))
        .await;
    let passing = attach(&lab, &domains[0], &vdi, "7").await;
    // The server has been read by then, with the drive.
    lab.control.fault(FaultRule::once("VM.hard_shutdown", A_WHILE));
    lab.control.reset_requests();
    let let_go = async {
        while !lab.control.request_counts().contains_key("VM.hard_shutdown") {
            tokio::task::yield_now().await;
        }
        lab.call("VBD.destroy", json!([passing])).await;
    };
    let (report, ()) = tokio::join!(lab.delete(&server), let_go);
    assert!(report.as_ref().unwrap().kept_disks.is_empty(), "{report:?}");
    assert_eq!(lab.world(), before);
}

/// A clone whose creator could neither mark nor remove it.
async fn half_born(lab: &Lab, template: &str) -> (Server, Value) {
    lab.control.fault(FaultRule::once("VM.set_other_config", refused()));
    lab.control.fault(FaultRule::once("VDI.destroy", refused()));
    let failure = lab.create(spec_of("half", template)).await.unwrap_err();
    lab.control.clear_faults();
    let left = failure.left.unwrap();
    let vm = lab.vm(&left).await;
    (left, vm)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_born_server_does_not_take_what_a_tool_calls_its_own() {
    let lab = Lab::small().await;
    let (left, vm) = half_born(&lab, "tmpl-debian12").await;
    let vdi = lab.attach_disk(&left, json!({ "owner": "" })).await;
    let own = drives(&lab, &vm)
        .await
        .into_iter()
        .map(|(_, disk)| disk)
        .find(|disk| *disk != vdi);
    let report = lab.delete(&left).await.unwrap();
    let uuid = disk(&lab, &vdi).await["uuid"].clone();
    assert_eq!(json!(kept(&report)), json!([uuid]));
    let all = lab.call("VDI.get_all", json!([])).await;
    assert!(!all.as_array().unwrap().contains(&own.unwrap()), "its own goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_the_disk_of_another_server_in_the_place_of_its_own() {
    let lab = Lab::small().await;
    let (_, other) = halted(&lab, "other", "tmpl-debian12").await;
    let (drive, vdi) = drives(&lab, &other).await.remove(0);
    lab.call("VBD.destroy", json!([drive])).await;
    let (left, vm) = half_born(&lab, "tmpl-debian12").await;
    let (drive, _) = drives(&lab, &vm).await.remove(0);
    lab.call("VBD.destroy", json!([drive])).await;
    attach(&lab, &vm, &vdi, "0").await;
    let report = lab.delete(&left).await.unwrap();
    assert!(report.kept_disks[0].reason.contains("mark of VM"), "{report:?}");
    assert_eq!(disk(&lab, &vdi).await["VBDs"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_tells_what_a_clone_was_born_with_nothing_goes_but_the_clone() {
    let lab = Lab::small().await;
    let (left, vm) = half_born(&lab, "tmpl-debian12").await;
    let templates = lab.call("VM.get_by_name_label", json!(["tmpl-debian12"])).await;
    lab.call("VM.set_name_label", json!([templates[0], "renamed"])).await;
    let (_, vdi) = drives(&lab, &vm).await.remove(0);
    let report = lab.delete(&left).await.unwrap();
    assert_eq!(json!(kept(&report)), json!([disk(&lab, &vdi).await["uuid"]]));
    assert_eq!(lab.read(&left.key()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_nobody_saw_goes_with_its_disks() {
    let lab = Lab::small().await;
    let before = lab.world();
    // Neither the changes since nor the record can be read: the undo has to find out by itself.
    lab.control.fault(FaultRule {
        skip: 1,
        ..FaultRule::once("event.from", refused())
    });
    lab.control.fault(FaultRule::once("VM.get_record", refused()));
    let failure = lab.create(spec("web")).await.unwrap_err();
    assert!(failure.left.is_none(), "{}", failure.error);
    assert_eq!(lab.world(), before);
}
