//! What a VM is to the reaper: a record and a clock in, a verdict out. Nothing here acts, waits or remembers.
//!
//! Deliberately never cleaned, whatever else is written on it:
//! - a VM whose `other_config` does not name it as a server of dynvm with a readable spec: tags alone condemn nothing, and a
//!   copy, a snapshot or a template made from a server carries that server's mark and not its own;
//! - a control domain, a template that came with the host, a snapshot;
//! - a server that a person turned into a template, unless its birth never ended;
//! - a server that a person marked `dynvm:keep`, or on which an operation is blocked;
//! - a server without any expiry: somebody took it away, and may have meant it;
//! - whatever contradicts itself or cannot be read. In doubt a VM is kept, and reported.
//!
//! A clone that nobody marked yet is known by its name alone. Its marks, `keep` included, are its template's. Whoever wants to keep
//! one gives it another name.

use std::time::Duration;

use fleet::lease::{Expiry, Ownership};
use jiff::{SignedDuration, Timestamp};
use xenapi::Uuid;

use crate::sight::{Kind, Sight};

/// What a VM is to the reaper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not dynvm's.
    Foreign {
        /// What it is instead.
        why: String,
    },
    /// Carries the mark of another VM: a copy of a server, or a template made from one.
    Copy {
        /// The server.
        of: Uuid,
    },
    /// A snapshot; that of a server goes with it.
    Snapshot,
    /// A server that a person turned into a template.
    Template,
    /// Contradictory or unreadable.
    Uncertain {
        /// What does not fit together.
        why: String,
    },
    /// Kept at a person's wish.
    Kept,
    /// A clone without marks, and its creator has time left.
    Newborn {
        /// How long.
        until: Timestamp,
    },
    /// A clone without marks that its creator has left behind.
    Leftover {
        /// The end of the time its creator had.
        since: Timestamp,
    },
    /// A server that is being made.
    Creating {
        /// The end of the creation lease.
        until: Timestamp,
    },
    /// A server whose creation never ended.
    Unfinished {
        /// The end of the creation lease.
        since: Timestamp,
    },
    /// A server with time left.
    Living {
        /// The end of its lease.
        until: Timestamp,
    },
    /// A server whose lease is over.
    Expired {
        /// The end of its lease.
        since: Timestamp,
    },
    /// A server without any expiry.
    Unlimited,
}

/// Every verdict's label, in the order of the enum: the values of the metric's label `verdict`.
pub const LABELS: [&str; 13] = [
    "foreign",
    "copy",
    "snapshot",
    "template",
    "uncertain",
    "kept",
    "newborn",
    "leftover",
    "creating",
    "unfinished",
    "living",
    "expired",
    "unlimited",
];

/// Judges a VM by the coordinator's clock; an expiry counts when it is `grace` past.
pub fn classify(sight: &Sight, now: Timestamp, grace: Duration) -> Verdict {
    let foreign = |why: &str| Verdict::Foreign { why: why.to_owned() };
    match sight.kind {
        Kind::ControlDomain => return foreign("a control domain"),
        Kind::DefaultTemplate => return foreign("a template that came with the host"),
        Kind::Snapshot => return Verdict::Snapshot,
        Kind::Vm | Kind::Template => {}
    }
    match (sight.marks.ownership(), sight.birth) {
        (Ownership::Managed, _) => managed(sight, now, grace),
        (Ownership::Uncertain { why }, _) => Verdict::Uncertain { why },
        // A creator writes the tags last: somebody has taken the other half away since.
        (Ownership::Unmarked | Ownership::Foreign { .. }, Some(_)) if sight.marks.is_named_by_tags() => {
            Verdict::Uncertain {
                why: "its tags name it as a server, its other_config does not".to_owned(),
            }
        }
        (Ownership::Unmarked | Ownership::Foreign { .. }, Some(birth)) if is_over(birth.deadline, now, grace) => {
            Verdict::Leftover { since: birth.deadline }
        }
        (Ownership::Unmarked | Ownership::Foreign { .. }, Some(birth)) => Verdict::Newborn { until: birth.deadline },
        (Ownership::Foreign { of }, None) => Verdict::Copy { of },
        (Ownership::Unmarked, None) if sight.marks.is_bare() => foreign("carries no mark"),
        (Ownership::Unmarked, None) => foreign("its other_config does not name it as a server"),
    }
}

fn managed(sight: &Sight, now: Timestamp, grace: Duration) -> Verdict {
    if is_kept(sight) {
        return Verdict::Kept;
    }
    if sight.kind == Kind::Template && !sight.is_half_born() {
        return Verdict::Template;
    }
    if let Some(text) = unreadable(sight) {
        let why = format!("it carries {text:?}, which cannot be read");
        return Verdict::Uncertain { why };
    }
    match sight.marks.expiry() {
        Expiry::Lease(expires) if is_over(expires.at, now, grace) => Verdict::Expired { since: expires.at },
        Expiry::Lease(expires) => Verdict::Living { until: expires.at },
        Expiry::Creating(until) if is_over(until, now, grace) => Verdict::Unfinished { since: until },
        Expiry::Creating(until) => Verdict::Creating { until },
        Expiry::Never => Verdict::Unlimited,
    }
}

fn is_kept(sight: &Sight) -> bool {
    sight.marks.is_kept_by_keys() || sight.marks.is_kept() && has_own_tags(sight)
}

fn unreadable(sight: &Sight) -> Option<&str> {
    if has_own_tags(sight) {
        sight.marks.unreadable().next()
    } else {
        sight.marks.unreadable_keys().next()
    }
}

/// The tags of a clone are its template's until its creator has written them.
fn has_own_tags(sight: &Sight) -> bool {
    sight.marks.is_named_by_tags() || !sight.is_half_born()
}

fn is_over(end: Timestamp, now: Timestamp, grace: Duration) -> bool {
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    end.checked_add(grace).is_ok_and(|end| end <= now)
}

impl Verdict {
    /// The short name: in tables, in JSON, in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Verdict::Foreign { .. } => "foreign",
            Verdict::Copy { .. } => "copy",
            Verdict::Snapshot => "snapshot",
            Verdict::Template => "template",
            Verdict::Uncertain { .. } => "uncertain",
            Verdict::Kept => "kept",
            Verdict::Newborn { .. } => "newborn",
            Verdict::Leftover { .. } => "leftover",
            Verdict::Creating { .. } => "creating",
            Verdict::Unfinished { .. } => "unfinished",
            Verdict::Living { .. } => "living",
            Verdict::Expired { .. } => "expired",
            Verdict::Unlimited => "unlimited",
        }
    }

    /// Says whether the VM is a server of dynvm, whatever becomes of it.
    pub fn is_managed(&self) -> bool {
        match self {
            Verdict::Template
            | Verdict::Kept
            | Verdict::Creating { .. }
            | Verdict::Unfinished { .. }
            | Verdict::Living { .. }
            | Verdict::Expired { .. }
            | Verdict::Unlimited => true,
            Verdict::Foreign { .. }
            | Verdict::Copy { .. }
            | Verdict::Snapshot
            | Verdict::Uncertain { .. }
            | Verdict::Newborn { .. }
            | Verdict::Leftover { .. } => false,
        }
    }

    /// Since when the VM is due, if it is.
    pub fn due_since(&self) -> Option<Timestamp> {
        match self {
            Verdict::Leftover { since } | Verdict::Unfinished { since } | Verdict::Expired { since } => Some(*since),
            Verdict::Foreign { .. }
            | Verdict::Copy { .. }
            | Verdict::Snapshot
            | Verdict::Template
            | Verdict::Uncertain { .. }
            | Verdict::Kept
            | Verdict::Newborn { .. }
            | Verdict::Creating { .. }
            | Verdict::Living { .. }
            | Verdict::Unlimited => None,
        }
    }

    /// When the VM will be due, if it is not yet and will be.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Verdict::Newborn { until } | Verdict::Creating { until } | Verdict::Living { until } => Some(*until),
            Verdict::Foreign { .. }
            | Verdict::Copy { .. }
            | Verdict::Snapshot
            | Verdict::Template
            | Verdict::Uncertain { .. }
            | Verdict::Kept
            | Verdict::Leftover { .. }
            | Verdict::Unfinished { .. }
            | Verdict::Expired { .. }
            | Verdict::Unlimited => None,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Foreign { why } => write!(f, "not dynvm's: {why}"),
            Verdict::Copy { of } => write!(f, "carries the mark of VM {of} and not its own"),
            Verdict::Snapshot => f.write_str("a snapshot"),
            Verdict::Template => f.write_str("a server that was turned into a template"),
            Verdict::Uncertain { why } => write!(f, "not surely a server: {why}"),
            Verdict::Kept => f.write_str("marked dynvm:keep"),
            Verdict::Newborn { until } => write!(f, "being born, its creator has time until {until}"),
            Verdict::Leftover { since } => write!(f, "never marked, its creator had time until {since}"),
            Verdict::Creating { until } => write!(f, "being made, its creation lease ends at {until}"),
            Verdict::Unfinished { since } => write!(f, "never finished, its creation lease ended at {since}"),
            Verdict::Living { until } => write!(f, "its lease ends at {until}"),
            Verdict::Expired { since } => write!(f, "its lease ended at {since}"),
            Verdict::Unlimited => f.write_str("a server without any expiry"),
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet::BirthName;
    use fleet::lease::VmMarks;
    use proptest::prelude::*;
    use xenapi::{PowerState, Ref};

    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const OTHER: &str = "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const SPEC: (&str, &str) = (
        "dynvm:spec",
        r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#,
    );
    const PAST: &str = "dynvm:expires=2026-11-20T09:59:00Z/01JD4Q8QCGTF0000000000000A";
    const FUTURE: &str = "dynvm:expires=2026-11-20T11:00:00Z/01JD4Q8QCGTF0000000000000B";
    const CREATING: &str = "dynvm:creating=2026-11-20T09:59:00Z";
    const BIRTH: &str = "dynvm-new-01JD4Q8QCGTF0000000000000A-1763632740";

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn sight(kind: Kind, name: &str, tags: &[&str], keys: &[(&str, &str)]) -> Sight {
        let uuid: Uuid = VM.parse().unwrap();
        Sight {
            vm: Ref::new("OpaqueRef:vm"),
            uuid,
            name: name.to_owned(),
            kind,
            power_state: PowerState::Halted,
            host: Ref::new(""),
            cpus: 1,
            memory_bytes: 1,
            marks: VmMarks::read(&uuid, tags.iter().copied(), keys.iter().copied()),
            birth: BirthName::parse(name),
            operation: None,
            block: None,
        }
    }

    fn check(kind: Kind, name: &str, tags: &[&str], keys: &[(&str, &str)], expect: &str) {
        let verdict = classify(&sight(kind, name, tags, keys), now(), Duration::ZERO);
        assert_eq!(verdict.label(), expect, "{name} {tags:?} {keys:?}: {verdict}");
    }

    #[test]
    fn judges_by_other_config_and_lets_tags_only_prolong() {
        let own = ("dynvm:vm", VM);
        let tag = format!("dynvm:vm={VM}");
        let vm = |tags: &[&str], keys: &[(&str, &str)], expect: &str| check(Kind::Vm, "web", tags, keys, expect);
        vm(&[], &[], "foreign");
        vm(&[&tag, PAST], &[], "foreign");
        vm(&[], &[own, (PAST, "")], "uncertain");
        vm(&[], &[own, SPEC, (PAST, "")], "expired");
        vm(&[&tag, FUTURE], &[own, SPEC, (PAST, "")], "living");
        vm(&[FUTURE], &[own, SPEC, (PAST, "")], "expired");
        vm(&["dynvm:keep"], &[own, SPEC, (PAST, "")], "kept");
        vm(&["dynvm:expires=soon"], &[own, SPEC, (PAST, "")], "uncertain");
        vm(&[], &[own, SPEC, (CREATING, "")], "unfinished");
        vm(&[], &[own, SPEC, (CREATING, ""), (FUTURE, "")], "living");
        vm(&[CREATING], &[own, SPEC], "unlimited");
        vm(&[], &[("dynvm:vm", OTHER), SPEC, (PAST, "")], "copy");
        check(Kind::Snapshot, "web", &[], &[own, SPEC, (PAST, "")], "snapshot");
        check(Kind::ControlDomain, "web", &[], &[own, SPEC, (PAST, "")], "foreign");
        check(Kind::DefaultTemplate, "web", &[], &[own, SPEC, (PAST, "")], "foreign");
        check(Kind::Template, "web", &[], &[own, SPEC, (PAST, "")], "template");
    }

    #[test]
    fn a_clone_without_marks_is_judged_by_its_name_and_its_marks_are_its_templates() {
        let own = ("dynvm:vm", VM);
        let born =
            |tags: &[&str], keys: &[(&str, &str)], expect: &str| check(Kind::Template, BIRTH, tags, keys, expect);
        born(&[], &[], "leftover");
        born(
            &["dynvm:keep"],
            &[("dynvm:keep", ""), ("dynvm:vm", OTHER), SPEC, (FUTURE, "")],
            "leftover",
        );
        born(&["dynvm:keep"], &[own, SPEC, (CREATING, "")], "unfinished");
        born(&[], &[own, SPEC, (CREATING, ""), ("dynvm:keep", "")], "kept");
        born(&[], &[own, SPEC, (PAST, "")], "template");
        born(&[&format!("dynvm:vm={VM}"), FUTURE], &[], "uncertain");
        let later = BIRTH.replace("1763632740", "9999999999");
        check(Kind::Template, &later, &[], &[], "newborn");
        check(Kind::Vm, "dynvm-new-mine", &[], &[], "foreign");
    }

    #[test]
    fn an_expiry_counts_when_the_grace_is_over() {
        let keys = [("dynvm:vm", VM), SPEC, (PAST, "")];
        let sight = sight(Kind::Vm, "web", &[], &keys);
        for (grace, expect) in [(59, "expired"), (60, "expired"), (61, "living"), (u64::MAX, "living")] {
            let verdict = classify(&sight, now(), Duration::from_secs(grace));
            assert_eq!(verdict.label(), expect, "{grace}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let uuids = prop_oneof![Just(VM.to_owned()), Just(OTHER.to_owned()), any::<String>()];
        prop_oneof![
            uuids.prop_map(|uuid| format!("dynvm:vm={uuid}")),
            Just("dynvm:keep".to_owned()),
            Just(PAST.to_owned()),
            Just(FUTURE.to_owned()),
            Just(CREATING.to_owned()),
            "dynvm:(expires|creating|owner|reaping|spec|vm)?=?.{0,40}",
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_written_there_only_a_servers_own_other_config_or_a_birth_name_condemns(
            tags in prop::collection::vec(text(), 0..6),
            keys in prop::collection::vec((text(), any::<String>()), 0..6),
            is_named in any::<bool>(),
            name in prop_oneof![Just(BIRTH.to_owned()), Just("web".to_owned()), any::<String>()],
            kind in prop_oneof![Just(Kind::Vm), Just(Kind::Template), Just(Kind::Snapshot), Just(Kind::ControlDomain)],
        ) {
            let mut pairs: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            if is_named {
                pairs.extend([("dynvm:vm", VM), SPEC]);
            }
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let verdict = classify(&sight(kind, &name, &tags, &pairs), now(), Duration::ZERO);
            if verdict.due_since().is_some() {
                prop_assert!(matches!(kind, Kind::Vm | Kind::Template));
                let own = "dynvm:vm=".to_owned() + VM;
                let has_own = keys.iter().any(|(key, _)| *key == own);
                prop_assert!(is_named || has_own || name == BIRTH);
                let has_key = |wanted: &str| pairs.iter().any(|(key, _)| *key == wanted);
                prop_assert!(name == BIRTH || !has_key("dynvm:keep") && !has_key(FUTURE));
            }
        }
    }
}
