//! What holds everything back.

use std::sync::Arc;

use reaper::once::Ending;
use serde_json::json;

use crate::lab::{Lab, deleted};
use crate::verdicts::without_clocks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_servers_with_one_ttl_go_together() {
    let lab = Lab::small().await;
    for at in 0..30 {
        lab.server(&format!("server-{at}"), -5).await;
    }
    let ran = lab.run().await;
    assert_eq!(ran.rails(), [""; 0]);
    assert_eq!((ran.deeds().len(), ran.ending()), (30, Ending::Done));
    assert!(lab.run().await.deeds().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_of_the_servers_by_new_marks_wait_for_a_person() {
    let lab = Lab::small().await;
    for at in 0..22 {
        let made = if at < 12 { -120 } else { -3600 };
        lab.server_with(&format!("server-{at}"), |marks| marks.lease_made(-5, made))
            .await;
    }
    let ran = lab.run().await;
    assert_eq!((ran.rails(), ran.ending()), (vec!["mass-expiry"], Ending::HeldBack));
    assert!(ran.deeds().is_empty());
    let state = reaper::memory::StateDir::open(lab.state.path()).unwrap();
    let once = lab.once();
    let looked = once.look().await.pop().unwrap();
    let survey = &looked.outcome.as_ref().ok().unwrap().ground.survey;
    let marks = survey.sights.values().flat_map(|sight| sight.marks.expires());
    state.acknowledge(&marks.map(|mark| mark.id).collect()).unwrap();
    let ran = lab.run().await;
    assert_eq!((ran.rails(), ran.deeds().len()), (vec![], 22));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_servers_or_few_are_not_many() {
    let lab = Lab::small().await;
    for at in 0..20 {
        let ends = if at < 10 { -5 } else { 3600 };
        lab.server_with(&format!("server-{at}"), |marks| marks.lease_made(ends, -60))
            .await;
    }
    let ran = lab.run().await;
    assert_eq!((ran.rails(), ran.deeds().len()), (vec![], 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_deletes_so_many_and_the_oldest_first() {
    let lab = Lab::small().await;
    let mut servers = Vec::new();
    for at in 0..6 {
        servers.push(lab.server(&format!("server-{at}"), -100 - at).await);
    }
    let policy = reaper::policy::Policy {
        max_deletions: 4,
        ..Default::default()
    };
    let done = lab.once_with(policy).run(&()).await;
    assert_eq!(Ending::of(&done), Ending::HeldBack);
    let (plan, _) = done[0].outcome.as_ref().unwrap();
    assert_eq!(plan.rails[0].name(), "max-deletions");
    let there = lab.vms().await;
    let left: Vec<bool> = servers.iter().map(|made| there.contains(&made.uuid)).collect();
    assert_eq!(left, [true, true, false, false, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_on_the_pool_pauses_it() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    lab.control
        .set_pool_tags("lab1", vec!["dynvm:pause".to_owned()])
        .unwrap();
    assert_eq!(lab.run().await.rails(), ["paused"]);
    lab.control.set_pool_tags("lab1", Vec::new()).unwrap();
    lab.control
        .set_pool_other_config("lab1", [("dynvm:pause".to_owned(), "me".to_owned())].into())
        .unwrap();
    let ran = lab.run().await;
    assert_eq!((ran.rails(), ran.ending()), (vec!["paused"], Ending::HeldBack));
    assert!(lab.has(&server).await);
    lab.control.set_pool_other_config("lab1", Default::default()).unwrap();
    assert_eq!(lab.run().await.ending(), Ending::Done);
    assert!(!lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_hours_off_deletes_nothing_early() {
    for offset in [-7 * 3600, 7 * 3600] {
        let lab = Lab::small().await;
        lab.control.set_clock_offset("lab1", offset).unwrap();
        let living = lab.server("living", offset + 3600).await;
        let expired = lab.server("expired", offset - 60).await;
        let ran = lab.run().await;
        assert_eq!(deleted(ran.plan()), [expired.uuid.clone()].into());
        assert!(lab.has(&living).await && !lab.has(&expired).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_between_two_runs_holds_everything_back() {
    let lab = Lab::small().await;
    lab.run().await;
    let server = lab.server("living", 3600).await;
    lab.control.set_clock_offset("lab1", 2 * 3600).unwrap();
    let ran = lab.run().await;
    assert_eq!((ran.rails(), ran.ending()), (vec!["clock-moved"], Ending::HeldBack));
    assert!(lab.has(&server).await);
    lab.control.set_clock_offset("lab1", 0).unwrap();
    assert!(lab.run().await.deeds().is_empty());
    assert!(lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_coordinator_holds_everything_back() {
    let lab = Lab::small().await;
    lab.run().await;
    let server = lab.server("server", -60).await;
    let memory = without_clocks(&lab);
    let hosts = lab.call("host.get_by_name_label", json!(["xen12"])).await;
    let uuid = lab.call("host.get_uuid", json!([hosts[0]])).await;
    let other = memory.replace(
        "\"steadiness\":{}",
        &format!("\"steadiness\":{{\"coordinator\":{uuid}}}"),
    );
    std::fs::write(lab.state.path().join("memory.json"), other).unwrap();
    let ran = lab.run().await;
    assert_eq!(
        (ran.rails(), ran.ending()),
        (vec!["coordinator-changed"], Ending::HeldBack)
    );
    assert!(lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reapers_at_once_end_at_gone_without_an_error() {
    let lab = Arc::new(Lab::small().await);
    for at in 0..8 {
        let made = lab.server(&format!("server-{at}"), -60).await;
        lab.power(&made, "Running");
    }
    let (one, other) = tokio::join!(lab.run(), lab.run());
    for ran in [&one, &other] {
        assert!(matches!(ran.ending(), Ending::Done), "{:?}", ran.deeds());
    }
    let ran = lab.run().await;
    assert_eq!(
        (ran.deeds().len(), ran.ending()),
        (0, Ending::Done),
        "{:?}",
        ran.deeds()
    );
    assert_eq!(lab.plan().await.decisions.len(), 0);
}
