//! The rules of VMs, disks, NICs and hosts, called in process on a clock that jumps.
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
async fn memory_is_booked_before_the_domain_runs() {
    let lab = Lab::start(ClockMode::Auto).await;
    let host = lab.by_name("host", "h1").await;
    let free = |lab: &Lab, host: &str| {
        let (control, host) = (lab.control.clone(), host.to_owned());
        async move {
            control
                .call("one", "host.compute_free_memory", vec![json!(host)])
                .await
                .unwrap()
                .as_i64()
                .unwrap()
        }
    };
    let before = free(&lab, &host).await;
    let gib = 1_i64 << 30;
    let mut vms = Vec::new();
    for n in 0..2 {
        let vm = lab.clone_of("linux", &format!("x{n}")).await;
        let m = json!(6 * gib);
        lab.call(
            "VM.set_memory_limits",
            vec![json!(vm), json!(gib), m.clone(), m.clone(), m],
        )
        .await;
        vms.push(vm);
    }
    let start = |vm: &str| lab.try_call("VM.start_on", vec![json!(vm), json!(host), json!(false), json!(false)]);
    let (a, b) = tokio::join!(start(&vms[0]), start(&vms[1]));
    let failure = a.and(b).unwrap_err();
    assert_eq!(failure[0], "HOST_NOT_ENOUGH_FREE_MEMORY");
    let (needed, available): (i64, i64) = (failure[1].parse().unwrap(), failure[2].parse().unwrap());
    assert!(needed > available && needed > 6 * gib);
    assert_eq!(free(&lab, &host).await, before - needed);
}

#[tokio::test]
async fn a_full_pool_and_an_impossible_one_fail_differently() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "x").await;
    let huge = json!(64_i64 << 30);
    lab.call(
        "VM.set_memory_limits",
        vec![json!(vm), json!(0), huge.clone(), huge.clone(), huge],
    )
    .await;
    let start = || vec![json!(vm), json!(false), json!(false)];
    lab.fails("VM.start", start(), "HOST_NOT_ENOUGH_FREE_MEMORY").await;
    for host in ["h1", "h2"] {
        lab.control.set_host_enabled("one", host, false).unwrap();
    }
    lab.fails("VM.start", start(), "NO_HOSTS_AVAILABLE").await;
    let host = lab.by_name("host", "h1").await;
    lab.fails(
        "VM.start_on",
        vec![json!(vm), json!(host), json!(false), json!(false)],
        "HOST_DISABLED",
    )
    .await;
}

#[tokio::test]
async fn storage_and_networks_bind_a_vm_to_hosts() {
    let lab = Lab::start(ClockMode::Auto).await;
    let (h1, h2) = (lab.by_name("host", "h1").await, lab.by_name("host", "h2").await);
    let local = lab.clone_of("local", "x").await;
    let at = |vm: &str, host: &str| vec![json!(vm), json!(host)];
    let sr = lab.by_name("SR", "local2").await;
    assert_eq!(
        lab.fails("VM.assert_can_boot_here", at(&local, &h1), "VM_REQUIRES_SR")
            .await,
        [local.clone(), sr]
    );
    assert_eq!(lab.call("VM.get_possible_hosts", vec![json!(local)]).await, json!([h2]));
    let vm = lab.clone_of("linux", "y").await;
    let vif = lab.record("VM", &vm).await["VIFs"][0].clone();
    let network = lab.by_name("network", "only-h2").await;
    lab.call("VIF.move", vec![vif, json!(network)]).await;
    let expected = [vm.clone(), network];
    assert_eq!(
        lab.fails("VM.assert_can_boot_here", at(&vm, &h1), "VM_REQUIRES_NETWORK")
            .await,
        expected
    );
    lab.call("VM.assert_can_boot_here", at(&vm, &h2)).await;
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
async fn migration_moves_a_guest_and_keeps_it_talking() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.by_name("VM", "foreign").await;
    let from = lab.record("VM", &vm).await["resident_on"].clone();
    let hosts = lab.call("host.get_all", vec![]).await;
    let to = hosts.as_array().unwrap().iter().find(|h| **h != from).unwrap().clone();
    lab.call("VM.pool_migrate", vec![json!(vm), to.clone(), json!({"live": "true"})])
        .await;
    let moved = lab.record("VM", &vm).await;
    assert_eq!((&moved["resident_on"], &moved["power_state"]), (&to, &json!("Running")));
    assert_eq!(
        lab.record("host", from.as_str().unwrap()).await["resident_VMs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_silent_host_is_first_out_of_reach_and_then_offline() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.by_name("VM", "foreign").await;
    let host = lab.record("VM", &vm).await["resident_on"].as_str().unwrap().to_owned();
    assert_eq!(lab.record("host", &host).await["name_label"], "h1");
    lab.control.set_coordinator("one", "h2").unwrap();
    lab.control.set_host_reachable("one", "h1", false).unwrap();
    let one = || vec![json!(vm)];
    assert_eq!(
        lab.fails("VM.hard_shutdown", one(), "CANNOT_CONTACT_HOST").await,
        std::slice::from_ref(&host)
    );
    lab.fails("VM.power_state_reset", one(), "HOST_IS_LIVE").await;
    lab.control.advance(std::time::Duration::from_secs(601)).await.unwrap();
    assert_eq!(lab.fails("VM.hard_shutdown", one(), "HOST_OFFLINE").await, [host]);
    lab.call("VM.power_state_reset", one()).await;
    assert_eq!(lab.record("VM", &vm).await["power_state"], "Halted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_lives_side_by_side_leave_the_world_as_it_was() {
    let mut world = World::from_hcl(lab::WORLD).unwrap();
    world.pools["one"]
        .hosts
        .values_mut()
        .for_each(|host| host.memory_gib = 512);
    world.pools["one"].vms["foreign"].count = 150;
    world.pools["one"].srs["thin"].size_gib = 100_000;
    let lab = std::sync::Arc::new(Lab::with(world, ClockMode::Auto).await);
    let before = lab.control.world();
    let mut lives = tokio::task::JoinSet::new();
    for n in 0..50 {
        let lab = lab.clone();
        lives.spawn(async move {
            let vm = lab.clone_of("linux", &format!("x{n}")).await;
            lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
            let seen = lab.address(&vm, "10.1.0.").await;
            let ip = seen.last().unwrap()["0/ip"].clone();
            (vm, ip)
        });
    }
    let lives = lives.join_all().await;
    let addresses: std::collections::HashSet<_> = lives.iter().map(|(_, ip)| ip.to_string()).collect();
    assert_eq!(addresses.len(), 50, "every guest has its own");
    let mut ends = tokio::task::JoinSet::new();
    for (vm, _) in lives {
        let lab = lab.clone();
        ends.spawn(async move {
            lab.call("VM.hard_shutdown", vec![json!(vm)]).await;
            lab.destroy(&vm).await;
        });
    }
    ends.join_all().await;
    assert_eq!(lab.control.world(), before);
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
