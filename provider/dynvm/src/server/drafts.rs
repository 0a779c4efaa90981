//! Plans in tests: a lab whose pools nobody can ask, a configuration, and what an apply would make of its plan.

use std::sync::Arc;
use std::time::Duration;

use cty::Value;
use engine::plan::{Draft, Plan};
use engine::private::Private;
use engine::schema::Schema;
use fleet::{Fleet, FleetConfig};

use super::admission::{Admission, Policy};
use super::plan;
use crate::chronicle::Chronicle;
use crate::settings::{Lab, Offer, Settings};

/// Settings without a pool that answers, but with two by name: `lab1`, and `gpu1`, which is for servers that ask for its labels. The first knows the alias
/// `debian12`, the second `rocky9` too.
pub(crate) fn lab() -> Settings {
    lab_with(hours(12))
}

/// The same with another default.
pub(super) fn lab_with(default_ttl: Duration) -> Settings {
    let fleet = Fleet::new(FleetConfig {
        pools: Vec::new(),
        default_ttl,
        max_ttl: hours(24),
        owner: "tests".to_owned(),
        version: "0.0.0".to_owned(),
    });
    Settings::Ready(Arc::new(Lab {
        fleet,
        default_ttl,
        max_ttl: hours(24),
        ip_timeout: None,
        offers: [
            ("lab1".to_owned(), offer(&["debian12"], &[])),
            ("gpu1".to_owned(), offer(&["debian12", "rocky9"], &["gpu", "big"])),
        ]
        .into(),
        chronicle: Chronicle::default(),
        admission: applying(),
    }))
}

/// Room is not looked at: there is no pool to be asked.
fn applying() -> Admission {
    let admission = Admission::new(Policy::Warn);
    admission.apply();
    admission
}

fn offer(os: &[&str], labels: &[&str]) -> Offer {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Offer {
        os: owned(os),
        labels: owned(labels),
    }
}

pub(super) fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

pub(super) fn config(schema: &Schema, fields: &[(&str, Value)]) -> Value {
    let base = schema.empty().with("name", "web").with("os", "debian12");
    fields
        .iter()
        .fold(base, |config, (name, value)| config.with(*name, value.clone()))
}

/// What an apply makes of a plan: every unknown filled.
pub(super) fn applied(plan: &Plan) -> Value {
    let fields = plan.planned.as_map().expect("an object").iter().map(|(name, value)| {
        let filled = match (name.as_str(), value.is_unknown()) {
            (_, false) => value.clone(),
            ("lease_started_at" | "created_at", true) => "2026-11-20T10:00:00Z".into(),
            ("expires_at", true) => "2026-11-20T22:00:00Z".into(),
            ("cpus" | "memory_mib" | "disk_bytes", true) => 2048.into(),
            ("ip_addresses", true) => Value::list::<Value>([]),
            ("timings", true) => Value::Null,
            (_, true) => "something".into(),
        };
        (name.clone(), filled)
    });
    Value::Map(fields.collect())
}

/// The plan, and the summaries of what it says.
pub(super) async fn planned(settings: &Settings, schema: &Schema, config: Value, prior: Value) -> (Plan, Vec<String>) {
    planned_with(settings, schema, config, prior, &Private::new()).await
}

/// The same with private state.
pub(super) async fn planned_with(
    settings: &Settings,
    schema: &Schema,
    config: Value,
    prior: Value,
    private: &Private,
) -> (Plan, Vec<String>) {
    let mut draft = Draft::new(schema, config, prior);
    let found = plan::plan(settings, &mut draft, private).await;
    let summaries = found.iter().map(|diagnostic| diagnostic.summary.clone()).collect();
    (draft.finish(), summaries)
}

/// The attributes that a plan does not know yet.
pub(super) fn unknown(plan: &Plan) -> Vec<&str> {
    let fields = plan.planned.as_map().into_iter().flatten();
    fields
        .filter(|(_, value)| !value.is_wholly_known())
        .map(|(name, _)| name.as_str())
        .collect()
}
