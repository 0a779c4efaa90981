//! The world as one canonical document, equal before a create and after the destroy that undoes it.
//!
//! References become UUIDs, sets are sorted, and what only history or time decides is left out: sessions, tasks,
//! messages, metrics of hardware, unmanaged bases of disks, space in use.

use std::collections::HashMap;

use serde_json::{Map as JsonMap, Value as Json};

use crate::db::{Cls, Record};
use crate::pool::State;
use crate::value::Value;

/// Classes that hold no lasting things.
const LEFT_OUT: &[Cls] = &[
    Cls::Session,
    Cls::Task,
    Cls::Event,
    Cls::Message,
    Cls::VbdMetrics,
    Cls::VifMetrics,
    Cls::PifMetrics,
];

/// Fields that move without anybody's doing.
const VOLATILE: &[&str] = &[
    "allowed_operations",
    "last_updated",
    "memory_free",
    "physical_utilisation",
    "virtual_allocation",
    "utilisation",
    "domid",
    "location",
];

/// The document of a pool: class -> UUID -> field -> value.
pub(super) fn of(state: &State) -> Json {
    let mut names = HashMap::new();
    for cls in Cls::ALL {
        for (reference, record) in state.db.all(*cls) {
            names.insert(reference.as_str().to_owned(), record.str_or_empty("uuid").to_owned());
        }
    }
    for (reference, record) in state.db.all(Cls::Vdi) {
        if is_base(record) {
            names.remove(reference.as_str());
        }
    }
    let classes = Cls::ALL.iter().filter(|cls| !LEFT_OUT.contains(cls));
    let document = classes.map(|cls| {
        let rows = state.db.all(*cls).filter(|(_, r)| *cls != Cls::Vdi || !is_base(r));
        let rows: JsonMap<String, Json> = rows
            .map(|(_, r)| (r.str("uuid").to_owned(), row(*cls, r, &names)))
            .collect();
        (cls.name().to_owned(), Json::Object(rows))
    });
    Json::Object(document.collect())
}

fn is_base(record: &Record) -> bool {
    !record.bool("managed") && record.str("name_label") == "base copy"
}

fn row(cls: Cls, record: &Record, names: &HashMap<String, String>) -> Json {
    let kept = record.fields().filter(|(name, _)| {
        let is_history = cls == Cls::Vdi && *name == "sm_config";
        !VOLATILE.contains(name) && !is_history
    });
    Json::Object(
        kept.map(|(name, value)| (name.to_owned(), plain(value, names)))
            .collect(),
    )
}

fn plain(value: &Value, names: &HashMap<String, String>) -> Json {
    let text = |t: &str| match names.get(t) {
        Some(uuid) => format!("ref {uuid}"),
        None if t.starts_with("OpaqueRef:") && t != "OpaqueRef:NULL" => "ref dangling".to_owned(),
        None => t.to_owned(),
    };
    match value {
        Value::Void | Value::Record(_) => Json::Null,
        Value::Str(t) => Json::String(text(t)),
        Value::Int(n) | Value::Time(n) => Json::from(*n),
        Value::Int32(n) => Json::from(*n),
        Value::Bool(b) => Json::Bool(*b),
        Value::Float(n) => Json::from(*n),
        Value::Set(items) => {
            let mut items: Vec<Json> = items
                .iter()
                .map(|v| plain(v, names))
                .filter(|v| v.as_str() != Some("ref dangling"))
                .collect();
            items.sort_by_cached_key(Json::to_string);
            Json::Array(items)
        }
        Value::Map(map) => Json::Object(map.iter().map(|(k, v)| (text(k), plain(v, names))).collect()),
    }
}
