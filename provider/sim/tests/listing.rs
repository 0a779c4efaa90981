//! What a watcher of a whole pool relies on: its rights, long listings, listings that are not whole.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod lab;

use std::collections::BTreeSet;

use lab::wire::Wire;
use lab::{Lab, WORLD};
use serde_json::{Value as Json, json};
use sim::{ClockMode, FaultKind, FaultRule, World};

const SERVERS: &str = r#"(field "is_a_template"="false") and (field "is_control_domain"="false")"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_knows_what_its_role_may_do() {
    let lab = Lab::start(ClockMode::Auto).await;
    let url = lab.simulator.pools()[0].url.clone();
    let mut wire = Wire::open(&url).await;
    let admin = wire.login("admin", "a").await;
    let ask = async |wire: &mut Wire, session: &str, method: &str| {
        let answer = wire.json(method, json!([session, session])).await.unwrap();
        answer["result"].clone()
    };
    assert_eq!(ask(&mut wire, &admin, "session.get_is_local_superuser").await, false);
    let permissions = ask(&mut wire, &admin, "session.get_rbac_permissions").await;
    let names: BTreeSet<&str> = permissions
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_str().unwrap())
        .collect();
    let has = [
        "event.from",
        "host.get_servertime",
        "vdi.destroy",
        "vm.add_tags",
        "vm.add_to_other_config",
        "vm.destroy",
        "vm.get_all_records_where",
        "vm.hard_shutdown",
    ];
    assert!(has.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(!names.contains("vm.start_on") && !names.contains("pool.add_to_other_config"));
    let record = ask(&mut wire, &admin, "session.get_record").await;
    assert_eq!(
        (&record["rbac_permissions"], &record["auth_user_name"]),
        (&permissions, &json!("admin"))
    );
    let pool = lab.call("pool.get_all", vec![]).await[0].clone();
    let denied = wire
        .json("pool.add_to_other_config", json!([admin, pool, "k", "v"]))
        .await
        .unwrap();
    assert_eq!(denied["error"]["message"], "RBAC_PERMISSION_DENIED");
    assert_eq!(
        denied["error"]["data"],
        json!(["pool.add_to_other_config", "No permission in user session"])
    );
    let root = wire.login("root", "dynvm-sim").await;
    assert_eq!(ask(&mut wire, &root, "session.get_is_local_superuser").await, true);
    assert_eq!(ask(&mut wire, &root, "session.get_rbac_permissions").await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_listing_is_well_formed_and_too_short() {
    let lab = Lab::start(ClockMode::Auto).await;
    let url = lab.simulator.pools()[0].url.clone();
    let mut wire = Wire::open(&url).await;
    let session = wire.login("root", "dynvm-sim").await;
    let whole = lab.call("VM.get_all_records", vec![]).await.as_object().unwrap().len();
    lab.control
        .fault(FaultRule::once("VM.get_all_records_where", FaultKind::HalfListing));
    let mut count = async || {
        let answer = wire.json("VM.get_all_records_where", json!([session, "true"])).await;
        answer.unwrap()["result"].as_object().unwrap().len()
    };
    assert_eq!(count().await, whole.div_ceil(2));
    assert_eq!(count().await, whole, "once");
    let poll = vec![json!(["pool"]), json!(""), json!(0.0)];
    let batch = lab.call("event.from", poll).await;
    assert_eq!(batch["valid_ref_counts"]["vm"], json!(whole), "which tells");
}

#[tokio::test]
async fn a_thousand_servers_are_built_listed_and_followed() {
    const COUNT: usize = 1000;
    let mut world = World::from_hcl(WORLD).unwrap();
    let pool = &mut world.pools["one"];
    pool.hosts.values_mut().for_each(|host| host.memory_gib = 1 << 20);
    pool.srs["thin"].size_gib = 1 << 20;
    pool.networks["lan"].cidr = "10.0.0.0/8".to_owned();
    pool.vms["foreign"].count = u32::try_from(COUNT).unwrap();
    pool.vms["foreign"].snapshots = 0;
    let lab = Lab::with(world, ClockMode::Auto).await;
    let listed = lab.call("VM.get_all_records_where", vec![json!(SERVERS)]).await;
    let listed = listed.as_object().unwrap();
    assert_eq!(listed.len(), COUNT);
    let sr = lab.by_name("SR", "thin").await;
    let disks = lab.record("SR", &sr).await["VDIs"].as_array().unwrap().len();
    assert!(disks >= COUNT, "{disks} disks");
    let poll = |token: &Json| vec![json!(["vm"]), token.clone(), json!(0.0)];
    let batch = lab.call("event.from", poll(&json!(""))).await;
    let all = batch["events"].as_array().unwrap().len();
    assert_eq!(
        batch["valid_ref_counts"]["vm"],
        json!(all),
        "templates and control domains too"
    );
    let vm = listed.keys().next().unwrap();
    lab.call("VM.add_tags", vec![json!(vm), json!("new")]).await;
    let news = lab.call("event.from", poll(&batch["token"])).await;
    let seen: Vec<&Json> = news["events"].as_array().unwrap().iter().map(|e| &e["ref"]).collect();
    assert_eq!(seen, [&json!(vm)]);
}
