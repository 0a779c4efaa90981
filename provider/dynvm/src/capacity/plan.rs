//! What a plan of `dynvm_capacity` needs beyond its table.

use engine::diagnostics::Diagnostics;
use engine::plan::{Action, Draft};

use crate::server::place;
use crate::server::plan::check_ttl;
use crate::settings::Settings;

/// The attributes that change in place, as long as there is something to change.
const IN_PLACE: [&str; 2] = ["servers", "ttl"];

pub(super) fn plan(settings: &Settings, draft: &mut Draft<'_>) -> Diagnostics {
    let mut found = Diagnostics::new();
    if draft.action() == Action::Delete {
        return found;
    }
    if draft.prior().get("status").as_str() == Some("expired") {
        anew(draft);
    }
    let Settings::Ready(lab) = settings else {
        return found;
    };
    if draft.action() == Action::NoOp {
        // What holds, or has held, was within the limits of its time.
        return found;
    }
    check_ttl(lab, draft, &mut found);
    if draft.action() == Action::Create {
        found.extend(place::check(lab, draft.config()).err());
    }
    found
}

/// A reservation that is over cannot be changed: what is wanted now is another one.
fn anew(draft: &mut Draft<'_>) {
    for name in IN_PLACE {
        if draft.is_changed(name) {
            draft.require_replace(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use cty::Value;
    use engine::plan::Plan;

    use super::super::schema::table;
    use super::*;
    use crate::server::drafts::lab;

    fn config(fields: &[(&str, Value)]) -> Value {
        let base = table().empty().with("servers", 3).with("os", "debian12");
        fields
            .iter()
            .fold(base, |config, (name, value)| config.with(*name, value.clone()))
    }

    fn planned(config: Value, prior: Value) -> (Plan, Vec<String>) {
        let schema = table();
        let mut draft = Draft::new(&schema, config, prior);
        let found = plan(&lab(), &mut draft);
        let said = found.iter().map(|one| one.summary.clone()).collect();
        (draft.finish(), said)
    }

    /// What an apply makes of a first plan.
    fn held(status: &str) -> Value {
        let (plan, found) = planned(config(&[]), Value::Null);
        assert_eq!(found, [""; 0]);
        assert_eq!(unknown(&plan), ["expires_at", "id", "placements", "status", "used"]);
        assert_eq!(plan.planned.get("ttl").as_str(), Some("1h"));
        plan.planned
            .with("id", "01JD4Q8QCGTF0000000000000A")
            .with("placements", Value::object([("lab1", 3.into())]))
            .with("used", 0)
            .with("expires_at", "2026-11-20T11:00:00Z")
            .with("status", status)
    }

    fn unknown(plan: &Plan) -> Vec<&str> {
        let fields = plan.planned.as_map().into_iter().flatten();
        let open = fields.filter(|(_, value)| !value.is_wholly_known());
        open.map(|(name, _)| name.as_str()).collect()
    }

    fn replaced(plan: &Plan) -> Vec<String> {
        plan.requires_replace.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_second_plan_changes_nothing_whatever_it_is_worth() {
        for status in ["held", "used_up", "expired"] {
            let state = held(status);
            let (plan, found) = planned(config(&[]), state.clone());
            assert_eq!((plan.planned, found), (state, vec![]), "{status}");
        }
    }

    #[test]
    fn size_and_time_change_in_place() {
        for (fields, open) in [
            (&[("servers", 4.into())][..], &["placements", "status"][..]),
            (&[("ttl", "2h".into())], &["expires_at", "status"]),
            (&[("ttl", "60m".into())], &[]),
            (&[("timeouts", Value::object([("create", Value::from("5m"))]))], &[]),
        ] {
            let (plan, found) = planned(config(fields), held("held"));
            assert_eq!((unknown(&plan), found), (open.to_vec(), vec![]), "{fields:?}");
            assert_eq!(replaced(&plan), [""; 0]);
        }
    }

    #[test]
    fn one_that_is_over_is_made_anew_by_a_change() {
        for (fields, expect) in [
            (&[("servers", 4.into())][..], &["servers"][..]),
            (&[("ttl", "2h".into()), ("servers", 4.into())], &["servers", "ttl"]),
            (&[("timeouts", Value::object([("create", Value::from("5m"))]))], &[]),
        ] {
            let (plan, _) = planned(config(fields), held("expired"));
            assert_eq!(replaced(&plan), expect, "{fields:?}");
        }
    }

    #[test]
    fn another_kind_of_server_is_another_reservation() {
        for (name, value) in [
            ("cpus", Value::from(4)),
            ("memory_mib", 4096.into()),
            ("pool", "lab1".into()),
            ("pool_labels", Value::set(["gpu"])),
        ] {
            let (plan, _) = planned(config(&[(name, value)]), held("held"));
            assert_eq!(replaced(&plan), [name]);
        }
    }

    #[test]
    fn what_needs_no_pool_is_refused_in_the_plan() {
        for (fields, expect) in [
            (&[("ttl", "25h".into())][..], "ttl longer than allowed"),
            (&[("os", "plan9".into())], "Unknown operating system"),
            (&[("pool", "gpu1".into())], "Pool is reserved"),
        ] {
            assert_eq!(planned(config(fields), Value::Null).1, [expect]);
        }
    }
}
