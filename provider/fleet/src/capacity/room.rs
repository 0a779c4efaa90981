//! The room that a pool's inventory shows for a kind of server, less what this process has under way.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use xenapi::{Host, Ref, Sr};

use super::coming::{Coming, coming, holds};
use super::formula::{Ceiling, HostRoom, Limit, Need, PoolRoom, StorageRoom};
use super::kind::{CeilingRule, Kind};
use crate::config::PoolSettings;
use crate::inventory::{Inventory, Use};
use crate::pool::{Fabric, HostView, Ours, UnderWay};
use crate::ticket::Hold;

/// A pool's room, and which host, SR and alias each row of it is about.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) room: PoolRoom,
    pub(crate) hosts: Vec<Ref<Host>>,
    srs: Vec<Ref<Sr>>,
    /// What the ceilings count, those of the pool and those of each host in their order.
    rules: Vec<CeilingRule>,
    /// The only hosts that were asked for.
    pub(crate) asked: Option<BTreeSet<Ref<Host>>>,
    /// Servers of dynvm that are being created.
    pub(crate) in_progress: u32,
    /// Servers for which reservations hold room.
    pub(crate) reserved: u32,
}

impl Room {
    /// The room beside what is shown and what is coming. `now` is the coordinator's time.
    pub(crate) fn of(inventory: &Inventory, settings: &PoolSettings, kind: &Kind, ours: &Ours, now: Timestamp) -> Self {
        let mut holds = holds(inventory, ours, now);
        // What a server is made in is no obstacle to it.
        let own = kind.reservation.as_ref().map(|(of, _)| *of);
        holds.retain(|hold| hold.reservation.is_none() || hold.reservation != own);
        let mut room = Self::shown(inventory, settings, kind);
        for load in coming(inventory, ours, &holds, now) {
            room.put(&load);
        }
        room.in_progress = in_progress(inventory, ours, &holds, now);
        room.reserved = reserved(&holds);
        room
    }

    /// The room beside what the inventory shows, and nothing else.
    pub(super) fn shown(inventory: &Inventory, settings: &PoolSettings, kind: &Kind) -> Self {
        let fabric = inventory.fabric();
        let (hosts, rows) = fabric
            .hosts()
            .map(|view| (view.host.clone(), host_room(inventory, settings, kind, &view)))
            .unzip();
        let storages = kind.storage.iter().map(|(sr, per_server)| {
            let record = fabric.sr(sr);
            StorageRoom {
                name: record.map(|record| record.name_label.clone()).unwrap_or_default(),
                total: record.map_or(Some(0), |record| u64::try_from(record.physical_size).ok()),
                used: record.map_or(0, |record| bytes(record.physical_utilisation)) + inventory.servers().promised(sr),
                per_server: *per_server,
                base_copy: kind.base_copy_bytes(sr, inventory.servers()),
            }
        });
        Self {
            room: PoolRoom {
                storages: storages.collect(),
                ceilings: ceilings(inventory, &kind.ceilings, None),
                hosts: rows,
            },
            hosts,
            srs: kind.storage.keys().cloned().collect(),
            rules: kind.ceilings.clone(),
            asked: kind.hosts.clone(),
            in_progress: 0,
            reserved: 0,
        }
    }

    /// The hosts that were asked for, with their rows.
    pub(super) fn asked_hosts(&self) -> impl Iterator<Item = (&Ref<Host>, &HostRoom)> {
        let rows = self.hosts.iter().zip(&self.room.hosts);
        rows.filter(|(host, _)| self.asked.as_ref().is_none_or(|asked| asked.contains(*host)))
    }

    /// The SRs with their rows.
    pub(super) fn storages(&self) -> impl Iterator<Item = (&Ref<Sr>, &StorageRoom)> {
        self.srs.iter().zip(&self.room.storages)
    }

    /// What so many servers take of it, one host filled after the other.
    pub(super) fn filled(&self, kind: &Kind, servers: u32) -> Vec<Coming> {
        let mut left = servers;
        let on_hosts = self.hosts.iter().zip(&self.room.hosts).map(|(host, row)| {
            let taken = row.takes(&kind.need).available.min(left);
            left -= taken;
            Coming {
                cpus: kind.need.cpus.saturating_mul(taken),
                memory: kind.need.memory.saturating_mul(u64::from(taken)),
                host: Some(host.clone()),
                os: kind.os.clone(),
                starting: taken,
                ..Coming::default()
            }
        });
        let mut all: Vec<Coming> = on_hosts.collect();
        let storage = kind.storage.iter();
        all.push(Coming {
            storage: storage
                .map(|(sr, bytes)| (sr.clone(), bytes.saturating_mul(u64::from(servers))))
                .collect(),
            os: kind.os.clone(),
            servers,
            ..Coming::default()
        });
        all
    }

    /// Takes the room of one server that needs this, on one host.
    pub(crate) fn hold_one(&mut self, on: usize, need: &Need) {
        if let Some(row) = self.room.hosts.get_mut(on) {
            row.put(need, 1);
        }
        for row in &mut self.room.storages {
            row.used += row.per_server;
        }
        for ceiling in &mut self.room.ceilings {
            ceiling.present = ceiling.present.saturating_add(1);
        }
    }

    /// Gives back what a guest takes of a host that is about to be stopped.
    pub(crate) fn give_back(&mut self, of: &Ref<Host>, uses: Use) {
        let rows = self.hosts.iter().zip(&mut self.room.hosts);
        for (_, row) in rows.filter(|(host, _)| *host == of) {
            row.cpus_used = row.cpus_used.saturating_sub(uses.cpus);
            row.memory_used = row.memory_used.saturating_sub(uses.memory);
        }
    }

    /// The room without some hosts.
    pub(crate) fn without(mut self, hosts: &[Ref<Host>]) -> Self {
        for (host, row) in self.hosts.iter().zip(&mut self.room.hosts) {
            if hosts.contains(host) {
                row.bar = Some(Limit::HostDisabled);
            }
        }
        self
    }

    /// Takes something more of it: on its host, or where there is most room, as the pool itself would.
    pub(super) fn put(&mut self, load: &Coming) {
        let rows = &mut self.room.hosts;
        let need = Need {
            cpus: load.cpus,
            memory: load.memory,
        };
        let at = match &load.host {
            Some(host) => self.hosts.iter().position(|known| known == host),
            None => {
                let open = rows.iter().enumerate().filter(|(_, row)| row.bar.is_none());
                let most = open.max_by_key(|(_, row)| (row.takes(&need).available, row.memory_free()));
                most.map(|(at, _)| at)
            }
        };
        if let Some(row) = at.and_then(|at| rows.get_mut(at)) {
            row.take(&need, 1);
            let rules = self
                .rules
                .iter()
                .filter(|rule| rule.host.is_some() && rule.host == load.host);
            count(rules, &mut row.ceilings, &load.os, load.starting);
        }
        for (sr, row) in self.srs.iter().zip(&mut self.room.storages) {
            row.used += load.storage.get(sr).copied().unwrap_or_default();
        }
        let rules = self.rules.iter().filter(|rule| rule.host.is_none());
        count(rules, &mut self.room.ceilings, &load.os, load.servers);
    }
}

/// Counts servers against the ceilings that count such.
fn count<'a>(
    rules: impl Iterator<Item = &'a CeilingRule>,
    ceilings: &mut [Ceiling],
    os: &Option<String>,
    servers: u32,
) {
    for (rule, ceiling) in rules.zip(ceilings) {
        if rule.os.is_none() || rule.os == *os {
            ceiling.present = ceiling.present.saturating_add(servers);
        }
    }
}

fn reserved(holds: &[Hold]) -> u32 {
    let held = holds
        .iter()
        .filter(|hold| hold.reservation.is_some())
        .map(|hold| hold.servers);
    held.fold(0, u32::saturating_add)
}

fn host_room(inventory: &Inventory, settings: &PoolSettings, kind: &Kind, view: &HostView<'_>) -> HostRoom {
    let cpus = view.record.cpu_info.get("cpu_count");
    let cpus = cpus.and_then(|count| count.parse().ok()).unwrap_or_default();
    let uses = inventory.guests().uses_of(view.host);
    let total = bytes(view.metrics.map_or(0, |metrics| metrics.memory_total));
    HostRoom {
        name: view.record.name_label.clone(),
        bar: bar(inventory.fabric(), kind, view),
        cpus,
        cpus_total: handed_out(cpus, settings.cpu_overcommit),
        cpus_used: uses.cpus,
        memory_total: total.saturating_sub(bytes(view.record.memory_overhead)),
        memory_used: uses.memory,
        ceilings: ceilings(inventory, &kind.ceilings, Some(view.host)),
    }
}

/// Why a host takes no such server.
fn bar(fabric: &Fabric, kind: &Kind, view: &HostView<'_>) -> Option<Limit> {
    let is_asked = kind.is_for(view.host);
    if !view.is_usable || !is_asked {
        Some(Limit::HostDisabled)
    } else if !kind.storage.keys().all(|sr| fabric.sees(view.host, sr)) {
        Some(Limit::Storage)
    } else if !kind
        .networks
        .iter()
        .all(|network| fabric.has_network(view.host, network))
    {
        Some(Limit::Network)
    } else {
        None
    }
}

/// The ceilings of a host, or of the whole pool, with the servers that count there: on a host those that run there or are about to.
fn ceilings(inventory: &Inventory, rules: &[CeilingRule], on: Option<&Ref<Host>>) -> Vec<Ceiling> {
    let servers = inventory.guests().servers();
    let held = rules.iter().filter(|rule| rule.host.as_ref() == on);
    let ceiling = |rule: &CeilingRule| Ceiling {
        max: rule.max,
        present: servers.count(rule.os.as_ref(), rule.host.as_ref()),
    };
    held.map(ceiling).collect()
}

/// The servers that are being created: those that are there, those of this process that are not, and those that others hold tickets
/// for.
fn in_progress(inventory: &Inventory, ours: &Ours, holds: &[Hold], now: Timestamp) -> u32 {
    let servers = inventory.guests().servers();
    let seen = servers
        .in_creation()
        .filter(|(_, born)| born.creating_until.is_some_and(|until| until > now));
    let is_there = |entry: &&Arc<UnderWay>| {
        let vm = entry.vm.as_ref();
        vm.is_none_or(|vm| servers.get(&vm.reference).is_none())
    };
    let own = ours.servers.iter().filter(is_there);
    let counted = u32::try_from(seen.count() + own.count()).unwrap_or(u32::MAX);
    let counted = ours.imagined.count().saturating_add(counted);
    let held = holds
        .iter()
        .filter(|hold| hold.reservation.is_none())
        .map(|hold| hold.servers);
    held.fold(counted, u32::saturating_add)
}

fn handed_out(cpus: u32, overcommit: f64) -> u64 {
    // Whole vCPUs only; the product of two small numbers fits.
    (f64::from(cpus) * overcommit.max(0.0)).floor() as u64
}

fn bytes(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
