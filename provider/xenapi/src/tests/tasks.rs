//! Asynchronous calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::said::{event, events, task};
use super::server::{Reply, SESSION, Server, failure, ok};
use crate::{ErrorKind, Failure, Outcome, Pool, Ref, Vm, Wire};

const TASK: &str = "OpaqueRef:task";
const COPY: &str = "Async.VM.copy";
/// XML, whatever the wire.
const DONE: &str = "<value>OpaqueRef:copy</value>";

fn vm() -> Ref<Vm> {
    Ref::new("OpaqueRef:vm")
}

fn started() -> Reply {
    ok(TASK)
}

async fn the_end_is_heard_by_events_and_the_task_is_deleted(wire: Wire) {
    let polls = AtomicUsize::new(0);
    let gate = Arc::new(Notify::new());
    let signal = Arc::clone(&gate);
    let server = Server::xapi(wire, move |seen| match seen.method.as_str() {
        COPY => started(),
        "task.get_record" => ok(task("pending", "")),
        "event.from" => match polls.fetch_add(1, Ordering::SeqCst) {
            0 => events("1,1", vec![]),
            1 => Reply::After(
                Arc::clone(&signal),
                Box::new(events(
                    "2,1",
                    vec![
                        event("task", "mod", "OpaqueRef:else", Some(task("success", ""))),
                        event("task", "mod", TASK, Some(task("success", DONE))),
                    ],
                )),
            ),
            _ => Reply::After(Arc::default(), Box::new(Reply::Cut)),
        },
        _ => ok(""),
    })
    .await;
    let pool = server.pool();
    let (target, calls) = (vm(), pool.vm());
    let copy = calls.copy_to(&target, "copy", None, Duration::from_secs(20));
    let finish = async {
        server.wait_for("event.from", 2).await;
        gate.notify_one();
    };
    let (copied, ()) = tokio::join!(copy, finish);
    assert_eq!(copied.unwrap().as_str(), "OpaqueRef:copy");
    server.wait_for("task.destroy", 1).await;
    assert_eq!(server.count("task.cancel"), 0);
    assert!(
        server
            .seen()
            .iter()
            .any(|seen| seen.method == "event.from" && seen.strings().iter().any(|text| text == "task"))
    );
}

/// A server whose task shows this record.
async fn with_task(wire: Wire, record: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::xapi(wire, move |seen| match seen.method.as_str() {
        COPY => started(),
        "task.get_record" => record(),
        "event.from" if seen.strings().iter().any(|text| text == "pool") => events("1,1", vec![]),
        "event.from" => Reply::After(Arc::default(), Box::new(Reply::Cut)),
        _ => ok(""),
    })
    .await
}

async fn a_failed_task_fails_as_the_call_would(wire: Wire) {
    let server = with_task(wire, || ok(task("failure", ""))).await;
    let error = server
        .pool()
        .vm()
        .copy_to(&vm(), "copy", None, Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(error.is_failure(Failure::is_storage_full), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
    server.wait_for("task.destroy", 1).await;
}

async fn a_cancelled_task_says_so(wire: Wire) {
    let server = with_task(wire, || ok(task("cancelled", ""))).await;
    let error = server
        .pool()
        .vm()
        .copy_to(&vm(), "copy", None, Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(error.is_failure(Failure::is_cancelled), "{error}");
}

async fn a_vanished_task_leaves_the_outcome_open(wire: Wire) {
    let server = with_task(wire, || failure(&["HANDLE_INVALID", "task", TASK])).await;
    let error = server
        .pool()
        .vm()
        .copy_to(&vm(), "copy", None, Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TaskVanished), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeSent);
}

async fn a_task_out_of_time_is_cancelled(wire: Wire) {
    let server = with_task(wire, || ok(task("pending", ""))).await;
    let pool = server.pool();
    let error = pool
        .vm()
        .copy_to(&vm(), "copy", None, Duration::from_millis(400))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeSent);
    server.wait_for("task.destroy", 1).await;
    assert_eq!(server.count("task.cancel"), 1);
}

async fn a_dropped_wait_cancels_the_task(wire: Wire) {
    let server = with_task(wire, || ok(task("pending", ""))).await;
    let pool = server.pool();
    {
        let (target, calls) = (vm(), pool.vm());
        let copy = calls.copy_to(&target, "copy", None, Duration::from_secs(20));
        tokio::select! {
            _ = copy => panic!("ended"),
            () = server.wait_for("task.get_record", 1) => {}
        }
    }
    server.wait_for("task.cancel", 1).await;
    server.wait_for("task.destroy", 1).await;
}

async fn logout_lets_a_dropped_task_be_cancelled_first(wire: Wire) {
    let server = with_task(wire, || ok(task("pending", ""))).await;
    let pool = server.pool();
    {
        let target = vm();
        tokio::select! {
            _ = pool.vm().copy_to(&target, "copy", None, Duration::from_secs(20)) => panic!("ended"),
            () = server.wait_for("task.get_record", 1) => {}
        }
    }
    pool.logout(Duration::from_secs(10)).await;
    let methods = server.methods();
    assert_eq!(
        methods[methods.len() - 3..],
        ["task.cancel", "task.destroy", "session.logout"]
    );
}

const PUT: &str = "PUT /import_raw_vdi";

/// A server that takes an image, or sends it on.
async fn with_import(wire: Wire, task_status: &'static str, put: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::xapi(wire, move |seen| match seen.method.as_str() {
        "task.create" => started(),
        PUT => put(),
        "task.get_record" => ok(task(task_status, "")),
        "event.from" => events("1,1", vec![]),
        _ => ok(""),
    })
    .await
}

async fn an_image_goes_to_the_host_that_takes_it_with_the_session_as_a_cookie(wire: Wire) {
    let other = Server::start(wire, |_| Reply::Body(String::new())).await;
    let location = format!("http://{}/import_raw_vdi?vdi=x", other.address);
    let server = with_import(wire, "success", move || Reply::Found(location.clone())).await;
    let vdi = Ref::new("OpaqueRef:vdi");
    let image = bytes::Bytes::from(vec![b'i'; 4096]);
    let mut config = server.config();
    config.urls.push(other.endpoint());
    Pool::new(config)
        .unwrap()
        .vdi()
        .import_raw(&vdi, image, Duration::from_secs(20))
        .await
        .unwrap();
    for seen in server
        .seen()
        .into_iter()
        .chain(other.seen())
        .filter(|seen| seen.method == PUT)
    {
        let line = seen.head.lines().next().unwrap();
        assert_eq!(
            line,
            format!("PUT /import_raw_vdi?vdi=OpaqueRef:vdi&format=raw&task_id={TASK} HTTP/1.1")
        );
        assert!(
            seen.head.contains(&format!("cookie: session_id={SESSION}")),
            "{}",
            seen.head
        );
        assert_eq!(seen.body.len(), 4096);
    }
    assert_eq!((server.count(PUT), other.count(PUT)), (1, 1));
    server.wait_for("task.destroy", 1).await;
}

async fn the_task_of_a_transfer_whose_answer_was_lost_is_found_by_its_name(wire: Wire) {
    let server = Server::xapi(wire, move |seen| match seen.method.as_str() {
        "task.create" => Reply::Cut,
        "task.get_by_name_label" => ok([TASK]),
        "task.get_record" => ok(task("success", "")),
        "event.from" => events("1,1", vec![]),
        _ => ok(""),
    })
    .await;
    let vdi = Ref::new("OpaqueRef:vdi");
    let image = bytes::Bytes::new();
    let written = server
        .pool()
        .vdi()
        .import_raw(&vdi, image, Duration::from_secs(20))
        .await;
    written.unwrap();
    let named = |method: &str| {
        let seen = server.seen().into_iter().find(|seen| seen.method == method).unwrap();
        seen.strings()[1].clone()
    };
    assert!(named("task.create").starts_with("VDI import OpaqueRef:vdi "));
    assert_eq!(named("task.get_by_name_label"), named("task.create"));
    assert_eq!(server.count("task.create"), 1);
    server.wait_for("task.destroy", 1).await;
}

async fn an_image_goes_to_no_host_that_the_pool_does_not_name(wire: Wire) {
    let stranger = Server::start(wire, |_| Reply::Body(String::new())).await;
    let location = format!("http://{}/import_raw_vdi?vdi=x", stranger.address);
    let server = with_import(wire, "success", move || Reply::Found(location.clone())).await;
    let error = server
        .pool()
        .vdi()
        .import_raw(&Ref::new("OpaqueRef:vdi"), bytes::Bytes::new(), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no host that the pool names"), "{error}");
    assert_eq!(stranger.seen().len(), 0);
    server.wait_for("task.destroy", 1).await;
}

async fn an_image_that_was_not_written_is_an_error(wire: Wire) {
    let server = with_import(wire, "failure", || Reply::Body(String::new())).await;
    let vdi = Ref::new("OpaqueRef:vdi");
    let error = server
        .pool()
        .vdi()
        .import_raw(&vdi, bytes::Bytes::new(), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(error.is_failure(Failure::is_storage_full), "{error}");
    let refused = with_import(wire, "pending", || Reply::Status(404)).await;
    let error = refused
        .pool()
        .vdi()
        .import_raw(&vdi, bytes::Bytes::new(), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Http(404)), "{error}");
    refused.wait_for("task.destroy", 1).await;
    let nowhere = with_import(wire, "pending", || Reply::Found("ftp:nowhere".to_owned())).await;
    let error = nowhere
        .pool()
        .vdi()
        .import_raw(&vdi, bytes::Bytes::new(), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
}

over_both_wires!(
    the_end_is_heard_by_events_and_the_task_is_deleted,
    a_failed_task_fails_as_the_call_would,
    a_cancelled_task_says_so,
    a_vanished_task_leaves_the_outcome_open,
    a_task_out_of_time_is_cancelled,
    a_dropped_wait_cancels_the_task,
    logout_lets_a_dropped_task_be_cancelled_first,
    an_image_goes_to_the_host_that_takes_it_with_the_session_as_a_cookie,
    the_task_of_a_transfer_whose_answer_was_lost_is_found_by_its_name,
    an_image_goes_to_no_host_that_the_pool_does_not_name,
    an_image_that_was_not_written_is_an_error,
);
