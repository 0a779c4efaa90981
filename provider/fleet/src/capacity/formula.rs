//! How many servers of a kind fit into a pool: a pure function of what the pool shows.
//!
//! Per host the smaller of CPU and memory, then capped by each SR over all hosts that see it, then by the ceilings. CPU
//! counts every running guest, foreign ones too, not the control domain; memory is the pool's own formula, control domain
//! included. A tenth of an SR and one base copy are kept free.

use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
/// A page of a guest's page tables, in bytes.
const PAGE: u64 = 4096;
/// The part of an SR that is kept free.
const KEPT_FREE: u64 = 10;

/// What one server needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// vCPUs.
    pub cpus: u32,
    /// Memory in bytes, without the overhead.
    pub memory: u64,
    /// The hypervisor's overhead in bytes.
    pub overhead: u64,
}

/// A host with what is used of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRoom {
    /// The host's name.
    pub name: String,
    /// Says whether it takes new guests.
    pub usable: bool,
    /// Physical CPUs.
    pub cpus: u32,
    /// vCPUs of its running guests.
    pub cpus_used: u64,
    /// Memory in bytes, without the hypervisor's own.
    pub memory_total: u64,
    /// Memory in bytes of what is resident or about to be, control domain included.
    pub memory_used: u64,
    /// Indices of the SRs that it sees.
    pub storages: Vec<usize>,
}

/// An SR with what is used of it, and what one server puts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageRoom {
    /// Its size in bytes.
    pub total: u64,
    /// Used bytes.
    pub used: u64,
    /// Bytes that one server's disks there may grow to.
    pub per_server: u64,
    /// Bytes of one base copy, which are kept free.
    pub base_copy: u64,
}

/// A ceiling and what counts against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The most servers there may be.
    pub max: u32,
    /// The servers there are.
    pub present: u32,
}

/// All that decides how many servers fit.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolRoom {
    /// The hosts.
    pub hosts: Vec<HostRoom>,
    /// The SRs that a server needs.
    pub storages: Vec<StorageRoom>,
    /// The ceilings that hold.
    pub ceilings: Vec<Ceiling>,
    /// vCPUs handed out per physical CPU.
    pub cpu_overcommit: f64,
    /// Servers under way, whose CPU and memory no host shows yet.
    pub under_way: Vec<Need>,
    /// The bytes that servers under way will take of each SR and that it does not show yet.
    pub storage_under_way: Vec<u64>,
}

/// What limits the number of servers that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// The hosts' CPUs.
    Cpu,
    /// The hosts' memory.
    Memory,
    /// An SR.
    Storage,
    /// A ceiling in the configuration.
    MaxServers,
    /// The template is not there.
    Template,
    /// No host takes new guests.
    HostDisabled,
}

/// How many fit, and what there is of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// How many servers fit.
    pub available: u32,
    /// What keeps it from being more.
    pub limited_by: Option<Limit>,
    /// Free vCPUs on usable hosts.
    pub cpus_free: u64,
    /// All vCPUs of usable hosts.
    pub cpus_total: u64,
    /// Free bytes of memory on usable hosts.
    pub memory_free: u64,
    /// All bytes of memory of usable hosts.
    pub memory_total: u64,
    /// Free bytes of the SR that limits most.
    pub storage_free: u64,
    /// All bytes of that SR.
    pub storage_total: u64,
}

/// The hypervisor's overhead for a guest, by the pool's own formula.
pub fn overhead(cpus: u32, memory_max: u64) -> u64 {
    let (cpus, memory_mib) = (u64::from(cpus), memory_max.div_ceil(MIB));
    let shadow = ((256 * cpus + 2 * memory_mib) * PAGE).div_ceil(MIB);
    let per_cpu = (38 * cpus * PAGE).div_ceil(MIB);
    (2 + shadow + per_cpu) * MIB
}

/// Computes how many servers that need this fit.
pub fn fit(room: &PoolRoom, need: &Need) -> Fit {
    let hosts = free_hosts(room);
    let sums = |pick: fn(&FreeHost) -> u64| hosts.iter().map(pick).sum::<u64>();
    let storage = room
        .storages
        .iter()
        .zip(room.storage_under_way.iter().chain(std::iter::repeat(&0)));
    let tightest = storage
        .map(|(storage, under_way)| (servers_of(storage, *under_way), storage, *under_way))
        .min_by_key(|(servers, ..)| *servers);
    let (available, limited_by) = count(room, need, &hosts);
    Fit {
        available,
        limited_by,
        cpus_free: sums(|host| host.cpus_free),
        cpus_total: sums(|host| host.cpus_total),
        memory_free: sums(|host| host.memory_free),
        memory_total: sums(|host| host.memory_total),
        storage_free: tightest.map_or(0, |(_, storage, under_way)| free_of(storage, under_way)),
        storage_total: tightest.map_or(0, |(_, storage, _)| storage.total),
    }
}

struct FreeHost {
    cpus_free: u64,
    cpus_total: u64,
    memory_free: u64,
    memory_total: u64,
    sees_all: bool,
    storages: Vec<usize>,
}

impl FreeHost {
    fn by_cpu(&self, need: &Need) -> u64 {
        self.cpus_free / u64::from(need.cpus.max(1))
    }

    fn by_memory(&self, need: &Need) -> u64 {
        self.memory_free / (need.memory + need.overhead).max(1)
    }

    fn takes(&self, need: &Need) -> u64 {
        if self.sees_all {
            self.by_cpu(need).min(self.by_memory(need))
        } else {
            0
        }
    }
}

/// The usable hosts, with what is under way put where there is most room, as the pool itself would.
fn free_hosts(room: &PoolRoom) -> Vec<FreeHost> {
    let mut hosts: Vec<FreeHost> = room
        .hosts
        .iter()
        .filter(|host| host.usable)
        .map(|host| {
            let cpus_total = handed_out(host.cpus, room.cpu_overcommit);
            FreeHost {
                cpus_free: cpus_total.saturating_sub(host.cpus_used),
                cpus_total,
                memory_free: host.memory_total.saturating_sub(host.memory_used),
                memory_total: host.memory_total,
                sees_all: (0..room.storages.len()).all(|storage| host.storages.contains(&storage)),
                storages: host.storages.clone(),
            }
        })
        .collect();
    for need in &room.under_way {
        let fullest_last = hosts.iter_mut().max_by_key(|host| (host.takes(need), host.memory_free));
        if let Some(host) = fullest_last {
            host.cpus_free = host.cpus_free.saturating_sub(u64::from(need.cpus));
            host.memory_free = host.memory_free.saturating_sub(need.memory + need.overhead);
        }
    }
    hosts
}

fn handed_out(cpus: u32, overcommit: f64) -> u64 {
    let product = f64::from(cpus) * overcommit.max(0.0);
    // Whole vCPUs only; the product of two small numbers fits.
    product.floor() as u64
}

fn free_of(storage: &StorageRoom, under_way: u64) -> u64 {
    let kept = storage.total / KEPT_FREE + storage.base_copy;
    storage
        .total
        .saturating_sub(storage.used)
        .saturating_sub(under_way)
        .saturating_sub(kept)
}

fn servers_of(storage: &StorageRoom, under_way: u64) -> u64 {
    match storage.per_server {
        0 => u64::from(u32::MAX),
        per_server => free_of(storage, under_way) / per_server,
    }
}

fn count(room: &PoolRoom, need: &Need, hosts: &[FreeHost]) -> (u32, Option<Limit>) {
    if hosts.is_empty() {
        return (0, Some(Limit::HostDisabled));
    }
    if !hosts.iter().any(|host| host.sees_all) {
        return (0, Some(Limit::Storage));
    }
    let by_hosts: u64 = hosts.iter().map(|host| host.takes(need)).sum();
    let seeing = || hosts.iter().filter(|host| host.sees_all);
    let by_cpu: u64 = seeing().map(|host| host.by_cpu(need)).sum();
    let by_memory: u64 = seeing().map(|host| host.by_memory(need)).sum();
    let mut bounds: BTreeMap<u64, Limit> = BTreeMap::new();
    bounds.insert(by_hosts, if by_memory <= by_cpu { Limit::Memory } else { Limit::Cpu });
    for (index, storage) in room.storages.iter().enumerate() {
        let under_way = room.storage_under_way.get(index).copied().unwrap_or_default();
        if hosts.iter().any(|host| host.storages.contains(&index)) {
            bounds.entry(servers_of(storage, under_way)).or_insert(Limit::Storage);
        }
    }
    for ceiling in &room.ceilings {
        bounds.insert(
            u64::from(ceiling.max.saturating_sub(ceiling.present)),
            Limit::MaxServers,
        );
    }
    let least = bounds.first_key_value().map(|(bound, limit)| (*bound, *limit));
    let (bound, limit) = least.unwrap_or((0, Limit::HostDisabled));
    (u32::try_from(bound).unwrap_or(u32::MAX), Some(limit))
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Limit::Cpu => "cpu",
            Limit::Memory => "memory",
            Limit::Storage => "storage",
            Limit::MaxServers => "max_servers",
            Limit::Template => "template",
            Limit::HostDisabled => "host_disabled",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn host(cpus: u32, cpus_used: u64, memory_gib: u64, memory_used_gib: u64) -> HostRoom {
        HostRoom {
            name: "xen1".into(),
            usable: true,
            cpus,
            cpus_used,
            memory_total: memory_gib * GIB,
            memory_used: memory_used_gib * GIB,
            storages: vec![0],
        }
    }

    fn room(hosts: Vec<HostRoom>) -> PoolRoom {
        let storage = StorageRoom {
            total: 1000 * GIB,
            used: 0,
            per_server: 20 * GIB,
            base_copy: 0,
        };
        PoolRoom {
            hosts,
            storages: vec![storage],
            ceilings: Vec::new(),
            cpu_overcommit: 1.0,
            under_way: Vec::new(),
            storage_under_way: Vec::new(),
        }
    }

    fn need(cpus: u32, memory_gib: u64) -> Need {
        Need {
            cpus,
            memory: memory_gib * GIB,
            overhead: 0,
        }
    }

    fn check(room: &PoolRoom, need: &Need, available: u32, limited_by: Limit) {
        let found = fit(room, need);
        assert_eq!(
            (found.available, found.limited_by),
            (available, Some(limited_by)),
            "{room:?}"
        );
    }

    #[test]
    fn the_overhead_is_the_one_the_facts_name() {
        assert_eq!(overhead(2, 4 * GIB), 37 * MIB);
    }

    #[test]
    fn each_limit_in_turn() {
        check(&room(vec![host(16, 4, 128, 8)]), &need(2, 2), 6, Limit::Cpu);
        check(&room(vec![host(16, 0, 16, 6)]), &need(1, 3), 3, Limit::Memory);
        // 1000 GiB less a tenth is 900: 45 disks of 20; and the base copy takes one more.
        check(&room(vec![host(512, 0, 4096, 0)]), &need(1, 1), 45, Limit::Storage);
        let mut with_base = room(vec![host(512, 0, 4096, 0)]);
        with_base.storages[0].base_copy = 5 * GIB;
        check(&with_base, &need(1, 1), 44, Limit::Storage);
        let mut capped = room(vec![host(16, 0, 128, 0)]);
        capped.ceilings = vec![Ceiling { max: 10, present: 7 }, Ceiling { max: 4, present: 2 }];
        check(&capped, &need(1, 1), 2, Limit::MaxServers);
        capped.ceilings = vec![Ceiling { max: 1, present: 2 }];
        check(&capped, &need(1, 1), 0, Limit::MaxServers);
        let mut disabled = room(vec![host(16, 0, 128, 0)]);
        disabled.hosts[0].usable = false;
        check(&disabled, &need(1, 1), 0, Limit::HostDisabled);
    }

    #[test]
    fn what_fits_on_no_single_host_does_not_fit() {
        check(
            &room(vec![host(16, 10, 128, 0), host(16, 10, 128, 0)]),
            &need(8, 1),
            0,
            Limit::Cpu,
        );
        check(
            &room(vec![host(16, 0, 16, 12), host(16, 0, 16, 12)]),
            &need(1, 6),
            0,
            Limit::Memory,
        );
    }

    #[test]
    fn only_hosts_that_see_the_storage_count() {
        let mut local = room(vec![host(16, 0, 128, 0), host(16, 0, 128, 0)]);
        local.hosts[1].storages.clear();
        check(&local, &need(2, 1), 8, Limit::Cpu);
        local.hosts[0].storages.clear();
        check(&local, &need(2, 1), 0, Limit::Storage);
    }

    #[test]
    fn overcommit_hands_out_more() {
        let mut double = room(vec![host(16, 0, 128, 0)]);
        double.cpu_overcommit = 1.5;
        check(&double, &need(2, 1), 12, Limit::Cpu);
    }

    #[test]
    fn what_is_under_way_counts() {
        let mut busy = room(vec![host(16, 0, 128, 0), host(16, 0, 128, 0)]);
        busy.under_way = vec![need(2, 1); 5];
        check(&busy, &need(2, 1), 11, Limit::Cpu);
        busy.under_way.clear();
        busy.hosts[0].cpus = 512;
        busy.storage_under_way = vec![800 * GIB];
        check(&busy, &need(1, 1), 5, Limit::Storage);
    }

    proptest! {
        #[test]
        fn one_more_server_under_way_never_makes_room(
            cpus in 1_u32..64, used in 0_u64..64, memory in 1_u64..256, memory_used in 0_u64..256,
            hosts in 1_usize..4, want_cpus in 1_u32..16, want_memory in 1_u64..32, under_way in 0_usize..6,
        ) {
            let mut room = room(vec![host(cpus, used, memory, memory_used); hosts]);
            let need = need(want_cpus, want_memory);
            room.under_way = vec![need; under_way];
            let before = fit(&room, &need).available;
            room.under_way.push(need);
            let after = fit(&room, &need).available;
            prop_assert!(after <= before);
            prop_assert!(before - after <= 1);
        }

        #[test]
        fn as_many_as_fit_fit_one_after_another(
            cpus in 1_u32..64, memory in 1_u64..256, hosts in 1_usize..4, want_cpus in 1_u32..8, want_memory in 1_u64..16,
        ) {
            let mut room = room(vec![host(cpus, 0, memory, 0); hosts]);
            room.storages[0].per_server = 0;
            let need = need(want_cpus, want_memory);
            let fits = fit(&room, &need).available;
            for left in (0..fits).rev() {
                room.under_way.push(need);
                prop_assert_eq!(fit(&room, &need).available, left);
            }
        }
    }
}
