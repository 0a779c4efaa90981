//! The rules of VMs, their NICs, guests and setters, called in process.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use lab::Lab;
use serde_json::json;
use sim::ClockMode;

#[tokio::test]
async fn a_life_leaves_the_world_as_it_was() {
    let lab = Lab::start(ClockMode::Auto).await;
    let before = lab.control.world();
    let vm = lab.clone_of("linux", "x").await;
    lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
    let seen = lab.address(&vm, "10.1.0.").await;
    assert!(seen.len() >= 2, "{seen:?}");
    assert!(
        seen.iter().all(|n| n["0/ip"] != "10.9.9.9"),
        "the template's stale address is gone: {seen:?}"
    );
    assert_ne!(lab.control.world(), before);
    lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
    lab.destroy(&vm).await;
    assert_eq!(lab.control.world(), before);
}

#[tokio::test]
async fn a_clone_takes_over_what_the_template_has() {
    let lab = Lab::start(ClockMode::Auto).await;
    let template = lab.by_name("VM", "linux").await;
    let vm = lab.text("VM.clone", vec![json!(template), json!("x")]).await;
    let (old, new) = (lab.record("VM", &template).await, lab.record("VM", &vm).await);
    assert_eq!(new["is_a_template"], true);
    assert_eq!(new["tags"], json!(["golden"]));
    assert_eq!(new["other_config"]["base_template_name"], "linux");
    assert_ne!(new["other_config"]["mac_seed"], old["other_config"]["mac_seed"]);
    let metrics = lab
        .record("VM_guest_metrics", new["guest_metrics"].as_str().unwrap())
        .await;
    assert_eq!(metrics["networks"]["0/ip"], "10.9.9.9");
    assert_ne!(new["guest_metrics"], old["guest_metrics"]);
    let mac = |vm: &serde_json::Value| vm["VIFs"][0].as_str().unwrap().to_owned();
    let (old_vif, new_vif) = (lab.record("VIF", &mac(&old)).await, lab.record("VIF", &mac(&new)).await);
    assert_ne!(old_vif["MAC"], new_vif["MAC"]);
    let disk = lab.disks(&vm).await.remove(0);
    let unmanaged = lab
        .call("VDI.get_all_records_where", vec![json!("field \"managed\"=\"false\"")])
        .await;
    assert_eq!(unmanaged.as_object().unwrap().len(), 1, "the base copy");
    let base = unmanaged.as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(
        lab.fails("VDI.destroy", vec![json!(base)], "VDI_NOT_MANAGED").await,
        [base]
    );
    assert_ne!(lab.disks(&template).await[0], disk);
}

#[tokio::test]
async fn power_states_are_checked_and_reported() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "x").await;
    let one = || vec![json!(vm)];
    let bad = "VM_BAD_POWER_STATE";
    assert_eq!(
        lab.fails("VM.hard_shutdown", one(), bad).await[1..],
        ["paused, suspended, running", "halted"]
    );
    lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
    lab.fails("VM.clean_shutdown", one(), "VM_LACKS_FEATURE").await;
    lab.address(&vm, "10.1.0.").await;
    lab.call("VM.suspend", one()).await;
    let suspended = lab.record("VM", &vm).await;
    assert_eq!(
        (&suspended["power_state"], &suspended["resident_on"]),
        (&json!("Suspended"), &json!("OpaqueRef:NULL"))
    );
    let image = suspended["suspend_VDI"].as_str().unwrap().to_owned();
    assert_eq!(lab.record("VDI", &image).await["type"], "suspend");
    lab.call("VM.resume", vec![json!(vm), json!(false), json!(false)]).await;
    lab.fails("VDI.get_record", vec![json!(image)], "HANDLE_INVALID").await;
    lab.call("VM.pause", one()).await;
    lab.call("VM.unpause", one()).await;
    let domid = lab.record("VM", &vm).await["domid"].clone();
    lab.call("VM.clean_reboot", one()).await;
    let rebooted = lab.record("VM", &vm).await;
    assert_ne!(rebooted["domid"], domid);
    lab.address(&vm, "10.1.0.").await;
    lab.call("VM.clean_shutdown", one()).await;
    let halted = lab.record("VM", &vm).await;
    assert_eq!(
        (&halted["power_state"], &halted["domid"]),
        (&json!("Halted"), &json!(-1))
    );
    let metrics = lab
        .record("VM_guest_metrics", halted["guest_metrics"].as_str().unwrap())
        .await;
    assert_eq!(
        metrics["networks"]["0/ip"].as_str().map(|ip| &ip[..7]),
        Some("10.1.0."),
        "kept after the shutdown"
    );
}

#[tokio::test]
async fn a_hard_shutdown_ends_a_clean_one() {
    let lab = Lab::start(ClockMode::Manual).await;
    let control = lab.control.clone();
    let vm = lab.by_name("VM", "foreign").await;
    let clean = lab.text("Async.VM.clean_shutdown", vec![json!(vm)]).await;
    control.advance(std::time::Duration::from_millis(100)).await.unwrap();
    let operations = lab.record("VM", &vm).await["current_operations"].clone();
    assert_eq!(operations, json!({ clean.clone(): "clean_shutdown" }));
    let hard = lab.text("Async.VM.hard_shutdown", vec![json!(vm)]).await;
    control.advance(std::time::Duration::from_secs(3)).await.unwrap();
    assert_eq!(lab.record("task", &hard).await["status"], "success");
    let ended = lab.record("task", &clean).await;
    assert_eq!(
        (&ended["status"], &ended["error_info"][0]),
        (&json!("cancelled"), &json!("TASK_CANCELLED"))
    );
    assert_eq!(lab.record("VM", &vm).await["power_state"], "Halted");
}

#[tokio::test]
async fn nics_and_their_addresses() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (vm, network) = (lab.clone_of("linux", "x").await, lab.by_name("network", "lan").await);
    let vif = |device: &str, mac: &str| {
        json!({"device": device, "network": network, "VM": vm, "MAC": mac, "MTU": 1500, "other_config": {},
               "qos_algorithm_type": "", "qos_algorithm_params": {}})
    };
    assert_eq!(
        lab.fails("VIF.create", vec![vif("0", "")], "DEVICE_ALREADY_EXISTS")
            .await,
        ["0"]
    );
    assert_eq!(
        lab.fails("VIF.create", vec![vif("1", "nonsense")], "MAC_INVALID").await,
        ["nonsense"]
    );
    let derived = lab.text("VIF.create", vec![vif("1", "")]).await;
    let mac = lab.record("VIF", &derived).await["MAC"].clone();
    lab.call("VIF.destroy", vec![json!(derived)]).await;
    let again = lab.text("VIF.create", vec![vif("1", "")]).await;
    assert_eq!(
        lab.record("VIF", &again).await["MAC"],
        mac,
        "derived from seed and device"
    );
    let fixed = lab.text("VIF.create", vec![vif("2", "02:00:00:00:00:07")]).await;
    let record = lab.record("VIF", &fixed).await;
    assert_eq!(
        (&record["MAC"], &record["MAC_autogenerated"]),
        (&json!("02:00:00:00:00:07"), &json!(false))
    );
}

#[tokio::test]
async fn setters_and_maps_keep_their_rules() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "x").await;
    let set = |value: i64| vec![json!(vm), json!(value)];
    lab.fails("VM.set_VCPUs_at_startup", set(3), "INVALID_VALUE").await;
    lab.call("VM.set_VCPUs_max", set(4)).await;
    lab.call("VM.set_VCPUs_at_startup", set(3)).await;
    lab.fails("VM.set_VCPUs_max", set(2), "INVALID_VALUE").await;
    let pair = |k: &str, v: &str| vec![json!(vm), json!(k), json!(v)];
    lab.call("VM.add_to_other_config", pair("k", "v")).await;
    let duplicate = lab
        .fails("VM.add_to_other_config", pair("k", "v"), "MAP_DUPLICATE_KEY")
        .await;
    assert_eq!(duplicate, ["VM", "other_config", &vm, "k"]);
    lab.call("VM.remove_from_other_config", vec![json!(vm), json!("absent")])
        .await;
    lab.call("VM.add_tags", vec![json!(vm), json!("golden")]).await;
    assert_eq!(lab.record("VM", &vm).await["tags"], json!(["golden"]));
    lab.call("VM.add_to_blocked_operations", pair("start", "never")).await;
    let start = vec![json!(vm), json!(false), json!(false)];
    assert_eq!(
        lab.fails("VM.start", start, "OPERATION_BLOCKED").await,
        [vm.clone(), "never".to_owned()]
    );
}

#[tokio::test]
async fn default_templates_cannot_be_destroyed_but_provisioned() {
    let lab = Lab::start(ClockMode::Auto).await;
    let default = lab.by_name("VM", "Debian Bookworm 12").await;
    lab.fails("VM.destroy", vec![json!(default)], "VM_CANNOT_DELETE_DEFAULT_TEMPLATE")
        .await;
    let vm = lab.text("VM.clone", vec![json!(default), json!("x")]).await;
    lab.call("VM.provision", vec![json!(vm)]).await;
    let record = lab.record("VM", &vm).await;
    assert_eq!(
        (&record["is_a_template"], &record["is_default_template"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(lab.disks(&vm).await.len(), 1);
    assert!(record["other_config"].get("disks").is_none());
}

#[tokio::test]
async fn guests_that_say_little_or_nothing() {
    let lab = Lab::start(ClockMode::Manual).await;
    let minute = std::time::Duration::from_secs(60);
    let mut vms = Vec::new();
    for (template, name) in [("deaf", "deaf"), ("linux", "muted"), ("linux", "poked")] {
        let template = lab.by_name("VM", template).await;
        lab.text("Async.VM.clone", vec![json!(template), json!(name)]).await;
        lab.control.advance(minute).await.unwrap();
        let vm = lab.by_name("VM", name).await;
        lab.call("VM.set_is_a_template", vec![json!(vm), json!(false)]).await;
        vms.push((vm.clone(), lab.text("VM.get_uuid", vec![json!(vm)]).await));
    }
    lab.control.guest_never(&vms[1].1).unwrap();
    for (vm, _) in &vms {
        lab.text("Async.VM.start", vec![json!(vm), json!(false), json!(false)])
            .await;
    }
    lab.control.advance(minute * 5).await.unwrap();
    let metrics = async |vm: &str| {
        let reference = lab.text("VM.get_guest_metrics", vec![json!(vm)]).await;
        lab.record("VM_guest_metrics", &reference).await
    };
    let deaf = metrics(&vms[0].0).await;
    assert_eq!(
        (&deaf["live"], &deaf["PV_drivers_detected"], &deaf["networks"]),
        (&json!(true), &json!(false), &json!({}))
    );
    let muted = metrics(&vms[1].0).await;
    assert_eq!(
        (&muted["PV_drivers_detected"], &muted["networks"]),
        (&json!(true), &json!({}))
    );
    let networks = [("0/ip".to_owned(), "192.0.2.9".to_owned())].into();
    lab.control.set_networks(&vms[2].1, networks).unwrap();
    assert_eq!(metrics(&vms[2].0).await["networks"], json!({"0/ip": "192.0.2.9"}));
    assert!(lab.control.instants()[&vms[2].1].address_us.is_some());
    assert!(lab.control.instants()[&vms[1].1].address_us.is_none());
}
