//! Where a VM may run: the memory formula, the checks in their order, the choice of a host.

use crate::class::sr;
use crate::db::{Cls, Db, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::pool::State;
use crate::value::Value;

const MIB: i64 = 1 << 20;

/// What a domain needs beyond its memory.
pub(crate) fn overhead(db: &Db, vm: &Ref) -> Outcome<i64> {
    Ok(overhead_of(db.record(Cls::Vm, vm)?))
}

fn overhead_of(vm: &Record) -> i64 {
    let vcpus = vm.int("VCPUs_max");
    let pages_to_mib = |pages: i64| (pages + 255) / 256;
    let shadow_pages = 256 * vcpus + 2 * (vm.int("memory_static_max") / MIB);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a few hundred MiB"
    )]
    let shadow = (pages_to_mib(shadow_pages) as f64 * vm.get("HVM_shadow_multiplier").as_float()).ceil() as i64;
    (2 + shadow + pages_to_mib(38 * vcpus)) * MIB
}

/// What starting a VM takes from a host.
pub(crate) fn need(db: &Db, vm: &Ref) -> Outcome<i64> {
    let record = db.record(Cls::Vm, vm)?;
    Ok(record.int("memory_dynamic_min") + overhead_of(record))
}

/// `host.compute_free_memory`: what running and coming VMs leave.
pub(crate) fn free_memory(db: &Db, host: &Ref) -> Outcome<i64> {
    let record = db.record(Cls::Host, host)?;
    let total = db
        .get(Cls::HostMetrics, &record.reference("metrics"), "memory_total")?
        .as_int();
    let mut free = total - record.int("memory_overhead");
    let host = host.as_str();
    for (_, vm) in db.all(Cls::Vm) {
        if vm.str("resident_on") == host || vm.str("scheduled_to_be_resident_on") == host {
            free -= vm.int("memory_dynamic_min") + vm.int("memory_overhead");
        }
    }
    Ok(free.max(0))
}

/// Fails with the reason why a VM cannot run on a host.
pub(crate) fn assert_can_boot_here(db: &Db, vm: &Ref, host: &Ref) -> Outcome<()> {
    assert_possible(db, vm, host)?;
    assert_memory(db, vm, host)
}

fn assert_memory(db: &Db, vm: &Ref, host: &Ref) -> Outcome<()> {
    let (need, free) = (need(db, vm)?, free_memory(db, host)?);
    if need <= free {
        return Ok(());
    }
    Err(Failure::new(
        "HOST_NOT_ENOUGH_FREE_MEMORY",
        [&need.to_string(), &free.to_string()],
    ))
}

/// All checks but memory.
pub(crate) fn assert_possible(db: &Db, vm: &Ref, host: &Ref) -> Outcome<()> {
    let guest = db.record(Cls::Vm, vm)?;
    let record = db.record(Cls::Host, host)?;
    if !db
        .get(Cls::HostMetrics, &record.reference("metrics"), "live")
        .is_ok_and(Value::as_bool)
    {
        return Err(Failure::new("HOST_NOT_LIVE", []));
    }
    if record
        .get("current_operations")
        .as_map()
        .values()
        .any(|op| op.as_str() == "evacuate")
    {
        return Err(Failure::new("HOST_EVACUATE_IN_PROGRESS", [host.as_str()]));
    }
    if !record.bool("enabled") {
        return Err(Failure::new("HOST_DISABLED", [host.as_str()]));
    }
    assert_storage(db, guest, vm, host)?;
    assert_networks(db, guest, vm, host)?;
    let pcpus = record
        .get("cpu_info")
        .key("cpu_count")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let vcpus = guest.int("VCPUs_max");
    let unrestricted = guest.get("platform").key("vcpu-unrestricted") == Some("true");
    if vcpus > pcpus && !unrestricted {
        return Err(Failure::new(
            "HOST_NOT_ENOUGH_PCPUS",
            [&vcpus.to_string(), &pcpus.to_string()],
        ));
    }
    Ok(())
}

fn assert_storage(db: &Db, guest: &Record, vm: &Ref, host: &Ref) -> Outcome<()> {
    for vbd in guest.refs("VBDs") {
        let Ok(vbd) = db.record(Cls::Vbd, &vbd) else { continue };
        if vbd.bool("empty") {
            continue;
        }
        let Ok(vdi) = db.record(Cls::Vdi, &vbd.reference("VDI")) else {
            continue;
        };
        let home = vdi.reference("SR");
        if !sr::is_seen_by(db, &home, host) {
            return Err(Failure::new("VM_REQUIRES_SR", [vm.as_str(), home.as_str()]));
        }
    }
    Ok(())
}

fn assert_networks(db: &Db, guest: &Record, vm: &Ref, host: &Ref) -> Outcome<()> {
    for vif in guest.refs("VIFs") {
        let Ok(vif) = db.record(Cls::Vif, &vif) else { continue };
        let network = vif.reference("network");
        let pifs = db
            .get(Cls::Network, &network, "PIFs")
            .map(Value::refs)
            .unwrap_or_default();
        let on = |pif: &Ref| db.get(Cls::Pif, pif, "host").is_ok_and(|h| h.as_str() == host.as_str());
        if !pifs.is_empty() && !pifs.iter().any(on) {
            return Err(Failure::new("VM_REQUIRES_NETWORK", [vm.as_str(), network.as_str()]));
        }
    }
    Ok(())
}

/// Hosts on which a VM could start now.
pub(crate) fn possible_hosts(db: &Db, vm: &Ref) -> Outcome<Vec<Ref>> {
    db.record(Cls::Vm, vm)?;
    let hosts = db.all(Cls::Host).map(|(h, _)| h.clone());
    Ok(hosts
        .filter(|host| assert_can_boot_here(db, vm, host).is_ok())
        .collect())
}

/// Chooses a host: affinity, else by weight of free memory. A pool that is merely full names the memory that lacks.
pub(crate) fn choose(state: &mut State, vm: &Ref) -> Outcome<Ref> {
    let affinity = state.db.get(Cls::Vm, vm, "affinity")?.as_ref();
    let hosts = possible_hosts(&state.db, vm)?;
    if hosts.contains(&affinity) {
        return Ok(affinity);
    }
    let weights: Vec<(Ref, u64)> = hosts
        .into_iter()
        .map(|host| {
            let free = free_memory(&state.db, &host).unwrap_or(0);
            (host, u64::try_from(free / MIB).unwrap_or(0) + 1)
        })
        .collect();
    let total: u64 = weights.iter().map(|(_, w)| w).sum();
    let mut at = state.random.below(total);
    for (host, weight) in weights {
        if at < weight {
            return Ok(host);
        }
        at -= weight;
    }
    // Nothing fits: the second look ignores memory, so that its failure says whether only memory lacks.
    let db = &state.db;
    let but_for_memory = db
        .all(Cls::Host)
        .map(|(h, _)| h)
        .find(|host| assert_possible(db, vm, host).is_ok());
    match but_for_memory {
        Some(host) => assert_memory(db, vm, host).map(|()| host.clone()),
        None => Err(Failure::new("NO_HOSTS_AVAILABLE", [])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overhead_of_a_small_guest() {
        let fields = vec![
            ("VCPUs_max", Value::Int(2)),
            ("memory_static_max", Value::Int(4096 * MIB)),
        ];
        let vm = Record::new(Cls::Vm, fields);
        assert_eq!(overhead_of(&vm), 37 * MIB);
    }
}
