//! Snapshots, deltas and the one long poll.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::said::{Said, event, events, host_metrics};
use super::server::{Reply, SESSION, Server, failure};
use crate::{
    ChangeOp, ErrorKind, EventClass, HostMetrics, HostMetricsRecord, Interest, Loss, Notice, Pool, Ref, Subscription,
    Wire,
};

const METRICS: &str = "OpaqueRef:m1";
const CLASSES: &[EventClass] = &[EventClass::HostMetrics];

/// Answers `event.from` with the queued replies in turn; when they are used up, the call waits.
#[derive(Clone, Default)]
struct Feed {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    more: Arc<Notify>,
}

impl Feed {
    fn push(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    async fn server(&self, wire: Wire) -> Server {
        let feed = self.clone();
        Server::xapi(wire, move |seen| {
            assert_eq!(seen.method, "event.from");
            let next = feed.replies.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Reply::After(Arc::clone(&feed.more), Box::new(Reply::Cut)))
        })
        .await
    }
}

fn modified(token: &str, free: i64) -> Reply {
    events(
        token,
        vec![event("host_metrics", "mod", METRICS, Some(host_metrics(free)))],
    )
}

async fn next(subscription: &mut Subscription) -> Notice {
    tokio::time::timeout(Duration::from_secs(20), subscription.next())
        .await
        .unwrap()
}

async fn next_metrics(subscription: &mut Subscription) -> HostMetricsRecord {
    match next(subscription).await {
        Notice::Change(change) => change.of::<HostMetrics>().unwrap().1.unwrap().clone(),
        Notice::Reached(token) => panic!("{token:?}"),
        Notice::Lost(loss) => panic!("{loss:?}"),
    }
}

async fn primed(wire: Wire, feed: &Feed) -> (Server, Arc<Pool>) {
    feed.push(events("00000000000000000010,00000000000000000001", vec![]));
    let server = feed.server(wire).await;
    let pool = server.pool();
    pool.snapshot(CLASSES).await.unwrap();
    (server, pool)
}

async fn a_snapshot_reads_classes_in_one_request(wire: Wire) {
    let feed = Feed::default();
    feed.push(events(
        "5,1",
        vec![
            event("host_metrics", "add", METRICS, Some(host_metrics(7))),
            event("HOST_METRICS", "add", "OpaqueRef:m2", Some(host_metrics(8))),
            event("blob", "add", "OpaqueRef:b", Some(Said::empty_map())),
        ],
    ));
    let server = feed.server(wire).await;
    let pool = server.pool();
    let snapshot = pool
        .snapshot(&[EventClass::HostMetrics, EventClass::Host])
        .await
        .unwrap();
    let free: Vec<i64> = snapshot
        .of::<HostMetrics>()
        .map(|(_, record)| record.memory_free)
        .collect();
    assert_eq!(free, [7, 8]);
    assert_eq!(snapshot.count(EventClass::Vm), Some(42));
    assert_eq!(server.methods(), ["session.login_with_password", "event.from"]);
    let seen = &server.seen()[1];
    assert_eq!(seen.strings(), [SESSION, "host_metrics", "host", ""]);
    let wait = match wire {
        Wire::Json => ",0.0],\"id\":1}",
        Wire::Xml => "<double>0.0</double>",
    };
    assert!(seen.body.contains(wait), "{}", seen.body);

    feed.push(events("6,1", vec![event("host_metrics", "del", METRICS, None)]));
    let delta = pool.changes_since(CLASSES, &snapshot.token).await.unwrap();
    assert_eq!((delta.changes.len(), delta.changes[0].op), (1, ChangeOp::Del));
    assert_eq!(server.seen()[2].strings()[2], "5,1");

    feed.push(events("7,1", vec![]));
    let interest = Interest::object(&Ref::<HostMetrics>::new(METRICS)).and_class(EventClass::Vbd);
    pool.changes_of(&interest, &delta.token).await.unwrap();
    let asked = server.seen()[3].strings();
    assert_eq!(asked[1..], ["host_metrics/OpaqueRef:m1", "vbd", "6,1"]);
}

async fn a_snapshot_with_a_record_that_cannot_be_read_fails(wire: Wire) {
    let feed = Feed::default();
    feed.push(events(
        "5,1",
        vec![event("host_metrics", "add", METRICS, Some(Said::empty_map()))],
    ));
    let error = feed.server(wire).await.pool().snapshot(CLASSES).await.unwrap_err();
    assert!(error.to_string().contains(METRICS), "{error}");
}

async fn a_token_of_an_earlier_session_is_refused(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    feed.push(events("11,1", vec![]));
    let token = pool.snapshot(CLASSES).await.unwrap().token;
    feed.push(failure(&["SESSION_INVALID", SESSION]));
    let error = pool.changes_since(CLASSES, &token).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StaleToken), "{error}");
    let asked = server.count("event.from");
    let error = pool.changes_since(CLASSES, &token).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StaleToken), "{error}");
    assert_eq!(server.count("event.from"), asked);
}

async fn subscribers_hear_of_what_they_want(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    feed.push(modified("00000000000000000011,1", 1));
    let mut all = pool.watcher().subscribe(Interest::classes(CLASSES));
    let mut one = pool
        .watcher()
        .subscribe(Interest::object(&Ref::<HostMetrics>::new(METRICS)));
    let mut other = pool
        .watcher()
        .subscribe(Interest::object(&Ref::<HostMetrics>::new("OpaqueRef:x")));
    assert_eq!(next_metrics(&mut all).await.memory_free, 1);
    assert_eq!(next_metrics(&mut one).await.memory_free, 1);
    assert!(other.try_next().is_none());
    server.wait_for("event.from", 3).await;
    let tokens: Vec<String> = server
        .seen()
        .iter()
        .skip(2)
        .map(|seen| seen.strings()[2].clone())
        .collect();
    assert_eq!(
        tokens,
        ["00000000000000000010,00000000000000000001", "00000000000000000011,1"]
    );
}

async fn a_cold_start_tells_the_subscriber_to_read(wire: Wire) {
    let feed = Feed::default();
    feed.push(events("5,1", vec![]));
    feed.push(modified("6,1", 3));
    let server = feed.server(wire).await;
    let pool = server.pool();
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Fresh)));
    assert_eq!(next_metrics(&mut subscription).await.memory_free, 3);
    assert_eq!(server.seen()[1].strings()[1..], ["pool", ""]);
}

async fn nobody_interested_means_nothing_in_flight_and_the_token_is_used_again(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    server.wait_for("event.from", 2).await;
    drop(subscription);
    let idle = async {
        while format!("{:?}", pool.watcher()).contains("running true") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle).await.unwrap();
    feed.push(modified("12,1", 9));
    let mut again = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert_eq!(next_metrics(&mut again).await.memory_free, 9);
}

async fn a_further_class_widens_the_poll_with_the_same_token(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let first = pool.watcher().subscribe(Interest::classes(CLASSES));
    server.wait_for("event.from", 2).await;
    let second = pool.watcher().subscribe(Interest::classes(&[EventClass::Vm]));
    server.wait_for("event.from", 3).await;
    first.watch_class(EventClass::Task);
    server.wait_for("event.from", 4).await;
    // An object of a class that is listened to already changes nothing.
    second.watch_object(&Ref::<HostMetrics>::new(METRICS));
    let asked: Vec<Vec<String>> = server
        .seen()
        .iter()
        .skip(2)
        .map(|seen| seen.strings()[1..].to_vec())
        .collect();
    let token = "00000000000000000010,00000000000000000001";
    assert_eq!(asked[0], ["host_metrics", token]);
    assert_eq!(asked[1], ["vm", "host_metrics", token]);
    assert_eq!(asked[2], ["vm", "host_metrics", "task", token]);
}

/// What each call of `event.from` asked for, from the second on: classes and token.
fn asked(server: &Server) -> Vec<String> {
    let calls = server.seen().into_iter().filter(|seen| seen.method == "event.from");
    calls.skip(1).map(|seen| seen.strings()[1..].join(" ")).collect()
}

async fn those_on_call_are_left_out_until_somebody_hurries_and_the_patient_then_too(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let patient = pool.watcher().subscribe(Interest::classes(&[EventClass::Sr]).patient());
    let mut on_call = pool.watcher().subscribe(Interest::classes(CLASSES).on_call());
    feed.push(events("00000000000000000011,1", vec![]));
    let prompt = pool.watcher().subscribe(Interest::classes(&[EventClass::Vm]));
    server.wait_for("event.from", 3).await;
    feed.push(modified("00000000000000000012,1", 5));
    let hurry = on_call.haste().hurry();
    assert_eq!(next_metrics(&mut on_call).await.memory_free, 5);
    server.wait_for("event.from", 5).await;
    drop((hurry, prompt, patient));
    let begun = "00000000000000000010,00000000000000000001";
    assert_eq!(
        asked(&server),
        [
            format!("vm {begun}"),
            "vm 00000000000000000011,1".to_owned(),
            // All that those on call have not been told yet.
            format!("vm host_metrics {begun}"),
            "vm host_metrics 00000000000000000012,1".to_owned(),
        ]
    );
}

async fn who_comes_to_be_told_at_once_misses_nothing_of_the_rest(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let patient = pool
        .watcher()
        .subscribe(Interest::classes(&[EventClass::Vm, EventClass::HostMetrics]).patient());
    feed.push(modified("00000000000000000011,1", 7));
    let mut prompt = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert_eq!(prompt.since(), patient.since());
    assert_eq!(next_metrics(&mut prompt).await.memory_free, 7);
    server.wait_for("event.from", 3).await;
    assert_eq!(
        asked(&server),
        [
            "host_metrics 00000000000000000010,00000000000000000001",
            "host_metrics 00000000000000000011,1"
        ]
    );
}

async fn who_rests_hears_of_a_new_session_at_once(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let mut patient = pool.watcher().subscribe(Interest::classes(CLASSES).patient());
    // Somebody else's call finds that the session is over.
    feed.push(failure(&["SESSION_INVALID", SESSION]));
    feed.push(events("3,1", vec![]));
    feed.push(events("4,1", vec![]));
    pool.snapshot(&[EventClass::Sr]).await.unwrap();
    assert!(matches!(next(&mut patient).await, Notice::Lost(Loss::Interrupted)));
    assert!(asked(&server).contains(&"pool ".to_owned()));
}

async fn a_new_session_means_a_new_token_and_a_notice(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    feed.push(failure(&["SESSION_INVALID", SESSION]));
    feed.push(events("3,1", vec![]));
    feed.push(modified("4,1", 5));
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Interrupted)));
    assert_eq!(next_metrics(&mut subscription).await.memory_free, 5);
    assert_eq!(server.count("session.login_with_password"), 2);
}

async fn a_token_that_the_pool_does_not_know_is_replaced(wire: Wire) {
    let feed = Feed::default();
    let (_server, pool) = primed(wire, &feed).await;
    feed.push(failure(&["EVENT_FROM_TOKEN_PARSE_FAILURE", "10,1"]));
    feed.push(events("3,1", vec![]));
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Fresh)));
}

async fn one_broken_connection_is_no_loss_and_two_are_told(wire: Wire) {
    let feed = Feed::default();
    let (_server, pool) = primed(wire, &feed).await;
    feed.push(Reply::Cut);
    feed.push(modified("11,1", 1));
    feed.push(Reply::Cut);
    feed.push(Reply::Status(500));
    feed.push(events("12,1", vec![]));
    feed.push(modified("13,1", 2));
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert_eq!(next_metrics(&mut subscription).await.memory_free, 1);
    assert!(matches!(
        next(&mut subscription).await,
        Notice::Lost(Loss::Unreachable(_))
    ));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Fresh)));
    assert_eq!(next_metrics(&mut subscription).await.memory_free, 2);
}

async fn a_record_that_cannot_be_read_is_left_to_the_subscriber(wire: Wire) {
    let feed = Feed::default();
    let (_server, pool) = primed(wire, &feed).await;
    feed.push(events(
        "11,1",
        vec![event("host_metrics", "mod", METRICS, Some(Said::empty_map()))],
    ));
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    match next(&mut subscription).await {
        Notice::Change(change) => {
            assert_eq!((change.op, change.object.as_str()), (ChangeOp::Mod, METRICS));
            assert!(change.record.is_none());
        }
        Notice::Reached(token) => panic!("{token:?}"),
        Notice::Lost(loss) => panic!("{loss:?}"),
    }
}

fn metrics(operation: &str, objects: std::ops::Range<u32>) -> Vec<Said> {
    let of = |n| {
        let object = format!("OpaqueRef:{n}");
        let record = (operation != "del").then(|| host_metrics(1));
        event("host_metrics", operation, &object, record)
    };
    objects.map(of).collect()
}

async fn a_slow_subscriber_reads_again_and_hinders_nobody(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    feed.push(events("11,1", metrics("del", 0..8193)));
    feed.push(modified("12,1", 6));
    let mut slow = pool.watcher().subscribe(Interest::classes(CLASSES));
    server.wait_for("event.from", 4).await;
    assert!(matches!(next(&mut slow).await, Notice::Lost(Loss::Overflow)));
    match slow.try_next() {
        Some(Notice::Change(change)) => assert_eq!(change.object, METRICS),
        other => panic!("{other:?}"),
    }
    assert!(slow.try_next().is_none());
}

async fn of_each_object_only_the_last_change_waits(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    feed.push(events("11,1", metrics("add", 0..4000)));
    feed.push(events("12,1", metrics("mod", 1000..6000)));
    feed.push(events("13,1", metrics("mod", 3000..8192)));
    feed.push(events("14,1", metrics("del", 2000..4000)));
    let mut slow = pool.watcher().subscribe(Interest::classes(CLASSES));
    server.wait_for("event.from", 6).await;
    for n in 0..8192 {
        let Some(Notice::Change(change)) = slow.try_next() else {
            panic!("no change of {n}");
        };
        let op = match n {
            0..1000 => ChangeOp::Add,
            2000..4000 => ChangeOp::Del,
            _ => ChangeOp::Mod,
        };
        assert_eq!((change.object.as_str(), change.op), (&*format!("OpaqueRef:{n}"), op));
        assert_eq!(change.record.is_none(), op == ChangeOp::Del);
    }
    assert!(slow.try_next().is_none());

    feed.push(modified("15,1", 6));
    feed.more.notify_one();
    assert_eq!(next_metrics(&mut slow).await.memory_free, 6);
}

async fn logout_ends_the_poll_and_tells_everybody(wire: Wire) {
    let feed = Feed::default();
    let (server, pool) = primed(wire, &feed).await;
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    server.wait_for("event.from", 2).await;
    pool.logout(Duration::from_secs(5)).await;
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Closed)));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Closed)));
    let mut late = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert!(matches!(next(&mut late).await, Notice::Lost(Loss::Closed)));
    assert_eq!(server.count("session.logout"), 1);
}

async fn the_poll_follows_the_session_to_another_coordinator(wire: Wire) {
    let new = Feed::default();
    new.push(events("1,1", vec![]));
    let successor = new.server(wire).await;
    let address = successor.address.to_string();
    // The old coordinator never answers the poll, as a dead host would not.
    let old = Server::xapi(wire, move |seen| match seen.strings().get(1).map(String::as_str) {
        Some("pool") => events("900,1", vec![]),
        Some("host_metrics") => Reply::After(Arc::default(), Box::new(Reply::Cut)),
        Some(_) | None => failure(&["HOST_IS_SLAVE", &address]),
    })
    .await;
    let pool = old.pool();
    let mut subscription = pool.watcher().subscribe(Interest::classes(CLASSES));
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Fresh)));
    old.wait_for("event.from", 2).await;
    let moved = async {
        let _ = pool.snapshot(&[EventClass::Task]).await;
    };
    new.push(modified("2,1", 4));
    moved.await;
    assert!(matches!(next(&mut subscription).await, Notice::Lost(Loss::Interrupted)));
}

over_both_wires!(
    a_snapshot_reads_classes_in_one_request,
    a_snapshot_with_a_record_that_cannot_be_read_fails,
    a_token_of_an_earlier_session_is_refused,
    subscribers_hear_of_what_they_want,
    a_cold_start_tells_the_subscriber_to_read,
    nobody_interested_means_nothing_in_flight_and_the_token_is_used_again,
    a_further_class_widens_the_poll_with_the_same_token,
    those_on_call_are_left_out_until_somebody_hurries_and_the_patient_then_too,
    who_comes_to_be_told_at_once_misses_nothing_of_the_rest,
    who_rests_hears_of_a_new_session_at_once,
    a_new_session_means_a_new_token_and_a_notice,
    a_token_that_the_pool_does_not_know_is_replaced,
    one_broken_connection_is_no_loss_and_two_are_told,
    a_record_that_cannot_be_read_is_left_to_the_subscriber,
    a_slow_subscriber_reads_again_and_hinders_nobody,
    of_each_object_only_the_last_change_waits,
    logout_ends_the_poll_and_tells_everybody,
    the_poll_follows_the_session_to_another_coordinator,
);
