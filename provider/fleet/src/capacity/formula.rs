//! How many servers of a kind fit into a pool: a pure function of what the pool shows.
//!
//! Per host the smaller of CPU and memory, then capped by each SR over all hosts that see it, then by the ceilings. CPU
//! counts every running guest, foreign ones too, not the control domain; memory is the pool's own formula, control domain
//! included. A tenth of an SR and one base copy are kept free, and thin disks count with what they may still grow by.

use std::fmt;

/// The part of an SR that is kept free.
const KEPT_FREE: u64 = 10;

/// What one server needs of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// vCPUs.
    pub cpus: u32,
    /// Bytes of memory, the hypervisor's overhead included.
    pub memory: u64,
}

/// A host with what is used of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRoom {
    /// The host's name.
    pub name: String,
    /// Why it takes none of these servers, if so.
    pub bar: Option<Limit>,
    /// Physical CPUs.
    pub cpus: u32,
    /// vCPUs that may be handed out.
    pub cpus_total: u64,
    /// vCPUs of its running guests, and of what is about to run there.
    pub cpus_used: u64,
    /// Bytes of memory, without the hypervisor's own.
    pub memory_total: u64,
    /// Bytes of memory of what is resident or about to be, control domain included.
    pub memory_used: u64,
    /// The ceilings that hold on this host alone.
    pub ceilings: Vec<Ceiling>,
}

/// An SR with what is used of it, and what one server puts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRoom {
    /// The SR's name.
    pub name: String,
    /// Its size in bytes; `None` if it does not know: then it limits nothing.
    pub total: Option<u64>,
    /// Used bytes, and bytes that are promised.
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
}

/// What limits the number of servers that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// The hosts' CPUs.
    Cpu,
    /// The hosts' memory.
    Memory,
    /// An SR: its space, or that no usable host sees it.
    Storage,
    /// A ceiling in the configuration.
    MaxServers,
    /// The template is not there.
    Template,
    /// No host with the network takes new guests.
    Network,
    /// No host, or not the one asked for, takes new guests.
    HostDisabled,
}

/// How many fit, and what is in the way of more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// How many servers fit.
    pub available: u32,
    /// What keeps it from being more.
    pub limited_by: Limit,
}

impl HostRoom {
    /// Free vCPUs.
    pub fn cpus_free(&self) -> u64 {
        self.cpus_total.saturating_sub(self.cpus_used)
    }

    /// Free bytes of memory.
    pub fn memory_free(&self) -> u64 {
        self.memory_total.saturating_sub(self.memory_used)
    }

    /// How many servers it takes, and what is in the way of more.
    pub fn takes(&self, need: &Need) -> Fit {
        let none = |limited_by| Fit {
            available: 0,
            limited_by,
        };
        if let Some(bar) = self.bar {
            return none(bar);
        }
        // The pool starts no guest with more vCPUs than the host has CPUs, whatever is handed out in all.
        if need.cpus > self.cpus {
            return none(Limit::Cpu);
        }
        let by_cpu = self.cpus_free() / u64::from(need.cpus.max(1));
        let by_memory = self.memory_free() / need.memory.max(1);
        let (available, limited_by) = if by_memory <= by_cpu {
            (by_memory, Limit::Memory)
        } else {
            (by_cpu, Limit::Cpu)
        };
        let ceiling = self.ceilings.iter().map(Ceiling::left).min();
        match ceiling.filter(|left| u64::from(*left) <= available) {
            Some(available) => Fit {
                available,
                limited_by: Limit::MaxServers,
            },
            None => Fit {
                available: clamped(available),
                limited_by,
            },
        }
    }

    /// Puts so many servers there.
    pub fn put(&mut self, need: &Need, servers: u32) {
        self.take(need, servers);
        for ceiling in &mut self.ceilings {
            ceiling.present = ceiling.present.saturating_add(servers);
        }
    }

    /// Takes the CPU and memory of so many servers.
    pub fn take(&mut self, need: &Need, servers: u32) {
        self.cpus_used += u64::from(need.cpus) * u64::from(servers);
        self.memory_used += need.memory * u64::from(servers);
    }
}

impl StorageRoom {
    /// Free bytes, without those that are kept free.
    pub fn free(&self) -> u64 {
        let total = self.total.unwrap_or_default();
        let kept = total / KEPT_FREE + self.base_copy;
        total.saturating_sub(self.used).saturating_sub(kept)
    }

    /// How many servers it takes.
    pub fn takes(&self) -> u32 {
        match (self.total, self.per_server) {
            (None, _) | (_, 0) => u32::MAX,
            (Some(_), per_server) => clamped(self.free() / per_server),
        }
    }
}

impl Ceiling {
    /// How many more servers it allows.
    pub fn left(&self) -> u32 {
        self.max.saturating_sub(self.present)
    }
}

impl PoolRoom {
    /// Says how many servers that need this fit.
    pub fn fit(&self, need: &Need) -> Fit {
        let by_hosts = self.fit_on_hosts(need);
        let storages = self.storages.iter().map(|storage| (storage.takes(), Limit::Storage));
        let ceilings = self.ceilings.iter().map(|ceiling| (ceiling.left(), Limit::MaxServers));
        // Of limits that are equal the one counts that is nearest to being changed: a setting, then what is full.
        let bounds = ceilings
            .chain([(by_hosts.available, by_hosts.limited_by)])
            .chain(storages);
        let least = bounds.min_by_key(|(bound, _)| *bound);
        let (available, limited_by) = least.unwrap_or((0, Limit::HostDisabled));
        Fit { available, limited_by }
    }

    fn fit_on_hosts(&self, need: &Need) -> Fit {
        let fits: Vec<Fit> = self.hosts.iter().map(|host| host.takes(need)).collect();
        let total = |of: Limit| {
            self.hosts
                .iter()
                .zip(&fits)
                .filter(move |(_, fit)| fit.limited_by == of)
                .count()
        };
        let sum = fits.iter().fold(0_u32, |sum, fit| sum.saturating_add(fit.available));
        // What is in the way on most hosts that take guests at all; if there is none, what keeps most of them from it.
        let open = [Limit::Memory, Limit::Cpu, Limit::MaxServers];
        let barred = [Limit::Storage, Limit::Network, Limit::HostDisabled];
        let most = |limits: &[Limit]| {
            let counted = limits
                .iter()
                .map(|limit| (total(*limit), *limit))
                .filter(|(hosts, _)| *hosts > 0);
            counted
                .max_by_key(|(hosts, limit)| (*hosts, std::cmp::Reverse(*limit)))
                .map(|(_, limit)| limit)
        };
        Fit {
            available: sum,
            limited_by: most(&open).or_else(|| most(&barred)).unwrap_or(Limit::HostDisabled),
        }
    }
}

fn clamped(servers: u64) -> u32 {
    u32::try_from(servers).unwrap_or(u32::MAX)
}

impl Limit {
    /// The word for it in Terraform's values.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Cpu => "cpu",
            Limit::Memory => "memory",
            Limit::Storage => "storage",
            Limit::MaxServers => "max_servers",
            Limit::Template => "template",
            Limit::Network => "network",
            Limit::HostDisabled => "host_disabled",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
            bar: None,
            cpus,
            cpus_total: u64::from(cpus),
            cpus_used,
            memory_total: memory_gib * GIB,
            memory_used: memory_used_gib * GIB,
            ceilings: Vec::new(),
        }
    }

    fn room(hosts: Vec<HostRoom>) -> PoolRoom {
        let storage = StorageRoom {
            name: "ssd".into(),
            total: Some(1000 * GIB),
            used: 0,
            per_server: 20 * GIB,
            base_copy: 0,
        };
        PoolRoom {
            hosts,
            storages: vec![storage],
            ceilings: Vec::new(),
        }
    }

    fn need(cpus: u32, memory_gib: u64) -> Need {
        Need {
            cpus,
            memory: memory_gib * GIB,
        }
    }

    fn check(room: &PoolRoom, need: &Need, available: u32, limited_by: Limit) {
        assert_eq!(room.fit(need), Fit { available, limited_by }, "{room:?}");
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
        with_base.storages[0].total = None;
        check(&with_base, &need(1, 1), 512, Limit::Cpu);
        let mut capped = room(vec![host(16, 0, 128, 0)]);
        capped.ceilings = vec![Ceiling { max: 10, present: 7 }, Ceiling { max: 4, present: 2 }];
        check(&capped, &need(1, 1), 2, Limit::MaxServers);
        capped.ceilings = vec![Ceiling { max: 1, present: 2 }];
        check(&capped, &need(1, 1), 0, Limit::MaxServers);
    }

    #[test]
    fn a_host_that_is_barred_takes_none() {
        for bar in [Limit::HostDisabled, Limit::Storage, Limit::Network] {
            let mut two = room(vec![host(16, 0, 128, 0), host(8, 0, 128, 0)]);
            two.hosts[0].bar = Some(bar);
            check(&two, &need(2, 1), 4, Limit::Cpu);
            two.hosts[1].bar = Some(bar);
            check(&two, &need(2, 1), 0, bar);
        }
        check(&room(Vec::new()), &need(2, 1), 0, Limit::HostDisabled);
    }

    #[test]
    fn what_fits_on_no_single_host_does_not_fit() {
        let check = |hosts: [HostRoom; 2], need: Need, limit| check(&room(hosts.into()), &need, 0, limit);
        check([host(16, 10, 128, 0), host(16, 10, 128, 0)], need(8, 1), Limit::Cpu);
        check([host(16, 0, 16, 12), host(16, 0, 16, 12)], need(1, 6), Limit::Memory);
        let mut handed_out = host(4, 0, 128, 0);
        handed_out.cpus_total = 40;
        check([handed_out.clone(), handed_out], need(8, 1), Limit::Cpu);
    }

    proptest! {
        #[test]
        fn one_more_server_takes_exactly_one_place(
            hosts in proptest::collection::vec((1_u32..64, 0_u64..64, 1_u64..256, 0_u64..256), 1..4),
            want_cpus in 1_u32..16, want_memory in 1_u64..32, max in 0_u32..20,
        ) {
            let hosts = hosts.into_iter().map(|(cpus, used, memory, memory_used)| host(cpus, used, memory, memory_used));
            let mut room = room(hosts.collect());
            room.ceilings = vec![Ceiling { max, present: 0 }];
            let need = need(want_cpus, want_memory);
            for left in (0..room.fit(&need).available).rev() {
                let takes = room.hosts.iter().position(|host| host.takes(&need).available > 0);
                room.hosts[takes.unwrap()].put(&need, 1);
                room.storages[0].used += 20 * GIB;
                room.ceilings[0].present += 1;
                prop_assert_eq!(room.fit(&need).available, left);
            }
        }
    }
}
