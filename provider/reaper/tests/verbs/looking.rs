//! `plan`, `list`, `explain`: what they show, and that they change nothing.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use sim::{FaultKind, FaultRule};

use crate::desk::Desk;
use crate::lab::{Marks, OTHER, birth_name};

/// Two pools without servers.
const TWO: &str = r#"
pool "lab1" {
  host "xen11" {}
  sr "ssd" { default = true }
  network "lab-net" { device = "eth0" }
  template "tmpl" { networks = ["lab-net"] }
}
pool "lab2" {
  host "xen21" {}
  sr "ssd" { default = true }
  network "lab-net" { device = "eth0" }
}
"#;

/// The methods that were called, but for reads and sessions.
fn writes(desk: &Desk) -> BTreeSet<String> {
    let requests = desk.lab.control.requests().into_iter();
    let methods = requests.map(|request| request.method);
    methods
        .filter(|method| !method.contains(".get_") && !method.starts_with("session.") && method != "event.from")
        .collect()
}

fn keys(value: &Json) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn about<'a>(document: &'a Json, uuid: &str) -> &'a Json {
    let all = document["decisions"].as_array().unwrap();
    all.iter().find(|decided| decided["vm"] == uuid).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_tells_programs_everything_and_changes_nothing() {
    let desk = Desk::small().await;
    let due = desk.lab.server("due", -60).await;
    let living = desk.lab.server("living", 3600).await;
    let loose = desk.lab.clone("loose").await;
    let disk = desk.lab.disks(&loose).await.remove(0);
    let mark = serde_json::json!({ "dynvm:vm": OTHER });
    desk.lab
        .call("VDI.set_other_config", serde_json::json!([disk, mark]))
        .await;
    desk.lab
        .control
        .set_pool_tags("lab1", vec!["dynvm:pause".into()])
        .unwrap();
    desk.lab.control.reset_requests();

    let (code, plan) = desk.json(&["plan"]).await;
    assert_eq!(code, 0);
    assert_eq!(keys(&plan), ["decisions", "rails", "tickets"].into());
    let decisions = plan["decisions"].as_array().unwrap();
    for decided in decisions {
        let expected = ["action", "name", "pool", "reason", "verdict", "vm"].into();
        assert_eq!(keys(decided), expected, "{decided}");
    }
    assert_eq!(decisions.len(), desk.lab.vms().await.len(), "every VM is decided upon");
    let held = about(&plan, &due.uuid);
    assert_eq!((&held["verdict"], &held["action"]), (&"expired".into(), &"keep".into()));
    assert!(held["reason"].as_str().unwrap().contains("dynvm:pause"), "{held}");
    assert_eq!(about(&plan, &living.uuid)["verdict"], "living");
    assert_eq!(about(&plan, &loose.uuid)["verdict"], "foreign");
    assert_eq!(keys(&plan["rails"][0]), ["pool", "rail", "reason"].into());
    assert_eq!(plan["rails"][0]["rail"], "paused");

    assert_eq!(writes(&desk), BTreeSet::new());
    assert!(!desk.state_dir().exists(), "nothing is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_shows_people_what_is_marked_and_all_if_they_ask() {
    let desk = Desk::small().await;
    let due = desk.lab.server("due", -60).await;
    let came = desk
        .verb(&["plan"])
        .await
        .expect(0, &["VERDICT", &due.uuid, "1 to delete, 0 to keep"]);
    assert!(!came.out.contains("foreign"), "{}", came.out);
    desk.verb(&["plan", "--all"])
        .await
        .expect(0, &["foreign-2", "not dynvm's"]);
    desk.verb(&["list", "-o", "csv"]).await.expect(2, &["csv"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_not_read_is_a_rail_and_none_at_all_is_code_6() {
    let desk = Desk::of(TWO).await;
    let mut pools = desk.lab.control.pools();
    desk.lab.server("server", 3600).await;
    pools[1].password = "wrong".into();
    desk.configure(&pools, "");
    let (code, plan) = desk.json(&["plan"]).await;
    let rails: Vec<&Json> = plan["rails"].as_array().unwrap().iter().collect();
    assert_eq!((code, rails.len()), (0, 1));
    assert_eq!(
        (&rails[0]["pool"], &rails[0]["rail"]),
        (&"lab2".into(), &"listing-failed".into())
    );
    let (code, list) = desk.json(&["list"]).await;
    assert_eq!((code, &list["unread"][0]["pool"]), (1, &"lab2".into()));
    assert_eq!(list["servers"].as_array().unwrap().len(), 1);
    desk.verb(&["run", "--once"])
        .await
        .expect(3, &["lab1: 0 deleted", "lab2: not read"]);

    desk.configure(&pools[1..], "");
    let (code, _) = desk.json(&["plan"]).await;
    assert_eq!(code, 6);
    desk.verb(&["run", "--once"]).await.expect(6, &["listing-failed"]);

    desk.configure(&desk.lab.control.pools()[..1], "");
    desk.lab
        .control
        .fault(FaultRule::always("VM.get_all_records_where", FaultKind::HalfListing));
    let (_, plan) = desk.json(&["plan"]).await;
    assert_eq!(plan["rails"][0]["rail"], "listing-incomplete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_mistakes_is_told_and_nobody_is_contacted() {
    let desk = Desk::small().await;
    desk.configure(&desk.lab.control.pools(), "grace = 5\ncolour = \"red\"");
    for words in [&["plan"][..], &["run", "--once"], &["run"], &["doctor"], &["ack"]] {
        let came = desk.verb(words).await.expect(2, &["grace: must be", "colour: "]);
        let lines: Vec<&str> = came.told.lines().collect();
        let file = desk.config().display().to_string();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(&file)), "{lines:?}");
    }
    assert!(desk.lab.control.requests().is_empty());
    assert!(!desk.state_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_begins_with_what_ends_first() {
    let desk = Desk::small().await;
    desk.lab.server("later", 7200).await;
    desk.lab.server("over", -300).await;
    desk.lab.server("soon", 3660).await;
    desk.lab.server_with("endless", |marks| marks).await;
    desk.lab
        .server_with("kept", |marks| marks.lease(1800).tagged("dynvm:keep"))
        .await;
    let (code, list) = desk.json(&["list"]).await;
    let servers = list["servers"].as_array().unwrap();
    let column = |name: &str| -> Vec<&str> { servers.iter().filter_map(|one| one[name].as_str()).collect() };
    assert_eq!(code, 0);
    assert_eq!(column("name"), ["over", "kept", "soon", "later", "endless"]);
    assert_eq!(column("verdict"), ["expired", "kept", "living", "living", "unlimited"]);
    assert_eq!(column("owner")[0], "ci/nightly");
    assert_eq!(servers[4]["expires_at"], Json::Null);
    assert!(servers[0]["left_seconds"].as_i64().unwrap() <= -299);
    let came = desk
        .verb(&["list"])
        .await
        .expect(0, &["EXPIRES AT", "overdue 5m", "ci/nightly", "halted"]);
    assert_eq!(came.out.lines().count(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_tells_marks_verdict_and_what_is_in_the_way() {
    let desk = Desk::small().await;
    let server = desk
        .lab
        .server_with("server", |marks| marks.lease(-60).tagged("dynvm:what=ever"))
        .await;
    let (code, told) = desk.json(&["explain", &server.uuid.to_uppercase()]).await;
    assert_eq!(
        (code, &told["verdict"], &told["action"]),
        (0, &"uncertain".into(), &"keep".into())
    );
    assert!(told["reason"].as_str().unwrap().contains("dynvm:what=ever"), "{told}");
    assert_eq!(
        (&told["leases"][0]["is_on_both_sides"], &told["leases"][0]["by"]),
        (&true.into(), &"test".into())
    );
    assert_eq!(told["marks"]["tags_count"], true);
    assert_eq!(told["spec"]["os"], "debian12");
    assert_eq!(told["owner"], "ci/nightly");
    let lines = [
        "verdict    uncertain",
        "key        dynvm:vm = ",
        "lease      ends at ",
        "overdue",
    ];
    let came = desk.verb(&["explain", &server.uuid]).await.expect(0, &lines[..3]);
    assert!(!came.out.contains(lines[3]), "what is kept is not due: {}", came.out);

    let due = desk.lab.server("due", -60).await;
    desk.verb(&["explain", &due.uuid])
        .await
        .expect(0, &["action     delete: ", "(overdue 1m"]);
    let copy = desk.lab.clone("copy").await;
    desk.lab.write(&copy, &Marks::server(OTHER).lease(-60)).await;
    desk.verb(&["explain", &copy.uuid])
        .await
        .expect(0, &["copy", OTHER, "do not count"]);
    let foreign = desk.lab.clone("a plain one").await;
    desk.verb(&["explain", &foreign.uuid])
        .await
        .expect(0, &["foreign", "carries no mark", "a plain one"]);
    let newborn = desk.lab.clone(&birth_name(600)).await;
    desk.verb(&["explain", &newborn.uuid])
        .await
        .expect(0, &["newborn", "template"]);
    desk.verb(&["explain", OTHER]).await.expect(1, &["no VM", "lab1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_vm_that_is_gone_the_disks_are_told() {
    let desk = Desk::small().await;
    let server = desk.lab.server("server", 3600).await;
    let disks = desk.lab.disks(&server).await;
    desk.lab.call("VM.destroy", serde_json::json!([server.vm])).await;
    assert_eq!(disks.len(), 2);
    desk.verb(&["explain", &server.uuid])
        .await
        .expect(1, &["its disk ", "its VM is gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sections_that_are_one_pool_each_server_is_seen_once() {
    let world = TWO.replace(
        "host \"xen11\" {}",
        "host \"xen11\" {}\n  host \"xen12\" {}\n  host \"xen13\" {}",
    );
    let desk = Desk::of(&world).await;
    let server = desk.lab.server("due", -60).await;
    let pools = desk.lab.control.pools();
    desk.configure_hosts(&pools[0]);
    let (code, plan) = desk
        .json(&["--state-dir", &desk.state_dir().display().to_string(), "plan"])
        .await;
    let decisions = plan["decisions"].as_array().unwrap();
    let seen: Vec<_> = decisions
        .iter()
        .filter(|decided| decided["vm"] == server.uuid)
        .collect();
    assert_eq!((code, seen.len()), (0, 1), "{plan}");
    assert_eq!(seen[0]["action"], "delete");
}
