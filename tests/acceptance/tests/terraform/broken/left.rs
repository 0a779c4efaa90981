//! What a run that was broken off has left, by an independent look at the pool.

use std::collections::BTreeMap;

use acceptance::Lab;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::POOL;
use super::scene::BEHIND;

/// VMs that say until when they may be, by UUID and with their name; every new disk is theirs.
#[track_caller]
pub(super) fn left_behind(lab: &Lab, before: &Json) -> BTreeMap<String, String> {
    let is_new = |class: &str, record: &Json| {
        let known = &before[POOL][class];
        known.get(record["uuid"].as_str().unwrap_or_default()).is_none()
    };
    let mut left = BTreeMap::new();
    let mut references = Vec::new();
    for (reference, record) in lab.records(POOL, "VM") {
        if is_new("VM", &record) {
            assert!(has_deadline(&record), "no deadline: {record:#}");
            left.insert(text(&record["uuid"]), text(&record["name_label"]));
            references.push(reference);
        }
    }
    let devices = lab.records(POOL, "VBD");
    for (reference, disk) in lab.records(POOL, "VDI") {
        if !is_new("VDI", &disk) || disk["managed"] == false {
            continue;
        }
        let holders = devices.values().filter(|device| device["VDI"] == reference.as_str());
        let is_attached = holders
            .into_iter()
            .any(|device| references.contains(&text(&device["VM"])));
        let owner = disk["other_config"]["dynvm:vm"].as_str().unwrap_or_default();
        assert!(is_attached || left.contains_key(owner), "nobody's: {disk:#}");
    }
    left
}

/// Whether a VM carries its own mark and a lease, or a birth name with a deadline that is still ahead for its pool.
fn has_deadline(vm: &Json) -> bool {
    let keys = vm["other_config"].as_object().into_iter().flatten();
    let has_lease = keys
        .into_iter()
        .any(|(key, _)| key.starts_with("dynvm:creating=") || key.starts_with("dynvm:expires="));
    if vm["other_config"]["dynvm:vm"] == vm["uuid"] {
        return has_lease;
    }
    let name = text(&vm["name_label"]);
    let deadline = name.strip_prefix("dynvm-new-").and_then(|rest| rest.split_once('-'));
    let deadline = deadline.and_then(|(_, seconds)| seconds.parse::<i64>().ok());
    deadline.is_some_and(|deadline| deadline > Timestamp::now().as_second() - BEHIND)
}

pub(super) fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
