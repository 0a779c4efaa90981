//! `extend`, `keep`, `unkeep`, `unclaim`: what a person asks for, and what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::lease::{Expiry, VmMarks, format_time};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sim::{FaultKind, FaultRule};

use crate::desk::Desk;
use crate::lab::{Made, Marks, OTHER, birth_name, instant};

const CLAIM: &str = "dynvm:reaping=01JD4Q8QCGTF0000000000000A";

impl Desk {
    /// The marks of a VM, as its record has them now.
    async fn marks(&self, made: &Made) -> VmMarks {
        let (tags, keys) = self.sides(made).await;
        let uuid = made.uuid.parse().unwrap();
        let keys = keys.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        VmMarks::read(&uuid, tags.iter().map(String::as_str), keys)
    }

    async fn sides(&self, made: &Made) -> (Vec<String>, BTreeMap<String, String>) {
        let record = self.lab.call("VM.get_record", json!([made.vm])).await;
        let tags = serde_json::from_value(record["tags"].clone()).unwrap();
        (tags, serde_json::from_value(record["other_config"].clone()).unwrap())
    }

    async fn ends(&self, made: &Made) -> Timestamp {
        match self.marks(made).await.expiry() {
            Expiry::Lease(expires) => expires.at,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_stands_on_both_sides_with_who_asked_for_it() {
    let desk = Desk::small().await;
    let server = desk.lab.server("server", 600).await;
    let before = desk.ends(&server).await;
    let start = desk.marks(&server).await.lease_record().unwrap().start;
    let words = ["extend", &server.uuid, "--for", "4h"];
    desk.verb(&words)
        .await
        .expect(0, &["server", "4h later", &format_time(before)]);
    let marks = desk.marks(&server).await;
    let Expiry::Lease(expires) = marks.expiry() else {
        panic!()
    };
    assert_eq!(expires.at, before + SignedDuration::from_hours(4));
    assert_eq!(marks.expires().len(), 1, "the earlier mark is gone");
    assert!(marks.has_on_both_sides(&expires));
    let record = marks.record(&expires).unwrap();
    assert_eq!(record.start, start);
    assert_eq!(
        record.ttl(),
        Duration::try_from(expires.at.duration_since(start)).unwrap()
    );
    assert!(record.by.starts_with("dynvm-reaper/0.1.0 ada@"), "{}", record.by);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_extended_from_now_and_nothing_ever_backwards() {
    let desk = Desk::small().await;
    let over = desk.lab.server("over", -3600).await;
    let (code, told) = desk.json(&["extend", "over", "--for", "1h"]).await;
    let left = desk.ends(&over).await.duration_since(Timestamp::now());
    assert_eq!(code, 0);
    assert!((3000..=3600).contains(&left.as_secs()), "{left:?}");
    assert_eq!(told["servers"][0]["expires_at"], format_time(desk.ends(&over).await));

    let ends = desk.ends(&over).await;
    let earlier = instant(60);
    let words = ["extend", &over.uuid, "--until", &earlier];
    desk.verb(&words)
        .await
        .expect(1, &["failed", "never makes it end earlier", &format_time(ends)]);
    let later = instant(90_000);
    desk.verb(&["extend", "over", "--until", &later])
        .await
        .expect(0, &[&later]);
    desk.verb(&["extend", "over", "--until", &later])
        .await
        .expect(0, &["as before"]);
    assert_eq!(format_time(desk.ends(&over).await), later);
    let past = desk.lab.server("past", -7200).await;
    desk.verb(&["extend", &past.uuid, "--until", &instant(-60)])
        .await
        .expect(1, &["is past"]);
    let endless = desk.lab.server_with("endless", |marks| marks).await;
    desk.verb(&["extend", &endless.uuid, "--for", "1h"])
        .await
        .expect(1, &["has no expiry"]);
    assert!(desk.marks(&endless).await.expires().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_as_expected_or_none() {
    let desk = Desk::small().await;
    for name in ["nightly-1", "nightly-2", "other"] {
        desk.lab.server(name, 600).await;
    }
    let copy = desk.lab.clone("nightly-copy").await;
    desk.lab.write(&copy, &Marks::server(OTHER).lease(600)).await;
    desk.lab.control.reset_requests();
    let several = desk.verb(&["extend", "nightly-*", "--for", "1h"]).await;
    several.expect(
        2,
        &["2 match", "--expect 2", "nightly-1", "nightly-2", "nothing was changed"],
    );
    desk.verb(&["keep", "nightly-*", "--expect", "3"])
        .await
        .expect(2, &["2 match, and 3"]);
    desk.verb(&["extend", "weekly-*", "--for", "1h"])
        .await
        .expect(2, &["nothing matches"]);
    desk.verb(&["extend", OTHER, "--for", "1h"])
        .await
        .expect(2, &["nothing matches"]);
    let written = desk.lab.control.requests().into_iter();
    assert_eq!(written.filter(|one| one.method.contains(".add_")).count(), 0);
    let both = desk
        .verb(&["extend", "nightly-*", "--for", "1h", "--expect", "2"])
        .await;
    assert_eq!(both.expect(0, &["nightly-1", "nightly-2"]).out.lines().count(), 2);
    desk.verb(&["extend", &copy.uuid, "--for", "1h"])
        .await
        .expect(1, &["is a template"]);
    desk.lab.call("VM.set_is_a_template", json!([copy.vm, false])).await;
    desk.verb(&["extend", &copy.uuid, "--for", "1h"])
        .await
        .expect(1, &["mark of another VM"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_does_not_answer_hides_names_and_no_uuid() {
    let desk = Desk::small().await;
    let server = desk.lab.server("server", 600).await;
    let mut pools = desk.lab.control.pools();
    let mut gone = pools[0].clone();
    gone.name = "lab2".into();
    gone.password = "wrong".into();
    pools.push(gone);
    desk.configure(&pools, "");
    desk.verb(&["keep", "server"])
        .await
        .expect(1, &["not all pools could be asked", "lab2"]);
    desk.verb(&["keep", &server.uuid]).await.expect(0, &["kept"]);
    desk.verb(&["keep", OTHER]).await.expect(1, &["lab2"]);

    // The same pool under two names has each server once.
    let password = pools[0].password.clone();
    pools[1].password = password;
    desk.configure(&pools, "");
    desk.verb(&["unkeep", "server"]).await.expect(0, &["not kept any more"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reaper_has_claimed_is_not_extended() {
    let desk = Desk::small().await;
    let server = desk
        .lab
        .server_with("server", |marks| marks.lease(-60).with(CLAIM))
        .await;
    let before = desk.sides(&server).await;
    desk.verb(&["extend", "server", "--for", "1h"])
        .await
        .expect(1, &["being reaped"]);
    assert_eq!(desk.sides(&server).await, before);
    desk.verb(&["keep", "server"])
        .await
        .expect(1, &["being reaped", "too late"]);
    assert!(desk.marks(&server).await.is_kept_by_keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_while_it_is_extended_takes_the_extension_back() {
    let desk = Desk::small().await;
    let server = desk.lab.server("server", -60).await;
    desk.lab.control.reset_requests();
    let words = ["extend", &server.uuid, "--for", "1h"];
    let extension = desk.verb(&words);
    let claim = async {
        desk.lab
            .until("the mark is written", || async {
                desk.marks(&server).await.expires().len() == 2
            })
            .await;
        desk.lab.call("VM.add_tags", json!([server.vm, CLAIM])).await;
        desk.lab.control.clear_faults();
    };
    // The tag is written, and the key takes its time.
    desk.lab
        .control
        .fault(FaultRule::once("VM.add_to_other_config", FaultKind::Delay(400_000)));
    let (came, ()) = futures::future::join(extension, claim).await;
    came.expect(1, &["being reaped"]);
    assert_eq!(desk.marks(&server).await.expires().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_keep_stands_on_both_sides_until_it_is_taken_back() {
    let desk = Desk::small().await;
    let server = desk.lab.server("server", -60).await;
    desk.verb(&["keep", "server"]).await.expect(0, &["kept, until unkeep"]);
    desk.verb(&["keep", "server"]).await.expect(0, &["kept"]);
    let (tags, keys) = desk.sides(&server).await;
    assert!(tags.contains(&"dynvm:keep".to_owned()) && keys.contains_key("dynvm:keep"));
    desk.verb(&["run", "--once"]).await.expect(0, &["0 deleted"]);
    desk.verb(&["unkeep", "server"])
        .await
        .expect(0, &["not kept any more", "its lease ended at"]);
    desk.verb(&["unkeep", &server.uuid])
        .await
        .expect(0, &["was not marked"]);
    desk.verb(&["unkeep", "server"]).await.expect(2, &["nothing matches"]);
    desk.verb(&["run", "--once"])
        .await
        .expect(0, &["deleted \"server\"", "lab1: 1 deleted"]);
    assert!(!desk.lab.has(&server).await);

    let newborn = desk.lab.clone(&birth_name(600)).await;
    desk.verb(&["keep", &newborn.uuid]).await.expect(1, &["another name"]);
    let plain = desk.lab.clone("plain").await;
    desk.verb(&["keep", &plain.uuid])
        .await
        .expect(1, &["no server of dynvm"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_the_dead_are_shown_and_taken_off() {
    let desk = Desk::small().await;
    let second = CLAIM.replace("0A", "0B");
    let server = desk
        .lab
        .server_with("server", |marks| marks.lease(-60).with(CLAIM).tagged(&second))
        .await;
    desk.lab.server("unclaimed", -60).await;
    let came = desk.verb(&["unclaim", "*"]).await;
    came.expect(0, &[CLAIM, &second, "put there at 2024-", "taken off: ", "due still"]);
    let (tags, keys) = desk.sides(&server).await;
    assert!(!tags.iter().chain(keys.keys()).any(|mark| mark.contains("reaping")));
    desk.verb(&["unclaim", &server.uuid])
        .await
        .expect(0, &["carries no claim"]);
    desk.verb(&["extend", "server", "--for", "1h"]).await.expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_stays_while_something_is_done_to_the_vm() {
    let large = include_str!("../pool/small.hcl").replace("[20, 10]", "[3000]");
    let desk = Desk::of(&large).await;
    let server = desk
        .lab
        .server_with("server", |marks| marks.lease(-60).with(CLAIM))
        .await;
    // A full copy of so much takes longer than the test.
    let srs = desk.lab.call("SR.get_by_name_label", json!(["ssd"])).await;
    desk.lab.call("Async.VM.copy", json!([server.vm, "copy", srs[0]])).await;
    let is_busy = || async {
        let operations = desk.lab.call("VM.get_current_operations", json!([server.vm])).await;
        !operations.as_object().unwrap().is_empty()
    };
    desk.lab.until("it is being copied", is_busy).await;
    desk.verb(&["unclaim", "server"])
        .await
        .expect(1, &["copy is in progress", "nothing was changed"]);
    assert_eq!(desk.marks(&server).await.claims().len(), 1);
}
