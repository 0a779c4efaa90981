//! What guests take of the hosts that they run on, and which of them are dynvm's servers.

use std::collections::{BTreeMap, HashMap};

use xenapi::{Host, Ref, Vm, VmRecord};

use super::births::{Births, Born};
use crate::capacity::overhead_of;

/// All guests of a pool, control domains included.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    guests: HashMap<Ref<Vm>, Guest>,
    control_domains: BTreeMap<Ref<Vm>, (Ref<Host>, u64)>,
    uses: BTreeMap<Ref<Host>, Use>,
    servers: Births,
}

/// What guests use of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// vCPUs, without those of the control domain.
    pub(crate) cpus: u64,
    /// Bytes of memory, overheads and the control domain included.
    pub(crate) memory: u64,
}

/// What one guest uses, and where.
#[derive(Debug, PartialEq, Eq)]
struct Guest {
    uses: Use,
    /// One that migrates is on both hosts, as the pool counts.
    resident_on: Option<Ref<Host>>,
    scheduled_on: Option<Ref<Host>>,
}

impl Guests {
    /// Puts in what a VM's record shows. Templates and snapshots are no guests.
    pub(super) fn put(&mut self, vm: &Ref<Vm>, record: &VmRecord) {
        if record.is_a_template {
            return self.remove(vm);
        }
        self.take_off(vm);
        let guest = Guest::of(record);
        for host in guest.hosts() {
            let uses = self.uses.entry(host.clone()).or_default();
            uses.cpus += guest.uses.cpus;
            uses.memory += guest.uses.memory;
        }
        if record.is_control_domain
            && let Some(host) = guest.hosts().next()
        {
            self.control_domains
                .insert(vm.clone(), (host.clone(), guest.uses.memory));
        }
        self.guests.insert(vm.clone(), guest);
        self.servers.put(vm, Born::of(record));
    }

    /// Takes a VM out.
    pub(super) fn remove(&mut self, vm: &Ref<Vm>) {
        self.servers.remove(vm);
        self.take_off(vm);
    }

    /// Takes off what a VM uses.
    fn take_off(&mut self, vm: &Ref<Vm>) {
        self.control_domains.remove(vm);
        let Some(guest) = self.guests.remove(vm) else { return };
        for host in guest.hosts() {
            if let Some(uses) = self.uses.get_mut(host) {
                uses.cpus = uses.cpus.saturating_sub(guest.uses.cpus);
                uses.memory = uses.memory.saturating_sub(guest.uses.memory);
            }
        }
    }

    /// What is used of a host.
    pub(crate) fn uses_of(&self, host: &Ref<Host>) -> Use {
        self.uses.get(host).copied().unwrap_or_default()
    }

    /// Bytes of memory that a host's control domain takes.
    pub(crate) fn control_memory(&self, host: &Ref<Host>) -> u64 {
        self.control_domains
            .values()
            .filter(|(of, _)| of == host)
            .map(|(_, memory)| memory)
            .sum()
    }

    /// Says whether a VM takes anything of a host now.
    pub(crate) fn is_placed(&self, vm: &Ref<Vm>) -> bool {
        self.guests.get(vm).is_some_and(|guest| guest.hosts().next().is_some())
    }

    /// Where a VM runs or is about to, and what it takes there.
    pub(crate) fn place_of(&self, vm: &Ref<Vm>) -> Option<(Ref<Host>, Use)> {
        let guest = self.guests.get(vm)?;
        Some((guest.hosts().next()?.clone(), guest.uses))
    }

    /// What a VM takes of a host when it runs.
    pub(crate) fn needs_of(&self, vm: &Ref<Vm>) -> Option<Use> {
        self.guests.get(vm).map(|guest| guest.uses)
    }

    /// The servers of dynvm, those in creation included.
    pub(crate) fn servers(&self) -> &Births {
        &self.servers
    }
}

impl Guest {
    fn of(record: &VmRecord) -> Self {
        let bytes = |value: i64| u64::try_from(value).unwrap_or_default();
        let extra = match record.memory_overhead {
            0 if !record.is_control_domain => overhead_of(record),
            known => bytes(known),
        };
        let cpus = if record.is_control_domain {
            0
        } else {
            u64::try_from(record.vcpus_at_startup).unwrap_or_default()
        };
        let resident_on = record.resident_on.non_null().cloned();
        let scheduled_on = record.scheduled_to_be_resident_on.non_null().cloned();
        Self {
            uses: Use {
                cpus,
                memory: bytes(record.memory_dynamic_min) + extra,
            },
            scheduled_on: scheduled_on.filter(|host| Some(host) != resident_on.as_ref()),
            resident_on,
        }
    }

    fn hosts(&self) -> impl Iterator<Item = &Ref<Host>> {
        self.resident_on.iter().chain(&self.scheduled_on)
    }
}
