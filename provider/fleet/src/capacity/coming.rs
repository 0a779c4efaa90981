//! What is about to be taken of a pool and its inventory does not show yet: each part counts until it is shown, and not a moment
//! longer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::{Host, Ref, Sr, Vm};

use crate::inventory::{Born, Inventory};
use crate::pool::{Fabric, Ours, UnderWay};
use crate::ticket::{self, Hold, PerServer};

/// Something that is about to be taken.
#[derive(Debug, Default)]
pub(super) struct Coming {
    pub(super) cpus: u32,
    pub(super) memory: u64,
    pub(super) host: Option<Ref<Host>>,
    pub(super) storage: BTreeMap<Ref<Sr>, u64>,
    pub(super) os: Option<String>,
    /// How many servers that are not there yet it stands for.
    pub(super) servers: u32,
    /// How many that are not on their host yet.
    pub(super) starting: u32,
}

/// What the tickets of others hold. The ledger knows better what this process's own stand for.
pub(super) fn holds(inventory: &Inventory, ours: &Ours, now: Timestamp) -> Vec<Hold> {
    let board = inventory.board().without(|id| ours.tickets.contains(&id));
    ticket::holds(&board, now, &inventory.served())
}

/// The servers of this process that are under way, what the tickets of others hold, and servers of others that are being created
/// without a ticket.
pub(super) fn coming(inventory: &Inventory, ours: &Ours, holds: &[Hold], now: Timestamp) -> Vec<Coming> {
    let is_held = |of: Ulid| holds.iter().any(|hold| hold.reservation == Some(of));
    let own = ours.servers.iter().map(|entry| match entry.reservation {
        Some(of) if is_held(of) => of_drawn(inventory, entry),
        Some(_) | None => of_own(inventory, entry),
    });
    let mut all: Vec<Coming> = own.collect();
    all.extend(holds.iter().flat_map(|hold| of_hold(inventory.fabric(), hold)));
    let is_own = |vm: &Ref<Vm>| {
        let mut known = ours.servers.iter().filter_map(|entry| entry.vm.as_ref());
        known.any(|own| own.reference == *vm)
    };
    let others = inventory.guests().servers().filter(|(vm, _)| !is_own(vm));
    all.extend(others.flat_map(|(vm, born)| of_other(inventory, (vm, born), now)));
    all
}

fn of_own(inventory: &Inventory, entry: &UnderWay) -> Coming {
    let vm = entry.vm.as_ref();
    let is_placed = vm.is_some_and(|vm| inventory.guests().is_placed(&vm.reference));
    let has_disks = vm.is_some_and(|vm| inventory.servers().has_own_disk(vm.uuid));
    let is_there = vm.is_some_and(|vm| inventory.guests().server(&vm.reference).is_some());
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
        servers: u32::from(!is_there),
        starting: u32::from(!is_placed),
    }
}

/// A server of this process that is made in a reservation which holds its room: what it takes is counted there, but for its disks
/// between its marks and theirs.
fn of_drawn(inventory: &Inventory, entry: &UnderWay) -> Coming {
    let there = entry
        .vm
        .as_ref()
        .filter(|vm| inventory.guests().server(&vm.reference).is_some());
    let is_without_disks = there.is_some_and(|vm| !inventory.servers().has_own_disk(vm.uuid));
    Coming {
        storage: if is_without_disks {
            entry.storage.clone()
        } else {
            BTreeMap::new()
        },
        ..Coming::default()
    }
}

/// What a ticket holds, by host; then what it holds of SRs and under ceilings.
pub(super) fn of_hold(fabric: &Fabric, hold: &Hold) -> Vec<Coming> {
    let each = &hold.each;
    let hosts = fabric
        .hosts()
        .map(|view| (view.record.uuid, view.host.clone()))
        .collect::<BTreeMap<_, _>>();
    let on_hosts = hold.hosts.iter().map(|(host, servers)| Coming {
        cpus: each.vcpus.saturating_mul(*servers),
        memory: each.memory_bytes.saturating_mul(u64::from(*servers)),
        host: hosts.get(host).cloned(),
        os: each.os.clone(),
        starting: *servers,
        ..Coming::default()
    });
    let there = Coming {
        storage: disks(fabric, each, hold.servers),
        os: each.os.clone(),
        servers: hold.servers,
        ..Coming::default()
    };
    on_hosts.filter(|load| load.host.is_some()).chain([there]).collect()
}

/// A server of another process: what it is going to take, if no ticket holds that.
pub(super) fn of_other(inventory: &Inventory, (vm, born): (&Ref<Vm>, &Born), now: Timestamp) -> Option<Coming> {
    let board = inventory.board();
    let needs = born.ticket.and_then(|ticket| board.needs_of(ticket));
    // Between its marks and those of its disks the ticket has let go of the disks already.
    let storage = needs
        .filter(|_| !inventory.servers().has_own_disk(born.vm))
        .map(|needs| disks(inventory.fabric(), needs, 1));
    let is_held = board.live(now).any(|(_, ticket)| Some(ticket.id) == born.ticket);
    let is_coming = born.creating_until.is_some_and(|until| until > now) && !inventory.guests().is_placed(vm);
    let uses = inventory.guests().needs_of(vm).filter(|_| is_coming && !is_held);
    (storage.is_some() || uses.is_some()).then(|| Coming {
        cpus: uses.map_or(0, |uses| u32::try_from(uses.cpus).unwrap_or(u32::MAX)),
        memory: uses.map_or(0, |uses| uses.memory),
        storage: storage.unwrap_or_default(),
        ..Coming::default()
    })
}

fn disks(fabric: &Fabric, each: &PerServer, servers: u32) -> BTreeMap<Ref<Sr>, u64> {
    let known = fabric.srs().iter().filter_map(|(sr, record)| {
        let bytes = each.disk_bytes.get(&record.uuid)?;
        Some((sr.clone(), bytes.saturating_mul(u64::from(servers))))
    });
    known.collect()
}
