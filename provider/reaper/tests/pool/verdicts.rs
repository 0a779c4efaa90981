//! What goes and what stays.

use serde_json::json;

use crate::lab::{Lab, Made, Marks, OTHER, about, birth_name, expires, instant};

/// Runs once and demands that exactly these go, each with this verdict, and that these stay, each with that.
async fn check(lab: &Lab, goes: &[(&Made, &str)], stays: &[(&Made, &str)]) {
    let before = lab.vms().await;
    let disks = lab.data_disks().await;
    let ran = lab.run().await;
    let after = lab.vms().await;
    let gone: Vec<&String> = before.difference(&after).collect();
    for (made, verdict) in goes {
        assert_eq!(about(ran.plan(), made).verdict, *verdict, "{}", made.name);
        assert!(
            gone.contains(&&made.uuid),
            "{} is still there: {:?}",
            made.name,
            ran.deeds()
        );
    }
    for (made, verdict) in stays {
        let decision = about(ran.plan(), made);
        assert_eq!(decision.verdict, *verdict, "{}: {decision:?}", made.name);
        assert!(!decision.reason.is_empty());
        assert!(after.contains(&made.uuid), "{} is gone", made.name);
    }
    assert_eq!(gone.len(), goes.len(), "{gone:?}");
    let lost = disks.difference(&lab.data_disks().await).count();
    assert_eq!(lost, goes.len() * 2, "each has two disks, and no other disk goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_servers_go_in_whatever_state_they_are() {
    let lab = Lab::small().await;
    let mut servers = Vec::new();
    for state in ["Running", "Halted", "Suspended", "Paused"] {
        let made = lab.server(state, -60).await;
        if state != "Halted" {
            lab.power(&made, "Running");
            lab.power(&made, state);
        }
        servers.push(made);
    }
    let unfinished = lab
        .server_with("unfinished", |marks| {
            marks.with(&format!("dynvm:creating={}", instant(-60)))
        })
        .await;
    let goes: Vec<_> = servers
        .iter()
        .map(|made| (made, "expired"))
        .chain([(&unfinished, "unfinished")])
        .collect();
    check(&lab, &goes, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn births_that_never_ended_go_an_hour_after_their_deadline() {
    let lab = Lab::small().await;
    let old = lab.clone(&birth_name(-3700)).await;
    let inherits = lab.clone(&birth_name(-3700)).await;
    let marks = Marks::default().with(&format!("dynvm:vm={OTHER}")).with("dynvm:keep");
    lab.write(&inherits, &marks.keyed("dynvm:vm", OTHER).lease(7200)).await;
    let half = lab.clone(&birth_name(-7200)).await;
    let marks = Marks::server(&half.uuid).with(&format!("dynvm:creating={}", instant(-7200)));
    lab.write(
        &half,
        &Marks {
            tags: [format!("dynvm:vm={OTHER}"), "dynvm:keep".to_owned()].into(),
            ..marks
        },
    )
    .await;
    let young = lab.clone(&birth_name(-600)).await;
    let newborn = lab.clone(&birth_name(600)).await;
    check(
        &lab,
        &[(&old, "leftover"), (&inherits, "leftover"), (&half, "unfinished")],
        &[(&young, "leftover"), (&newborn, "newborn")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_not_surely_an_expired_server_stays() {
    let lab = Lab::small().await;
    let living = lab.server("living", 3600).await;
    let kept_by_tag = lab
        .server_with("kept-by-tag", |marks| marks.lease(-60).tagged("dynvm:keep"))
        .await;
    let kept_by_key = lab
        .server_with("kept-by-key", |marks| marks.lease(-60).keyed("dynvm:keep", ""))
        .await;
    let prolonged = lab
        .server_with("prolonged-by-tag", |marks| marks.lease(-60).tagged(&expires(3600, -60)))
        .await;
    let unlimited = lab.server_with("unlimited", |marks| marks).await;
    let garbled = lab
        .server_with("garbled", |marks| marks.lease(-60).with("dynvm:expires=tomorrow"))
        .await;
    let both = lab
        .server_with("two-owners", |marks| {
            marks.lease(-60).keyed(&format!("dynvm:vm={OTHER}"), "")
        })
        .await;
    let specless = lab
        .server_with("bad-spec", |marks| marks.lease(-60).keyed("dynvm:spec", "{"))
        .await;
    let lookalike = lab.clone("dynvm-new-mine").await;
    let only_tags = lab.clone("only-tags").await;
    lab.call("VM.set_is_a_template", json!([only_tags.vm, false])).await;
    let tags = Marks::server(&only_tags.uuid).lease(-60).tags;
    lab.write(
        &only_tags,
        &Marks {
            tags,
            ..Marks::default()
        },
    )
    .await;
    let template = lab.server("turned-into-a-template", -60).await;
    lab.call("VM.set_is_a_template", json!([template.vm, true])).await;
    check(
        &lab,
        &[],
        &[
            (&living, "living"),
            (&kept_by_tag, "kept"),
            (&kept_by_key, "kept"),
            (&prolonged, "living"),
            (&unlimited, "unlimited"),
            (&garbled, "uncertain"),
            (&both, "uncertain"),
            (&specless, "uncertain"),
            (&lookalike, "foreign"),
            (&only_tags, "foreign"),
            (&template, "template"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_stay_when_their_server_goes_and_its_snapshots_go_with_it() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    let copy = lab.control.copy_vm(&server.uuid, "copied-by-hand").await.unwrap();
    let clone = lab.control.clone_vm(&server.uuid, "template-of-ours").await.unwrap();
    lab.control.turn_into_template(&clone).await.unwrap();
    let snapshot = lab.control.snapshot_vm(&server.uuid, "snapshot").await.unwrap();
    let of_another = lab.control.snapshot_vm(&copy, "snapshot-of-the-copy").await.unwrap();
    let plan = lab.plan().await;
    for (uuid, verdict) in [
        (&copy, "copy"),
        (&clone, "copy"),
        (&snapshot, "snapshot"),
        (&of_another, "snapshot"),
    ] {
        let decision = plan.decisions.iter().find(|decision| decision.vm.to_string() == *uuid);
        assert_eq!(decision.unwrap().verdict, verdict);
    }
    let disks = |uuid: String| {
        let lab = &lab;
        async move {
            let vm = lab.call("VM.get_by_uuid", json!([uuid])).await;
            let made = Made {
                vm,
                uuid,
                name: String::new(),
            };
            lab.disks(&made).await
        }
    };
    let theirs = [disks(copy.clone()).await, disks(clone.clone()).await].concat();
    lab.run().await;
    let there = lab.vms().await;
    assert!(!there.contains(&server.uuid) && !there.contains(&snapshot));
    assert!(there.contains(&copy) && there.contains(&clone) && there.contains(&of_another));
    for vdi in theirs {
        lab.call("VDI.get_record", json!([vdi])).await;
    }
    // Their disks carry the mark of the server that is gone, and hang on them: the next run leaves them alone, and also when detached.
    let vm = lab.call("VM.get_by_uuid", json!([copy])).await;
    for vbd in lab.call("VM.get_VBDs", json!([vm])).await.as_array().unwrap() {
        lab.call("VBD.destroy", json!([vbd])).await;
    }
    let disks = lab.uuids("VDI").await;
    let ran = lab.run().await;
    assert!(ran.deeds().is_empty(), "{:?}", ran.deeds());
    assert_eq!(lab.uuids("VDI").await, disks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_a_person_is_detached_and_kept() {
    let lab = Lab::small().await;
    let server = lab.server("server", -60).await;
    let extra = lab.control.attach_disk(&server.uuid, "my data", 5).await.unwrap();
    let ran = lab.run().await;
    assert!(!lab.has(&server).await);
    assert!(lab.uuids("VDI").await.contains(&extra));
    let [(_, reaper::act::Deed::Deleted { kept, .. })] = ran.deeds() else {
        panic!("{:?}", ran.deeds());
    };
    assert_eq!(kept[0].uuid.to_string(), extra);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_whose_server_is_gone_go_and_those_of_a_living_one_stay() {
    let lab = Lab::small().await;
    let (gone, living) = (lab.server("gone", 3600).await, lab.server("living", 3600).await);
    let left = lab.disks(&gone).await;
    lab.call("VM.destroy", json!([gone.vm])).await;
    let vbd = lab.call("VM.get_VBDs", json!([living.vm])).await[0].clone();
    let detached = lab.call("VBD.get_VDI", json!([vbd])).await;
    lab.call("VBD.destroy", json!([vbd])).await;
    // A disk of an earlier version does not say which disk was marked: it may belong to a clone in the making.
    lab.call("VDI.remove_from_other_config", json!([left[1], "dynvm:disk"]))
        .await;
    let ran = lab.run().await;
    assert_eq!(ran.deeds().len(), 1, "{:?}", ran.deeds());
    let all = lab.call("VDI.get_all", json!([])).await;
    let has = |vdi: &serde_json::Value| all.as_array().unwrap().contains(vdi);
    assert!(!has(&left[0]) && has(&left[1]) && has(&detached));
    lab.control.set_clock_offset("lab1", 700).unwrap();
    std::fs::write(lab.state.path().join("memory.json"), without_clocks(&lab)).unwrap();
    lab.run().await;
    assert!(
        !lab.call("VDI.get_all", json!([]))
            .await
            .as_array()
            .unwrap()
            .contains(&left[1]),
        "seen twice"
    );
}

/// What is remembered, but for how the clocks stood: the pool's clock is moved by the test.
pub(crate) fn without_clocks(lab: &Lab) -> String {
    let text = std::fs::read_to_string(lab.state.path().join("memory.json")).unwrap();
    let mut memory: serde_json::Value = serde_json::from_str(&text).unwrap();
    for pool in memory["pools"].as_object_mut().unwrap().values_mut() {
        pool["steadiness"] = json!({});
    }
    memory.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_and_an_owner_of_others_are_respected() {
    let lab = Lab::small().await;
    let blocked = lab.server("blocked", -60).await;
    lab.call("VM.set_blocked_operations", json!([blocked.vm, { "destroy": "mine" }]))
        .await;
    let ran = lab.run().await;
    assert!(about(ran.plan(), &blocked).reason.contains("blocked destroy"));
    lab.call("VM.set_blocked_operations", json!([blocked.vm, {}])).await;
    let policy = reaper::policy::Policy {
        owners: reaper::policy::Owners::new(&["team-a/*".to_owned()]),
        ..Default::default()
    };
    let done = lab.once_with(policy).run(&()).await;
    let (plan, deeds) = done[0].outcome.as_ref().unwrap();
    assert!(deeds.is_empty() && about(plan, &blocked).reason.contains("ci/nightly"));
    assert!(lab.has(&blocked).await);
    lab.run().await;
    assert!(!lab.has(&blocked).await);
}
