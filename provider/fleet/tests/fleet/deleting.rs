//! Deleting: what goes, what is kept, what is refused.

use fleet::{Error, Uuid};
use serde_json::{Value, json};
use ulid::Ulid;

use crate::lab::{Lab, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_a_person_attached_is_detached_kept_and_reported() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vdi = lab.attach_disk(&server, json!({})).await;
    let report = lab.delete(&server).await.unwrap();
    assert_eq!(report.kept_disks.len(), 1);
    let kept = &report.kept_disks[0];
    assert_eq!(kept.name, "a person's data");
    let record = lab.call("VDI.get_record", json!([vdi])).await;
    assert_eq!(record["uuid"], json!(kept.uuid.to_string()));
    assert_eq!(record["VBDs"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_disk_that_another_vm_uses_is_kept() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let other = lab.create(spec("other")).await.unwrap();
    let (vm, user) = (lab.vm(&server).await, lab.vm(&other).await);
    lab.call("VM.hard_shutdown", json!([vm])).await;
    lab.call("VM.hard_shutdown", json!([user])).await;
    let record = lab.vm_record(&server).await;
    let mut disk = Value::Null;
    for vbd in record["VBDs"].as_array().unwrap() {
        let vbd = lab.call("VBD.get_record", json!([vbd])).await;
        if vbd["type"] == "Disk" {
            disk = vbd["VDI"].clone();
        }
    }
    let vbd = json!({
        "VM": user, "VDI": disk, "userdevice": "7", "bootable": false, "mode": "RW", "type": "Disk", "empty": false,
        "unpluggable": true, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {},
    });
    lab.call("VBD.create", json!([vbd])).await;
    let report = lab.delete(&server).await.unwrap();
    assert_eq!(report.kept_disks.len(), 1);
    assert!(report.kept_disks[0].reason.contains("another VM"), "{report:?}");
    lab.call("VDI.get_record", json!([disk])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_and_suspend_images_go_with_the_server() {
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.snapshot", json!([vm, "before the update"])).await;
    lab.call("VM.suspend", json!([vm])).await;
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_became_a_template_is_left_alone() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.hard_shutdown", json!([vm])).await;
    lab.call("VM.set_is_a_template", json!([vm, true])).await;
    let before = lab.world();
    let error = lab.delete(&server).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotOurs { .. }) && error.to_string().contains("template"),
        "{error}"
    );
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_decide_only_where_they_are_there() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let other = lab.create(spec("other")).await.unwrap();
    let record = lab.vm_record(&other).await;
    let id = server.id.to_string();
    let stranger = serde_json::from_value(record["other_config"].clone()).unwrap();
    lab.control.set_other_config(&id, stranger).unwrap();
    let error = lab.delete(&server).await.unwrap_err();
    assert!(error.to_string().contains(&other.id.to_string()), "{error}");

    lab.control.set_other_config(&id, Default::default()).unwrap();
    lab.control.set_tags(&id, Vec::new()).unwrap();
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.read(&server.key()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_request_and_another_pool_are_refused() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let fleet = lab.second();
    let delete = |key: fleet::ServerKey| {
        let fleet = std::sync::Arc::clone(&fleet);
        async move {
            fleet
                .delete(&key, std::time::Duration::from_secs(60), Default::default())
                .await
        }
    };
    let key = fleet::ServerKey {
        request_id: Some(Ulid::new()),
        ..server.key()
    };
    assert!(matches!(delete(key).await.unwrap_err(), Error::NotOurs { .. }));
    let key = fleet::ServerKey {
        pool_uuid: Uuid::from_bytes([7; 16]),
        ..server.key()
    };
    assert!(matches!(delete(key).await.unwrap_err(), Error::OtherPool { .. }));
    let key = fleet::ServerKey {
        pool: "lab7".into(),
        ..server.key()
    };
    assert!(matches!(delete(key).await.unwrap_err(), Error::UnknownPool { .. }));
    assert!(lab.read(&server.key()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_from_any_power_state() {
    let lab = Lab::small().await;
    let before = lab.world();
    for method in ["VM.pause", "VM.suspend", "VM.hard_shutdown", "VM.clean_shutdown"] {
        let server = lab.create(spec("web")).await.unwrap();
        let vm = lab.vm(&server).await;
        lab.call(method, json!([vm])).await;
        lab.delete(&server).await.unwrap();
        assert_eq!(lab.world(), before, "{method}");
    }
}

/// Makes a template of a server, as a person would: it keeps the server's marks.
async fn template_of_a_server(lab: &Lab) -> String {
    let server = lab.create(spec("golden")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.hard_shutdown", json!([vm])).await;
    let copy = lab.call("VM.clone", json!([vm, "tmpl-of-a-server"])).await;
    lab.call("VM.set_is_a_template", json!([copy, true])).await;
    lab.delete(&server).await.unwrap();
    "tmpl-of-a-server".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inherited_marks_are_nobodys() {
    let lab = Lab::small().await;
    let template = template_of_a_server(&lab).await;
    let before = lab.world();
    let server = lab.create(crate::lab::spec_of("web", &template)).await.unwrap();
    assert!(server.managed && server.disk_bytes == 20 << 30);
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_born_server_with_inherited_marks_can_be_destroyed() {
    let lab = Lab::small().await;
    let template = template_of_a_server(&lab).await;
    let before = lab.world();
    let refused = || sim::FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    };
    lab.control
        .fault(sim::FaultRule::once("VM.set_other_config", refused()));
    lab.control.fault(sim::FaultRule::once("VDI.destroy", refused()));
    let failure = lab.create(crate::lab::spec_of("web", &template)).await.unwrap_err();
    let left = failure.left.unwrap();
    let report = lab.delete(&left).await.unwrap();
    assert!(report.kept_disks.is_empty(), "{report:?}");
    assert_eq!(lab.world(), before);
}
