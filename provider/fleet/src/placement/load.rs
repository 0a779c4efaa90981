//! How loaded a pool or a host would be with one server more: pure functions of the room that is there.
//!
//! The load is the used part of the scarcest resource. Of places that are equal in it the one counts that is less loaded by the other
//! resources, then the first: so equal hosts are filled in turn.

use crate::capacity::{HostRoom, Need, PoolRoom, StorageRoom};

/// The used parts of all resources, the scarcest first.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
struct Load(Vec<f64>);

impl Load {
    fn of(parts: impl Iterator<Item = f64>) -> Self {
        let mut parts: Vec<f64> = parts.collect();
        parts.sort_by(|a, b| b.total_cmp(a));
        Self(parts)
    }

    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let parts = self.0.iter().zip(&other.0).map(|(a, b)| a.total_cmp(b));
        parts.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    }
}

/// The pool that is least loaded with one server more, of those that have room for it.
pub(crate) fn least_loaded(pools: &[(&PoolRoom, &Need)]) -> Option<usize> {
    let with_room = pools
        .iter()
        .enumerate()
        .filter(|(_, (room, need))| room.fit(need).available > 0);
    with_room
        .map(|(at, (room, need))| (at, load_of_pool(room, need)))
        .min_by(|(_, a), (_, b)| a.cmp(b))
        .map(|(at, _)| at)
}

/// The hosts that have room for a server, the least loaded first.
pub(crate) fn hosts_in_order(room: &PoolRoom, need: &Need) -> Vec<usize> {
    let with_room = room
        .hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| host.takes(need).available > 0);
    let mut hosts: Vec<(usize, Load)> = with_room.map(|(at, host)| (at, load_of_host(host, need))).collect();
    hosts.sort_by(|(_, a), (_, b)| a.cmp(b));
    hosts.into_iter().map(|(at, _)| at).collect()
}

fn load_of_pool(room: &PoolRoom, need: &Need) -> Load {
    let open = || room.hosts.iter().filter(|host| host.bar.is_none());
    let cpus = part(
        open().map(|host| host.cpus_used).sum::<u64>() + u64::from(need.cpus),
        open().map(|host| host.cpus_total).sum(),
    );
    let memory = part(
        open().map(|host| host.memory_used).sum::<u64>() + need.memory,
        open().map(|host| host.memory_total).sum(),
    );
    let of_storage = |storage: &StorageRoom| {
        storage
            .total
            .map(|total| part(storage.used + storage.per_server, total))
    };
    let storages = room.storages.iter().filter_map(of_storage);
    let ceilings = room
        .ceilings
        .iter()
        .map(|ceiling| part(u64::from(ceiling.present) + 1, u64::from(ceiling.max)));
    Load::of([cpus, memory].into_iter().chain(storages).chain(ceilings))
}

fn load_of_host(host: &HostRoom, need: &Need) -> Load {
    let cpus = part(host.cpus_used + u64::from(need.cpus), host.cpus_total);
    let memory = part(host.memory_used + need.memory, host.memory_total);
    Load::of([cpus, memory].into_iter())
}

/// The used part of a whole; of nothing more than all is used.
fn part(used: u64, total: u64) -> f64 {
    used as f64 / (total.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capacity::{Ceiling, Limit};

    const GIB: u64 = 1 << 30;
    const NEED: Need = Need {
        cpus: 2,
        memory: 2 * GIB,
    };

    fn host(cpus_used: u64, memory_used_gib: u64) -> HostRoom {
        HostRoom {
            name: String::new(),
            bar: None,
            cpus: 16,
            cpus_total: 16,
            cpus_used,
            memory_total: 64 * GIB,
            memory_used: memory_used_gib * GIB,
            ceilings: Vec::new(),
        }
    }

    fn pool(hosts: Vec<HostRoom>) -> PoolRoom {
        PoolRoom {
            hosts,
            storages: Vec::new(),
            ceilings: Vec::new(),
        }
    }

    fn check(pools: &[PoolRoom], expect: Option<usize>) {
        let offers: Vec<_> = pools.iter().map(|room| (room, &NEED)).collect();
        assert_eq!(least_loaded(&offers), expect, "{pools:?}");
    }

    #[test]
    fn the_scarcest_resource_decides() {
        check(&[], None);
        check(&[pool(vec![host(15, 0)]), pool(vec![host(0, 63)])], None);
        // 12 of 16 vCPUs weigh more than 40 of 64 GiB.
        check(&[pool(vec![host(12, 0)]), pool(vec![host(0, 40)])], Some(1));
        check(&[pool(vec![host(4, 0)]), pool(vec![host(4, 0)])], Some(0));
        check(&[pool(vec![host(4, 0)]), pool(vec![host(4, 0), host(4, 0)])], Some(1));
        let mut capped = pool(vec![host(0, 0)]);
        capped.ceilings = vec![Ceiling { max: 4, present: 2 }];
        check(&[capped, pool(vec![host(8, 0)])], Some(1));
    }

    #[test]
    fn hosts_are_tried_from_the_emptiest_on_and_full_or_barred_ones_never() {
        let mut barred = host(0, 0);
        barred.bar = Some(Limit::HostDisabled);
        let room = pool(vec![host(8, 0), host(16, 0), host(0, 1), barred, host(0, 0)]);
        assert_eq!(hosts_in_order(&room, &NEED), [4, 2, 0]);
    }

    proptest! {
        #[test]
        fn equal_hosts_differ_by_at_most_one(pools in 1_usize..5, hosts in 1_usize..5, servers in 0_usize..60) {
            let mut rooms = vec![pool(vec![host(0, 0); hosts]); pools];
            let mut counts = vec![vec![0_u32; hosts]; pools];
            for _ in 0..servers {
                let offers: Vec<_> = rooms.iter().map(|room| (room, &NEED)).collect();
                let Some(at) = least_loaded(&offers) else { break };
                let on = hosts_in_order(&rooms[at], &NEED)[0];
                rooms[at].hosts[on].put(&NEED, 1);
                counts[at][on] += 1;
            }
            let all: Vec<u32> = counts.into_iter().flatten().collect();
            prop_assert!(all.iter().max().unwrap() - all.iter().min().unwrap() <= 1, "{all:?}");
        }
    }
}
