//! A server's life when nothing goes wrong.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use fleet::{PowerState, Progress, Server};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, spec, spec_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_lives_and_goes_without_a_trace() {
    comes_lives_and_goes(Lab::small().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_in_a_pool_that_knows_xml_only() {
    comes_lives_and_goes(Lab::old().await).await;
}

async fn comes_lives_and_goes(lab: Lab) {
    let before = lab.world();
    let wanted = spec("web-1");
    let server = lab.create(wanted.clone()).await.unwrap();
    assert_eq!(server.name, "web-1");
    assert_eq!(server.request_id, Some(wanted.request_id));
    assert_eq!(server.os.as_deref(), Some("debian12"));
    assert_eq!(server.template_name.as_deref(), Some("tmpl-debian12"));
    assert_eq!((server.cpus, server.memory_mib), (2, 2048));
    assert_eq!(server.memory_bytes, 2048 << 20);
    assert_eq!(
        server.tags,
        BTreeSet::from(["web".to_owned()]),
        "the template's tag is not the server's"
    );
    assert_eq!(server.power_state, PowerState::Running);
    assert_eq!(server.network.as_ref().unwrap().name, "lab-net");
    assert_eq!(server.storage.as_ref().unwrap().name, "ssd");
    assert_eq!(server.resident_host.as_deref(), Some("xen11"));
    assert_eq!(server.disk_bytes, 20 << 30);
    assert_eq!(server.os_version.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    assert!(server.ip_address.unwrap().to_string().starts_with("10.1."));
    assert_eq!(server.ip_addresses, [server.ip_address.unwrap()]);
    assert!(server.managed && !server.keep);
    assert_eq!(server.owner.as_deref(), Some("ci/nightly"));
    let (started, ends) = (server.lease.started_at.unwrap(), server.lease.expires_at.unwrap());
    assert_eq!(ends.as_second() - started.as_second(), 3600);
    assert_eq!(server.lease.ttl, Some(Duration::from_secs(3600)));
    assert!(server.created_at.unwrap() <= started);
    let timings = server.timings.unwrap();
    assert!(timings.clone > 0.0 && timings.start > 0.0 && timings.address > 0.0);

    let read = lab.read(&server.key()).await.unwrap().unwrap();
    assert_eq!(
        read,
        Server {
            timings: None,
            address_source: None,
            ..server.clone()
        }
    );

    let report = lab.delete(&server).await.unwrap();
    assert!(report.kept_disks.is_empty());
    assert_eq!(report.server, Some(read), "as it was before");
    assert_eq!(lab.world(), before);
    assert_eq!(lab.read(&server.key()).await.unwrap(), None);
    assert!(lab.delete(&server).await.unwrap().server.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_marks_stand_on_both_sides_and_on_the_disks() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web-1")).await.unwrap();
    let record = lab.vm_record(&server).await;
    let tags: Vec<&str> = record["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    let keys = record["other_config"].as_object().unwrap();
    for mark in [format!("dynvm:vm={}", server.id), "dynvm:owner=ci%2Fnightly".to_owned()] {
        assert!(tags.contains(&mark.as_str()) && keys.contains_key(&mark), "{mark}");
    }
    let expires: Vec<&&str> = tags.iter().filter(|tag| tag.starts_with("dynvm:expires=")).collect();
    assert_eq!(expires.len(), 1);
    let lease: serde_json::Value = serde_json::from_str(keys[*expires[0]].as_str().unwrap()).unwrap();
    assert_eq!(lease["ttl"], json!(3600));
    assert_eq!(lease["by"], json!("dynvm-provider/0.1.0 ci/nightly"));
    let spec: serde_json::Value = serde_json::from_str(keys["dynvm:spec"].as_str().unwrap()).unwrap();
    assert_eq!(spec["template_uuid"], json!(server.template_uuid.unwrap().to_string()));
    assert!(keys.contains_key("mac_seed"), "the clone's own keys stay");
    assert!(!tags.contains(&"golden"));
    let has_creating = |text: &str| text.starts_with("dynvm:creating");
    assert!(
        !keys.keys().any(|key| has_creating(key)),
        "nobody is reaped by a creation lease that is over"
    );
    for vbd in record["VBDs"].as_array().unwrap() {
        let vbd = lab.call("VBD.get_record", json!([vbd])).await;
        if vbd["type"] == "Disk" {
            let disk = lab.call("VDI.get_other_config", json!([vbd["VDI"]])).await;
            assert_eq!(disk["dynvm:vm"], json!(server.id.to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shape_nic_and_mac_are_as_asked_for() {
    let lab = Lab::small().await;
    let before = lab.world();
    let mut wanted = spec("big");
    wanted.cpus = Some(4);
    wanted.memory_mib = Some(4096);
    wanted.network = Some("test-net".into());
    wanted.mac_address = Some("02:00:00:00:00:01".into());
    let big = lab.create(wanted).await.unwrap();
    assert_eq!((big.cpus, big.memory_mib), (4, 4096));
    assert_eq!(big.network.as_ref().unwrap().name, "test-net");
    assert_eq!(big.mac_address.as_deref(), Some("02:00:00:00:00:01"));
    assert!(big.ip_address.unwrap().to_string().starts_with("10.2."));
    let mut wanted = spec("small");
    wanted.cpus = Some(1);
    wanted.memory_mib = Some(512);
    wanted.network = Some("test-net".into());
    let small = lab.create(wanted).await.unwrap();
    assert_eq!((small.cpus, small.memory_mib), (1, 512));
    assert_eq!(small.network.as_ref().unwrap().name, "test-net");
    for server in [&big, &small] {
        let read = lab.read(&server.key()).await.unwrap().unwrap();
        assert_eq!(
            read,
            Server {
                timings: None,
                address_source: None,
                ..server.clone()
            }
        );
        lab.delete(server).await.unwrap();
    }
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_without_a_nic_makes_servers_with_one() {
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(spec_of("web", "tmpl-no-nic")).await.unwrap();
    assert_eq!(server.network.as_ref().unwrap().name, "lab-net");
    assert!(server.mac_address.is_some() && server.ip_address.is_some());
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_storage_is_a_full_copy() {
    let lab = Lab::small().await;
    let before = lab.world();
    let mut wanted = spec("copied");
    wanted.storage = Some("hdd".into());
    let image = wanted.image.clone();
    let warning = lab.fleet.full_copy(&image, None, Some("hdd")).await.unwrap().unwrap();
    assert!(warning.contains("\"ssd\"") && warning.contains("\"hdd\""), "{warning}");
    assert_eq!(lab.fleet.full_copy(&image, None, Some("ssd")).await.unwrap(), None);
    let server = lab.create(wanted).await.unwrap();
    assert_eq!(server.storage.as_ref().unwrap().name, "hdd");
    assert_eq!(server.disk_bytes, 20 << 30);
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_disks_of_a_template_are_the_servers_own() {
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(spec_of("two", "tmpl-two-nics")).await.unwrap();
    assert_eq!(server.disk_bytes, 30 << 30);
    assert_eq!(server.network.as_ref().unwrap().name, "lab-net");
    assert!(
        server.ip_address.unwrap().to_string().starts_with("10.1."),
        "{server:?}"
    );
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_tells_of_the_server_before_it_is_ready() {
    let lab = Lab::small().await;
    let seen = Mutex::new(Vec::new());
    let progress = |step: &Progress| {
        if let Progress::Exists(server) = step {
            seen.lock().unwrap().push((server.id, server.power_state));
        }
    };
    let server = lab
        .fleet
        .create(spec("web"), CancellationToken::new(), &progress)
        .await
        .unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(
        seen,
        [(server.id, PowerState::Halted), (server.id, PowerState::Running)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_stand_in_line_and_share_what_they_read() {
    let lab = Lab::small().await;
    let before = lab.world();
    let creates = (0..12).map(|n| lab.create(spec(&format!("web-{n}"))));
    let servers: Vec<Server> = futures::future::join_all(creates)
        .await
        .into_iter()
        .map(|server| server.unwrap())
        .collect();
    let count = |method: &str| lab.requests().iter().filter(|request| request.method == method).count();
    assert_eq!(count("VM.clone"), 12);
    assert_eq!(count("host.get_servertime"), 1);
    assert!(count("VM.get_all_records_where") <= 2, "the template is looked up once");
    let (all, polls) = (lab.requests().len(), count("event.from"));
    assert!(all - polls < 12 * 15, "{all} requests, {polls} of them event.from");
    let conflicts: u32 = lab
        .control
        .sr_operations()
        .iter()
        .map(|operation| operation.conflicts)
        .sum();
    assert_eq!(conflicts, 0, "clones of one SR stand in line here, not in the pool");
    let addresses: BTreeSet<_> = servers.iter().map(|server| server.ip_address.unwrap()).collect();
    assert_eq!(addresses.len(), 12);
    let deletes = servers.iter().map(|server| lab.delete(server));
    for report in futures::future::join_all(deletes).await {
        assert!(report.unwrap().server.is_some());
    }
    assert_eq!(lab.world(), before);
}
