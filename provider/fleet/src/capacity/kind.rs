//! A kind of server in one pool: what one of it needs, and which hosts can have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ulid::Ulid;
use xenapi::{Host, Network, Ref, Sr, VmRecord};

use super::formula::Need;
use crate::config::PoolSettings;
use crate::inventory::Servers;
use crate::pool::{Disks, Fabric};
use crate::ticket::PerServer;

const MIB: u64 = 1 << 20;
/// A page of a guest's page tables, in bytes.
const PAGE: u64 = 4096;

/// A kind of server in one pool.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) need: Need,
    pub(crate) os: Option<String>,
    /// Bytes that one server's disks may grow to, by SR.
    pub(crate) storage: BTreeMap<Ref<Sr>, u64>,
    /// The disks of the template.
    pub(crate) disks: Option<Arc<Disks>>,
    /// The networks that a host must have.
    pub(crate) networks: Vec<Ref<Network>>,
    /// The only hosts that may have it; none for any.
    pub(crate) hosts: Option<BTreeSet<Ref<Host>>>,
    /// The ceilings that hold for it.
    pub(crate) ceilings: Vec<CeilingRule>,
    /// The reservation that it is made in, and the hosts on which that holds room.
    pub(crate) reservation: Option<(Ulid, Vec<Ref<Host>>)>,
}

/// A ceiling of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CeilingRule {
    /// The most servers there may be.
    pub(crate) max: u32,
    /// The OS alias of the servers that count; none for all.
    pub(crate) os: Option<String>,
    /// The host on which they count; none for the whole pool.
    pub(crate) host: Option<Ref<Host>>,
}

impl Kind {
    /// A kind of server made from a template, of which no disk and no network is known.
    pub(crate) fn new(template: &VmRecord, cpus: Option<u32>, memory_mib: Option<u64>, os: Option<&str>) -> Self {
        let (at_startup, max) = match cpus {
            Some(cpus) => (cpus, cpus),
            None => (count(template.vcpus_at_startup), count(template.vcpus_max)),
        };
        let (memory, memory_max) = match memory_mib {
            Some(mib) => (mib << 20, mib << 20),
            None => (bytes(template.memory_dynamic_min), bytes(template.memory_static_max)),
        };
        Self {
            need: Need {
                cpus: at_startup,
                memory: memory + overhead(max, memory_max, template.hvm_shadow_multiplier),
            },
            os: os.map(str::to_owned),
            storage: BTreeMap::new(),
            disks: None,
            networks: Vec::new(),
            hosts: None,
            ceilings: Vec::new(),
            reservation: None,
        }
    }

    /// A kind of which only the size is known.
    pub(crate) fn unknown(cpus: Option<u32>, memory_mib: Option<u64>) -> Self {
        Self {
            need: Need {
                cpus: cpus.unwrap_or(1),
                memory: memory_mib.unwrap_or_default() << 20,
            },
            os: None,
            storage: BTreeMap::new(),
            disks: None,
            networks: Vec::new(),
            hosts: None,
            ceilings: Vec::new(),
            reservation: None,
        }
    }

    /// The kind that a ticket says.
    pub(crate) fn of_ticket(each: &PerServer, fabric: &Fabric) -> Self {
        let storage = fabric.srs().iter().filter_map(|(sr, record)| {
            let bytes = each.disk_bytes.get(&record.uuid)?;
            Some((sr.clone(), *bytes))
        });
        Self {
            need: Need {
                cpus: each.vcpus,
                memory: each.memory_bytes,
            },
            os: each.os.clone(),
            storage: storage.collect(),
            ..Self::unknown(None, None)
        }
    }

    /// Adds the disks of the template: where they are, or all on one SR.
    #[must_use]
    pub(crate) fn with_disks(mut self, disks: &Arc<Disks>, on: Option<&Ref<Sr>>) -> Self {
        for (_, disk) in &disks.records {
            let sr = on.unwrap_or(&disk.sr);
            *self.storage.entry(sr.clone()).or_default() += bytes(disk.virtual_size);
        }
        self.disks = Some(Arc::clone(disks));
        self
    }

    /// The kind of a server that there is: it takes no more of its SRs, and its host must see them and its networks.
    #[must_use]
    pub(crate) fn of_existing(
        mut self,
        srs: impl Iterator<Item = Ref<Sr>>,
        networks: impl Iterator<Item = Ref<Network>>,
    ) -> Self {
        self.storage.extend(srs.map(|sr| (sr, 0)));
        self.networks.extend(networks);
        self
    }

    /// Bytes that are kept free on an SR for base copies, as the disks are now.
    pub(crate) fn base_copy_bytes(&self, sr: &Ref<Sr>, servers: &Servers) -> u64 {
        let Some(disks) = &self.disks else { return 0 };
        // On an SR of their own, copies have no base; what is kept there is room for one more.
        let counted = disks
            .records
            .iter()
            .filter(|(_, disk)| disk.sr == *sr || self.storage.len() == 1);
        counted
            .map(|(vdi, disk)| disks.base_copy_bytes(disk, servers.disk(vdi).unwrap_or(disk)))
            .sum()
    }

    /// Puts it into a reservation, which holds room on these hosts.
    #[must_use]
    pub(crate) fn in_reservation(mut self, of: Ulid, hosts: Vec<Ref<Host>>) -> Self {
        self.reservation = Some((of, hosts));
        self
    }

    /// Says whether a host may have it at all.
    pub(crate) fn is_for(&self, host: &Ref<Host>) -> bool {
        let in_reservation = self.reservation.as_ref().is_none_or(|(_, hosts)| hosts.contains(host));
        in_reservation && self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    /// What one server needs, as a ticket says it.
    pub(crate) fn per_server(&self, fabric: &Fabric) -> PerServer {
        let disks = self
            .storage
            .iter()
            .filter_map(|(sr, bytes)| Some((fabric.sr_uuid(sr)?, *bytes)));
        PerServer {
            vcpus: self.need.cpus,
            memory_bytes: self.need.memory,
            disk_bytes: disks.collect(),
            os: self.os.clone(),
        }
    }

    /// Adds a network that the server is on.
    #[must_use]
    pub(crate) fn with_network(mut self, network: Option<&Ref<Network>>) -> Self {
        self.networks.extend(network.cloned());
        self
    }

    /// Allows one host only, or any.
    #[must_use]
    pub(crate) fn on_host(mut self, host: Option<&Ref<Host>>) -> Self {
        self.hosts = host.map(|host| [host.clone()].into());
        self
    }

    /// Adds the ceilings of a pool, or of one host of it.
    #[must_use]
    pub(crate) fn under(mut self, settings: &PoolSettings, host: Option<&Ref<Host>>) -> Self {
        let rule = |max: u32, os: Option<&String>| CeilingRule {
            max,
            os: os.cloned(),
            host: host.cloned(),
        };
        let all = settings.max_servers.map(|max| rule(max, None));
        let by_os = self
            .os
            .as_ref()
            .and_then(|os| Some(rule(*settings.max_servers_by_os.get(os)?, Some(os))));
        self.ceilings.extend(all.into_iter().chain(by_os));
        self
    }

    /// Puts kinds together that differ only in the hosts that may have them.
    pub(crate) fn joined(kinds: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for kind in kinds {
            if !joined.iter_mut().any(|other| other.join(&kind)) {
                joined.push(kind);
            }
        }
        joined
    }

    /// Allows the hosts of another kind too, if it differs in nothing else; says whether it does not.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        if !self.is_like(other) {
            return false;
        }
        let both = self.hosts.take().zip(other.hosts.as_ref());
        self.hosts = both.map(|(own, others)| own.union(others).cloned().collect());
        self.ceilings.extend(other.ceilings.iter().cloned());
        self.ceilings.sort();
        self.ceilings.dedup();
        true
    }

    fn is_like(&self, other: &Self) -> bool {
        self.need == other.need
            && self.os == other.os
            && self.storage == other.storage
            && self.networks == other.networks
    }
}

/// The hypervisor's overhead for a guest, by the pool's own formula (xapi's `Memory.HVM.overhead_mib`).
pub(crate) fn overhead(cpus_max: u32, memory_max: u64, shadow_multiplier: f64) -> u64 {
    let (cpus, memory_mib) = (u64::from(cpus_max), memory_max / MIB);
    let shadow_pages = ((256 * cpus + 2 * memory_mib) * PAGE).div_ceil(MIB);
    // Releases that do not tell the multiplier have 1.
    let multiplier = if shadow_multiplier > 0.0 {
        shadow_multiplier
    } else {
        1.0
    };
    let shadow = (shadow_pages as f64 * multiplier).ceil() as u64;
    let per_cpu = (38 * cpus * PAGE).div_ceil(MIB);
    (2 + shadow + per_cpu) * MIB
}

/// The overhead of a guest as its record describes it.
pub(crate) fn overhead_of(vm: &VmRecord) -> u64 {
    overhead(
        count(vm.vcpus_max),
        bytes(vm.memory_static_max),
        vm.hvm_shadow_multiplier,
    )
}

fn bytes(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn count(value: i64) -> u32 {
    u32::try_from(value.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overhead_is_the_one_the_facts_name() {
        assert_eq!(overhead(2, 4 << 30, 1.0), 37 * MIB);
        assert_eq!(overhead(2, 4 << 30, 0.0), 37 * MIB);
        assert_eq!(overhead(2, 4 << 30, 2.0), 71 * MIB);
    }
}
