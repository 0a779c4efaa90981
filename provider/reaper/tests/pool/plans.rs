//! `plan` and `run --once` decide alike, over pools of random content.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::lab::{Lab, Marks, OTHER, birth_name, deleted, instant};

/// One thing in a pool.
#[derive(Debug, Clone)]
struct Thing {
    name: Named,
    ends: Option<i64>,
    creating: Option<i64>,
    is_owned: bool,
    has_spec: bool,
    of_another: bool,
    keep: Option<Side>,
    garbled: Option<Side>,
    tags_lost: bool,
    claimed: bool,
    is_template: bool,
    state: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Named {
    Plain,
    Birth(i64),
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Tags,
    Keys,
}

fn thing() -> impl Strategy<Value = Thing> {
    let ends = || prop_oneof![Just(-7200_i64), Just(-60), Just(3600)];
    let side = || prop::option::weighted(0.15, prop_oneof![Just(Side::Tags), Just(Side::Keys)]);
    let name = prop_oneof![3 => Just(Named::Plain), 2 => ends().prop_map(Named::Birth)];
    let state = prop_oneof![Just("Halted"), Just("Running"), Just("Suspended"), Just("Paused")];
    let marks = (prop::option::weighted(0.7, ends()), prop::option::weighted(0.3, ends()));
    let flags = (
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
    );
    (name, marks, side(), side(), flags, state).prop_map(
        |(
            name,
            (ends, creating),
            keep,
            garbled,
            (is_owned, has_spec, of_another, tags_lost, claimed, is_template),
            state,
        )| Thing {
            name,
            ends,
            creating,
            is_owned,
            has_spec,
            of_another,
            keep,
            garbled,
            tags_lost,
            claimed,
            is_template,
            state,
        },
    )
}

async fn put(lab: &Lab, at: usize, thing: &Thing) {
    let name = match thing.name {
        Named::Plain => format!("thing-{at}"),
        Named::Birth(deadline) => birth_name(deadline),
    };
    let made = lab.clone(&name).await;
    let mut marks = if thing.is_owned {
        Marks::server(&made.uuid)
    } else {
        Marks::default()
    };
    if !thing.has_spec {
        marks.keys.remove("dynvm:spec");
    }
    if thing.of_another {
        marks = marks.with(&format!("dynvm:vm={OTHER}"));
    }
    if let Some(ends) = thing.ends {
        marks = marks.lease(ends);
    }
    if let Some(until) = thing.creating {
        marks = marks.with(&format!("dynvm:creating={}", instant(until)));
    }
    for (side, text) in [(thing.keep, "dynvm:keep"), (thing.garbled, "dynvm:expires=never")] {
        marks = match side {
            Some(Side::Tags) => marks.tagged(text),
            Some(Side::Keys) => marks.keyed(text, ""),
            None => marks,
        };
    }
    if thing.claimed {
        marks = marks.with("dynvm:reaping=01JD4Q8QCGTF0000000000000A");
    }
    if thing.tags_lost {
        marks.tags.clear();
    }
    lab.write(&made, &marks).await;
    if thing.is_owned {
        lab.own_disks(&made).await;
    }
    if !thing.is_template {
        lab.call("VM.set_is_a_template", json!([made.vm, false])).await;
        if thing.state != "Halted" {
            lab.power(&made, "Running");
            lab.power(&made, thing.state);
        }
    }
}

#[test]
fn they_take_the_same_decisions() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let pools = prop::collection::vec(thing(), 1..14);
    runner
        .run(&pools, |things| {
            runtime.block_on(async {
                let lab = Lab::small().await;
                for (at, thing) in things.iter().enumerate() {
                    put(&lab, at, thing).await;
                }
                let before = lab.vms().await;
                let planned = lab.plan().await;
                assert_eq!(lab.vms().await, before, "a plan does nothing");
                let ran = lab.run().await;
                assert_eq!(ran.plan().decisions, planned.decisions);
                assert_eq!(ran.plan().rails, planned.rails);
                let gone: BTreeSet<String> = before.difference(&lab.vms().await).cloned().collect();
                assert_eq!(gone, deleted(&planned), "{:?}", ran.deeds());
            });
            Ok(())
        })
        .unwrap();
}
