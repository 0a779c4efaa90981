//! Entries, summed: what a batch says of each VM, and a whole history in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::merge::merge;
use crate::row::{Entry, Renewal, ServerRow, VmUuid};
use crate::storable::storable;

/// What makes two renewals one: the VM, when it was renewed, and until when.
pub(crate) type RenewalKey = (VmUuid, Timestamp, Timestamp);

/// Who renewed, by renewal.
pub(crate) type Renewals = BTreeMap<RenewalKey, Option<String>>;

/// What one call of `write` says, in the order in which every writer locks: by VM.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What is told of each server, in the order in which it was told.
    pub(crate) servers: BTreeMap<VmUuid, Vec<ServerRow>>,
    /// The renewals.
    pub(crate) renewals: Renewals,
}

impl Batch {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            let entry = storable(entry);
            let row = told_of_server(&entry, &mut batch.renewals);
            batch.servers.entry(row.vm_uuid).or_default().push(row);
        }
        batch
    }
}

/// A history in memory: what the JSONL sink reads, and what the others are compared with.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    servers: BTreeMap<VmUuid, ServerRow>,
    renewals: Renewals,
}

impl Ledger {
    /// Adds an entry by the merge rule.
    pub(crate) fn tell(&mut self, entry: &Entry) {
        let told = told_of_server(&storable(entry), &mut self.renewals);
        let known = self.servers.entry(told.vm_uuid);
        merge(known.or_insert_with(|| ServerRow::new(told.vm_uuid)), &told);
    }

    /// All servers, the newest first; those whose birth is not known last.
    pub(crate) fn newest_first(self) -> Vec<ServerRow> {
        let mut rows: Vec<ServerRow> = self.servers.into_values().collect();
        // The map is sorted by VM and the sort is stable: equal births stay in the order of their VMs.
        rows.sort_by_key(|row| Reverse(row.created_at));
        rows
    }

    /// The renewals of a VM, the oldest first.
    pub(crate) fn renewals_of(&self, vm: VmUuid) -> Vec<Renewal> {
        let of_vm = (vm, Timestamp::MIN, Timestamp::MIN)..=(vm, Timestamp::MAX, Timestamp::MAX);
        let renewals = self.renewals.range(of_vm);
        renewals.map(|(key, by)| renewal(*key, by.clone())).collect()
    }
}

/// A renewal, put together again.
pub(crate) fn renewal((vm_uuid, at, expires_at): RenewalKey, by: Option<String>) -> Renewal {
    Renewal {
        vm_uuid,
        at,
        expires_at,
        by,
    }
}

/// What an entry says of its server; a renewal is noted, and says when the lease ends.
fn told_of_server(entry: &Entry, renewals: &mut Renewals) -> ServerRow {
    match entry {
        Entry::Server(row) => row.clone(),
        Entry::Renewed(renewal) => {
            let key = (renewal.vm_uuid, renewal.at, renewal.expires_at);
            let by = renewals.entry(key).or_default();
            if by.is_none() {
                by.clone_from(&renewal.by);
            }
            ServerRow {
                expires_at: Some(renewal.expires_at),
                ..ServerRow::new(renewal.vm_uuid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{truthful_entries, vm};

    fn told(entries: &[Entry]) -> (Vec<ServerRow>, Vec<Renewal>) {
        let mut ledger = Ledger::default();
        entries.iter().for_each(|entry| ledger.tell(entry));
        let renewals = (1..=3).flat_map(|n| ledger.renewals_of(vm(n))).collect();
        (ledger.newest_first(), renewals)
    }

    proptest! {
        #[test]
        fn two_writers_leave_the_same_history_in_any_order((entries, shuffled) in truthful_entries().prop_flat_map(|entries| {
            (Just(entries.clone()), Just(entries).prop_shuffle())
        })) {
            prop_assert_eq!(told(&entries), told(&shuffled));
        }

        #[test]
        fn entries_that_come_twice_count_once(entries in truthful_entries()) {
            let twice: Vec<Entry> = entries.iter().chain(&entries).cloned().collect();
            prop_assert_eq!(told(&entries), told(&twice));
        }
    }

    #[test]
    fn the_newest_comes_first_and_the_unknown_last() {
        let born = |n, second: Option<i64>| {
            Entry::Server(ServerRow {
                created_at: second.map(|second| Timestamp::from_second(second).unwrap()),
                ..ServerRow::new(vm(n))
            })
        };
        let (rows, _) = told(&[born(1, None), born(2, Some(5)), born(3, Some(9))]);
        assert_eq!(
            rows.iter().map(|row| row.vm_uuid).collect::<Vec<_>>(),
            [vm(3), vm(2), vm(1)]
        );
    }
}
