//! What is about to be taken of a pool and its inventory does not show yet: each part counts until it is shown, and not a moment
//! longer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::{Host, Ref, Sr, Vm};

use crate::inventory::{Born, Inventory, Use};
use crate::pool::{Fabric, Imagined, Ours, UnderWay};
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
    ticket::holds(&board, now, &inventory.served(&board))
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
    all.extend(of_imagined(&ours.imagined));
    all.extend(holds.iter().flat_map(|hold| of_hold(inventory.fabric(), hold)));
    let known = ours.servers.iter().filter_map(|entry| entry.vm.as_ref());
    let known: BTreeSet<&Ref<Vm>> = known.map(|vm| &vm.reference).collect();
    all.extend(of_others(inventory, &known, now));
    all
}

fn of_own(inventory: &Inventory, entry: &UnderWay) -> Coming {
    let vm = entry.vm.as_ref();
    let shown = vm.and_then(|vm| inventory.guests().place_of(&vm.reference));
    // One that is to start again elsewhere takes nothing there yet.
    let shown = shown.filter(|(host, _)| entry.host.is_none() || entry.host.as_ref() == Some(host));
    let uses = shown.as_ref().map_or(Use::default(), |(_, uses)| *uses);
    let has_disks = vm.is_some_and(|vm| inventory.servers().has_own_disk(vm.uuid));
    let is_there = vm.is_some_and(|vm| inventory.guests().servers().get(&vm.reference).is_some());
    Coming {
        // Of one that is about to grow, what it does not take yet.
        cpus: entry
            .need
            .cpus
            .saturating_sub(u32::try_from(uses.cpus).unwrap_or(u32::MAX)),
        memory: entry.need.memory.saturating_sub(uses.memory),
        host: entry.host.clone(),
        storage: if has_disks {
            BTreeMap::new()
        } else {
            entry.storage.clone()
        },
        os: entry.os.clone(),
        servers: u32::from(!is_there),
        starting: u32::from(shown.is_none()),
    }
}

/// A server of this process that is made in a reservation which holds its room: what it takes is counted there, but for its disks
/// between its marks and theirs.
fn of_drawn(inventory: &Inventory, entry: &UnderWay) -> Coming {
    let there = entry
        .vm
        .as_ref()
        .filter(|vm| inventory.guests().servers().get(&vm.reference).is_some());
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

/// What a plan would make, by host and alias; then what it would take of SRs.
fn of_imagined(sum: &Imagined) -> Vec<Coming> {
    let on_hosts = sum.places.iter().map(|((host, os), taken)| Coming {
        cpus: taken.need.cpus,
        memory: taken.need.memory,
        host: Some(host.clone()),
        os: os.clone(),
        servers: taken.servers,
        starting: taken.servers,
        ..Coming::default()
    });
    let of_srs = Coming {
        storage: sum.storage.clone(),
        ..Coming::default()
    };
    on_hosts.chain([of_srs]).collect()
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

/// The servers that are not this process's own: what they are going to take, if no ticket holds that. One that is neither in creation
/// nor made under a ticket that is there has settled, and takes nothing more: so those that have are not walked through.
pub(super) fn of_others(inventory: &Inventory, own: &BTreeSet<&Ref<Vm>>, now: Timestamp) -> Vec<Coming> {
    let board = Written::on(inventory, now);
    let servers = inventory.guests().servers();
    let made = board.needs.keys().flat_map(|ticket| servers.under(*ticket));
    let unsettled: BTreeMap<&Ref<Vm>, &Born> = servers.in_creation().chain(made).collect();
    let others = unsettled.into_iter().filter(|(vm, _)| !own.contains(vm));
    others
        .filter_map(|(vm, born)| of_other(inventory, &board, (vm, born), now))
        .collect()
}

/// What the board says of the servers that were made under its tickets.
struct Written<'a> {
    needs: BTreeMap<Ulid, &'a PerServer>,
    live: BTreeSet<Ulid>,
}

impl<'a> Written<'a> {
    fn on(inventory: &'a Inventory, now: Timestamp) -> Self {
        let board = inventory.board();
        Self {
            needs: board.needs(),
            live: board.live(now).map(|(_, ticket)| ticket.id).collect(),
        }
    }
}

fn of_other(
    inventory: &Inventory,
    board: &Written<'_>,
    (vm, born): (&Ref<Vm>, &Born),
    now: Timestamp,
) -> Option<Coming> {
    let needs = born.ticket.and_then(|ticket| board.needs.get(&ticket));
    // Between its marks and those of its disks the ticket has let go of the disks already.
    let storage = needs
        .filter(|_| !inventory.servers().has_own_disk(born.vm))
        .map(|needs| disks(inventory.fabric(), needs, 1));
    let is_held = born.ticket.is_some_and(|ticket| board.live.contains(&ticket));
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
