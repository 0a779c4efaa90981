//! Changing a server in place.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet::lease::{Mark, Parsed};
use fleet::{Changes, Error};
use serde_json::json;
use sim::{FaultKind, FaultRule};

use crate::lab::{Lab, spec};

const HOUR: Duration = Duration::from_secs(3600);

fn ttl(ttl: Duration) -> Changes {
    Changes {
        ttl: Some(ttl),
        ..Changes::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ttl_counts_from_the_start_longer_or_shorter() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    for hours in [4, 2, 3] {
        let changed = lab.update(&server, ttl(HOUR * hours)).await.unwrap();
        assert_eq!(changed.lease.started_at, server.lease.started_at);
        let lasts = changed.lease.expires_at.unwrap().as_second() - changed.lease.started_at.unwrap().as_second();
        assert_eq!(lasts, 3600 * i64::from(hours));
        let tags = lab.vm_record(&server).await["tags"].clone();
        let expires = tags
            .as_array()
            .unwrap()
            .iter()
            .filter(|tag| tag.as_str().unwrap().starts_with("dynvm:expires"));
        assert_eq!(expires.count(), 1, "earlier marks are removed");
    }
    let failure = lab.update(&server, ttl(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(failure.error, Error::TtlPast { .. }), "{}", failure.error);
    assert!(failure.server.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_starts_anew_by_the_coordinators_clock() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    lab.control.set_clock_offset("lab1", 7200).unwrap();
    let renew = Changes {
        renew: true,
        ..Changes::default()
    };
    let fleet = lab.second();
    let updated = fleet
        .update(&server.key(), renew, HOUR, Default::default())
        .await
        .unwrap();
    let lease = updated.server.lease;
    let later = lease.started_at.unwrap().as_second() - server.lease.started_at.unwrap().as_second();
    assert!((7199..7260).contains(&later), "{later}");
    assert_eq!(lease.ttl, Some(HOUR));

    let told = updated.renewed.unwrap();
    assert_eq!(told.by, "dynvm-provider/0.1.0 ci/nightly");
    let tags = lab.vm_record(&server).await["tags"].clone();
    let mut tags = tags.as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
    let mark = tags.find_map(|tag| match Mark::parse(tag) {
        Parsed::Mark(Mark::Expires(expires)) => Some(expires),
        _ => None,
    });
    let mark = mark.unwrap();
    assert_eq!(
        (told.at, told.expires_at),
        (mark.made_at(), mark.at),
        "as the mark says"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_tags_change_and_those_of_others_stay() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.add_tags", json!([vm, "backup"])).await;
    let set = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<BTreeSet<_>>();
    let changes = Changes {
        name: Some("db".into()),
        tags: Some((set(&["web"]), set(&["db", "blue"]))),
        ..Changes::default()
    };
    let changed = lab.update(&server, changes).await.unwrap();
    assert_eq!(changed.name, "db");
    assert_eq!(changed.tags, set(&["backup", "blue", "db"]));
    assert_eq!(changed.lease, server.lease);
    assert_eq!(changed.ip_address, server.ip_address);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_marks_are_written_again() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let id = server.id.to_string();
    lab.control.set_other_config(&id, Default::default()).unwrap();
    lab.control.set_tags(&id, vec!["web".into()]).unwrap();
    let lost = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert!(!lost.managed && lost.lease.expires_at.is_none());
    let repaired = lab.update(&server, ttl(HOUR)).await.unwrap();
    assert!(repaired.managed, "{repaired:?}");
    assert_eq!(repaired.request_id, server.request_id);
    assert!(repaired.lease.started_at >= server.lease.started_at);
    assert_eq!(repaired.owner.as_deref(), Some("ci/nightly"));
    lab.delete(&server).await.unwrap();
    assert!(lab.traces().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_that_a_person_stripped_is_null_and_written_again() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    let record = lab.vm_record(&server).await;
    let mark = record["tags"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tag| tag.as_str().unwrap().starts_with("dynvm:expires"))
        .unwrap();
    lab.call("VM.remove_tags", json!([vm, mark])).await;
    lab.call("VM.remove_from_other_config", json!([vm, mark])).await;
    let stripped = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert!(stripped.managed && stripped.lease.expires_at.is_none());
    let repaired = lab.update(&server, ttl(HOUR)).await.unwrap();
    assert!(repaired.lease.expires_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_of_a_person_is_taken_on_with_the_disks_that_go_with_it() {
    let lab = Lab::small().await;
    let found = lab
        .fleet
        .find(&fleet::ServerQuery::Name {
            name: "foreign-1".into(),
            pool: None,
        })
        .await
        .unwrap();
    assert!(!found.managed);
    let taken = lab.update(&found, ttl(HOUR)).await.unwrap();
    assert!(taken.managed && taken.lease.expires_at.is_some());
    assert_eq!(taken.disk_bytes, found.disk_bytes);
    let report = lab.delete(&taken).await.unwrap();
    assert!(report.kept_disks.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claimed_server_is_not_renewed() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.add_tags", json!([vm, "dynvm:reaping=01JD4Q8QCGTF0000000000000A"]))
        .await;
    let before = lab.vm_record(&server).await["tags"].clone();
    let failure = lab.update(&server, ttl(HOUR * 4)).await.unwrap_err();
    assert!(matches!(failure.error, Error::BeingReaped { .. }), "{}", failure.error);
    assert_eq!(
        lab.vm_record(&server).await["tags"],
        before,
        "the own mark is taken back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_by_a_tag_is_read_back() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    let later = server.lease.expires_at.unwrap().as_second() + 3600;
    let later = jiff::Timestamp::from_second(later).unwrap();
    let mark = format!(
        "dynvm:expires={}/01JD4Q8QCGTF0000000000000A",
        fleet::lease::format_time(later)
    );
    lab.call("VM.add_tags", json!([vm, mark])).await;
    let read = lab.second().read(&server.key()).await.unwrap().unwrap();
    assert_eq!(read.lease.expires_at, Some(later));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_writes_what_is_remembered_and_takes_no_disk_of_a_person() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vdi = lab.attach_disk(&server, json!({ "owner": "" })).await;
    let id = server.id.to_string();
    lab.control.set_other_config(&id, Default::default()).unwrap();
    let birth = fleet::Birth {
        created_at: server.created_at.unwrap(),
        template_uuid: server.template_uuid,
        template_name: server.template_name.clone().unwrap(),
        os: server.os.clone(),
    };
    let changes = Changes {
        birth: Some(birth),
        ..ttl(HOUR)
    };
    let repaired = lab.update(&server, changes).await.unwrap();
    assert_eq!(repaired.created_at, server.created_at);
    assert_eq!(
        (repaired.template_uuid, &repaired.os),
        (server.template_uuid, &server.os)
    );
    let report = lab.delete(&repaired).await.unwrap();
    assert_eq!(report.kept_disks.len(), 1);
    lab.call("VDI.get_record", json!([vdi])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_change_says_whether_the_lease_is_changed_all_the_same() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let refusal = FaultKind::Error {
        code: "RBAC_PERMISSION_DENIED".into(),
        params: vec!["VM.any".into(), "no".into()],
    };
    for (method, is_changed) in [("VM.set_name_label", true), ("VM.add_tags", false)] {
        lab.control.fault(FaultRule::once(method, refusal.clone()));
        let changes = Changes {
            name: Some(format!("not {method}")),
            renew: true,
            ..Changes::default()
        };
        let failure = lab.update(&server, changes).await.unwrap_err();
        assert_eq!(failure.is_lease_changed, is_changed, "{method}: {}", failure.error);
        assert_eq!(failure.renewed.is_some(), is_changed);
        assert!(failure.server.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_is_not_taken_back_is_told_of() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let vm = lab.vm(&server).await;
    lab.call("VM.add_tags", json!([vm, "dynvm:reaping=01JD4Q8QCGTF0000000000000A"]))
        .await;
    for ttl_of in [HOUR * 4, HOUR / 2] {
        let before = lab.vm_record(&server).await["tags"].clone();
        let refusal = FaultKind::Error {
            code: "OPERATION_NOT_ALLOWED".into(),
            params: vec!["injected".into()],
        };
        lab.control.fault(FaultRule::once("VM.remove_tags", refusal));
        let failure = lab.update(&server, ttl(ttl_of)).await.unwrap_err();
        let text = failure.error.to_string();
        let after = lab.vm_record(&server).await["tags"].clone();
        let is_new = |tag: &&serde_json::Value| !before.as_array().unwrap().contains(tag);
        let left = after.as_array().unwrap().iter().find(is_new).unwrap().as_str().unwrap();
        assert!(text.contains("being reaped") && text.contains(left), "{text}");
        assert!(failure.error.hint().contains(left) && failure.error.hint().contains("unclaim"));
        assert_eq!(failure.error.title(), "Being reaped");
    }
}

fn has_creating(keys: &serde_json::Value) -> bool {
    let keys = keys.as_object().unwrap();
    keys.keys().any(|key| key.starts_with("dynvm:creating"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_lease_takes_the_place_of_a_creation_lease_that_is_almost_over() {
    let lab = Lab::small().await;
    let server = lab.create(spec("web")).await.unwrap();
    let now = server.lease.started_at.unwrap();
    let creating = jiff::Timestamp::from_second(now.as_second() + 30).unwrap();
    let creating = Mark::Creating(creating).to_string();
    let record = lab.vm_record(&server).await;
    let marks = [
        ("dynvm:vm", json!(server.id.to_string())),
        ("dynvm:spec", record["other_config"]["dynvm:spec"].clone()),
        (creating.as_str(), json!("")),
    ];
    let marks = marks.map(|(key, value)| (key.to_owned(), value.as_str().unwrap().to_owned()));
    let id = server.id.to_string();
    lab.control.set_other_config(&id, marks.into()).unwrap();
    lab.control
        .set_tags(&id, vec![format!("dynvm:vm={id}"), creating])
        .unwrap();
    let vm = xenapi::Ref::new(lab.vm(&server).await.as_str().unwrap());
    let longer = fleet::Extension::By(HOUR);
    fleet::extend(&lab.client(), &vm, longer, now, "a person".into())
        .await
        .unwrap();
    let keys = lab.vm_record(&server).await["other_config"].clone();
    assert!(!has_creating(&keys), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_lease_that_could_not_be_removed_at_once_goes_all_the_same() {
    let lab = Lab::small().await;
    let refusal = FaultKind::Error {
        code: "OPERATION_NOT_ALLOWED".into(),
        params: vec!["injected".into()],
    };
    lab.control
        .fault(FaultRule::once("VM.remove_from_other_config", refusal));
    let server = lab.create(spec("web")).await.unwrap();
    let keys = lab.vm_record(&server).await["other_config"].clone();
    assert!(!has_creating(&keys), "{keys}");
}
