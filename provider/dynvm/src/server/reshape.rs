//! What a change of size, power state or host means: what the plan no longer knows, what it warns of, and what the pool is asked for.

use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::plan::{Action, Draft};
use engine::private::Private;
use fleet::{Power, Reshape};

use super::{identity, request};
use crate::diagnose;
use crate::settings::Lab;

const CPUS: &str = "cpus";
const MEMORY: &str = "memory_mib";
const POWER: &str = "power_state";
const HOST: &str = "host";

/// What may be another after a server was stopped or started.
const AFTER_A_START: [&str; 4] = ["ip_address", "ip_addresses", "resident_host", "os_version"];

/// A suspended server has run before.
pub(super) fn check_create(draft: &Draft<'_>, found: &mut Diagnostics) {
    if draft.config().get(POWER).as_str() == Some("suspended") {
        found.error_at(
            POWER,
            "A new server cannot be suspended",
            "Only a server that runs can be suspended. Create it `running` or `halted`, and suspend it in a later apply.",
        );
    }
}

/// Plans a change in place: what it leaves unknown, that it restarts the server, and whether it can be at all.
pub(super) async fn plan(lab: &Lab, draft: &mut Draft<'_>, private: &Private, found: &mut Diagnostics) {
    if draft.action() != Action::Update || !draft.requires_replace().is_empty() {
        return;
    }
    unknowns(draft);
    restart(draft, found);
    if [CPUS, MEMORY, HOST].iter().any(|name| is_other(draft, name)) {
        possible(lab, draft, private, found).await;
    }
}

/// The same without settings: what is unknown follows from the table alone.
pub(super) fn unknowns(draft: &mut Draft<'_>) {
    if draft.action() != Action::Update {
        return;
    }
    if [CPUS, MEMORY, POWER].iter().any(|name| draft.is_changed(name)) {
        for name in AFTER_A_START {
            draft.mark_unknown(name);
        }
    } else if is_other(draft, HOST) {
        draft.mark_unknown("resident_host");
    }
}

/// Says whether something else is asked for; a setting that was taken away asks for nothing.
fn is_other(draft: &Draft<'_>, name: &str) -> bool {
    draft.is_changed(name) && !draft.planned().get(name).is_null()
}

/// A restart is worth a word: what is open on the guest is lost.
fn restart(draft: &Draft<'_>, found: &mut Diagnostics) {
    let changed: Vec<&str> = [CPUS, MEMORY]
        .into_iter()
        .filter(|name| draft.is_changed(name))
        .collect();
    let Some(first) = changed.first() else { return };
    if draft.prior().get(POWER).as_str() == Some("halted") {
        return;
    }
    found.warning_at(
        *first,
        "Server restarts",
        format!(
            "Another `{}` can be set only while a server is off: \"{}\" is stopped (by its guest within two minutes, then hard), changed, and brought back to \
             what `{POWER}` says. Its address may be another one then.",
            changed.join("` and `"),
            draft.prior().get("name").as_str().unwrap_or_default(),
        ),
    );
}

/// A size that cannot be had, and a host that cannot be reached, are said in the plan. A pool that cannot be asked now says so in the apply.
async fn possible(lab: &Lab, draft: &Draft<'_>, private: &Private, found: &mut Diagnostics) {
    let (Ok(key), Ok(Some(wanted))) = (
        identity::key(draft.prior(), private),
        wanted(draft.prior(), draft.planned(), None),
    ) else {
        return;
    };
    if let Err(error) = lab.fleet.may_reshape(&key, &wanted).await
        && error.is_about_a_setting()
    {
        found.push(diagnose::error_about(draft.config(), &error));
    }
}

/// What a pool must do to a server, if anything but what does not touch its guest.
///
/// # Errors
/// One diagnostic, if a value is not what the table promises.
pub(super) fn wanted(
    prior: &Value,
    planned: &Value,
    ip_timeout: Option<std::time::Duration>,
) -> Result<Option<Reshape>, Diagnostics> {
    let is_changed = |name: &str| planned.get(name).is_set() && planned.get(name) != prior.get(name);
    if ![CPUS, MEMORY, POWER, HOST].into_iter().any(is_changed) {
        return Ok(None);
    }
    let size = |name: &str| if is_changed(name) { planned } else { &Value::Null };
    Ok(Some(Reshape {
        cpus: request::number(size(CPUS), CPUS)?,
        memory_mib: request::number(size(MEMORY), MEMORY)?,
        power: power(planned)?,
        host: planned.get(HOST).as_str().map(str::to_owned),
        is_moved: is_changed(HOST),
        wait: request::wait(planned, ip_timeout),
    }))
}

/// What a server is to do.
fn power(planned: &Value) -> Result<Option<Power>, Diagnostics> {
    match planned.get(POWER).as_str() {
        Some("running") => Ok(Some(Power::Running)),
        Some("halted") => Ok(Some(Power::Halted)),
        Some("suspended") => Ok(Some(Power::Suspended)),
        Some(_) => Err(request::unexpected(POWER)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::drafts::{applied, config, lab, planned, unknown};
    use super::super::schema::table;
    use super::*;

    async fn changed(fields: &[(&str, Value)]) -> (Vec<String>, Vec<String>) {
        let schema = table();
        let first = [("cpus", Value::from(2)), ("host", "xen1".into())];
        let (before, _) = planned(&lab(), &schema, config(&schema, &first), Value::Null).await;
        let all: Vec<_> = first
            .into_iter()
            .filter(|(name, _)| !fields.iter().any(|(other, _)| other == name))
            .chain(fields.iter().cloned())
            .collect();
        let (plan, found) = planned(&lab(), &schema, config(&schema, &all), applied(&before)).await;
        assert!(plan.requires_replace.is_empty(), "{fields:?}");
        (unknown(&plan).into_iter().map(str::to_owned).collect(), found)
    }

    #[tokio::test]
    async fn a_change_leaves_unknown_what_it_may_change_and_warns_of_a_restart() {
        let mut after_a_start = AFTER_A_START.to_vec();
        after_a_start.sort_unstable();
        for (fields, expect, warnings) in [
            (
                &[("cpus", Value::from(4))][..],
                &after_a_start[..],
                &["Server restarts"][..],
            ),
            (
                &[("memory_mib", Value::from(4096))],
                &after_a_start,
                &["Server restarts"],
            ),
            (&[("power_state", "halted".into())], &after_a_start, &[]),
            (&[("power_state", "suspended".into())], &after_a_start, &[]),
            (&[("host", "xen2".into())], &["resident_host"], &[]),
            (&[("host", Value::Null)], &[], &[]),
        ] {
            let (unknown, found) = changed(fields).await;
            assert_eq!(
                (unknown.as_slice(), found.as_slice()),
                (&own(expect)[..], &own(warnings)[..]),
                "{fields:?}"
            );
        }
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_new_server_is_not_suspended() {
        let schema = table();
        let fields = [("power_state", "suspended".into())];
        let (_, found) = planned(&lab(), &schema, config(&schema, &fields), Value::Null).await;
        assert_eq!(found, ["A new server cannot be suspended"]);
    }

    #[test]
    fn only_what_changes_is_asked_for() {
        let state = table()
            .empty()
            .with("cpus", 2)
            .with("memory_mib", 2048)
            .with("power_state", "running")
            .with("host", "xen1");
        let same = wanted(&state, &state.clone().with("name", "other"), None).expect("values");
        assert_eq!(same, None);
        let grown = wanted(&state, &state.clone().with("cpus", 4), None)
            .expect("values")
            .expect("a change");
        assert_eq!(
            (grown.cpus, grown.memory_mib, grown.power),
            (Some(4), None, Some(Power::Running))
        );
        assert_eq!((grown.host.as_deref(), grown.is_moved), (Some("xen1"), false));
        let halted = state.clone().with("power_state", "paused");
        let woken = wanted(&halted, &state, None).expect("values").expect("a change");
        assert_eq!(woken.power, Some(Power::Running));
        let moved = wanted(&state, &state.clone().with("host", "xen2"), None)
            .expect("values")
            .expect("a change");
        assert!(moved.is_moved);
        let free = wanted(&state, &state.clone().with("host", Value::Null), None).expect("values");
        assert_eq!(free, None, "wherever it runs is right");
    }
}
