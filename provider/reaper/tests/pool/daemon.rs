//! The loop that stays: told by events, quiet when nothing is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reaper::chronicle::Chronicle;
use reaper::clock::OwnClock;
use reaper::ground::Memories;
use reaper::listen::Health;
use reaper::memory::StateDir;
use reaper::metrics::Metrics;
use reaper::policy::Policy;
use reaper::watch::{Shared, watch};
use serde_json::json;
use sim::{FaultKind, FaultRule};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lab::{Lab, birth_name, expires};

/// A daemon over the lab's pool.
pub(crate) struct Daemon {
    shared: Shared,
    loops: JoinSet<()>,
}

impl Daemon {
    pub(crate) fn start(lab: &Lab) -> Self {
        let state = StateDir::open(lab.state.path()).unwrap();
        let shared = Shared {
            policy: Policy::default(),
            memories: Arc::new(Memories::load(state)),
            metrics: Metrics::default(),
            health: Health::default(),
            chronicle: Chronicle::default(),
            stop: CancellationToken::new(),
            own_clock: OwnClock::Boot,
            met: Arc::default(),
        };
        let mut loops = JoinSet::new();
        loops.spawn(watch(lab.client(), shared.clone()));
        Self { shared, loops }
    }

    pub(crate) async fn end(mut self) {
        self.shared.stop.cancel();
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap();
        }
    }

    pub(crate) fn shows(&self, line: &str) -> bool {
        self.shared.metrics.text().unwrap().lines().any(|is| is == line)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_go_when_their_time_comes_and_those_that_come_later_too() {
    let lab = Lab::small().await;
    let first = lab.server("first", 2).await;
    let daemon = Daemon::start(&lab);
    lab.until("the first is gone", || async { !lab.has(&first).await })
        .await;
    let second = lab.server("second", 1).await;
    let living = lab.server("living", 3600).await;
    lab.until("the second is gone", || async { !lab.has(&second).await })
        .await;
    assert!(lab.has(&living).await);
    lab.until("it is told", || async {
        daemon.shows(r#"dynvm_reaper_deletions_total{pool="lab1",result="deleted"} 2"#)
            && daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 1"#)
    })
    .await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_that_an_event_tells_is_heeded() {
    let lab = Lab::small().await;
    let server = lab.server("server", 2).await;
    let daemon = Daemon::start(&lab);
    lab.until("it is surveyed", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 1"#)
    })
    .await;
    lab.call("VM.add_tags", json!([server.vm, expires(5, 0)])).await;
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert!(lab.has(&server).await, "its first lease is over, its second is not");
    lab.until("it is gone", || async { !lab.has(&server).await }).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_pool_costs_a_long_poll() {
    let lab = Lab::small().await;
    for at in 0..3 {
        lab.server(&format!("server-{at}"), 3600).await;
    }
    let daemon = Daemon::start(&lab);
    lab.until("it is surveyed", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 3"#)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    lab.control.reset_requests();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let counts: BTreeMap<String, u64> = lab.control.request_counts();
    let others: u64 = counts
        .iter()
        .filter(|(method, _)| *method != "event.from")
        .map(|(_, count)| count)
        .sum();
    assert_eq!(others, 0, "{counts:?}");
    assert!(counts.get("event.from").copied().unwrap_or_default() <= 1, "{counts:?}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_is_lifted_lets_go() {
    let lab = Lab::small().await;
    lab.control
        .set_pool_tags("lab1", vec!["dynvm:pause".to_owned()])
        .unwrap();
    let server = lab.server("server", -60).await;
    let daemon = Daemon::start(&lab);
    lab.until("the rail shows", || async {
        daemon.shows(r#"dynvm_reaper_rail_active{pool="lab1",rail="paused"} 1"#)
    })
    .await;
    assert!(lab.has(&server).await);
    lab.control.set_pool_tags("lab1", Vec::new()).unwrap();
    lab.until("it is gone", || async { !lab.has(&server).await }).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_under_the_daemon_deletes_nothing() {
    let lab = Lab::small().await;
    let server = lab.server("server", 3600).await;
    let daemon = Daemon::start(&lab);
    lab.until("it is surveyed", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 1"#)
    })
    .await;
    lab.control.set_clock_offset("lab1", 7200).unwrap();
    // Something falls due, so that the clock is looked at.
    let due = lab.server("due", 1).await;
    lab.until("the rail shows", || async {
        daemon.shows(r#"dynvm_reaper_rail_active{pool="lab1",rail="clock-moved"} 1"#)
    })
    .await;
    assert!(lab.has(&server).await && lab.has(&due).await);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolstack_that_restarts_is_surveyed_again() {
    let lab = Lab::small().await;
    let daemon = Daemon::start(&lab);
    lab.until("it is surveyed", || async {
        daemon.shows(r#"dynvm_reaper_up{pool="lab1"} 1"#)
    })
    .await;
    lab.control.restart_toolstack("lab1").unwrap();
    let server = lab.server("server", 1).await;
    lab.until("it is gone", || async { !lab.has(&server).await }).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_tried_again_and_holds_up_no_other() {
    let lab = Lab::small().await;
    let stuck = lab.server("stuck", -60).await;
    let disk = lab.disks(&stuck).await[0].as_str().unwrap().to_owned();
    lab.control.fault(FaultRule {
        containing: Some(disk),
        ..FaultRule::always(
            "VDI.destroy",
            FaultKind::Error {
                code: "SR_BACKEND_FAILURE_80".into(),
                params: vec![String::new(), "no".into(), String::new()],
            },
        )
    });
    let daemon = Daemon::start(&lab);
    lab.until("it has failed", || async {
        daemon.shows(r#"dynvm_reaper_deletions_total{pool="lab1",result="failed"} 1"#)
    })
    .await;
    let other = lab.server("other", 1).await;
    lab.until("the other is gone", || async { !lab.has(&other).await })
        .await;
    assert!(lab.has(&stuck).await);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_leaves_the_step_in_hand_whole() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    lab.power(&server, "Running");
    lab.control
        .fault(FaultRule::once("VM.hard_shutdown", FaultKind::Delay(400_000)));
    let daemon = Daemon::start(&lab);
    lab.until("it is being stopped", || async {
        lab.control.request_counts().contains_key("VM.hard_shutdown")
    })
    .await;
    daemon.end().await;
    let state = lab.call("VM.get_power_state", json!([server.vm])).await;
    assert_eq!(state, "Halted", "the step in hand was waited for");
    assert!(lab.has(&server).await, "and no other was begun");
    assert_eq!(lab.run().await.ending(), reaper::once::Ending::Done);
    assert!(!lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_nobody_marked_goes_although_nothing_else_is_due() {
    let lab = Lab::small().await;
    let leftover = lab.clone(&birth_name(-60)).await;
    let daemon = Daemon::start(&lab);
    lab.until("it is seen", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="leftover"} 1"#)
    })
    .await;
    daemon.end().await;
    // Eleven minutes later, by what was noted.
    let file = lab.state.path().join("memory.json");
    let mut memory: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for pool in memory["pools"].as_object_mut().unwrap().values_mut() {
        let seen = pool["first_seen"].as_object_mut().unwrap();
        assert_eq!(seen.len(), 1, "an idle daemon notes what it sees");
        for first in seen.values_mut() {
            *first = json!(crate::lab::instant(-660));
        }
    }
    std::fs::write(&file, memory.to_string()).unwrap();
    let daemon = Daemon::start(&lab);
    lab.until("it is gone", || async { !lab.has(&leftover).await }).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_stops_what_waits_and_what_is_reached_for() {
    let lab = Lab::small().await;
    for at in 0..40 {
        lab.server(&format!("server-{at}"), -60).await;
    }
    let before = lab.vms().await.len();
    // Whoever is first is held in the middle of its disks; all others come no further than their turn.
    lab.control.fault(FaultRule {
        count: 0,
        ..FaultRule::once("VDI.destroy", FaultKind::Delay(120_000))
    });
    let daemon = Daemon::start(&lab);
    lab.until("one is being destroyed", || async {
        lab.control.request_counts().contains_key("VDI.destroy")
    })
    .await;
    lab.control
        .set_pool_tags("lab1", vec!["dynvm:pause".to_owned()])
        .unwrap();
    lab.until("the rail shows", || async {
        daemon.shows(r#"dynvm_reaper_rail_active{pool="lab1",rail="paused"} 1"#)
    })
    .await;
    lab.control.clear_faults();
    daemon.end().await;
    let gone = before - lab.vms().await.len();
    assert!(gone <= 25, "{gone}: those that waited for a free hand were not begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_of_the_servers_by_new_marks_are_held_although_their_ends_are_spread() {
    let lab = Lab::small().await;
    for at in 0..24 {
        let ends = if at < 16 { 1 + at } else { 3600 };
        lab.server_with(&format!("server-{at}"), |marks| marks.lease_made(ends, -30))
            .await;
    }
    let before = lab.vms().await;
    let daemon = Daemon::start(&lab);
    lab.until("the rail shows", || async {
        daemon.shows(r#"dynvm_reaper_rail_active{pool="lab1",rail="mass-expiry"} 1"#)
    })
    .await;
    daemon.end().await;
    assert_eq!(lab.vms().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_the_pool_has_forgotten_is_not() {
    let lab = Lab::small().await;
    let server = lab.server("server", 5).await;
    lab.control.back_up("lab1").unwrap();
    let daemon = Daemon::start(&lab);
    let renewed = expires(3600, 0);
    lab.call("VM.add_tags", json!([server.vm, renewed])).await;
    lab.call("VM.add_to_other_config", json!([server.vm, renewed, "{}"]))
        .await;
    lab.until("the renewal is seen", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="living"} 1"#)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    lab.control.roll_back("lab1").unwrap();
    lab.until("the old lease is over", || async {
        daemon.shows(r#"dynvm_reaper_managed_vms{pool="lab1",verdict="expired"} 1"#)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(lab.has(&server).await);
    daemon.end().await;
    let plan = lab.plan().await;
    assert!(
        crate::lab::about(&plan, &server).reason.contains("not there any more"),
        "{plan:?}"
    );
    let newer = expires(-1, 10);
    lab.call("VM.add_tags", json!([server.vm, newer])).await;
    lab.call("VM.add_to_other_config", json!([server.vm, newer, "{}"]))
        .await;
    lab.run().await;
    assert!(!lab.has(&server).await, "a newer mark settles it");
}
