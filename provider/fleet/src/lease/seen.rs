//! What one read of a VM says about its lease.
//!
//! `other_config` decides whose a VM is: it takes the role vm-admin to write it. Tags, which vm-operators write, may prolong
//! or keep, never condemn, and count only if they name this very VM: copies, snapshots and templates made from a server
//! inherit its marks and are foreign.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use super::mark::{Expires, Mark, PREFIX, Parsed};
use super::record::{LeaseRecord, SpecRecord};
use super::{SPEC_KEY, VM_KEY};

/// The marks of a VM as one read of its record shows them.
#[derive(Debug, Clone)]
pub struct VmMarks {
    vm: Uuid,
    tags: Side,
    keys: Side,
    spec: Spec,
    records: BTreeMap<Expires, LeaseRecord>,
}

/// Whose a VM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// A server of dynvm: its own UUID and a readable spec stand in `other_config`.
    Managed,
    /// Carries no mark of ownership.
    Unmarked,
    /// Carries the mark of another VM and not its own.
    Foreign {
        /// The VM that the mark names.
        of: Uuid,
    },
    /// Contradictory or unreadable.
    Uncertain {
        /// What does not fit together.
        why: String,
    },
}

/// When a VM's time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The latest expiry mark.
    Lease(Expires),
    /// No expiry yet: the end of the creation lease.
    Creating(Timestamp),
    /// No mark says so.
    Never,
}

#[derive(Debug, Clone)]
enum Spec {
    Absent,
    Read(Box<SpecRecord>),
    Unreadable,
}

/// The marks of one of the two fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Side {
    vms: BTreeSet<Uuid>,
    expires: BTreeSet<Expires>,
    creating: BTreeSet<Timestamp>,
    owners: Vec<String>,
    claims: BTreeSet<Ulid>,
    keep: bool,
    unreadable: Vec<String>,
}

impl VmMarks {
    /// Reads the marks of the VM with this UUID.
    pub fn read<'a>(
        vm: &Uuid,
        tags: impl IntoIterator<Item = &'a str>,
        other_config: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut seen = Self {
            vm: *vm,
            tags: Side::default(),
            keys: Side::default(),
            spec: Spec::Absent,
            records: BTreeMap::new(),
        };
        for tag in tags {
            seen.tags.put(tag);
        }
        for (key, value) in other_config {
            match key {
                SPEC_KEY => seen.spec = serde_json::from_str(value).map_or(Spec::Unreadable, Spec::Read),
                VM_KEY => match value.parse() {
                    Ok(uuid) => {
                        seen.keys.vms.insert(uuid);
                    }
                    Err(_) => seen.keys.unreadable.push(format!("{key}={value}")),
                },
                key => {
                    if let Some(expires) = seen.keys.put(key)
                        && let Ok(record) = serde_json::from_str(value)
                    {
                        seen.records.insert(expires, record);
                    }
                }
            }
        }
        seen
    }

    /// The VM that was read.
    pub fn vm(&self) -> &Uuid {
        &self.vm
    }

    /// Says whose the VM is.
    pub fn ownership(&self) -> Ownership {
        let named = if self.keys.vms.is_empty() {
            &self.tags.vms
        } else {
            &self.keys.vms
        };
        let others = named.iter().find(|uuid| **uuid != self.vm);
        match (others, self.keys.vms.contains(&self.vm)) {
            (Some(other), false) if !named.contains(&self.vm) => Ownership::Foreign { of: *other },
            (Some(other), _) => Ownership::Uncertain {
                why: format!("it carries its own mark and that of VM {other}"),
            },
            (None, false) => Ownership::Unmarked,
            (None, true) => match &self.spec {
                Spec::Read(_) => Ownership::Managed,
                Spec::Absent => Ownership::Uncertain {
                    why: format!("it has no {SPEC_KEY}"),
                },
                Spec::Unreadable => Ownership::Uncertain {
                    why: format!("its {SPEC_KEY} cannot be read"),
                },
            },
        }
    }

    /// Says whether the VM is a server of dynvm.
    pub fn is_managed(&self) -> bool {
        self.ownership() == Ownership::Managed
    }

    /// The facts of the server's birth, if they are there and can be read.
    pub fn spec(&self) -> Option<&SpecRecord> {
        match &self.spec {
            Spec::Read(spec) => Some(spec),
            Spec::Absent | Spec::Unreadable => None,
        }
    }

    /// When the VM's time is up: the latest expiry of both sides, or else the creation lease.
    pub fn expiry(&self) -> Expiry {
        if let Some(latest) = self.expires().last() {
            return Expiry::Lease(*latest);
        }
        // A tag may prolong a creation lease, and is none by itself: the first lease leaves it there.
        let creating = self.counted().into_iter().flat_map(|side| &side.creating).max();
        match creating {
            Some(until) if !self.keys.creating.is_empty() => Expiry::Creating(*until),
            Some(_) | None => Expiry::Never,
        }
    }

    /// All expiry marks that count, earliest first.
    pub fn expires(&self) -> BTreeSet<Expires> {
        self.counted()
            .into_iter()
            .flat_map(|side| side.expires.iter().copied())
            .collect()
    }

    /// All creation leases that are written on either side.
    pub fn creating(&self) -> BTreeSet<Timestamp> {
        self.tags.creating.union(&self.keys.creating).copied().collect()
    }

    /// The creation leases that are written in `other_config`, without which none counts.
    pub fn creating_keys(&self) -> &BTreeSet<Timestamp> {
        &self.keys.creating
    }

    /// The record that stands beside an expiry mark in `other_config`.
    pub fn record(&self, expires: &Expires) -> Option<&LeaseRecord> {
        self.records.get(expires)
    }

    /// The record of the latest expiry, or of the latest one that has a record: a person who extends a lease by a tag in
    /// a console writes none.
    pub fn lease_record(&self) -> Option<&LeaseRecord> {
        self.records.last_key_value().map(|(_, record)| record)
    }

    /// Says whether a mark stands on both sides.
    pub fn has_on_both_sides(&self, expires: &Expires) -> bool {
        self.tags_count() && self.tags.expires.contains(expires) && self.keys.expires.contains(expires)
    }

    /// Says whether `other_config` names this VM.
    pub fn names_itself(&self) -> bool {
        self.keys.vms.contains(&self.vm)
    }

    /// Says whether both sides name this VM.
    pub fn is_named_on_both_sides(&self) -> bool {
        self.tags_count() && self.keys.vms.contains(&self.vm)
    }

    /// The claims of reapers. Those of tags that name another VM were inherited from it.
    pub fn claims(&self) -> BTreeSet<Ulid> {
        let inherited = !self.tags.vms.is_empty() && !self.tags_count();
        let tags = (!inherited).then_some(&self.tags.claims).into_iter().flatten();
        tags.chain(&self.keys.claims).copied().collect()
    }

    /// Says whether this very claim stands on both sides.
    pub fn is_claimed_by(&self, claim: &Ulid) -> bool {
        self.tags.claims.contains(claim) && self.keys.claims.contains(claim)
    }

    /// Says whether this very claim stands on any side.
    pub fn carries_claim(&self, claim: &Ulid) -> bool {
        self.tags.claims.contains(claim) || self.keys.claims.contains(claim)
    }

    /// Says whether nothing of dynvm's is written on the VM.
    pub fn is_bare(&self) -> bool {
        let is_bare = |side: &Side| *side == Side::default();
        is_bare(&self.tags) && is_bare(&self.keys) && matches!(self.spec, Spec::Absent)
    }

    /// Says whether the tags name this VM, so that what else stands there counts.
    pub fn is_named_by_tags(&self) -> bool {
        self.tags.vms.contains(&self.vm)
    }

    /// Says whether a person asked to keep this VM, on either side.
    pub fn is_kept(&self) -> bool {
        self.tags.keep || self.keys.keep
    }

    /// Says whether `other_config` asks to keep this VM.
    pub fn is_kept_by_keys(&self) -> bool {
        self.keys.keep
    }

    /// Who asked for the server.
    pub fn owner(&self) -> Option<&str> {
        let sides = [Some(&self.keys), self.tags_count().then_some(&self.tags)];
        sides
            .into_iter()
            .flatten()
            .find_map(|side| side.owners.first().map(String::as_str))
    }

    /// What begins like a mark and cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.tags
            .unreadable
            .iter()
            .chain(&self.keys.unreadable)
            .map(String::as_str)
    }

    /// What begins like a mark in `other_config` and cannot be read.
    pub fn unreadable_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.unreadable.iter().map(String::as_str)
    }

    fn tags_count(&self) -> bool {
        self.tags.vms.len() == 1 && self.tags.vms.contains(&self.vm)
    }

    fn counted(&self) -> Vec<&Side> {
        let mut sides = vec![&self.keys];
        if self.tags_count() {
            sides.push(&self.tags);
        }
        sides
    }
}

impl Side {
    /// Takes in one text, and names the expiry if it is one.
    fn put(&mut self, text: &str) -> Option<Expires> {
        match Mark::parse(text) {
            Parsed::Other => {}
            Parsed::Unparsable => self.unreadable.push(text.to_owned()),
            Parsed::Mark(Mark::Vm(uuid)) => {
                self.vms.insert(uuid);
            }
            Parsed::Mark(Mark::Expires(expires)) => {
                self.expires.insert(expires);
                return Some(expires);
            }
            Parsed::Mark(Mark::Creating(until)) => {
                self.creating.insert(until);
            }
            Parsed::Mark(Mark::Owner(owner)) => self.owners.push(owner),
            Parsed::Mark(Mark::Keep) => self.keep = true,
            Parsed::Mark(Mark::Reaping(claim)) => {
                self.claims.insert(claim);
            }
        }
        None
    }
}

/// Says whether a tag or key is dynvm's, and thus no user's.
pub(crate) fn is_reserved(text: &str) -> bool {
    text.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const OTHER: &str = "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const SPEC: &str =
        r#"{"request_id":"00000000000000000000000007","provider":"0.1.0","created_at":"2026-11-20T10:00:00Z"}"#;
    const ULID: &str = "01JD4Q8QCGTF0000000000000A";

    fn seen(tags: &[&str], keys: &[(&str, &str)]) -> VmMarks {
        VmMarks::read(&VM.parse().unwrap(), tags.iter().copied(), keys.iter().copied())
    }

    fn check_owner(tags: &[&str], keys: &[(&str, &str)], expect: &str) {
        let text = match seen(tags, keys).ownership() {
            Ownership::Managed => "managed".to_owned(),
            Ownership::Unmarked => "unmarked".to_owned(),
            Ownership::Foreign { of } => format!("foreign {of}"),
            Ownership::Uncertain { why } => format!("uncertain: {why}"),
        };
        assert!(text.starts_with(expect), "{text} is not {expect}");
    }

    #[test]
    fn other_config_decides_whose_a_vm_is() {
        let own = format!("dynvm:vm={VM}");
        let other = format!("dynvm:vm={OTHER}");
        check_owner(&[], &[], "unmarked");
        check_owner(&[&own], &[("dynvm:spec", SPEC)], "unmarked");
        check_owner(&[], &[("dynvm:vm", VM), ("dynvm:spec", SPEC)], "managed");
        check_owner(&[], &[(&own, ""), ("dynvm:spec", SPEC)], "managed");
        check_owner(&[&other], &[(&own, ""), ("dynvm:spec", SPEC)], "managed");
        check_owner(
            &[],
            &[(&own, ""), ("dynvm:vm", OTHER), ("dynvm:spec", SPEC)],
            "uncertain",
        );
        check_owner(&[], &[(&own, "")], "uncertain: it has no dynvm:spec");
        check_owner(&[], &[(&own, ""), ("dynvm:spec", "{")], "uncertain: its dynvm:spec");
        check_owner(&[&own], &[(&other, ""), ("dynvm:spec", SPEC)], "foreign 1111");
        check_owner(&[&other], &[], "foreign 1111");
    }

    #[test]
    fn the_latest_expiry_of_both_sides_counts() {
        let own = format!("dynvm:vm={VM}");
        let early = format!("dynvm:expires=2026-11-21T10:00:00Z/{ULID}");
        let late = format!("dynvm:expires=2026-11-21T11:00:00Z/{ULID}");
        let at = |marks: VmMarks| match marks.expiry() {
            Expiry::Lease(expires) => crate::lease::format_time(expires.at),
            Expiry::Creating(until) => format!("creating {}", crate::lease::format_time(until)),
            Expiry::Never => "never".to_owned(),
        };
        assert_eq!(at(seen(&[&own, &late], &[(&early, "")])), "2026-11-21T11:00:00Z");
        assert_eq!(at(seen(&[&own, &early], &[(&late, "")])), "2026-11-21T11:00:00Z");
        assert_eq!(
            at(seen(&[&late], &[(&early, "")])),
            "2026-11-21T10:00:00Z",
            "tags that name no VM do not count"
        );
        assert_eq!(
            at(seen(&[], &[("dynvm:creating=2026-11-21T09:00:00Z", "")])),
            "creating 2026-11-21T09:00:00Z"
        );
        assert_eq!(
            at(seen(&[], &[(&early, ""), ("dynvm:creating=2026-11-22T09:00:00Z", "")])),
            "2026-11-21T10:00:00Z"
        );
        assert_eq!(at(seen(&["dynvm:creating=2026-11-21T09:00:00Z"], &[])), "never");
        assert_eq!(at(seen(&[&own, "dynvm:creating=2026-11-21T09:00:00Z"], &[])), "never");
    }

    #[test]
    fn keep_counts_on_either_side_and_inherited_claims_do_not() {
        assert!(seen(&["dynvm:keep"], &[]).is_kept());
        assert!(seen(&[], &[("dynvm:keep", "")]).is_kept());
        let claim = format!("dynvm:reaping={ULID}");
        let other = format!("dynvm:vm={OTHER}");
        assert_eq!(seen(&[&claim], &[]).claims().len(), 1);
        assert_eq!(seen(&[&claim, &other], &[]).claims().len(), 0);
        assert_eq!(seen(&[&other], &[(&claim, "")]).claims().len(), 1);
    }
}
