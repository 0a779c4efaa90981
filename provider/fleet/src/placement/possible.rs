//! What can never fit: a server too big for every host, even if nothing else ran there.

use xenapi::{Host, Ref};

use super::Candidate;
use crate::capacity::{Limit, PoolRoom, Room};
use crate::error::{Error, Subject};
use crate::inventory::Inventory;

/// Says why a pool could not take even one such server if all else were gone and all hosts were on; `room` is its room now.
pub(crate) fn ever_fits(candidate: &Candidate, inventory: &Inventory, room: &Room) -> Result<(), Error> {
    let emptied = emptied(inventory, room);
    let fit = emptied.fit(&candidate.kind.need);
    if fit.available > 0 {
        return Ok(());
    }
    let pool = candidate.member.name();
    let need = candidate.kind.need;
    let (subject, reason) = match fit.limited_by {
        Limit::Cpu => {
            let most = emptied.hosts.iter().filter(|host| host.bar.is_none());
            let most = most.map(|host| host.cpus_total.min(u64::from(host.cpus))).max().unwrap_or_default();
            (Subject::Cpus, format!("{} vCPUs are more than any host has to hand out ({most})", need.cpus))
        }
        Limit::Memory => {
            let most = emptied.hosts.iter().filter(|host| host.bar.is_none());
            let most = most.map(|host| host.memory_free() >> 20).max().unwrap_or_default();
            let wanted = need.memory.div_ceil(1 << 20);
            (
                Subject::Memory,
                format!("{wanted} MiB of memory, with the hypervisor's share, are more than any host has ({most} MiB)"),
            )
        }
        Limit::Storage => (
            Subject::Storage,
            "the disks of one such server are bigger than the storage repository, of which a tenth and one base copy are kept free".to_owned(),
        ),
        Limit::MaxServers => (Subject::Pool(pool.to_owned()), "the ceiling of the pool allows no such server".to_owned()),
        Limit::Network => (Subject::Network, "no host has its network".to_owned()),
        Limit::Template | Limit::HostDisabled => (Subject::Host, "there is no host for it".to_owned()),
    };
    Err(Error::Refused {
        subject,
        pool: pool.to_owned(),
        reason,
    })
}

/// The room if nothing but the control domains ran, all SRs were empty, and every host were on.
fn emptied(inventory: &Inventory, room: &Room) -> PoolRoom {
    let mut empty = room.room.clone();
    for (host, row) in room.hosts.iter().zip(&mut empty.hosts) {
        row.cpus_used = 0;
        row.memory_used = inventory.guests().control_memory(host);
        row.bar = row
            .bar
            .filter(|bar| *bar != Limit::HostDisabled || !is_asked(room, host));
    }
    for storage in &mut empty.storages {
        storage.used = 0;
    }
    for ceiling in &mut empty.ceilings {
        ceiling.present = 0;
    }
    empty
}

/// Says whether a host that takes nothing now may be one that was asked for.
fn is_asked(room: &Room, host: &Ref<Host>) -> bool {
    room.asked.as_ref().is_none_or(|asked| asked == host)
}
