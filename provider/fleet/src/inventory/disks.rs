//! The disks that are kept, and what the own disks of servers may still grow by.
//!
//! A disk says itself whose it is; that VM may be seen before the disk, after it, or never. So a disk is filed under the owner that it
//! names, and counts from when both are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xenapi::{Change, ChangeOp, Ref, Sr, Uuid, Vdi, VdiRecord};

use super::groups::Groups;
use crate::lease::VM_KEY;

/// Disks by reference, by owner, and in sum by SR.
#[derive(Debug, Default)]
pub(super) struct Disks {
    records: HashMap<Ref<Vdi>, VdiRecord>,
    by_owner: Groups<Uuid, Ref<Vdi>>,
    /// The VMs that there are.
    owners: BTreeSet<Uuid>,
    /// Bytes that the own disks of those may still grow by.
    growth: BTreeMap<Ref<Sr>, u64>,
}

impl Disks {
    /// A disk that is kept.
    pub(super) fn get(&self, vdi: &Ref<Vdi>) -> Option<&VdiRecord> {
        self.records.get(vdi)
    }

    /// Puts in a disk as it is now.
    pub(super) fn put(&mut self, vdi: Ref<Vdi>, record: VdiRecord) {
        self.remove(&vdi);
        if let Some(owner) = owner(&record) {
            self.by_owner.put(owner, vdi.clone());
            if self.owners.contains(&owner) {
                *self.growth.entry(record.sr.clone()).or_default() += growth(&record);
            }
        }
        self.records.insert(vdi, record);
    }

    /// Takes in a change of a disk that is kept, or that says whose it is.
    pub(super) fn apply(&mut self, change: &Change) {
        let Some((vdi, record)) = change.of::<Vdi>() else {
            return;
        };
        let there = record.filter(|_| change.op != ChangeOp::Del);
        match there.filter(|disk| self.records.contains_key(&vdi) || disk.other_config.contains_key(VM_KEY)) {
            Some(record) => self.put(vdi, record.clone()),
            // It is gone, or could not be read: then the pool has to be asked.
            None => self.remove(&vdi),
        }
    }

    /// Takes a disk out.
    pub(super) fn remove(&mut self, vdi: &Ref<Vdi>) {
        let Some(record) = self.records.remove(vdi) else { return };
        let Some(owner) = owner(&record) else { return };
        self.by_owner.remove(&owner, vdi);
        if self.owners.contains(&owner) {
            less(&mut self.growth, &record);
        }
    }

    /// Notes that a server is there: its disks count.
    pub(super) fn owner_comes(&mut self, vm: Uuid) {
        if self.owners.insert(vm) {
            for record in self.by_owner.of(&vm).filter_map(|vdi| self.records.get(vdi)) {
                *self.growth.entry(record.sr.clone()).or_default() += growth(record);
            }
        }
    }

    /// Notes that a server is gone: what is left of its disks is promised to nobody.
    pub(super) fn owner_goes(&mut self, vm: Uuid) {
        if self.owners.remove(&vm) {
            for record in self.by_owner.of(&vm).filter_map(|vdi| self.records.get(vdi)) {
                less(&mut self.growth, record);
            }
        }
    }

    /// Bytes that the own disks of the servers that there are may still grow by on an SR.
    pub(super) fn growth(&self, sr: &Ref<Sr>) -> u64 {
        self.growth.get(sr).copied().unwrap_or_default()
    }

    /// Says whether a disk names this VM as its owner.
    pub(super) fn has_of(&self, vm: Uuid) -> bool {
        self.by_owner.count(&vm) > 0
    }
}

/// The VM that a disk names as its owner.
fn owner(disk: &VdiRecord) -> Option<Uuid> {
    disk.other_config.get(VM_KEY)?.parse().ok()
}

/// What a thin disk does not use yet.
fn growth(disk: &VdiRecord) -> u64 {
    u64::try_from(disk.virtual_size - disk.physical_utilisation).unwrap_or_default()
}

fn less(growths: &mut BTreeMap<Ref<Sr>, u64>, disk: &VdiRecord) {
    if let Some(sum) = growths.get_mut(&disk.sr) {
        *sum = sum.saturating_sub(growth(disk));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xenapi::VdiType;

    use super::*;

    const OWNERS: u8 = 3;

    #[derive(Debug, Clone)]
    enum Event {
        Seen(u8, Box<VdiRecord>),
        Lost(u8),
        Comes(u8),
        Goes(u8),
    }

    fn vdi(number: u8) -> Ref<Vdi> {
        Ref::new(&format!("OpaqueRef:vdi-{number}"))
    }

    fn sr(number: u8) -> Ref<Sr> {
        Ref::new(&format!("OpaqueRef:sr-{number}"))
    }

    fn vm(number: u8) -> Uuid {
        Uuid::from_bytes([number; 16])
    }

    /// Of an owner, of nobody, or with a mark that names no VM.
    fn disk() -> impl Strategy<Value = VdiRecord> {
        let mark = prop_oneof![
            6 => (0..OWNERS).prop_map(|owner| Some(vm(owner).to_string())),
            1 => Just(Some("nobody".to_owned())),
            1 => Just(None),
        ];
        (mark, 0_u8..2, 0_i64..9, 0_i64..9).prop_map(|(mark, of, virtual_size, physical_utilisation)| VdiRecord {
            sr: sr(of),
            virtual_size,
            physical_utilisation,
            other_config: mark.into_iter().map(|mark| (VM_KEY.to_owned(), mark)).collect(),
            uuid: vm(0),
            name_label: String::new(),
            kind: VdiType::User,
            managed: true,
            sharable: false,
            read_only: false,
            missing: false,
            is_a_snapshot: false,
            is_tools_iso: false,
            snapshot_of: Ref::null(),
            vbds: Vec::new(),
            sm_config: BTreeMap::new(),
            tags: BTreeSet::new(),
            current_operations: BTreeMap::new(),
        })
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (0_u8..6, disk()).prop_map(|(number, disk)| Event::Seen(number, Box::new(disk))),
            1 => (0_u8..6).prop_map(Event::Lost),
            1 => (0..OWNERS).prop_map(Event::Comes),
            1 => (0..OWNERS).prop_map(Event::Goes),
        ]
    }

    proptest! {
        #[test]
        fn sums_and_owners_are_what_a_walk_over_all_disks_gives(events in prop::collection::vec(event(), 0..80)) {
            let mut disks = Disks::default();
            let (mut all, mut owners) = (BTreeMap::new(), BTreeSet::new());
            for event in events {
                match event {
                    Event::Seen(number, record) => {
                        disks.put(vdi(number), (*record).clone());
                        all.insert(number, *record);
                    }
                    Event::Lost(number) => {
                        disks.remove(&vdi(number));
                        all.remove(&number);
                    }
                    Event::Comes(number) => {
                        disks.owner_comes(vm(number));
                        owners.insert(vm(number));
                    }
                    Event::Goes(number) => {
                        disks.owner_goes(vm(number));
                        owners.remove(&vm(number));
                    }
                }
                let counts = |disk: &&VdiRecord| owner(disk).is_some_and(|owner| owners.contains(&owner));
                for of in [sr(0), sr(1)] {
                    let expect: u64 = all.values().filter(counts).filter(|disk| disk.sr == of).map(growth).sum();
                    prop_assert_eq!(disks.growth(&of), expect);
                }
                for of in (0..OWNERS).map(vm) {
                    prop_assert_eq!(disks.has_of(of), all.values().any(|disk| owner(disk) == Some(of)));
                }
                prop_assert!((0..6).all(|number| disks.get(&vdi(number)) == all.get(&number)));
            }
        }
    }
}
