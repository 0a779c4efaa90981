//! Disks and the SR lock.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use serde_json::json;
use sim::{ClockMode, World};

#[tokio::test]
async fn operations_on_one_sr_come_one_after_the_other() {
    let lab = Lab::start(ClockMode::Auto).await;
    let template = lab.by_name("VM", "linux").await;
    let clone = |n: u32| lab.call("VM.clone", vec![json!(template), json!(format!("x{n}"))]);
    tokio::join!(clone(1), clone(2), clone(3));
    let mut operations = lab.control.sr_operations();
    operations.retain(|op| op.operation == "vdi_clone");
    operations.sort_by_key(|op| op.started_us);
    assert_eq!(operations.len(), 3);
    for pair in operations.windows(2) {
        assert!(pair[0].ended_us.unwrap() <= pair[1].started_us, "{pair:?}");
    }
    assert!(operations.iter().any(|op| op.conflicts > 0));
}

#[tokio::test]
async fn more_than_a_hundred_waiting_calls_are_too_many() {
    let lab = Lab::start(ClockMode::Manual).await;
    let sr = lab.by_name("SR", "thin").await;
    let mut scans = tokio::task::JoinSet::new();
    for _ in 0..105 {
        let (control, sr) = (lab.control.clone(), sr.clone());
        scans.spawn(async move { control.call("one", "SR.scan", vec![json!(sr)]).await });
    }
    // One runs and a hundred wait; the clock stands still, so only the refused ones end.
    for _ in 0..4 {
        let refused = scans.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused, ["TOO_MANY_PENDING_TASKS"]);
    }
}

#[tokio::test]
async fn disks_in_use_full_and_wrong() {
    let lab = Lab::start(ClockMode::Auto).await;
    let sr = lab.by_name("SR", "thin").await;
    let disk = |sr: &str, bytes: i64| json!({"SR": sr, "virtual_size": bytes, "type": "user", "sharable": false, "read_only": false, "other_config": {}});
    lab.control.set_sr_free("one", "thin", 1 << 20).unwrap();
    let full = lab
        .fails("VDI.create", vec![disk(&sr, 1 << 30)], "SR_BACKEND_FAILURE_44")
        .await;
    assert_eq!(full, ["", "There is insufficient space", ""]);
    lab.control.set_sr_free("one", "thin", 100 << 30).unwrap();
    let vdi = lab.text("VDI.create", vec![disk(&sr, 1 << 30)]).await;
    let isos = lab.by_name("SR", "isos").await;
    lab.fails("VDI.create", vec![disk(&isos, 1 << 30)], "SR_OPERATION_NOT_SUPPORTED")
        .await;
    lab.fails("VDI.resize", vec![json!(vdi), json!(5)], "SR_BACKEND_FAILURE_79")
        .await;
    lab.call("VDI.resize", vec![json!(vdi), json!(2_i64 << 30)]).await;
    let missing = lab.fails("VDI.create", vec![json!({"SR": sr})], "INTERNAL_ERROR").await;
    assert!(missing[0].contains("Dispatcher_FieldNotFound"), "{missing:?}");
    let vm = lab.by_name("VM", "foreign").await;
    let vbd = |device: &str| {
        json!({"VM": vm, "VDI": vdi, "userdevice": device, "bootable": false, "mode": "RW", "type": "Disk",
               "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}})
    };
    assert_eq!(
        lab.fails("VBD.create", vec![vbd("0")], "DEVICE_ALREADY_EXISTS").await,
        ["0"]
    );
    let plugged = lab.text("VBD.create", vec![vbd("autodetect")]).await;
    assert_eq!(lab.record("VBD", &plugged).await["userdevice"], "1");
    lab.call("VBD.plug", vec![json!(plugged)]).await;
    lab.fails("VDI.destroy", vec![json!(vdi)], "VDI_IN_USE").await;
    lab.call("VBD.unplug", vec![json!(plugged)]).await;
    lab.call("VDI.destroy", vec![json!(vdi)]).await;
    lab.fails("VBD.get_record", vec![json!(plugged)], "HANDLE_INVALID")
        .await;
}

#[tokio::test]
async fn copies_move_to_another_sr_and_snapshots_outlive_their_vm() {
    let lab = Lab::start(ClockMode::Auto).await;
    let sr = lab.by_name("SR", "local2").await;
    let template = lab.by_name("VM", "linux").await;
    let copy = lab
        .text("VM.copy", vec![json!(template), json!("far"), json!(sr)])
        .await;
    let disk = lab.disks(&copy).await.remove(0);
    assert_eq!(lab.record("VDI", &disk).await["SR"], json!(sr));
    let vm = lab.clone_of("linux", "x").await;
    let snapshot = lab.text("VM.snapshot", vec![json!(vm), json!("s")]).await;
    let record = lab.record("VM", &snapshot).await;
    assert_eq!(
        (&record["is_a_template"], &record["is_a_snapshot"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(lab.record("VM", &vm).await["snapshots"], json!([snapshot]));
    lab.fails(
        "VM.start",
        vec![json!(snapshot), json!(false), json!(false)],
        "VM_IS_SNAPSHOT",
    )
    .await;
    lab.destroy(&vm).await;
    assert_eq!(
        lab.record("VM", &snapshot).await["snapshot_of"],
        json!(vm),
        "it dangles"
    );
    lab.destroy(&snapshot).await;
}

#[tokio::test]
async fn freed_space_shows_later() {
    let lab = Lab::start(ClockMode::Manual).await;
    let sr = lab.by_name("SR", "thin").await;
    let used = async || lab.record("SR", &sr).await["physical_utilisation"].as_i64().unwrap();
    let second = std::time::Duration::from_secs(1);
    let before = used().await;
    let template = lab.by_name("VM", "linux").await;
    lab.text("Async.VM.clone", vec![json!(template), json!("x")]).await;
    lab.control.advance(second * 3).await.unwrap();
    let vm = lab.by_name("VM", "x").await;
    let cloned = used().await;
    assert!(cloned > before);
    let disk = lab.disks(&vm).await.remove(0);
    lab.text("Async.VDI.destroy", vec![json!(disk)]).await;
    lab.control.advance(second * 2).await.unwrap();
    lab.fails("VDI.get_record", vec![json!(disk)], "HANDLE_INVALID").await;
    assert_eq!(used().await, cloned, "not collected yet");
    lab.control.advance(second * 10).await.unwrap();
    assert!(used().await < cloned);
}

#[tokio::test]
async fn a_clone_that_fails_half_way_takes_its_disks_back() {
    let mut world = World::from_hcl(lab::WORLD).unwrap();
    world.pools["one"].templates["linux"].disks_gib = vec![20, 20];
    let lab = Lab::with(world, ClockMode::Auto).await;
    let template = lab.by_name("VM", "linux").await;
    let before = lab.control.world();
    lab.control.set_sr_free("one", "thin", 40 << 20).unwrap();
    lab.fails("VM.clone", vec![json!(template), json!("x")], "SR_BACKEND_FAILURE_44")
        .await;
    let clones = lab
        .control
        .sr_operations()
        .iter()
        .filter(|op| op.operation == "vdi_clone")
        .count();
    assert_eq!(clones, 2, "the first disk was cloned, the second found no room");
    assert_eq!(lab.control.world(), before);
}
