//! What can never fit: a server too big for every host, even if nothing else ran there.

use xenapi::{Host, Ref, VmRecord};

use crate::capacity::{Limit, Need, PoolRoom, Room};
use crate::error::{Error, Subject};
use crate::inventory::Inventory;
use crate::pool::Fabric;

/// Says why a VM cannot have a size, whatever room there is: `of` names what it is the size of.
pub(crate) fn allows(
    pool: &str,
    of: &str,
    vm: &VmRecord,
    cpus: Option<u32>,
    memory_mib: Option<u64>,
) -> Result<(), Error> {
    let refuse = |subject, reason| {
        Err(Error::Refused {
            subject,
            pool: pool.to_owned(),
            reason,
        })
    };
    let name = &vm.name_label;
    let per_socket = vm.platform.get("cores-per-socket").and_then(|cores| cores.parse().ok());
    if let (Some(cpus), Some(per_socket @ 2..)) = (cpus, per_socket)
        && cpus % per_socket != 0
    {
        let reason = format!("{cpus} vCPUs are no multiple of the {per_socket} cores per socket of the {of} {name:?}");
        return refuse(Subject::Cpus, reason);
    }
    // Limits that are all one say how big it is, not how big it must be.
    let has_range = vm.memory_static_min < vm.memory_static_max;
    if let Some(mib) = memory_mib
        && has_range
        && i64::try_from(mib << 20).is_ok_and(|bytes| bytes < vm.memory_static_min)
    {
        let least = vm.memory_static_min >> 20;
        let reason = format!("{mib} MiB of memory are less than the {least} MiB that the {of} {name:?} needs");
        return refuse(Subject::Memory, reason);
    }
    Ok(())
}

/// Refuses a host that is not the section's own.
pub(crate) fn in_section(
    pool: &str,
    fabric: &Fabric,
    own: Option<&Ref<Host>>,
    asked: Option<&Ref<Host>>,
) -> Result<(), Error> {
    match (own, asked) {
        (Some(own), Some(asked)) if own != asked => {
            let name = |host| fabric.host_name(host).unwrap_or_default();
            Err(Error::Refused {
                subject: Subject::Host,
                pool: pool.to_owned(),
                reason: format!(
                    "this section is the host {:?}, and {:?} was asked for",
                    name(own),
                    name(asked)
                ),
            })
        }
        (_, _) => Ok(()),
    }
}

/// Says why a pool could not take even one server that needs this if all else were gone and all hosts were on; `room` is its room now.
pub(crate) fn ever_fits(pool: &str, need: &Need, inventory: &Inventory, room: &Room) -> Result<(), Error> {
    let emptied = emptied(inventory, room);
    let fit = emptied.fit(need);
    if fit.available > 0 {
        return Ok(());
    }
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
        row.ceilings.iter_mut().for_each(|ceiling| ceiling.present = 0);
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
    room.asked.as_ref().is_none_or(|asked| asked.contains(host))
}
