//! The servers of dynvm that there are, found by what choices ask for: how many there are of an alias and on a host, which are
//! being created, which were made under a ticket, which draw from a reservation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::{Host, PowerState, Ref, Uuid, Vm, VmRecord};

use super::groups::Groups;
use super::servers::is_marked;
use crate::lease::Expiry;
use crate::pool::marks_of;

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
    /// How many there are of each alias on each host, none of each included: as many rows as the configuration and the pool have, not as
    /// servers.
    counts: BTreeMap<(Option<String>, Option<Ref<Host>>), u32>,
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
        *self.counts.entry((born.os.clone(), born.host.clone())).or_default() += 1;
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
        let row = (born.os, born.host);
        if let Some(count) = self.counts.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&row);
            }
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

    /// How many there are: of an alias or of any, and on a host or anywhere.
    pub(crate) fn count(&self, os: Option<&String>, host: Option<&Ref<Host>>) -> u32 {
        let is_meant = |(of, on): &(Option<String>, Option<Ref<Host>>)| {
            (os.is_none() || of.as_ref() == os) && (host.is_none() || on.as_ref() == host)
        };
        let rows = self.counts.iter().filter(|(row, _)| is_meant(row));
        rows.map(|(_, count)| count).sum()
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
        if !is_marked(record) {
            return None;
        }
        let marks = marks_of(record);
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
    use proptest::prelude::*;

    use super::*;

    fn vm(number: u8) -> Ref<Vm> {
        Ref::new(&format!("OpaqueRef:vm-{number}"))
    }

    fn host(number: u8) -> Ref<Host> {
        Ref::new(&format!("OpaqueRef:host-{number}"))
    }

    fn born() -> impl Strategy<Value = Born> {
        let os = prop::option::of(prop::sample::select(vec!["debian12", "centos7"]));
        let id = || prop::option::of((0_u128..4).prop_map(Ulid));
        let until = prop::option::of((0_i64..3).prop_map(|second| Timestamp::from_second(second).unwrap()));
        let on = prop::option::of((0_u8..2).prop_map(host));
        (os, until, on, id(), id()).prop_map(|(os, creating_until, host, ticket, reservation)| Born {
            vm: Uuid::from_bytes([0; 16]),
            os: os.map(str::to_owned),
            creating_until,
            host,
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
                for os in [None, Some("debian12"), Some("centos7")].map(|os| os.map(str::to_owned)) {
                    for on in [None, Some(host(0)), Some(host(1))] {
                        let is_meant = |born: &Born| (os.is_none() || born.os == os) && (on.is_none() || born.host == on);
                        let expect = recount(&all, is_meant).len();
                        prop_assert_eq!(births.count(os.as_ref(), on.as_ref()) as usize, expect);
                    }
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
