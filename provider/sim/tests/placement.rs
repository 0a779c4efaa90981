//! Where VMs may run, what that takes from hosts, and many of them at once.
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
async fn the_second_start_of_a_vm_waits_and_then_finds_it_running() {
    let lab = Lab::start(ClockMode::Auto).await;
    let vm = lab.clone_of("linux", "x").await;
    let start = || lab.try_call("VM.start", vec![json!(vm), json!(false), json!(false)]);
    let (first, second) = tokio::join!(start(), start());
    assert_eq!(first, Ok(json!("")));
    assert_eq!(
        second,
        Err(["VM_BAD_POWER_STATE", &vm, "halted", "running"]
            .map(str::to_owned)
            .to_vec())
    );
}

#[tokio::test]
async fn a_vm_made_from_a_record_boots_what_is_on_its_disk() {
    let lab = Lab::start(ClockMode::Auto).await;
    let template = lab.by_name("VM", "linux").await;
    let mut record = lab.record("VM", &template).await;
    record["is_a_template"] = json!(false);
    record["name_label"] = json!("record first");
    let vm = lab.text("VM.create", vec![record]).await;
    assert_eq!(lab.record("VM", &vm).await["VBDs"], json!([]));
    let disk = lab.disks(&template).await.remove(0);
    let disk = lab.text("VDI.clone", vec![json!(disk)]).await;
    let vbd = json!({"VM": vm, "VDI": disk, "userdevice": "0", "bootable": true, "mode": "RW", "type": "Disk",
        "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}});
    lab.call("VBD.create", vec![vbd]).await;
    let network = lab.by_name("network", "only-h2").await;
    let vif = json!({"device": "0", "network": network, "VM": vm, "MAC": "", "MTU": 1500, "other_config": {},
        "qos_algorithm_type": "", "qos_algorithm_params": {}});
    lab.call("VIF.create", vec![vif]).await;
    lab.call("VM.start", vec![json!(vm), json!(false), json!(false)]).await;
    lab.address(&vm, "10.2.0.").await;
    let host = lab.text("VM.get_resident_on", vec![json!(vm)]).await;
    assert_eq!(
        lab.text("host.get_name_label", vec![json!(host)]).await,
        "h2",
        "only it has that network"
    );
}

#[tokio::test]
async fn an_evacuated_host_takes_nobody_in() {
    let lab = Lab::start(ClockMode::Manual).await;
    let second = std::time::Duration::from_secs(1);
    let foreign = lab.by_name("VM", "foreign").await;
    let host = lab.record("VM", &foreign).await["resident_on"]
        .as_str()
        .unwrap()
        .to_owned();
    let task = lab.text("Async.host.evacuate", vec![json!(host)]).await;
    lab.control.advance(second).await.unwrap();
    let idle = lab.by_name("VM", "linux").await;
    let here = vec![json!(idle), json!(host)];
    let refused = lab
        .fails("VM.assert_can_boot_here", here, "HOST_EVACUATE_IN_PROGRESS")
        .await;
    assert_eq!(refused, [host.as_str()]);
    lab.control.advance(second * 60).await.unwrap();
    assert_eq!(lab.record("task", &task).await["status"], "success");
    assert_ne!(lab.record("VM", &foreign).await["resident_on"], json!(host));
    assert_eq!(lab.record("host", &host).await["current_operations"], json!({}));
}
