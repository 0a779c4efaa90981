//! What somebody was promised about a server that is still being made: its creator may fail, and does not take it back.

use std::sync::Mutex;
use std::time::Duration;

use fleet::{CreateFailure, Error, Extension, Progress, Server, ServerSpec};
use serde_json::{Value, json};
use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, running, spec_of};

const HOUR: Duration = Duration::from_secs(3600);

fn refused() -> FaultKind {
    FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    }
}

/// A server that will get no address.
fn doomed() -> ServerSpec {
    let mut doomed = spec_of("web", "tmpl-no-agent");
    doomed.wait.timeout = Duration::from_millis(1500);
    doomed
}

/// Creates a server and lets somebody do something about it as soon as it runs.
async fn create_while(
    lab: &Lab,
    wanted: ServerSpec,
    somebody: impl AsyncFnOnce(Server),
) -> Result<Server, CreateFailure> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let send = Mutex::new(Some(send));
    let when_running = |step: &Progress| {
        if let Some(server) = running(step)
            && let Some(send) = send.lock().unwrap().take()
        {
            send.send(server.clone()).unwrap();
        }
    };
    let done = async { somebody(receive.await.unwrap()).await };
    let create = lab.fleet.create(wanted, Default::default(), &when_running);
    tokio::join!(create, done).0
}

async fn put(lab: &Lab, server: &Server, mark: &str) {
    let vm = lab.vm(server).await;
    lab.call("VM.add_tags", json!([vm, mark])).await;
}

/// Checks that the server is there, running, and given to the caller as it is now.
async fn check_left(lab: &Lab, failure: CreateFailure, says: &str) -> Server {
    let text = failure.error.to_string();
    assert!(matches!(&failure.error, Error::NotUndone { undo, .. } if matches!(**undo, Error::Promised { .. })));
    assert!(text.contains("no usable address") && text.contains(says), "{text}");
    assert!(failure.error.hint().contains("Ask who wants it"));
    let left = failure.left.unwrap();
    assert_eq!(lab.vm_record(&left).await["power_state"], json!("Running"));
    let read = lab.read(&left.key()).await.unwrap().unwrap();
    assert_eq!((&read.lease, read.keep), (&left.lease, left.keep));
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extended_server_stays() {
    let lab = Lab::small().await;
    let extend = async |server: Server| {
        let vm = lab.vm(&server).await;
        let vm = xenapi::Ref::new(vm.as_str().unwrap());
        let now = server.created_at.unwrap();
        let extended = fleet::extend(&lab.client(), &vm, Extension::By(HOUR), now, "a person".into()).await;
        extended.unwrap();
    };
    let failure = create_while(&lab, doomed(), extend).await.unwrap_err();
    let left = check_left(&lab, failure, "somebody extended its lease to 20").await;
    assert!(left.lease.expires_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_server_stays_and_no_other_takes_its_place() {
    let lab = Lab::small().await;
    let mut wanted = doomed();
    wanted.ip_attempts = 2;
    let keep = async |server: Server| put(&lab, &server, "dynvm:keep").await;
    let failure = create_while(&lab, wanted, keep).await.unwrap_err();
    let left = check_left(&lab, failure, "somebody put dynvm:keep on it").await;
    assert!(left.keep);
    assert_eq!(lab.traces().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_removed_yet_stays_when_somebody_comes_late() {
    let lab = Lab::small().await;
    let mut wanted = spec_of("web", "tmpl-two-nics");
    lab.control.fault(FaultRule::once("VM.start_on", refused()));
    // On the simulator's clock; long enough for a mark to be put meanwhile.
    lab.control
        .fault(FaultRule::once("VDI.destroy", FaultKind::Delay(200_000)));
    wanted.wait.for_ip = false;
    let somebody = async {
        while !lab.control.request_counts().contains_key("VDI.destroy") {
            tokio::task::yield_now().await;
        }
        let uuid = lab.traces().await[0]["uuid"].clone();
        let vm = lab.call("VM.get_by_uuid", json!([uuid])).await;
        lab.call("VM.add_tags", json!([vm, "dynvm:keep"])).await;
        vm
    };
    let (created, vm) = tokio::join!(lab.create(wanted), somebody);
    let failure = created.unwrap_err();
    let text = failure.error.to_string();
    assert!(text.contains("half-way: somebody put dynvm:keep on it"), "{text}");
    assert!(failure.left.unwrap().keep);
    let record = lab.call("VM.get_record", json!([vm])).await;
    let mut disks = 0;
    for vbd in record["VBDs"].as_array().unwrap() {
        let vbd = lab.call("VBD.get_record", json!([vbd])).await;
        disks += usize::from(vbd["type"] == "Disk");
    }
    assert_eq!(disks, 1, "the one that waited for its turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clone_inherits_is_no_promise() {
    let lab = Lab::small().await;
    let templates = lab.call("VM.get_by_name_label", json!(["tmpl-debian12"])).await;
    let inherited = [
        "dynvm:keep",
        "dynvm:vm=11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10",
        "dynvm:expires=2036-11-21T10:00:00Z/01JD4Q8QCGTF0000000000000A",
    ];
    for mark in inherited {
        lab.call("VM.add_tags", json!([templates[0], mark])).await;
        lab.call("VM.add_to_other_config", json!([templates[0], mark, ""]))
            .await;
    }
    let before = lab.world();
    for method in ["VM.set_other_config", "VM.set_tags", "VM.start_on"] {
        lab.control.fault(FaultRule::once(method, refused()));
        let failure = lab.create(spec_of("web", "tmpl-debian12")).await.unwrap_err();
        assert!(failure.left.is_none(), "{method}: {}", failure.error);
        assert_eq!(lab.world(), before, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_the_lease_that_the_creator_itself_wrote() {
    let lab = Lab::small().await;
    let before = lab.world();
    // The first reading confirms the birth, the second the lease.
    lab.control.fault(FaultRule {
        skip: 1,
        ..FaultRule::once("VM.get_record", refused())
    });
    let failure = lab.create(spec_of("web", "tmpl-debian12")).await.unwrap_err();
    let written = lab.control.request_counts().get("VM.add_to_other_config").copied();
    assert_eq!(written, Some(1), "the lease");
    assert!(failure.left.is_none(), "{}", failure.error);
    assert_eq!(lab.world(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keep_that_comes_before_the_marks_counts() {
    let lab = Lab::small().await;
    // On the simulator's clock; long enough for a tag to be put meanwhile.
    lab.control
        .fault(FaultRule::once("VM.set_other_config", FaultKind::Delay(100_000)));
    lab.control.fault(FaultRule::once("VM.set_tags", refused()));
    let somebody = async {
        while !lab.control.request_counts().contains_key("VM.set_other_config") {
            tokio::task::yield_now().await;
        }
        let born: Value = lab.traces().await.remove(0);
        let vm = lab.call("VM.get_by_uuid", json!([born["uuid"]])).await;
        lab.call("VM.add_tags", json!([vm, "dynvm:keep"])).await;
    };
    let (created, ()) = tokio::join!(lab.create(spec_of("web", "tmpl-debian12")), somebody);
    let failure = created.unwrap_err();
    assert!(failure.error.to_string().contains("dynvm:keep"), "{}", failure.error);
    assert!(failure.left.unwrap().keep);
}
