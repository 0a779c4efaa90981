//! Tickets that hold nothing any more are cleared away, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet::ticket::{Kind, PerServer, Ticket, released_key, ticket_key};
use jiff::{SignedDuration, Timestamp};
use reaper::once::{Ending, Once};
use serde_json::json;
use sim::world::UserSpec;
use sim::{FaultKind, FaultRule, World};
use ulid::Ulid;

use crate::daemon::Daemon;
use crate::lab::Lab;

const REMOVE: &str = "pool.remove_from_other_config";

/// A ticket that ends so many seconds from now.
fn ticket(seconds: i64) -> String {
    let until = Timestamp::now() + SignedDuration::from_secs(seconds);
    let ticket = Ticket {
        id: Ulid(1),
        kind: Kind::Creation,
        each: PerServer::default(),
        hosts: BTreeMap::new(),
        until,
        by: "ci".into(),
    };
    ticket.to_json()
}

/// A live one, one that is over, one that is released, one that nobody understands, and two that are over of which one is the highest.
fn keys() -> BTreeMap<String, String> {
    [
        (ticket_key(1), ticket(3600)),
        (ticket_key(2), ticket(-60)),
        (ticket_key(3), ticket(3600)),
        (released_key(3), Ulid(1).to_string()),
        (ticket_key(4), "?".to_owned()),
        (ticket_key(5), ticket(-60)),
        (ticket_key(6), ticket(-60)),
    ]
    .into()
}

/// What is left of them.
fn left() -> BTreeSet<String> {
    [1, 4, 6].map(ticket_key).into()
}

async fn there(lab: &Lab) -> BTreeSet<String> {
    let pools = lab.call("pool.get_all", json!([])).await;
    let map = lab.call("pool.get_other_config", json!([pools[0]])).await;
    let keys = map.as_object().unwrap().keys();
    keys.filter(|key| key.starts_with("dynvm:ticket.")).cloned().collect()
}

async fn put(lab: &Lab, keys: BTreeMap<String, String>) {
    lab.control.set_pool_other_config("lab1", keys).unwrap();
}

fn cleared(done: &[reaper::once::Done]) -> (u32, Ending) {
    (done[0].cleared_tickets, Ending::of(done))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_released_or_over_goes_and_the_rest_stays() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    put(&lab, keys()).await;
    let plan = lab.plan().await;
    let planned = plan.tickets.iter().filter(|one| one.action.word() == "delete");
    let planned: Vec<&str> = planned.map(|one| one.key.as_str()).collect();
    assert_eq!(planned, [2, 3, 5].map(ticket_key));
    assert_eq!(there(&lab).await.len(), 7, "a plan does nothing");
    let done = lab.once().run(&()).await;
    assert_eq!(cleared(&done), (3, Ending::Done));
    assert_eq!(there(&lab).await, left());
    assert!(!lab.has(&server).await);
    assert_eq!(cleared(&lab.once().run(&()).await), (0, Ending::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reapers_clear_without_harm() {
    let lab = Lab::small().await;
    put(&lab, keys()).await;
    let (one, other) = (lab.once(), lab.once());
    let (one, other) = tokio::join!(one.run(&()), other.run(&()));
    assert_eq!((cleared(&one).1, cleared(&other).1), (Ending::Done, Ending::Done));
    assert_eq!(there(&lab).await, left());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_them_back_too() {
    let lab = Lab::small().await;
    let mut paused = keys();
    paused.insert("dynvm:pause".into(), String::new());
    put(&lab, paused).await;
    let plan = lab.plan().await;
    assert!(!plan.has_leftover_tickets());
    assert!(plan.tickets[1].reason.contains("paused"), "{:?}", plan.tickets);
    lab.once().run(&()).await;
    assert_eq!(there(&lab).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_fails_no_deletion_and_leaves_the_mark() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    put(&lab, keys()).await;
    let code = "OPERATION_NOT_ALLOWED".to_owned();
    let params = vec!["injected".to_owned()];
    lab.control.fault(FaultRule {
        method: REMOVE.into(),
        skip: 1,
        count: 1,
        kind: FaultKind::Error { code, params },
        ..FaultRule::default()
    });
    assert_eq!(cleared(&lab.once().run(&()).await), (0, Ending::Done));
    assert!(!lab.has(&server).await);
    let after = there(&lab).await;
    assert!(!after.contains(&ticket_key(2)));
    assert!(after.contains(&ticket_key(3)) && after.contains(&released_key(3)));
    lab.once().run(&()).await;
    assert_eq!(there(&lab).await, left());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_change_nothing() {
    for kind in [FaultKind::CutAfter, FaultKind::CutBefore] {
        let lab = Lab::small().await;
        put(&lab, keys()).await;
        lab.control.fault(FaultRule::once(REMOVE, kind));
        assert_eq!(cleared(&lab.once().run(&()).await), (3, Ending::Done));
        assert_eq!(there(&lab).await, left());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_role_they_stay_after_one_attempt() {
    let mut world = World::from_hcl(include_str!("small.hcl")).unwrap();
    world.pools["lab1"].users.push(UserSpec {
        name: "admin".into(),
        password: "secret".into(),
        role: "vm-admin".into(),
    });
    let lab = Lab::of(world).await;
    let server = lab.server("server", -60).await;
    put(&lab, keys()).await;
    lab.control.reset_requests();
    let once = Once {
        clients: vec![lab.client_of("admin", "secret")],
        ..lab.once()
    };
    assert_eq!(cleared(&once.run(&()).await), (0, Ending::Done));
    assert!(!lab.has(&server).await);
    assert_eq!(there(&lab).await.len(), 7);
    let counts = lab.control.request_counts();
    assert_eq!(counts.get(REMOVE), Some(&1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_clears_what_an_event_tells() {
    let lab = Arc::new(Lab::small().await);
    let daemon = Daemon::start(&lab);
    lab.until("it is surveyed", || async {
        daemon.shows(r#"dynvm_reaper_tickets{pool="lab1",state="over"} 0"#)
    })
    .await;
    put(&lab, keys()).await;
    lab.until("they are cleared away", || async { there(&lab).await == left() })
        .await;
    lab.until("it is told", || async {
        [
            r#"dynvm_reaper_tickets_cleared_total{pool="lab1"} 3"#,
            r#"dynvm_reaper_tickets{pool="lab1",state="live"} 1"#,
            r#"dynvm_reaper_tickets{pool="lab1",state="over"} 1"#,
            r#"dynvm_reaper_tickets{pool="lab1",state="unknown"} 1"#,
        ]
        .into_iter()
        .all(|line| daemon.shows(line))
    })
    .await;
    daemon.end().await;
}
