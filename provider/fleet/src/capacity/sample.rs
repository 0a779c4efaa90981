//! What a pool shows of its use, at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xenapi::{Filter, Host, PowerState, Ref, Uuid, Vm, VmRecord};

use super::formula::{Ceiling, HostRoom, PoolRoom, StorageRoom, fit};
use super::{Kind, PoolCapacity, overhead};
use crate::error::{Error, VmName};
use crate::lease::{Expiry, PREFIX, VmMarks};
use crate::pool::{Inventory, Member};

/// How long a listing of a whole pool may take.
const LISTING: Duration = Duration::from_secs(60);
/// How old the hosts and SRs of a sample may be.
const INVENTORY: Duration = Duration::from_secs(5);

/// A pool's use.
pub(crate) struct Sample {
    inventory: Arc<Inventory>,
    taken: Instant,
    used: BTreeMap<Ref<Host>, Use>,
    running: BTreeSet<Uuid>,
    servers: BTreeMap<Uuid, Server>,
}

/// What guests use of a host.
#[derive(Default)]
struct Use {
    cpus: u64,
    memory: u64,
}

/// A server of dynvm, as far as it counts.
struct Server {
    os: Option<String>,
    is_in_progress: bool,
}

impl Sample {
    /// Takes it: the small classes, and all VMs that are no templates, of which only sums are kept.
    pub(crate) async fn take(member: &Arc<Member>) -> Result<Self, Error> {
        let inventory = member.inventory_within(INVENTORY).await?;
        let mut sample = Self {
            inventory,
            taken: Instant::now(),
            used: BTreeMap::new(),
            running: BTreeSet::new(),
            servers: BTreeMap::new(),
        };
        let vms = Filter::is_false("is_a_template");
        let listed = member
            .client()?
            .vm()
            .each_where(&vms, LISTING, |_: Ref<Vm>, vm| sample.count(&vm))
            .await;
        listed.map_err(|cause| Error::call("listing VMs", VmName::unknown(), cause))?;
        Ok(sample)
    }

    /// The room for a kind of server, less what this process has under way.
    pub(crate) fn capacity(&self, member: &Member, kind: &Kind) -> PoolCapacity {
        let under_way = member.ledger.unseen(self.taken, &self.running);
        let (present, of_os) = self.present(&under_way, kind);
        let mut room = self.room(kind);
        room.cpu_overcommit = member.settings.cpu_overcommit;
        room.under_way = under_way.iter().map(|entry| entry.need).collect();
        let taken = |sr| {
            under_way
                .iter()
                .flat_map(|entry| &entry.storage)
                .filter(|(of, _)| of == sr)
                .map(|(_, bytes)| bytes)
                .sum()
        };
        room.storage_under_way = kind.storage.keys().map(taken).collect();
        let ceiling = |max: u32, present| Ceiling { max, present };
        room.ceilings
            .extend(member.settings.max_servers.map(|max| ceiling(max, present)));
        let by_os = kind
            .os
            .as_ref()
            .and_then(|os| member.settings.max_servers_by_os.get(os));
        room.ceilings.extend(by_os.map(|max| ceiling(*max, of_os)));
        let fit = fit(&room, &kind.need);
        PoolCapacity {
            pool: member.name().to_owned(),
            available: fit.available,
            limited_by: fit.limited_by,
            cpus_free: fit.cpus_free,
            cpus_total: fit.cpus_total,
            memory_free_mib: fit.memory_free >> 20,
            memory_total_mib: fit.memory_total >> 20,
            storage_free_bytes: fit.storage_free,
            storage_total_bytes: fit.storage_total,
            in_progress: self.in_progress(&under_way),
        }
    }

    fn count(&mut self, vm: &VmRecord) {
        let bytes = |value: i64| u64::try_from(value).unwrap_or_default();
        let cpus = u32::try_from(vm.vcpus_at_startup).unwrap_or_default();
        let extra = match vm.memory_overhead {
            0 if !vm.is_control_domain => overhead(cpus, bytes(vm.memory_static_max)),
            known => bytes(known),
        };
        // One that migrates is on both hosts, as the pool counts.
        let hosts: BTreeSet<&Ref<Host>> = [&vm.resident_on, &vm.scheduled_to_be_resident_on]
            .into_iter()
            .filter_map(Ref::non_null)
            .collect();
        for host in hosts {
            let used = self.used.entry(host.clone()).or_default();
            used.memory += bytes(vm.memory_dynamic_min) + extra;
            if !vm.is_control_domain {
                used.cpus += u64::from(cpus);
                self.running.insert(vm.uuid);
            }
        }
        if vm.other_config.keys().any(|key| key.starts_with(PREFIX)) {
            self.count_server(vm);
        }
    }

    fn count_server(&mut self, vm: &VmRecord) {
        let keys = vm
            .other_config
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let marks = VmMarks::read(&vm.uuid, vm.tags.iter().map(String::as_str), keys);
        if marks.is_managed() {
            let is_in_progress =
                matches!(marks.expiry(), Expiry::Creating(_)) && vm.power_state != PowerState::Suspended;
            let os = marks.spec().and_then(|spec| spec.os.clone());
            self.servers.insert(vm.uuid, Server { os, is_in_progress });
        }
    }

    /// How many servers there are or will be, in all and of the kind's os.
    fn present(&self, under_way: &[crate::pool::Entry], kind: &Kind) -> (u32, u32) {
        let unseen = under_way
            .iter()
            .filter(|entry| !entry.vm.is_some_and(|vm| self.servers.contains_key(&vm)));
        let oses: Vec<&Option<String>> = self
            .servers
            .values()
            .map(|server| &server.os)
            .chain(unseen.map(|entry| &entry.os))
            .collect();
        let of_os = oses.iter().filter(|os| kind.os.is_some() && ***os == kind.os).count();
        (
            u32::try_from(oses.len()).unwrap_or(u32::MAX),
            u32::try_from(of_os).unwrap_or(u32::MAX),
        )
    }

    fn in_progress(&self, under_way: &[crate::pool::Entry]) -> u32 {
        let seen = self.servers.values().filter(|server| server.is_in_progress).count();
        let unseen = under_way
            .iter()
            .filter(|entry| !entry.vm.is_some_and(|vm| self.servers.contains_key(&vm)));
        u32::try_from(seen + unseen.count()).unwrap_or(u32::MAX)
    }

    fn room(&self, kind: &Kind) -> PoolRoom {
        let bytes = |value: i64| u64::try_from(value).unwrap_or_default();
        let hosts = self.inventory.hosts().map(|(host, record, metrics, usable)| {
            let used = self.used.get(host);
            let seen = kind
                .storage
                .keys()
                .enumerate()
                .filter(|(_, sr)| self.inventory.sees(host, sr));
            HostRoom {
                name: record.name_label.clone(),
                usable,
                cpus: record
                    .cpu_info
                    .get("cpu_count")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or_default(),
                cpus_used: used.map_or(0, |used| used.cpus),
                memory_total: bytes(metrics.map_or(0, |metrics| metrics.memory_total))
                    .saturating_sub(bytes(record.memory_overhead)),
                memory_used: used.map_or(0, |used| used.memory),
                storages: seen.map(|(index, _)| index).collect(),
            }
        });
        let storages = kind.storage.iter().map(|(sr, per_server)| {
            let record = self.inventory.sr(sr);
            StorageRoom {
                total: record.map_or(0, |record| bytes(record.physical_size)),
                used: record.map_or(0, |record| bytes(record.physical_utilisation)),
                // An SR that does not know its size limits nothing.
                per_server: if record.is_some_and(|record| record.physical_size < 0) {
                    0
                } else {
                    *per_server
                },
                base_copy: kind.base_copies.get(sr).copied().unwrap_or_default(),
            }
        });
        PoolRoom {
            hosts: hosts.collect(),
            storages: storages.collect(),
            ceilings: Vec::new(),
            cpu_overcommit: 1.0,
            under_way: Vec::new(),
            storage_under_way: Vec::new(),
        }
    }
}
