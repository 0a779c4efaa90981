//! The loop that stays: told by events, quiet when nothing is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reaper::chronicle::Chronicle;
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

use crate::lab::{Lab, expires};

/// A daemon over the lab's pool.
struct Daemon {
    shared: Shared,
    loops: JoinSet<()>,
}

impl Daemon {
    fn start(lab: &Lab) -> Self {
        let state = StateDir::open(lab.state.path()).unwrap();
        let shared = Shared {
            policy: Policy::default(),
            memories: Arc::new(Memories::load(state)),
            metrics: Metrics::default(),
            health: Health::default(),
            chronicle: Chronicle::default(),
            stop: CancellationToken::new(),
            met: Arc::default(),
        };
        let mut loops = JoinSet::new();
        loops.spawn(watch(lab.client(), shared.clone()));
        Self { shared, loops }
    }

    async fn end(mut self) {
        self.shared.stop.cancel();
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap();
        }
    }

    fn shows(&self, line: &str) -> bool {
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
