//! What other people write into the maps of a pool's objects: keys that no answer of a pool in XML escapes.

use std::sync::Arc;
use std::time::Duration;

use fleet::{Fleet, FleetConfig, ListFilter, PoolSettings};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use xenapi::{EventClass, Filter, Interest, Loss, Notice, Ref, Subscription, TextMap, Vm};

use crate::lab::{Lab, Marks, Transport, about};

/// The key of a custom field of XenCenter, and worse.
const KEYS: [&str; 5] = [
    "XenCenter.CustomFields.R&D",
    "a<b",
    "<b>&amp;",
    "</value></member>",
    "]]>",
];

fn config(lab: &Lab) -> xenapi::PoolConfig {
    let pool = lab.control.pools().into_iter().next().unwrap();
    xenapi::PoolConfig {
        name: pool.name,
        urls: vec![xenapi::Endpoint::parse(&pool.url).unwrap()],
        username: pool.username,
        password: pool.password.into(),
        tls: xenapi::TlsTrust::SystemRoots,
        wire: xenapi::WireChoice::Auto,
        originator: "dynvm-provider/0.1.0".into(),
        limits: xenapi::Limits::default(),
    }
}

fn fleet(lab: &Lab) -> Arc<Fleet> {
    Fleet::new(FleetConfig {
        pools: vec![PoolSettings::new(config(lab))],
        default_ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(7200),
        owner: "ci/nightly".into(),
        version: "0.1.0".into(),
    })
}

/// Writes the keys into every map that a person can write, of one object of each class.
async fn write_everywhere(lab: &Lab) {
    for (class, maps) in [
        ("VM", &["other_config", "xenstore_data", "platform"] as &[_]),
        ("VBD", &["other_config"]),
        ("VIF", &["other_config"]),
        ("VDI", &["other_config", "sm_config"]),
        ("SR", &["other_config"]),
        ("network", &["other_config"]),
        ("host", &["other_config"]),
        ("pool", &["other_config"]),
    ] {
        let objects = lab.call(&format!("{class}.get_all"), json!([])).await;
        for object in objects.as_array().unwrap() {
            for map in maps {
                for key in KEYS {
                    let method = format!("{class}.add_to_{map}");
                    lab.call(&method, json!([object, key, "x"])).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_keeps_the_fleet_from_listing_or_the_reaper_from_its_work() {
    no_key_keeps_anybody(Transport::Json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_in_xml() {
    no_key_keeps_anybody(Transport::Xml).await;
}

async fn no_key_keeps_anybody(transport: Transport) {
    let lab = Lab::small_with(transport).await;
    let good = lab.server("good", 3600).await;
    let expired = lab.server("expired", -60).await;
    write_everywhere(&lab).await;

    let filter = ListFilter {
        managed: Some(true),
        ..ListFilter::default()
    };
    let listed = fleet(&lab).list(&filter).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["expired", "good"]);

    let ran = lab.run().await;
    assert!(ran.rails().is_empty(), "{:?}", ran.rails());
    assert_eq!(about(ran.plan(), &expired).verdict, "expired");
    assert!(!lab.has(&expired).await && lab.has(&good).await);
}

fn maps() -> impl Strategy<Value = TextMap> {
    let piece = prop_oneof![
        "[&<>\"'/;!-]{1,3}",
        "(name|</nam|value|<value>|</value>|&amp;|\\]\\]>|<!--|<!\\[CDATA\\[|\r\n|\t)",
        "[^\\p{Cc}]{0,6}",
    ];
    let key = proptest::collection::vec(piece, 1..6)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("it would end the name", |key| {
            !key.is_empty() && !key.contains("</name>")
        });
    proptest::collection::btree_map(key, "[^\\p{Cc}]{0,6}", 0..12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_arrive_as_they_were_written() {
    keys_arrive(Transport::Json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_arrive_in_xml_as_they_were_written() {
    keys_arrive(Transport::Xml).await;
}

async fn keys_arrive(transport: Transport) {
    let lab = Lab::small_with(transport).await;
    let foreign = lab.call("VM.get_by_name_label", json!(["foreign-1"])).await;
    let vm = Ref::<Vm>::new(foreign[0].as_str().unwrap());
    let client = lab.client();
    let mut heard = client.watcher().subscribe(Interest::classes(&[EventClass::Vm]));
    // From the first notice on, nothing is missed.
    assert!(matches!(heard.next().await, Notice::Lost(Loss::Fresh)));
    let mut runner = TestRunner::default();
    for round in 0..40 {
        let mut map = maps().new_tree(&mut runner).unwrap().current();
        // A write that changes nothing is no event.
        map.insert("round".to_owned(), format!("{round}"));
        lab.call("VM.set_other_config", json!([vm.as_str(), map])).await;
        assert_eq!(client.vm().record(&vm).await.unwrap().other_config, map);
        let listed = client.vm().records_where(&Filter::all()).await.unwrap();
        let found = listed.iter().find(|(object, _)| *object == vm).unwrap();
        assert_eq!(found.1.other_config, map);
        let is_told = tokio::time::timeout(Duration::from_secs(20), told(&mut heard, &vm, &map)).await;
        assert!(is_told.is_ok(), "no event tells of {map:?}");
    }
}

/// Waits until an event tells that a VM has this map.
async fn told(heard: &mut Subscription, vm: &Ref<Vm>, map: &TextMap) {
    loop {
        if let Notice::Change(change) = heard.next().await
            && let Some((object, Some(record))) = change.of::<Vm>()
            && object == *vm
            && record.other_config == *map
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_xml_a_key_that_ends_its_own_name_is_told_with_its_place() {
    let lab = Lab::small_with(Transport::Xml).await;
    let foreign: Json = lab.call("VM.get_by_name_label", json!(["foreign-1"])).await;
    lab.call("VM.add_to_other_config", json!([foreign[0], "a</name>b", "x"]))
        .await;
    let error = lab.client().vm().all_records().await.unwrap_err();
    let place = format!("Value/{}/other_config", foreign[0].as_str().unwrap());
    assert!(error.to_string().contains(&place), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_condemns_a_vm_by_marks_that_it_only_spells() {
    let lab = Lab::small().await;
    let made = lab.server_with("victim", |_| Marks::default()).await;
    // In XML these read as the marks of a server whose lease is over.
    let marks = Marks::server(&made.uuid).lease(-60);
    for (at, (key, value)) in marks.keys.into_iter().enumerate() {
        let forged = format!("{at}</name><value></value></member><member><name>{key}");
        lab.call("VM.add_to_other_config", json!([made.vm, forged, value]))
            .await;
    }
    let ran = lab.run().await;
    assert!(ran.deeds().is_empty(), "{:?}", ran.deeds());
    assert!(lab.has(&made).await);
}
