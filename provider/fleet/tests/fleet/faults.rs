//! Every request of a create and of a delete fails once in every way: what is there afterwards is known, or marked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::{Error, Fleet, Progress, Server, ServerSpec};
use serde_json::{Value, json};
use sim::{FaultKind, FaultRule};
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, running, spec};

fn refused() -> FaultKind {
    FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    }
}

/// A server with all that one can have, which has little time.
fn bounded(name: &str) -> ServerSpec {
    let mut bounded = spec(name);
    bounded.cloud_init = fleet::CloudInit::new(Some("#cloud-config\n"), None);
    bounded.create_timeout = Duration::from_secs(4);
    bounded
}

async fn create(fleet: &Arc<Fleet>, spec: ServerSpec) -> Result<Server, fleet::CreateFailure> {
    fleet.create(spec, CancellationToken::new(), &|_| {}).await
}

async fn delete(fleet: &Arc<Fleet>, server: &Server) -> Result<fleet::DeleteReport, Error> {
    fleet
        .delete(&server.key(), Duration::from_secs(20), CancellationToken::new())
        .await
}

/// Says whether a VM can be told from those of others by whoever cleans up.
fn is_attributed(vm: &Value) -> bool {
    let (name, keys) = (
        vm["name_label"].as_str().unwrap(),
        vm["other_config"].as_object().unwrap(),
    );
    let is_leased = keys
        .keys()
        .any(|key| key.starts_with("dynvm:creating=") || key.starts_with("dynvm:expires="));
    let is_marked = keys.get("dynvm:vm") == Some(&vm["uuid"]) && is_leased;
    fleet::BirthName::parse(name).is_some() || is_marked
}

/// The world without tickets: one whose release failed ends by its time.
fn world(lab: &Lab) -> Value {
    let mut world = lab.world();
    for pool in world.as_object_mut().unwrap().values_mut() {
        for record in pool["pool"].as_object_mut().unwrap().values_mut() {
            let map = record["other_config"].as_object_mut().unwrap();
            map.retain(|key, _| !key.starts_with("dynvm:ticket."));
        }
    }
    world
}

/// Removes what a reaper would.
async fn reap(lab: &Lab) {
    for vm in lab.traces().await {
        assert!(is_attributed(&vm), "{vm}");
        let reference = lab.call("VM.get_by_uuid", json!([vm["uuid"]])).await;
        for vbd in vm["VBDs"].as_array().unwrap() {
            let vbd = lab.call("VBD.get_record", json!([vbd])).await;
            if vbd["type"] == "Disk" {
                lab.call("VDI.destroy", json!([vbd["VDI"]])).await;
            }
        }
        lab.call("VM.destroy", json!([reference])).await;
    }
}

/// How many requests a create and a delete take, login included.
async fn lengths(lab: &Lab) -> (u64, u64) {
    let fleet = lab.second();
    lab.control.reset_requests();
    let server = create(&fleet, bounded("web")).await.unwrap();
    let of_create = lab.control.requests().len();
    let fleet = lab.second();
    lab.control.reset_requests();
    delete(&fleet, &server).await.unwrap();
    (
        u64::try_from(of_create).unwrap(),
        u64::try_from(lab.control.requests().len()).unwrap(),
    )
}

async fn create_fails_at_each_step(kind: FaultKind) {
    let lab = Lab::small().await;
    let (steps, _) = lengths(&lab).await;
    let before = world(&lab);
    for skip in 0..steps {
        let rule = FaultRule {
            method: "*".into(),
            skip,
            count: 1,
            kind: kind.clone(),
            ..FaultRule::default()
        };
        lab.control.fault(rule);
        lab.control.reset_requests();
        let outcome = create(&lab.second(), bounded("web")).await;
        lab.control.clear_faults();
        let fleet = lab.second();
        match outcome {
            Ok(server) => {
                delete(&fleet, &server).await.unwrap();
            }
            Err(fleet::CreateFailure { left: Some(server), .. }) => {
                delete(&fleet, &server).await.unwrap();
            }
            // Nothing, or a clone that nobody could be told of.
            Err(fleet::CreateFailure { error, left: None }) => {
                let clones = lab.traces().await;
                let is_unknown = matches!(error, Error::CloneUnknown { .. } | Error::NotUndone { .. });
                assert!(clones.is_empty() || is_unknown, "step {skip}: {error}: {clones:?}");
                reap(&lab).await;
            }
        }
        assert_eq!(world(&lab), before, "step {skip} {kind:?}");
    }
}

async fn delete_fails_at_each_step(kind: FaultKind) {
    let lab = Lab::small().await;
    let (_, steps) = lengths(&lab).await;
    let before = world(&lab);
    for skip in 0..steps {
        let server = create(&lab.second(), bounded("web")).await.unwrap();
        let rule = FaultRule {
            method: "*".into(),
            skip,
            count: 1,
            kind: kind.clone(),
            ..FaultRule::default()
        };
        lab.control.fault(rule);
        let outcome = delete(&lab.second(), &server).await;
        lab.control.clear_faults();
        if outcome.is_err() {
            // What is left is the server still: the next run finds it and ends the work.
            delete(&lab.second(), &server).await.unwrap();
        }
        assert_eq!(world(&lab), before, "step {skip} {kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_refused_at_any_step_leaves_nothing_unknown() {
    create_fails_at_each_step(refused()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_cut_before_any_step_leaves_nothing_unknown() {
    create_fails_at_each_step(FaultKind::CutBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_cut_after_any_step_leaves_nothing_unknown() {
    create_fails_at_each_step(FaultKind::CutAfter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_refused_at_any_step_can_be_repeated() {
    delete_fails_at_each_step(refused()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_cut_before_any_step_can_be_repeated() {
    delete_fails_at_each_step(FaultKind::CutBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_cut_after_any_step_can_be_repeated() {
    delete_fails_at_each_step(FaultKind::CutAfter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_answer_was_lost_is_found_and_not_made_twice() {
    let lab = Lab::small().await;
    lab.control.fault(FaultRule::once("VM.clone", FaultKind::CutAfter));
    let server = lab.create(spec("web")).await.unwrap();
    assert!(server.ip_address.is_some());
    assert_eq!(
        lab.requests()
            .iter()
            .filter(|request| request.method == "VM.clone")
            .count(),
        1
    );
    assert_eq!(lab.traces().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_never_arrived_is_asked_for_again() {
    let lab = Lab::small().await;
    lab.control.fault(FaultRule::once("VM.clone", FaultKind::CutBefore));
    let server = lab.create(spec("web")).await.unwrap();
    assert_eq!(lab.traces().await.len(), 1);
    lab.delete(&server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_undo_leaves_the_server_marked_and_named() {
    let lab = Lab::small().await;
    lab.control.fault(FaultRule::once("VM.start_on", refused()));
    lab.control.fault(FaultRule::once("VDI.destroy", refused()));
    let failure = lab.create(spec("web")).await.unwrap_err();
    assert!(matches!(failure.error, Error::NotUndone { .. }), "{}", failure.error);
    let left = failure.left.unwrap();
    let traces = lab.traces().await;
    assert_eq!(traces.len(), 1);
    assert!(is_attributed(&traces[0]));
    lab.delete(&left).await.unwrap();
    assert!(lab.traces().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_whose_answer_was_lost_costs_nothing() {
    for method in ["VDI.add_to_other_config", "VM.add_to_other_config", "VM.add_tags"] {
        for kind in [FaultKind::CutAfter, FaultKind::CutBefore] {
            let lab = Lab::small().await;
            lab.control.fault(FaultRule::once(method, kind));
            let server = lab.create(spec("web")).await.unwrap();
            let read = lab.read(&server.key()).await.unwrap().unwrap();
            assert_eq!((read.lease, read.disk_bytes), (server.lease, 20 << 30), "{method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_keeps_a_disk_that_a_person_attached_meanwhile() {
    let lab = Lab::small().await;
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    wanted.wait.timeout = Duration::from_millis(1500);
    let (send, receive) = tokio::sync::oneshot::channel();
    let send = std::sync::Mutex::new(Some(send));
    let when_running = |step: &Progress| {
        if let Some(server) = running(step)
            && let Some(send) = send.lock().unwrap().take()
        {
            send.send(server.clone()).unwrap();
        }
    };
    let attached = async {
        let server = receive.await.unwrap();
        lab.attach_disk(&server, json!({})).await
    };
    let create = lab.fleet.create(wanted, CancellationToken::new(), &when_running);
    let (failure, vdi) = tokio::join!(create, attached);
    assert!(failure.unwrap_err().left.is_none());
    assert!(lab.traces().await.is_empty());
    let record = lab.call("VDI.get_record", json!([vdi])).await;
    assert_eq!(record["VBDs"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_named_or_started_before_the_marks_are_confirmed() {
    let lab = Lab::small().await;
    lab.create(spec("web")).await.unwrap();
    let requests = lab.requests();
    let of = |method: &str| requests.iter().find(|request| request.method == method).unwrap();
    let confirmed = of("VM.get_record").ended_us.unwrap();
    assert!(of("VM.set_name_label").started_us >= confirmed);
    assert!(of("VM.start_on").started_us >= confirmed);
    assert!(of("VM.set_tags").started_us >= of("VM.set_other_config").ended_us.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_the_wait_at_once_and_names_what_exists() {
    let lab = Lab::small().await;
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    let cancel = CancellationToken::new();
    let when_running = |step: &Progress| {
        if running(step).is_some() {
            cancel.cancel();
        }
    };
    let begun = Instant::now();
    let failure = lab
        .fleet
        .create(wanted, cancel.clone(), &when_running)
        .await
        .unwrap_err();
    assert!(failure.error.is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let left = failure.left.unwrap();
    let traces = lab.traces().await;
    assert_eq!(traces[0]["uuid"], json!(left.id.to_string()));
    assert!(is_attributed(&traces[0]));
    lab.delete(&left).await.unwrap();
}

/// Cancels a create while its clone is being made, which takes so long.
async fn cancelled_while_cloning(lab: &Lab, milliseconds: u64) -> fleet::CreateFailure {
    lab.control
        .fault(FaultRule::once("VM.clone", FaultKind::Delay(milliseconds)));
    let (fleet, cancel) = (Arc::clone(&lab.fleet), CancellationToken::new());
    let when = cancel.clone();
    let creating = tokio::spawn(async move { fleet.create(spec("web"), when, &|_| {}).await });
    while !lab.requests().iter().any(|request| request.method == "VM.clone") {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    cancel.cancel();
    let failure = creating.await.unwrap().unwrap_err();
    assert!(failure.error.is_cancelled(), "{}", failure.error);
    assert!(begun.elapsed() < Duration::from_secs(3));
    failure
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_clone_is_named_and_goes_with_its_disks() {
    let lab = Lab::small().await;
    let before = world(&lab);
    let left = cancelled_while_cloning(&lab, 40_000).await.left.unwrap();
    assert!(is_attributed(&lab.traces().await[0]));
    let report = lab.delete(&left).await.unwrap();
    assert!(report.kept_disks.is_empty(), "{report:?}");
    assert_eq!(world(&lab), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_outlives_its_creator_has_a_birth_name() {
    let lab = Lab::small().await;
    let failure = cancelled_while_cloning(&lab, 500_000).await;
    assert!(failure.left.is_none());
    let Error::CloneGivenUp { birth_name, .. } = &failure.error else {
        panic!("the clone is not named: {}", failure.error);
    };
    while lab.traces().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let clone = &lab.traces().await[0];
    assert!(is_attributed(clone));
    assert_eq!(clone["name_label"], json!(birth_name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_takes_too_long_is_undone() {
    let lab = Lab::small().await;
    let before = world(&lab);
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    wanted.create_timeout = Duration::from_millis(600);
    let failure = lab.create(wanted).await.unwrap_err();
    let text = failure.error.to_string();
    assert!(matches!(failure.error, Error::CreateTimeout { .. }), "{text}");
    assert!(text.contains("without a usable address"), "{text}");
    assert!(failure.left.is_none());
    assert_eq!(world(&lab), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_destroyed_while_its_address_is_awaited() {
    let lab = Lab::small().await;
    let mut wanted = spec("web");
    wanted.image = fleet::Image::Template("tmpl-no-agent".into());
    let control = lab.control.clone();
    let when_running = move |step: &Progress| {
        if let Some(server) = running(step) {
            control.destroy_vm(&server.id.to_string()).unwrap();
        }
    };
    let failure = lab
        .fleet
        .create(wanted, CancellationToken::new(), &when_running)
        .await
        .unwrap_err();
    assert!(
        matches!(failure.error, Error::Gone { .. } | Error::Stopped { .. }),
        "{}",
        failure.error
    );
    assert!(failure.left.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_toolstack_in_the_middle_is_survived() {
    let lab = Lab::small().await;
    let control = lab.control.clone();
    let when_running = move |step: &Progress| {
        if running(step).is_some() {
            control.restart_toolstack("lab1").unwrap();
        }
    };
    let server = lab
        .fleet
        .create(spec("web"), CancellationToken::new(), &when_running)
        .await
        .unwrap();
    assert!(server.ip_address.is_some() && server.lease.expires_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_during_the_birth_stops_the_creator() {
    let lab = Lab::small().await;
    // On the simulator's clock; long enough for a claim to be put meanwhile.
    lab.control
        .fault(FaultRule::once("VM.get_record", FaultKind::Delay(200_000)));
    let fleet = Arc::clone(&lab.fleet);
    let creating = tokio::spawn(async move { create(&fleet, spec("web")).await });
    let has_arrived = || lab.requests().iter().any(|request| request.method == "VM.get_record");
    while !has_arrived() {
        tokio::task::yield_now().await;
    }
    let born = lab.traces().await.pop().unwrap();
    let vm = lab.call("VM.get_by_uuid", json!([born["uuid"]])).await;
    lab.call("VM.add_tags", json!([vm, "dynvm:reaping=01JD4Q8QCGTF0000000000000A"]))
        .await;
    let failure = creating.await.unwrap().unwrap_err();
    assert!(matches!(failure.error, Error::BeingReaped { .. }), "{}", failure.error);
    assert_eq!(lab.call("VM.get_power_state", json!([vm])).await, json!("Halted"));
}
