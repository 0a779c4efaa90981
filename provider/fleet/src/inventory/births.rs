//! The servers of dynvm that there are, found by what choices ask for: how many there are in all and of an alias, which are being
//! created, which were made under a ticket, which draw from a reservation.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::{Host, PowerState, Ref, Uuid, Vm, VmRecord};

use super::groups::Groups;
use crate::lease::{Expiry, PREFIX, VmMarks};

/// A server of dynvm, as far as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Born {
    /// The VM.
    pub(crate) vm: Uuid,
    /// The OS alias that it was made for.
    pub(crate) os: Option<String>,
    /// Until when its creation may take, while it is being created.
    pub(crate) creating_until: Option<Timestamp>,
    /// The host that it runs on or is about to.
    pub(crate) host: Option<Ref<Host>>,
    /// The ticket that it was made under.
    pub(crate) ticket: Option<Ulid>,
    /// The reservation that it draws from.
    pub(crate) reservation: Option<Ulid>,
}

/// All servers of dynvm in a pool, those in creation included.
#[derive(Debug, Default)]
pub(crate) struct Births {
    born: HashMap<Ref<Vm>, Born>,
    by_os: Groups<String, Ref<Vm>>,
    by_host: Groups<Ref<Host>, Ref<Vm>>,
    by_ticket: Groups<Ulid, Ref<Vm>>,
    by_reservation: Groups<Ulid, Ref<Vm>>,
    in_creation: BTreeSet<Ref<Vm>>,
}

impl Births {
    /// Puts in what a VM is as a server; `None` is none. Most events change nothing of it.
    pub(super) fn put(&mut self, vm: &Ref<Vm>, born: Option<Born>) {
        if self.born.get(vm) == born.as_ref() {
            return;
        }
        self.remove(vm);
        let Some(born) = born else { return };
        if let Some(os) = &born.os {
            self.by_os.put(os.clone(), vm.clone());
        }
        if let Some(host) = &born.host {
            self.by_host.put(host.clone(), vm.clone());
        }
        if let Some(ticket) = born.ticket {
            self.by_ticket.put(ticket, vm.clone());
        }
        if let Some(reservation) = born.reservation {
            self.by_reservation.put(reservation, vm.clone());
        }
        if born.creating_until.is_some() {
            self.in_creation.insert(vm.clone());
        }
        self.born.insert(vm.clone(), born);
    }

    /// Takes a server out.
    pub(super) fn remove(&mut self, vm: &Ref<Vm>) {
        let Some(born) = self.born.remove(vm) else { return };
        if let Some(os) = &born.os {
            self.by_os.remove(os, vm);
        }
        if let Some(host) = &born.host {
            self.by_host.remove(host, vm);
        }
        if let Some(ticket) = &born.ticket {
            self.by_ticket.remove(ticket, vm);
        }
        if let Some(reservation) = &born.reservation {
            self.by_reservation.remove(reservation, vm);
        }
        self.in_creation.remove(vm);
    }

    /// A VM as a server.
    pub(crate) fn get(&self, vm: &Ref<Vm>) -> Option<&Born> {
        self.born.get(vm)
    }

    /// How many there are: of an alias, or in all.
    pub(crate) fn count(&self, os: Option<&String>) -> u32 {
        let count = os.map_or(self.born.len(), |os| self.by_os.count(os));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// How many run on a host or are about to: of an alias, or in all.
    pub(crate) fn count_on(&self, host: &Ref<Host>, os: Option<&String>) -> u32 {
        let there = self.by_host.of(host).filter_map(|vm| self.born.get(vm));
        let counted = there.filter(|born| os.is_none() || born.os.as_ref() == os);
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    }

    /// Those that are being created by their marks, whether the time for it is over or not.
    pub(crate) fn in_creation(&self) -> impl Iterator<Item = (&Ref<Vm>, &Born)> {
        self.in_creation.iter().filter_map(|vm| self.born.get_key_value(vm))
    }

    /// Those that were made under a ticket.
    pub(crate) fn under(&self, ticket: Ulid) -> impl Iterator<Item = (&Ref<Vm>, &Born)> {
        self.by_ticket.of(&ticket).filter_map(|vm| self.born.get_key_value(vm))
    }

    /// Those that draw from a reservation.
    pub(crate) fn drawn_from(&self, reservation: Ulid) -> impl Iterator<Item = (&Ref<Vm>, &Born)> {
        let drawn = self.by_reservation.of(&reservation);
        drawn.filter_map(|vm| self.born.get_key_value(vm))
    }
}

impl Born {
    /// The server that a VM's marks make it.
    pub(super) fn of(record: &VmRecord) -> Option<Self> {
        if !record.other_config.keys().any(|key| key.starts_with(PREFIX)) {
            return None;
        }
        let keys = record.other_config.iter();
        let keys = keys.map(|(key, value)| (key.as_str(), value.as_str()));
        let marks = VmMarks::read(&record.uuid, record.tags.iter().map(String::as_str), keys);
        if !marks.is_managed() {
            return None;
        }
        let creating_until = match marks.expiry() {
            Expiry::Creating(until) if record.power_state != PowerState::Suspended => Some(until),
            Expiry::Creating(_) | Expiry::Lease(_) | Expiry::Never => None,
        };
        let spec = marks.spec();
        let host = record
            .resident_on
            .non_null()
            .or(record.scheduled_to_be_resident_on.non_null());
        Some(Self {
            vm: record.uuid,
            os: spec.and_then(|spec| spec.os.clone()),
            creating_until,
            host: host.cloned(),
            ticket: spec.and_then(|spec| spec.ticket),
            reservation: spec.and_then(|spec| spec.reservation),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn vm(number: u8) -> Ref<Vm> {
        Ref::new(&format!("OpaqueRef:vm-{number}"))
    }

    fn born() -> impl Strategy<Value = Born> {
        let os = prop::option::of(prop::sample::select(vec!["debian12", "centos7"]));
        let id = || prop::option::of((0_u128..4).prop_map(Ulid));
        let until = prop::option::of((0_i64..3).prop_map(|second| Timestamp::from_second(second).unwrap()));
        (os, until, id(), id()).prop_map(|(os, creating_until, ticket, reservation)| Born {
            vm: Uuid::from_bytes([0; 16]),
            os: os.map(str::to_owned),
            creating_until,
            host: None,
            ticket,
            reservation,
        })
    }

    /// Walks over all, as nobody but this test does.
    fn recount(all: &BTreeMap<Ref<Vm>, Born>, is_meant: impl Fn(&Born) -> bool) -> Vec<Ref<Vm>> {
        let meant = all.iter().filter(|(_, born)| is_meant(born));
        meant.map(|(vm, _)| vm.clone()).collect()
    }

    fn refs<'a>(found: impl Iterator<Item = (&'a Ref<Vm>, &'a Born)>) -> Vec<Ref<Vm>> {
        found.map(|(vm, _)| vm.clone()).collect()
    }

    proptest! {
        #[test]
        fn each_question_is_answered_as_by_a_walk_over_all(
            changes in prop::collection::vec((0_u8..8, prop::option::weighted(0.8, born())), 0..60)
        ) {
            let (mut births, mut all) = (Births::default(), BTreeMap::new());
            for (number, born) in changes {
                births.put(&vm(number), born.clone());
                match born {
                    Some(born) => all.insert(vm(number), born),
                    None => all.remove(&vm(number)),
                };
                let count = |os: &str| births.count(Some(&os.to_owned()));
                prop_assert_eq!(births.count(None) as usize, all.len());
                for os in ["debian12", "centos7"] {
                    prop_assert_eq!(count(os) as usize, recount(&all, |born| born.os.as_deref() == Some(os)).len());
                }
                prop_assert_eq!(refs(births.in_creation()), recount(&all, |born| born.creating_until.is_some()));
                for id in (0..4).map(Ulid) {
                    prop_assert_eq!(refs(births.under(id)), recount(&all, |born| born.ticket == Some(id)));
                    prop_assert_eq!(refs(births.drawn_from(id)), recount(&all, |born| born.reservation == Some(id)));
                }
                prop_assert!((0..8).all(|number| births.get(&vm(number)) == all.get(&vm(number))));
            }
        }
    }
}
