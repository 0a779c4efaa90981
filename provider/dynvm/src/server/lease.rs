//! What a change does to the lease: whether it stays, moves or starts anew, and what a plan may know of that beforehand.
//!
//! ```text
//!                                            lease_started_at    expires_at
//!   create, marks lost, triggers differ      unknown             unknown        a lease that starts at the apply
//!   another ttl                              as it is            start + ttl    unknown where ttl or start is
//!   anything else, or nothing                as it is            as it is       whoever extended it
//! ```

use cty::Value;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::plan::Draft;
use jiff::Timestamp;

use super::request;
use crate::diagnose;
use crate::settings::{Lab, Settings};

/// The map of which any difference starts the lease anew.
pub(super) const TRIGGERS: &str = "renew_triggers";

/// What a change does to the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// It starts at the apply.
    Anew,
    /// Its start stays and its end moves.
    Moves {
        /// When it began, if the pool could tell.
        start: Option<Timestamp>,
        /// When it will end, if start and ttl are known.
        end: Option<Timestamp>,
    },
    /// It stays as it was read.
    Stays {
        /// When it ends.
        end: Timestamp,
    },
}

impl Course {
    /// What becomes of the lease between two states of a server.
    pub(super) fn between(prior: &Value, planned: &Value) -> Self {
        let end = instant(prior, "expires_at");
        let (Some(end), false) = (end, is_renewed(prior, planned)) else {
            return Course::Anew;
        };
        let ttl = request::ttl(planned).ok();
        if ttl.is_some() && ttl == request::ttl(prior).ok() {
            return Course::Stays { end };
        }
        let start = instant(prior, "lease_started_at");
        let end = ttl.zip(start).and_then(|(ttl, start)| start.checked_add(ttl).ok());
        Course::Moves {
            start,
            end: end.map(whole_seconds),
        }
    }

    /// When the lease will end, as far as that is known.
    fn end(self) -> Option<Timestamp> {
        match self {
            Course::Anew => None,
            Course::Moves { end, .. } => end,
            Course::Stays { end } => Some(end),
        }
    }

    /// What is said of an end that is past: nothing is done about a lease that stays, and a lease is not moved there.
    fn over(self, end: Timestamp, now: Timestamp) -> Diagnostic {
        let clock = format!("by the clock of the server's pool it is {now:.0}");
        let said = match self {
            Course::Stays { .. } => Diagnostic::warning(
                "Lease is over",
                format!(
                    "The server's lease ended at {end}, and {clock}. It may be removed at any moment. A longer `ttl` keeps it, and so does another \
                     value in `{TRIGGERS}`."
                ),
            ),
            Course::Anew | Course::Moves { .. } => Diagnostic::error(
                "Lease would be over",
                format!(
                    "With this ttl the lease would have ended at {end}, and {clock}. The ttl counts from `lease_started_at`. Give a longer one, start the \
                     lease anew by another value in `{TRIGGERS}`, or destroy the server."
                ),
            ),
        };
        said.at("ttl")
    }
}

/// Says whether the triggers differ. Null and empty mean the same, and what is not known yet is different.
pub(super) fn is_renewed(prior: &Value, planned: &Value) -> bool {
    let is_empty = |map: &Value| map.is_null() || map.as_map().is_some_and(|entries| entries.is_empty());
    let (old, new) = (prior.get(TRIGGERS), planned.get(TRIGGERS));
    old != new && !(is_empty(old) && is_empty(new))
}

/// Plans the lease, and says so if it is over or would be.
pub(super) async fn plan(settings: &Settings, draft: &mut Draft<'_>, found: &mut Diagnostics) {
    if draft.prior().is_null() {
        return;
    }
    let course = Course::between(draft.prior(), draft.planned());
    match course {
        Course::Anew => {
            draft.mark_unknown("lease_started_at");
            draft.mark_unknown("expires_at");
            if draft.prior().get("created_at").is_null() {
                // An imported VM gets its marks with its lease.
                draft.mark_unknown("created_at");
            }
        }
        Course::Moves { start, end } => {
            if start.is_none() {
                // Whoever extended the lease took its record away: with another ttl it starts anew.
                draft.mark_unknown("lease_started_at");
            }
            match end {
                Some(end) => draft.set("expires_at", end.to_string()),
                None => draft.mark_unknown("expires_at"),
            }
        }
        Course::Stays { .. } => {}
    }
    // A lease that goes with its server is nobody's concern.
    if draft.requires_replace().is_empty() {
        look(settings, draft.prior(), course, found).await;
    }
}

/// Asks the pool whether the end is past.
async fn look(settings: &Settings, prior: &Value, course: Course, found: &mut Diagnostics) {
    let (Some(end), Some(pool), Settings::Ready(lab)) = (course.end(), prior.get("pool").as_str(), settings) else {
        return;
    };
    match time(lab, pool, course).await {
        Ok(Some(now)) if end <= now => found.push(course.over(end, now)),
        Ok(_) => {}
        Err(error) => found.push(diagnose::error(&error)),
    }
}

/// A pool's time, as far as it is needed: only its own clock counts, the caller's may be hours off.
async fn time(lab: &Lab, pool: &str, course: Course) -> Result<Option<Timestamp>, fleet::Error> {
    match course {
        Course::Anew => Ok(None),
        // A plan without a refresh asks a pool for nothing that only warns.
        Course::Stays { .. } if !lab.fleet.has_met(pool) => Ok(None),
        Course::Stays { .. } => lab.fleet.clock(pool).await.map(Some),
        // Nor does it fail because a pool is out of reach: the apply asks again.
        Course::Moves { .. } => match lab.fleet.clock(pool).await {
            Ok(now) => Ok(Some(now)),
            Err(error) if error.cause().is_none_or(xenapi::Error::is_unreachable) => Ok(None),
            Err(error) => Err(error),
        },
    }
}

fn instant(object: &Value, name: &str) -> Option<Timestamp> {
    object.get(name).as_str()?.parse().ok()
}

/// As marks carry it.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use engine::plan::Plan;

    use super::super::drafts::{applied, config, hours, lab, lab_with, planned, unknown};
    use super::super::schema::table;
    use super::*;

    const BOTH: [&str; 2] = ["expires_at", "lease_started_at"];

    fn map(entries: &[(&str, &str)]) -> Value {
        Value::object(entries.iter().map(|(key, value)| (*key, Value::from(*value))))
    }

    /// The state after a create with these fields.
    async fn state(fields: &[(&str, Value)]) -> Value {
        let schema = table();
        let (plan, found) = planned(&lab(), &schema, config(&schema, fields), Value::Null).await;
        assert_eq!(found, [""; 0]);
        assert!(BOTH.iter().all(|name| unknown(&plan).contains(name)), "on create");
        applied(&plan)
    }

    /// The plan from one state to a configuration with these fields.
    async fn change(state: Value, fields: &[(&str, Value)]) -> Plan {
        let schema = table();
        let (plan, found) = planned(&lab(), &schema, config(&schema, fields), state).await;
        assert_eq!(found, [""; 0]);
        assert!(plan.requires_replace.is_empty());
        plan
    }

    #[tokio::test]
    async fn any_difference_of_the_triggers_starts_the_lease_anew() {
        let (none, empty) = (Value::Null, map(&[]));
        let (one, other) = (map(&[("run", "1")]), map(&[("run", "2")]));
        let two = map(&[("run", "1"), ("by", "ci")]);
        let null_inside = Value::object([("run", Value::Null)]);
        let open = Value::object([("run", Value::unknown())]);
        for (old, new, renews) in [
            (&one, &other, true),
            (&one, &two, true),
            (&two, &one, true),
            (&none, &one, true),
            (&empty, &one, true),
            (&one, &none, true),
            (&one, &empty, true),
            (&one, &null_inside, true),
            (&one, &open, true),
            (&none, &Value::unknown(), true),
            (&one, &one, false),
            (&none, &empty, false),
            (&empty, &none, false),
        ] {
            let state = state(&[(TRIGGERS, old.clone())]).await;
            let plan = change(state.clone(), &[(TRIGGERS, new.clone())]).await;
            let mut open = unknown(&plan);
            open.retain(|name| *name != TRIGGERS);
            let expected: &[&str] = if renews { &BOTH } else { &[] };
            assert_eq!(open, expected, "{old:?} -> {new:?}");
            assert_eq!(plan.planned.get(TRIGGERS), new);
            if old == new {
                assert_eq!(plan.planned, state);
            }
        }
    }

    #[tokio::test]
    async fn another_ttl_moves_a_known_expiry_and_nothing_else() {
        let state = state(&[]).await;
        assert_eq!(state.get("ttl").as_str(), Some("12h"));
        for (ttl, end) in [
            ("90m", "2026-11-20T11:30:00Z"),
            ("23h", "2026-11-21T09:00:00Z"),
            ("1m1s", "2026-11-20T10:01:01Z"),
        ] {
            let plan = change(state.clone(), &[("ttl", ttl.into())]).await;
            let expected = state.clone().with("ttl", ttl).with("expires_at", end);
            assert_eq!(plan.planned, expected);
        }
        for same in ["720m", "12h", "43200s"] {
            assert_eq!(
                change(state.clone(), &[("ttl", same.into())]).await.planned,
                state,
                "{same} is 12h"
            );
        }
    }

    #[tokio::test]
    async fn a_null_ttl_takes_the_default_at_each_plan() {
        let schema = table();
        let state = state(&[]).await;
        let (plan, found) = planned(&lab_with(hours(6)), &schema, config(&schema, &[]), state.clone()).await;
        assert_eq!(found, [""; 0]);
        let expected = state.with("ttl", "6h").with("expires_at", "2026-11-20T16:00:00Z");
        assert_eq!(plan.planned, expected);
    }

    #[tokio::test]
    async fn ttl_and_triggers_at_once_start_anew() {
        let state = state(&[]).await;
        let plan = change(state, &[("ttl", "1h".into()), (TRIGGERS, map(&[("run", "1")]))]).await;
        assert_eq!(unknown(&plan), BOTH);
        assert_eq!(plan.planned.get("ttl").as_str(), Some("1h"));
    }

    #[tokio::test]
    async fn what_is_not_known_keeps_the_end_open() {
        let state = state(&[]).await;
        let late = change(state.clone(), &[("ttl", Value::unknown())]).await;
        assert_eq!(unknown(&late), ["expires_at", "ttl"]);
        let extended = state.with("lease_started_at", Value::Null);
        let same = change(extended.clone(), &[]).await;
        assert_eq!(same.planned, extended, "extended by a tag alone: no difference");
        let moved = change(extended, &[("ttl", "1h".into())]).await;
        assert_eq!(unknown(&moved), BOTH);
    }

    #[tokio::test]
    async fn lost_marks_are_written_again() {
        let lost = state(&[]).await.with("expires_at", Value::Null);
        for fields in [
            &[][..],
            &[("ttl", "1h".into())],
            &[(TRIGGERS, map(&[("run", "1")]))],
            &[("name", "other".into())],
        ] {
            assert_eq!(unknown(&change(lost.clone(), fields).await), BOTH, "{fields:?}");
        }
    }

    #[tokio::test]
    async fn a_plan_before_the_provider_is_known_says_the_same() {
        let schema = table();
        let state = state(&[("ttl", "2h".into())]).await;
        let postponed = Settings::Postponed("pools".to_owned());
        for (fields, open) in [
            (&[("ttl", "2h".into())][..], &[][..]),
            (&[("ttl", "3h".into())], &[]),
            (&[("ttl", "2h".into()), (TRIGGERS, map(&[("run", "1")]))], &BOTH),
        ] {
            let (plan, _) = planned(&postponed, &schema, config(&schema, fields), state.clone()).await;
            assert_eq!(unknown(&plan), open, "{fields:?}");
        }
    }

    #[test]
    fn past_leases_are_told_with_both_times() {
        let at = |text: &str| -> Timestamp { text.parse().expect("an instant") };
        let (end, now) = (at("2026-11-20T10:00:00Z"), at("2026-11-20T11:00:00.25Z"));
        let (stays, moves) = (
            Course::Stays { end },
            Course::Moves {
                start: None,
                end: Some(end),
            },
        );
        let found = Diagnostics::from(stays.over(end, now));
        assert!(!found.has_errors(), "an unchanged lease that is over is a warning");
        let refused = Diagnostics::from(moves.over(end, now));
        assert!(refused.has_errors(), "a changed one is an error");
        for told in found.iter().chain(refused.iter()) {
            for part in ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", TRIGGERS] {
                assert!(told.detail.contains(part), "{part} in {}", told.detail);
            }
        }
    }
}
