//! The room that a pool's inventory shows for a kind of server, less what this process has under way.

use std::collections::BTreeMap;

use jiff::Timestamp;
use xenapi::{Host, Ref, Sr};

use super::formula::{Ceiling, HostRoom, Limit, PoolRoom, StorageRoom};
use super::kind::Kind;
use crate::config::PoolSettings;
use crate::inventory::Inventory;
use crate::pool::{Fabric, HostView, UnderWay};

/// A pool's room, and which host each row of it is.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) room: PoolRoom,
    pub(crate) hosts: Vec<Ref<Host>>,
    /// The only host that was asked for.
    pub(crate) asked: Option<Ref<Host>>,
    /// Servers of dynvm that are being created.
    pub(crate) in_progress: u32,
}

impl Room {
    /// Looks for it. `now` is the coordinator's time.
    pub(crate) fn of(
        inventory: &Inventory,
        settings: &PoolSettings,
        kind: &Kind,
        under_way: &[UnderWay],
        now: Timestamp,
    ) -> Self {
        let fabric = inventory.fabric();
        let coming = coming(inventory, under_way, now);
        let (hosts, mut rows): (Vec<_>, Vec<_>) = fabric
            .hosts()
            .map(|view| {
                let row = host_room(inventory, settings, kind, &view);
                (view.host.clone(), row)
            })
            .unzip();
        for load in &coming {
            put(&mut rows, &hosts, load);
        }
        let storages = kind.storage.iter().map(|(sr, per_server)| {
            let promised: u64 = coming.iter().filter_map(|load| load.storage.get(sr)).sum();
            let record = fabric.sr(sr);
            StorageRoom {
                name: record.map(|record| record.name_label.clone()).unwrap_or_default(),
                total: record.map_or(Some(0), |record| u64::try_from(record.physical_size).ok()),
                used: record.map_or(0, |record| bytes(record.physical_utilisation))
                    + inventory.servers().promised(sr)
                    + promised,
                per_server: *per_server,
                base_copy: kind.base_copy_bytes(sr, inventory.servers()),
            }
        });
        Self {
            room: PoolRoom {
                storages: storages.collect(),
                ceilings: ceilings(inventory, settings, kind, &coming),
                hosts: rows,
            },
            hosts,
            asked: kind.host.clone(),
            in_progress: in_progress(inventory, &coming, now),
        }
    }
}

/// What is about to be taken and the inventory does not show: each part until it is shown.
#[derive(Debug)]
struct Coming {
    cpus: u32,
    memory: u64,
    host: Option<Ref<Host>>,
    storage: BTreeMap<Ref<Sr>, u64>,
    os: Option<String>,
    is_server: bool,
}

/// The servers of this process that are under way, then those of others whose creation is not over.
fn coming(inventory: &Inventory, under_way: &[UnderWay], now: Timestamp) -> Vec<Coming> {
    let own = under_way.iter().map(|entry| {
        let vm = entry.vm.as_ref();
        let is_placed = vm.is_some_and(|vm| inventory.guests().is_placed(&vm.reference));
        let has_disks = vm.is_some_and(|vm| inventory.servers().has_own_disk(vm.uuid));
        Coming {
            cpus: if is_placed { 0 } else { entry.need.cpus },
            memory: if is_placed { 0 } else { entry.need.memory },
            host: entry.host.clone(),
            storage: if has_disks {
                BTreeMap::new()
            } else {
                entry.storage.clone()
            },
            os: entry.os.clone(),
            is_server: vm.is_none_or(|vm| inventory.guests().server(&vm.reference).is_none()),
        }
    });
    let is_own = |vm: &Ref<xenapi::Vm>| {
        let mut known = under_way.iter().filter_map(|entry| entry.vm.as_ref());
        known.any(|own| own.reference == *vm)
    };
    let others = inventory.guests().servers().filter_map(|(vm, born)| {
        let is_coming = born.creating_until.is_some_and(|until| until > now) && !inventory.guests().is_placed(vm);
        let uses = inventory.guests().needs_of(vm).filter(|_| is_coming && !is_own(vm))?;
        Some(Coming {
            cpus: u32::try_from(uses.cpus).unwrap_or(u32::MAX),
            memory: uses.memory,
            host: None,
            storage: BTreeMap::new(),
            os: None,
            is_server: false,
        })
    });
    own.chain(others).collect()
}

/// Puts it on its host, or where there is most room, as the pool itself would.
fn put(rows: &mut [HostRoom], hosts: &[Ref<Host>], load: &Coming) {
    let need = super::Need {
        cpus: load.cpus,
        memory: load.memory,
    };
    let at = match &load.host {
        Some(host) => hosts.iter().position(|known| known == host),
        None => {
            let open = rows.iter().enumerate().filter(|(_, row)| row.bar.is_none());
            open.max_by_key(|(_, row)| (row.takes(&need).available, row.memory_free()))
                .map(|(at, _)| at)
        }
    };
    if let Some(row) = at.and_then(|at| rows.get_mut(at)) {
        row.put(&need, 1);
    }
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
    }
}

/// Why a host takes no such server.
fn bar(fabric: &Fabric, kind: &Kind, view: &HostView<'_>) -> Option<Limit> {
    let is_asked = kind.host.as_ref().is_none_or(|host| host == view.host);
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

fn ceilings(inventory: &Inventory, settings: &PoolSettings, kind: &Kind, coming: &[Coming]) -> Vec<Ceiling> {
    let unseen = coming.iter().filter(|load| load.is_server).map(|load| &load.os);
    let oses = || {
        inventory
            .guests()
            .servers()
            .map(|(_, born)| &born.os)
            .chain(unseen.clone())
    };
    let ceiling = |max: u32, present: usize| Ceiling {
        max,
        present: u32::try_from(present).unwrap_or(u32::MAX),
    };
    let all = settings.max_servers.map(|max| ceiling(max, oses().count()));
    let by_os = kind.os.as_ref().and_then(|os| {
        let max = settings.max_servers_by_os.get(os)?;
        Some(ceiling(
            *max,
            oses().filter(|present| present.as_ref() == Some(os)).count(),
        ))
    });
    all.into_iter().chain(by_os).collect()
}

fn in_progress(inventory: &Inventory, coming: &[Coming], now: Timestamp) -> u32 {
    let servers = inventory.guests().servers();
    let seen = servers.filter(|(_, born)| born.creating_until.is_some_and(|until| until > now));
    let unseen = coming.iter().filter(|load| load.is_server);
    u32::try_from(seen.count() + unseen.count()).unwrap_or(u32::MAX)
}

fn handed_out(cpus: u32, overcommit: f64) -> u64 {
    // Whole vCPUs only; the product of two small numbers fits.
    (f64::from(cpus) * overcommit.max(0.0)).floor() as u64
}

fn bytes(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
