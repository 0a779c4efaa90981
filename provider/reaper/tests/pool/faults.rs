//! What is not whole, not answered, or refused.

use reaper::act::Deed;
use reaper::once::Ending;
use serde_json::json;
use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, about};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_listing_deletes_nothing() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    lab.control.fault(FaultRule {
        count: 0,
        ..FaultRule::once("VM.get_all_records_where", FaultKind::HalfListing)
    });
    let ran = lab.run().await;
    assert_eq!(ran.ending(), Ending::HeldBack);
    assert!(lab.has(&server).await);
    lab.control.clear_faults();
    lab.run().await;
    assert!(!lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_deletes_nothing() {
    for method in [
        "event.from",
        "VDI.get_all_records_where",
        "VM.get_all_records_where",
        "host.get_servertime",
    ] {
        let lab = Lab::small().await;
        let server = lab.server("server", -60).await;
        lab.control.fault(FaultRule::always(
            method,
            FaultKind::Error {
                code: "INTERNAL_ERROR".into(),
                params: vec!["no".into()],
            },
        ));
        let ran = lab.run().await;
        assert_eq!(ran.ending(), Ending::Unreachable, "{method}");
        assert!(lab.has(&server).await, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_cut_answers_delete_nothing_foreign_and_end() {
    for kind in [
        FaultKind::Garbage(b"<html>".to_vec()),
        FaultKind::Truncate(700),
        FaultKind::CutAfter,
        FaultKind::Http500,
    ] {
        let lab = Lab::small().await;
        let (living, expired) = (lab.server("living", 3600).await, lab.server("expired", -60).await);
        let before = lab.vms().await;
        lab.control.fault(FaultRule {
            count: 6,
            skip: 3,
            ..FaultRule::once("V*", kind.clone())
        });
        lab.run().await;
        lab.control.clear_faults();
        lab.run().await;
        std::fs::remove_file(lab.state.path().join("memory.json")).unwrap();
        lab.run().await;
        assert!(lab.has(&living).await && !lab.has(&expired).await, "{kind:?}");
        assert_eq!(before.len() - lab.vms().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_deleted_stops_no_other() {
    let lab = Lab::small().await;
    let stuck = lab.server("stuck", -600).await;
    for at in 0..5 {
        lab.server(&format!("server-{at}"), -60).await;
    }
    let refusal = FaultKind::Error {
        code: "SR_BACKEND_FAILURE_80".into(),
        params: vec![String::new(), "no".into(), String::new()],
    };
    let disk = lab.disks(&stuck).await[0].as_str().unwrap().to_owned();
    lab.control.fault(FaultRule {
        containing: Some(disk),
        ..FaultRule::always("VDI.destroy", refusal)
    });
    let ran = lab.run().await;
    assert_eq!(ran.ending(), Ending::Partly);
    let failed = ran
        .deeds()
        .iter()
        .filter(|(_, deed)| matches!(deed, Deed::Failed { .. }));
    assert_eq!((failed.count(), ran.deeds().len()), (1, 6));
    assert!(lab.has(&stuck).await);
    let plan = lab.plan().await;
    assert!(
        about(&plan, &stuck).reason.contains("failed 1 times"),
        "{:?}",
        plan.decisions
    );
    lab.control.clear_faults();
    std::fs::remove_file(lab.state.path().join("memory.json")).unwrap();
    lab.run().await;
    assert!(
        !lab.has(&stuck).await,
        "its claim and its half-done removal stop nobody"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_comes_before_the_claim_is_read_wins() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    let hold = lab.control.request_index();
    let once = lab.once();
    let looked = once.look().await.pop().unwrap().outcome.ok().unwrap();
    assert!(lab.control.request_index() > hold);
    let late = crate::lab::expires(3600, 0);
    lab.call("VM.add_tags", json!([server.vm, late])).await;
    let job = looked.ground.jobs(&looked.plan).pop().unwrap();
    let deed = looked.ground.crew().carry_out(&job).await;
    assert!(
        matches!(&deed, Deed::GivenUp { why } if why.contains("ends at")),
        "{deed:?}"
    );
    let tags = lab.call("VM.get_tags", json!([server.vm])).await;
    assert!(
        !tags.to_string().contains("reaping"),
        "the own claim is taken back: {tags}"
    );
    let keys = lab.call("VM.get_other_config", json!([server.vm])).await;
    assert!(!keys.to_string().contains("reaping"), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_another_reaper_stops_nobody() {
    let lab = Lab::small().await;
    let claim = "dynvm:reaping=01JD4Q8QCGTF0000000000000A";
    let server = lab.server_with("server", |marks| marks.lease(-60).with(claim)).await;
    assert_eq!(lab.run().await.ending(), Ending::Done);
    assert!(!lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_taken_away_ends_it() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    lab.power(&server, "Running");
    lab.control
        .fault(FaultRule::once("VM.hard_shutdown", FaultKind::Delay(100_000)));
    let once = lab.once();
    let run = once.run(&());
    let unclaim = async {
        lab.until("it is being stopped", || async {
            lab.control.request_counts().contains_key("VM.hard_shutdown")
        })
        .await;
        let tags = lab.call("VM.get_tags", json!([server.vm])).await;
        let claim = tags
            .as_array()
            .unwrap()
            .iter()
            .find(|tag| tag.as_str().unwrap().starts_with("dynvm:reaping"));
        lab.call("VM.remove_tags", json!([server.vm, claim.unwrap()])).await;
        lab.call("VM.remove_from_other_config", json!([server.vm, claim.unwrap()]))
            .await;
    };
    let (done, ()) = tokio::join!(run, unclaim);
    let (_, deeds) = done[0].outcome.as_ref().unwrap();
    assert!(
        matches!(&deeds[0].1, Deed::GivenUp { why } if why.contains("taken away")),
        "{deeds:?}"
    );
    assert!(lab.has(&server).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_does_not_answer_holds_up_no_other() {
    let lab = Lab::small().await;
    let mute = Lab::small().await;
    mute.control
        .fault(FaultRule::always("session.login_with_password", FaultKind::Hang));
    let server = lab.server("server", -60).await;
    let mut once = lab.once();
    once.clients.insert(0, mute.client());
    let run = once.run(&());
    let gone = lab.until("it is gone", || async { !lab.has(&server).await });
    tokio::select! {
        _ = run => panic!("the run ended although a pool is mute"),
        () = gone => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_breaks_off_again_and_again_leaves_one_claim() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    let refusal = FaultKind::Error {
        code: "SR_BACKEND_FAILURE_80".into(),
        params: vec![String::new(), "no".into(), String::new()],
    };
    lab.control.fault(FaultRule::always("VDI.destroy", refusal));
    let once = lab.once();
    let mut seen = once
        .look()
        .await
        .pop()
        .unwrap()
        .outcome
        .unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..4 {
        let job = seen.ground.jobs(&seen.plan).pop().unwrap();
        let deed = seen.ground.crew().carry_out(&job).await;
        assert!(matches!(deed, Deed::Failed { .. }), "{deed:?}");
        seen.ground.ended(&job, &deed, seen.now);
    }
    let tags = lab.call("VM.get_tags", json!([server.vm])).await;
    assert_eq!(tags.to_string().matches("reaping").count(), 1, "{tags}");
}
