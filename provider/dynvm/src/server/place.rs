//! What a plan may tell of a server's place by the provider's configuration alone: no pool is asked.
//!
//! A pool with labels is for servers that ask for one of them, a pool without for those that ask for none. A new server that no pool is for is refused
//! here; one that exists is replaced by a change of what it asks for only if its own pool is not for it any more.

use std::collections::{BTreeMap, BTreeSet};

use cty::Value;
use engine::diagnostics::Diagnostic;
use engine::plan::{Action, Draft};
use fleet::LabelChoice;

use super::request;
use crate::settings::{Lab, Offer};

/// The attribute that asks for labels.
const LABELS: &str = "pool_labels";

/// Pools that are looked at, by name.
type Pools<'l> = BTreeMap<&'l str, &'l Offer>;

/// Says what a new server asks for that no pool has: a name, a label, an operating system.
///
/// # Errors
/// One diagnostic, at the attribute at fault.
pub(crate) fn check(lab: &Lab, config: &Value) -> Result<(), Diagnostic> {
    let pools = labelled(named(lab, config)?, config)?;
    has_os(&pools, config)
}

/// The pool of that name, or all.
fn named<'l>(lab: &'l Lab, config: &Value) -> Result<Pools<'l>, Diagnostic> {
    let offers = lab.offers.iter().map(|(name, offer)| (name.as_str(), offer));
    let Some(wanted) = config.get("pool").as_str() else {
        return Ok(offers.collect());
    };
    let found: Pools<'l> = offers.filter(|(name, _)| *name == wanted).collect();
    if found.is_empty() {
        let detail = format!(
            "The provider has no pool \"{wanted}\". It has: {}.",
            list(lab.offers.keys())
        );
        return Err(Diagnostic::error("Unknown pool", detail).at("pool"));
    }
    Ok(found)
}

/// Those of the pools that are for servers with these labels.
fn labelled<'l>(pools: Pools<'l>, config: &Value) -> Result<Pools<'l>, Diagnostic> {
    let choice = request::labels(config);
    let (open, closed): (Pools<'l>, Pools<'l>) = pools.into_iter().partition(|(_, offer)| choice.allows(&offer.labels));
    if !open.is_empty() {
        return Ok(open);
    }
    let there = list(closed.values().flat_map(|offer| &offer.labels).collect::<BTreeSet<_>>());
    let asked = request::texts(config, LABELS);
    let (summary, detail, at) = match (config.get("pool").as_str(), asked.is_empty()) {
        (Some(pool), true) => (
            "Pool is reserved",
            format!(
                "Pool \"{pool}\" takes only servers that ask for one of its labels: {there}. Ask for one with `{LABELS}`, or for another pool."
            ),
            "pool",
        ),
        (None, true) => (
            "All pools are reserved",
            format!(
                "Each pool takes only servers that ask for one of its labels. Ask for one with `{LABELS}`: {there}."
            ),
            LABELS,
        ),
        (Some(pool), false) => (
            "No such label",
            format!(
                "Pool \"{pool}\" has none of the labels {}. It has: {there}.",
                list(asked)
            ),
            LABELS,
        ),
        (None, false) => (
            "No such label",
            format!("No pool has one of the labels {}. Known here: {there}.", list(asked)),
            LABELS,
        ),
    };
    Err(Diagnostic::error(summary, detail).at(at))
}

/// The pools that would be looked at if they had a template for the operating system.
pub(super) fn without_os<'l>(lab: &'l Lab, config: &Value) -> Vec<&'l str> {
    let Some(os) = config.get("os").as_str() else {
        return Vec::new();
    };
    let pools = named(lab, config).and_then(|pools| labelled(pools, config));
    let lacking = pools.into_iter().flatten().filter(|(_, offer)| !offer.os.contains(os));
    lacking.map(|(name, _)| name).collect()
}

/// Says so if none of the pools has a template for the operating system.
fn has_os(pools: &Pools<'_>, config: &Value) -> Result<(), Diagnostic> {
    let Some(os) = config.get("os").as_str() else {
        return Ok(());
    };
    let aliases: BTreeSet<&String> = pools.values().flat_map(|offer| &offer.os).collect();
    if aliases.iter().any(|alias| *alias == os) {
        return Ok(());
    }
    let detail = format!(
        "None of the pools that it may be placed in ({}) has a template for os \"{os}\" (no pool was asked: an os is a key of `templates` in the provider's \
         pools). Known here: {}.",
        list(pools.keys()),
        list(aliases)
    );
    Err(Diagnostic::error("Unknown operating system", detail).at("os"))
}

/// Other labels replace a server only if its pool has none of them. Whether a label that is not known yet is one of the pool's cannot be told: then
/// the plan replaces, for an apply may not do more than its plan said.
pub(super) fn labels(lab: &Lab, draft: &mut Draft<'_>) {
    if draft.action() != Action::Update || !draft.is_changed(LABELS) {
        return;
    }
    let pool = draft.prior().get("pool").as_str();
    // A pool that is not configured any more is told of when the server is read.
    let Some(offer) = pool.and_then(|pool| lab.offers.get(pool)) else {
        return;
    };
    let known = request::texts(draft.planned(), LABELS);
    let is_known = draft.planned().get(LABELS).is_wholly_known();
    let stays = if is_known || !known.is_empty() {
        LabelChoice::AsServer(known).allows(&offer.labels)
    } else {
        false
    };
    if !stays {
        draft.require_replace(LABELS);
    }
}

fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use engine::plan::Plan;

    use super::super::drafts::{applied, config, lab, planned};
    use super::super::schema::table;
    use super::*;
    use crate::settings::Settings;

    fn labels_of(labels: &[&str]) -> Value {
        Value::set(labels.iter().copied())
    }

    /// The state of a server with these fields.
    async fn state(fields: &[(&str, Value)]) -> Value {
        let schema = table();
        let (plan, found) = planned(&lab(), &schema, config(&schema, fields), Value::Null).await;
        assert_eq!(found, [""; 0]);
        applied(&plan)
    }

    async fn change(state: Value, fields: &[(&str, Value)]) -> (Plan, Vec<String>) {
        let schema = table();
        planned(&lab(), &schema, config(&schema, fields), state).await
    }

    #[tokio::test]
    async fn what_needs_no_pool_is_refused_in_the_plan() {
        let schema = table();
        for (fields, expect) in [
            (&[("os", "plan9".into())][..], "os: Unknown operating system"),
            (&[("pool", "lab9".into())], "pool: Unknown pool"),
            (&[("pool", "gpu1".into())], "pool: Pool is reserved"),
            (&[(LABELS, labels_of(&["fpga"]))], "pool_labels: No such label"),
            (
                &[("pool", "lab1".into()), (LABELS, labels_of(&["gpu"]))],
                "pool_labels: No such label",
            ),
            (&[("os", "rocky9".into())], "os: Unknown operating system"),
            (&[("os", "rocky9".into()), (LABELS, labels_of(&["gpu", "fpga"]))], ""),
            (&[("pool", "gpu1".into()), (LABELS, labels_of(&["big"]))], ""),
            (&[("pool", "gpu1".into()), (LABELS, Value::unknown())], ""),
            (&[("pool", "lab1".into()), (LABELS, labels_of(&[]))], ""),
        ] {
            let Settings::Ready(lab) = lab() else { panic!("ready") };
            let refused = check(&lab, &config(&schema, fields)).err();
            let said = refused.map(|one| format!("{}: {}", one.path.unwrap_or_default(), one.summary));
            assert_eq!(said.unwrap_or_default(), expect, "{fields:?}");
        }
    }

    #[tokio::test]
    async fn other_labels_replace_only_what_is_out_of_place() {
        let unknown = || Value::set([Value::unknown()]);
        let partly = || Value::set([Value::from("gpu"), Value::unknown()]);
        let (none, empty, gpu) = (Value::Null, labels_of(&[]), labels_of(&["gpu"]));
        for (pool, before, after, replaces) in [
            ("gpu1", gpu.clone(), labels_of(&["big"]), false),
            ("gpu1", gpu.clone(), labels_of(&["fpga", "big"]), false),
            ("gpu1", gpu.clone(), labels_of(&["fpga"]), true),
            ("gpu1", gpu.clone(), none.clone(), true),
            ("gpu1", gpu.clone(), partly(), false),
            ("gpu1", gpu.clone(), unknown(), true),
            ("lab1", none.clone(), gpu.clone(), true),
            ("lab1", none.clone(), empty.clone(), false),
            ("lab1", empty, none.clone(), false),
            ("lab1", none.clone(), Value::unknown(), true),
            // Its labels were taken off a pool that is asked for still.
            ("lab1", gpu.clone(), none, false),
            ("lab1", labels_of(&["fpga"]), gpu.clone(), true),
            ("gone1", labels_of(&["fpga"]), gpu, false),
        ] {
            let state = state(&[]).await.with("pool", pool).with(LABELS, before.clone());
            let (plan, found) = change(state, &[(LABELS, after.clone())]).await;
            let paths: Vec<String> = plan.requires_replace.iter().map(ToString::to_string).collect();
            let expect: &[&str] = if replaces { &[LABELS] } else { &[] };
            assert_eq!(paths, expect, "{pool}: {before:?} -> {after:?}");
            assert_eq!(found, [""; 0]);
        }
    }
}
