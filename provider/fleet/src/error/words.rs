//! The parts of messages that need more than a placeholder.

use std::time::Duration;

use jiff::Timestamp;

use super::{Error, VmName};
use crate::address::Missed;
use crate::capacity::PoolCapacity;
use crate::choices::Choices;
use crate::lease::format_time;
use crate::server::Named;

pub(super) fn parts(held: &[(String, u32, Timestamp)]) -> String {
    let parts = held
        .iter()
        .map(|(pool, servers, until)| format!("room for {servers} in pool {pool:?} until {until}"));
    match parts.collect::<Vec<_>>() {
        parts if parts.is_empty() => "what cannot be read now".to_owned(),
        parts => parts.join(", "),
    }
}

pub(super) fn lacking(missed: Missed) -> &'static str {
    match missed {
        Missed::PortClosed(_) => "no answer",
        Missed::NotStarted
        | Missed::NoAgent
        | Missed::NoAddress
        | Missed::OnlyLinkLocal
        | Missed::WrongFamily
        | Missed::OutsideCidrs => "no usable address",
    }
}

pub(super) fn labels(asked: &std::collections::BTreeSet<String>, pool: &Option<String>, there: &Choices) -> String {
    let asked: Vec<String> = asked.iter().map(|label| format!("{label:?}")).collect();
    match (asked.as_slice(), pool) {
        ([], Some(pool)) => {
            format!("the pool {pool:?} takes only servers that ask for one of its labels in pool_labels. {there}")
        }
        ([], None) => format!("every pool takes only servers that ask for one of its labels in pool_labels. {there}"),
        (asked, Some(pool)) => format!("the pool {pool:?} has none of the labels {}. {there}", asked.join(", ")),
        (asked, None) => format!("no pool has one of the labels {}. {there}", asked.join(", ")),
    }
}

pub(super) fn uuids(matches: &[Named]) -> String {
    let shown: Vec<String> = matches.iter().take(12).map(|named| named.uuid.to_string()).collect();
    shown.join(", ")
}

pub(super) fn why(reasons: &[(String, Box<Error>)]) -> String {
    let texts: Vec<String> = reasons.iter().map(|(_, error)| error.to_string()).collect();
    texts.join("; ")
}

pub(super) fn room(pools: &[PoolCapacity], cause: &Option<xenapi::Error>) -> String {
    let pools = pools.iter().map(ToString::to_string);
    let texts: Vec<String> = pools.chain(cause.iter().map(ToString::to_string)).collect();
    texts.join("; ")
}

pub(super) fn past(at: &Timestamp) -> String {
    format_time(*at)
}

pub(super) fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs())
}

pub(super) fn left_over(left: &Option<VmName>) -> String {
    left.as_ref()
        .map(|vm| format!("; the VM{vm} exists"))
        .unwrap_or_default()
}
