//! The config drive: what is on it, where it is, and that nothing of it is left.

use std::sync::Arc;
use std::time::Duration;

use fleet::{CloudInit, Error, Grounds, Recheck, Server, ServerSpec};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sim::world::{Span, SrSpec};
use sim::{FaultKind, FaultRule};
use tokio_util::sync::CancellationToken;

use crate::fat;
use crate::lab::{Lab, spec};

const USER_DATA: &str = "#cloud-config\npassword: hunter2\n";
const DRIVE: i64 = 4 << 20;
const PUT: &str = "PUT /import_raw_vdi";

fn booted(name: &str) -> ServerSpec {
    let mut booted = spec(name);
    booted.cloud_init = CloudInit::new(Some(USER_DATA), Some("version: 2\n"));
    booted
}

/// The config drives of a server, as drive and disk.
async fn drives(lab: &Lab, server: &Server) -> Vec<(Value, Value)> {
    let mut found = Vec::new();
    for vbd in lab.vm_record(server).await["VBDs"].as_array().unwrap() {
        let vbd = lab.call("VBD.get_record", json!([vbd])).await;
        if vbd["type"] == "Disk" {
            let vdi = lab.call("VDI.get_record", json!([vbd["VDI"]])).await;
            if vdi["virtual_size"] == json!(DRIVE) {
                found.push((vbd, vdi));
            }
        }
    }
    found
}

/// Demands one drive with these files.
async fn check(lab: &Lab, server: &Server) -> (Value, Value) {
    let mut found = drives(lab, server).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let (vbd, vdi) = found.remove(0);
    let image = lab.control.disk_content(vdi["uuid"].as_str().unwrap()).unwrap();
    let volume = fat::read(&image);
    assert_eq!(volume.label, "cidata");
    let meta_data = format!("instance-id: \"{}\"\nlocal-hostname: \"web\"\n", server.id);
    let files = [
        ("meta-data", meta_data.as_str()),
        ("network-config", "version: 2\n"),
        ("user-data", USER_DATA),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    assert_eq!(volume.files, files.into());
    (vbd, vdi)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_boots_with_what_cloud_init_reads() {
    let lab = Lab::small().await;
    let before = lab.world();
    let server = lab.create(booted("web")).await.unwrap();
    let (vbd, vdi) = check(&lab, &server).await;
    assert_eq!(
        [&vbd["userdevice"], &vbd["mode"], &vbd["bootable"]],
        [&json!("1"), &json!("RW"), &json!(false)]
    );
    let sr = lab.call("SR.get_by_name_label", json!(["ssd"])).await;
    assert_eq!(vdi["SR"], sr[0]);
    let marks = json!({ "dynvm:vm": server.id.to_string(), "dynvm:disk": vdi["uuid"] });
    assert_eq!(vdi["other_config"], marks);
    let spec = lab.vm_record(&server).await["other_config"]["dynvm:spec"].clone();
    let spec: Value = serde_json::from_str(spec.as_str().unwrap()).unwrap();
    let hash = spec["user_data"].as_str().unwrap();
    assert!(hash.starts_with("sha256:") && hash.len() == 71, "{hash}");
    assert!(server.timings.unwrap().drive > 0.0);
    let read = lab.read(&server.key()).await.unwrap().unwrap();
    let bytes = (20 << 30) + u64::try_from(DRIVE).unwrap();
    assert_eq!((read.disk_bytes, server.disk_bytes), (bytes, bytes));
    assert_eq!(read.storage, server.storage);
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drive_is_written_before_the_start_and_costs_few_requests() {
    let lab = Lab::small().await;
    lab.create(booted("web")).await.unwrap();
    let requests = lab.requests();
    let of = |method: &str| requests.iter().find(|request| request.method == method).unwrap();
    let mut earlier = of("VM.set_other_config");
    // The data is on the disk when its task has ended, which is deleted behind that.
    for method in ["VDI.create", "VBD.create", PUT, "VM.start_on"] {
        let next = of(method);
        assert!(earlier.ended_us.unwrap() <= next.started_us, "{method}");
        earlier = next;
    }
    let about_it = [
        "VDI.create",
        "VDI.get_record",
        "VBD.create",
        "VBD.get_record",
        PUT,
        "task.",
    ];
    let is_about_it = |method: &str| about_it.iter().any(|part| method.starts_with(part));
    let count = requests.iter().filter(|request| is_about_it(&request.method)).count();
    assert!(count <= 9, "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_goes_to_a_host_that_sees_its_storage() {
    let lab = Lab::small_with(|world| {
        let pool = world.pools.get_mut("lab1").unwrap();
        let host = pool.hosts["xen11"].clone();
        pool.hosts.insert("xen12".to_owned(), host);
        let sr = SrSpec {
            host: Some("xen12".to_owned()),
            ..pool.srs["hdd"].clone()
        };
        pool.srs.insert("local".to_owned(), sr);
        pool.templates["tmpl-debian12"].sr = Some("local".to_owned());
    })
    .await;
    let server = lab.create(booted("web")).await.unwrap();
    check(&lab, &server).await;
    let requests = lab.requests();
    let puts = requests.iter().filter(|request| request.method == PUT);
    let puts: Vec<_> = puts.map(|put| (put.host.as_str(), put.outcome.as_str())).collect();
    assert_eq!(puts, [("xen11", "HTTP 302"), ("xen12", "HTTP 200")]);
    lab.delete(&server).await.unwrap();
}

async fn survives(method: &str, kind: FaultKind) {
    let lab = Lab::small().await;
    let before = lab.world();
    lab.control.fault(FaultRule::once(method, kind.clone()));
    let server = lab.create(booted("web")).await;
    let server = server.unwrap_or_else(|failure| panic!("{method} {kind:?}: {}", failure.error));
    check(&lab, &server).await;
    lab.delete(&server).await.unwrap();
    assert_eq!(lab.world(), before, "{method} {kind:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_second_drive() {
    tokio::join!(
        survives("VDI.create", FaultKind::CutAfter),
        survives("VBD.create", FaultKind::CutAfter),
        survives(PUT, FaultKind::CutAfter),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_call_is_made_again() {
    tokio::join!(
        survives("VDI.create", FaultKind::CutBefore),
        survives("VBD.create", FaultKind::CutBefore),
        survives(PUT, FaultKind::CutBefore),
    );
}

fn refusal(code: &str) -> FaultKind {
    FaultKind::Error {
        code: code.into(),
        params: vec![String::new(); 3],
    }
}

async fn refused(method: &str, kind: FaultKind) -> Error {
    let lab = Lab::small().await;
    let before = lab.world();
    lab.control.fault(FaultRule::once(method, kind));
    let failure = lab.create(booted("web")).await.unwrap_err();
    assert!(failure.left.is_none());
    assert_eq!(lab.world(), before, "{method}");
    failure.error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_cannot_be_made_undoes_the_server() {
    let full = refusal("SR_BACKEND_FAILURE_44");
    let error = refused("VDI.create", full.clone()).await;
    assert!(matches!(error, Error::Full { .. }), "{error}");
    refused("VBD.create", refusal("VM_IS_SNAPSHOT")).await;
    // The answer has come; what the task says counts.
    let error = refused(PUT, full).await;
    assert!(error.to_string().contains("config drive"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_server_takes_its_drive_along_when_it_goes() {
    let lab = Lab::small().await;
    let before = lab.world();
    lab.control
        .fault(FaultRule::once(PUT, refusal("SR_BACKEND_FAILURE_44")));
    let mut wanted = booted("web");
    wanted.keep_on_failure = true;
    let left = lab.create(wanted).await.unwrap_err().left.unwrap();
    assert!(left.lease.expires_at.is_some());
    lab.delete(&left).await.unwrap();
    assert_eq!(lab.world(), before);
}

/// Cancels a create when a request has come so far.
async fn interrupted(lab: &Lab, is_there: impl Fn(&sim::RequestRecord) -> bool) -> Server {
    let (fleet, cancel) = (Arc::clone(&lab.fleet), CancellationToken::new());
    let when = cancel.clone();
    let creating = tokio::spawn(async move { fleet.create(booted("web"), when, &|_| {}).await });
    while !lab.requests().iter().any(&is_there) {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    let failure = creating.await.unwrap().unwrap_err();
    assert!(failure.error.is_cancelled(), "{}", failure.error);
    lab.control.clear_faults();
    failure.left.unwrap()
}

/// A server whose drive was made and never attached.
async fn detached(lab: &Lab) -> Server {
    lab.control.fault(FaultRule::once("VBD.create", FaultKind::Hang));
    let left = interrupted(lab, |request| request.outcome == "HANGING").await;
    assert!(drives(lab, &left).await.is_empty());
    let named = json!([format!("config drive of {}", left.id)]);
    let disks = lab.call("VDI.get_by_name_label", named).await;
    assert_eq!(disks.as_array().unwrap().len(), 1);
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_hangs_on_nothing_goes_with_its_server() {
    let lab = Lab::small().await;
    let before = lab.world();
    let left = detached(&lab).await;
    lab.delete(&left).await.unwrap();
    assert_eq!(lab.world(), before);
}

/// A reaper that nothing stops.
struct Certain;

impl Recheck for Certain {
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_with_a_reaper_that_removes_it() {
    let lab = Lab::small().await;
    let before = lab.world();
    let left = detached(&lab).await;
    let (client, cancel) = (lab.client(), CancellationToken::new());
    let grounds = Grounds {
        client: &client,
        limit: Duration::from_secs(60),
        cancel: &cancel,
    };
    let vm = lab.vm(&left).await;
    let removed = grounds.remove(&xenapi::Ref::new(vm.as_str().unwrap()), &Certain).await;
    assert!(removed.unwrap().kept_disks.is_empty());
    client.logout(Duration::from_secs(1)).await;
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_is_being_written_goes_when_the_control_domain_lets_go_of_it() {
    let lab = Lab::small_with(|world| world.latencies.hotplug_ms = Span::fixed(600_000)).await;
    let before = lab.world();
    let left = interrupted(&lab, |request| request.method == PUT && request.outcome == "HTTP 200").await;
    let report = lab.delete(&left).await.unwrap();
    assert!(report.kept_disks.is_empty(), "{report:?}");
    assert!(lab.requests().iter().any(|request| request.outcome == "VDI_IN_USE"));
    assert_eq!(lab.world(), before);
}
