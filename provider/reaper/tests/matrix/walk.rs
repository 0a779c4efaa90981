//! An independent walk over all tables of the pool: everything in them is what it was before, or is known, or has an end.
//!
//! It reads the simulator's own document of its world and shares no code with the product: what marks and tickets look like is written down
//! here once more, as users are promised it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::lab::POOL;

/// The longest that anything of a case is promised to live, and a bit.
const LONGEST: SignedDuration = SignedDuration::from_hours(26);

/// Rows of a document by class.
type Rows = BTreeMap<String, BTreeSet<String>>;

/// All tables of the pool.
pub(crate) struct Tables(Json);

impl Tables {
    pub(crate) fn new(world: &Json) -> Self {
        Self(world[POOL].clone())
    }

    /// The tables without tickets, which end by their time, and without who coordinates the pool: equal before a create and after a destroy.
    pub(crate) fn lasting(&self) -> Json {
        let mut tables = self.0.clone();
        for pool in tables["pool"].as_object_mut().unwrap().values_mut() {
            pool["master"] = Json::Null;
            let keys = pool["other_config"].as_object_mut().unwrap();
            keys.retain(|key, _| !key.starts_with("dynvm:ticket."));
        }
        tables
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &str, &Json)> {
        let classes = self.0.as_object().unwrap().iter();
        classes.flat_map(|(class, rows)| {
            let rows = rows.as_object().unwrap().iter();
            rows.map(move |(uuid, row)| (class.as_str(), uuid.as_str(), row))
        })
    }

    fn row(&self, class: &str, uuid: &str) -> Option<&Json> {
        self.0[class].get(uuid)
    }

    pub(crate) fn vms(&self) -> impl Iterator<Item = (&str, &Json)> {
        let all = self.rows().filter(|(class, ..)| *class == "VM");
        all.map(|(_, uuid, vm)| (uuid, vm))
    }

    /// The VMs that say themselves that they are dynvm's.
    pub(crate) fn ours(&self) -> BTreeSet<String> {
        let ours = self
            .vms()
            .filter(|(uuid, vm)| is_marked(uuid, vm) || birth(vm).is_some());
        ours.map(|(uuid, _)| uuid.to_owned()).collect()
    }

    /// What belongs to these VMs: themselves, their devices, their disks, what is measured about them.
    fn belongings(&self, vms: &BTreeSet<String>) -> Rows {
        let mut rows = Rows::new();
        rows.insert("VM".to_owned(), vms.clone());
        let is_of = |value: &Json, owners: &BTreeSet<String>| target(value).is_some_and(|uuid| owners.contains(uuid));
        for (class, uuid, row) in self.rows() {
            if ["VBD", "VIF", "console"].contains(&class) && is_of(&row["VM"], vms) {
                rows.entry(class.to_owned()).or_default().insert(uuid.to_owned());
            }
        }
        let mut disks = BTreeSet::new();
        for (class, uuid, row) in self.rows() {
            let names_one = || {
                row["other_config"]["dynvm:vm"]
                    .as_str()
                    .is_some_and(|vm| vms.contains(vm))
            };
            match class {
                "VDI" if names_one() => drop(disks.insert(uuid.to_owned())),
                "VBD" if is_of(&row["VM"], vms) && row["type"] == "Disk" => {
                    disks.extend(target(&row["VDI"]).map(str::to_owned));
                }
                "VM" if vms.contains(uuid) => {
                    disks.extend(target(&row["suspend_VDI"]).map(str::to_owned));
                    for (field, class) in [("metrics", "VM_metrics"), ("guest_metrics", "VM_guest_metrics")] {
                        let of_vm = target(&row[field]).map(str::to_owned);
                        rows.entry(class.to_owned()).or_default().extend(of_vm);
                    }
                }
                _ => {}
            }
        }
        // A disk that is being written hangs on the control domain for a moment.
        let passing = self
            .rows()
            .filter(|(class, _, row)| *class == "VBD" && is_of(&row["VDI"], &disks));
        let passing: Vec<String> = passing.map(|(_, uuid, _)| uuid.to_owned()).collect();
        rows.entry("VBD".to_owned()).or_default().extend(passing);
        rows.insert("VDI".to_owned(), disks);
        rows
    }
}

/// What a walk has to find its way by.
pub(crate) struct Walk<'a> {
    /// The tables when the operation began.
    pub(crate) before: &'a Tables,
    /// The VMs in the state file, gone or not.
    pub(crate) known: BTreeSet<String>,
    /// What the pool's clock shows.
    pub(crate) now: Timestamp,
}

impl Walk<'_> {
    /// Walks over all tables; says which VMs there are under a lease alone.
    ///
    /// # Errors
    /// What nobody answers for.
    pub(crate) fn over(&self, tables: &Tables) -> Result<BTreeSet<String>, String> {
        let mut leased = BTreeSet::new();
        for (uuid, vm) in tables.vms().filter(|(uuid, _)| !self.known.contains(*uuid)) {
            if ends(uuid, vm, self.now + LONGEST)? {
                leased.insert(uuid.to_owned());
            }
        }
        tickets(tables, self.now + LONGEST)?;
        let answered_for: BTreeSet<String> = leased.union(&self.known).cloned().collect();
        self.compare(tables, &tables.belongings(&answered_for))?;
        Ok(leased)
    }

    /// What is not dynvm's is as it was, but for references to what is.
    fn compare(&self, tables: &Tables, after: &Rows) -> Result<(), String> {
        let before = self.before.belongings(&self.before.ours());
        let is_in = |rows: &Rows, class: &str, uuid: &str| rows.get(class).is_some_and(|rows| rows.contains(uuid));
        let is_ours = |class: &str, uuid: &str| is_in(&before, class, uuid) || is_in(after, class, uuid);
        for (class, uuid, row) in self.before.rows() {
            if tables.row(class, uuid).is_none() && !is_in(&before, class, uuid) {
                return Err(format!("a foreign {class} is gone: {row:#}"));
            }
        }
        let references: BTreeSet<&str> = before
            .values()
            .chain(after.values())
            .flatten()
            .map(String::as_str)
            .collect();
        for (class, uuid, row) in tables.rows() {
            match self.before.row(class, uuid) {
                None if !is_in(after, class, uuid) => return Err(format!("nobody's {class}: {row:#}")),
                Some(was) if !is_ours(class, uuid) => {
                    if let Some(field) = difference(class, was, row, &references) {
                        return Err(format!(
                            "{field} of a foreign {class} has changed: {:#} -> {:#}",
                            was[&field], row[&field]
                        ));
                    }
                }
                None | Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The first field that has changed by more than references to rows of ours.
fn difference(class: &str, was: &Json, is: &Json, ours: &BTreeSet<&str>) -> Option<String> {
    let fields = is.as_object().unwrap().iter();
    let mut changed = fields.filter(|(field, now)| {
        let is_pools = class == "pool" && (*field == "other_config" || *field == "master");
        !is_pools && strip(&was[field.as_str()], ours) != strip(now, ours)
    });
    changed.next().map(|(field, _)| field.clone())
}

/// A set without references to ours.
fn strip(value: &Json, ours: &BTreeSet<&str>) -> Json {
    let Json::Array(items) = value else {
        return value.clone();
    };
    let is_foreign = |item: &&Json| target(item).is_none_or(|uuid| !ours.contains(uuid));
    Json::Array(items.iter().filter(is_foreign).cloned().collect())
}

/// The UUID that a reference leads to.
fn target(value: &Json) -> Option<&str> {
    value.as_str()?.strip_prefix("ref ")
}

fn is_marked(uuid: &str, vm: &Json) -> bool {
    vm["other_config"]["dynvm:vm"] == uuid
}

/// The deadline in a birth name.
fn birth(vm: &Json) -> Option<Timestamp> {
    let rest = vm["name_label"].as_str()?.strip_prefix("dynvm-new-")?;
    let (_, seconds) = rest.split_once('-')?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

/// Says whether a VM is under a lease.
///
/// # Errors
/// It is dynvm's and has no lease, or one that ends too late to be an end.
fn ends(uuid: &str, vm: &Json, latest: Timestamp) -> Result<bool, String> {
    let keys = vm["other_config"].as_object().unwrap().keys();
    let leases = keys.filter_map(|key| {
        let text = key
            .strip_prefix("dynvm:creating=")
            .or_else(|| key.strip_prefix("dynvm:expires="))?;
        text.split('/').next()?.parse::<Timestamp>().ok()
    });
    let end = if is_marked(uuid, vm) { leases.max() } else { birth(vm) };
    match end {
        Some(end) if end <= latest => Ok(true),
        Some(end) => Err(format!("a VM that lives until {end}: {vm:#}")),
        None if is_marked(uuid, vm) => Err(format!("a VM without a lease: {vm:#}")),
        None => Ok(false),
    }
}

/// Each ticket is released, or ends.
fn tickets(tables: &Tables, latest: Timestamp) -> Result<(), String> {
    for (.., pool) in tables.rows().filter(|(class, ..)| *class == "pool") {
        let keys = pool["other_config"].as_object().unwrap();
        for (key, value) in keys.iter().filter(|(key, _)| key.starts_with("dynvm:ticket.")) {
            let is_over = key.ends_with(".released") || keys.contains_key(&format!("{key}.released"));
            let ticket: Json = serde_json::from_str(value.as_str().unwrap()).unwrap_or_default();
            let until = ticket["until"]
                .as_str()
                .and_then(|until| until.parse::<Timestamp>().ok());
            if !is_over && until.is_none_or(|until| until > latest) {
                return Err(format!("a ticket without an end: {key} = {value}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LEASE: &str = "dynvm:creating=2026-11-20T10:00:00Z";

    type Change = fn(&mut Json);

    fn now() -> Timestamp {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    fn world() -> Json {
        json!({ POOL: {
            "pool": { "p": { "other_config": {}, "master": "ref h" } },
            "VM": { "f": vm("foreign", &json!({}), &json!(["ref b"])) },
            "VDI": { "d": { "VBDs": ["ref b"], "other_config": {} } },
            "VBD": { "b": { "VM": "ref f", "VDI": "ref d", "type": "Disk" } },
        } })
    }

    fn vm(name: &str, keys: &Json, devices: &Json) -> Json {
        json!({ "name_label": name, "other_config": keys, "VBDs": devices })
    }

    /// What a walk says of a world that was changed.
    fn walked(change: impl FnOnce(&mut Json)) -> Result<BTreeSet<String>, String> {
        let (before, mut after) = (Tables::new(&world()), world());
        change(&mut after[POOL]);
        let walk = Walk {
            before: &before,
            known: BTreeSet::from(["k".to_owned()]),
            now: now(),
        };
        walk.over(&Tables::new(&after))
    }

    #[test]
    fn what_is_known_or_leased_is_answered_for() {
        let born = format!("dynvm-new-01JD4Q8QCGTF0000000000000A-{}", now().as_second() + 600);
        let leased = walked(|pool| {
            pool["VM"]["k"] = vm("in the state", &json!({}), &json!([]));
            pool["VM"]["l"] = vm("marked", &json!({ "dynvm:vm": "l", LEASE: "" }), &json!([]));
            pool["VM"]["n"] = vm(&born, &json!({}), &json!(["ref m"]));
            pool["VBD"]["m"] = json!({ "VM": "ref n", "VDI": "ref e", "type": "Disk" });
            pool["VDI"]["e"] = json!({ "VBDs": ["ref m"], "other_config": {} });
            pool["VDI"]["o"] = json!({ "VBDs": [], "other_config": { "dynvm:vm": "l" } });
            pool["pool"]["p"]["other_config"]["dynvm:ticket.1"] = json!(r#"{"until":"2026-11-20T10:00:00Z"}"#);
        });
        assert_eq!(leased.unwrap(), BTreeSet::from(["l".to_owned(), "n".to_owned()]));
    }

    #[test]
    fn what_nobody_answers_for_is_found() {
        let late = "dynvm:expires=2026-11-30T10:00:00Z/01JD4Q8QCGTF0000000000000A";
        let changes: [(&str, Change); 9] = [
            ("nobody's VM", |pool| pool["VM"]["x"] = vm("x", &json!({}), &json!([]))),
            ("nobody's VDI", |pool| {
                pool["VDI"]["x"] = json!({ "VBDs": [], "other_config": {} })
            }),
            ("nobody's VDI", |pool| {
                pool["VDI"]["x"] = json!({ "VBDs": [], "other_config": { "dynvm:vm": "not there" } });
            }),
            ("nobody's VIF", |pool| {
                pool["VIF"] = json!({ "x": { "VM": "ref gone" } })
            }),
            ("without a lease", |pool| {
                pool["VM"]["x"] = vm("x", &json!({ "dynvm:vm": "x" }), &json!([]))
            }),
            ("a ticket without an end", |pool| {
                pool["pool"]["p"]["other_config"]["dynvm:ticket.1"] = json!("{}");
            }),
            ("a foreign VM is gone", |pool| {
                drop(pool["VM"].as_object_mut().unwrap().remove("f"))
            }),
            ("name_label of a foreign VM", |pool| {
                pool["VM"]["f"]["name_label"] = json!("y")
            }),
            ("VBDs of a foreign VDI", |pool| pool["VDI"]["d"]["VBDs"] = json!([])),
        ];
        for (what, change) in changes {
            let error = walked(change).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
        let forever = walked(|pool| pool["VM"]["x"] = vm("x", &json!({ "dynvm:vm": "x", late: "" }), &json!([])));
        assert!(forever.unwrap_err().contains("lives until"));
    }
}
