//! A server made of the records that a pool shows.

use std::collections::BTreeSet;

use xenapi::{PowerState as XenState, VdiRecord};

use crate::address::{self, Nic};
use crate::lease::{Expiry, VmMarks, is_reserved};
use crate::lifecycle::passes_for_own;
use crate::pool::{Fabric, Loaded};
use crate::server::{Lease, PowerState, Server};

/// Makes a server of its records.
pub(crate) fn server(fabric: &Fabric, loaded: &Loaded) -> Server {
    let vm = &loaded.vm;
    let marks = loaded.marks();
    let managed = marks.is_managed();
    let spec = marks.spec().filter(|_| managed);
    let primary = primary_vif(loaded);
    let running = vm.power_state == XenState::Running;
    let memory_bytes = u64::try_from(vm.memory_static_max).unwrap_or_default();
    let networks = loaded.guest.as_ref().filter(|_| running).map(|guest| &guest.networks);
    let primary_addresses: Vec<_> = networks
        .map(|networks| address::of_primary(networks, &nics(loaded)))
        .unwrap_or_default()
        .into_iter()
        .filter(|address| address::is_usable(*address))
        .collect();
    Server {
        id: vm.uuid,
        pool: fabric.pool.clone(),
        pool_uuid: fabric.uuid,
        name: vm.name_label.clone(),
        request_id: spec.map(|spec| spec.request_id),
        os: spec.and_then(|spec| spec.os.clone()),
        template_uuid: spec.and_then(|spec| spec.template_uuid),
        template_name: spec
            .map(|spec| spec.template_name.clone())
            .filter(|name| !name.is_empty()),
        cpus: u32::try_from(vm.vcpus_at_startup).unwrap_or_default(),
        memory_mib: memory_bytes >> 20,
        memory_bytes,
        tags: user_tags(&vm.tags),
        power_state: power_state(&vm.power_state),
        network: primary.and_then(|vif| fabric.network_named(&vif.network)),
        storage: first_disk(loaded).and_then(|disk| fabric.sr_named(&disk.sr)),
        mac_address: primary.map(|vif| vif.mac.clone()),
        ip_address: primary_addresses.first().copied(),
        primary_addresses,
        ip_addresses: networks.map(address::all_usable).unwrap_or_default(),
        os_version: loaded
            .guest
            .as_ref()
            .filter(|_| running)
            .and_then(|guest| os_version(&guest.os_version)),
        resident_host: vm.resident_on.non_null().and_then(|host| fabric.host_name(host)),
        created_at: spec.map(|spec| spec.created_at),
        lease: lease(&marks, managed),
        disk_bytes: disk_bytes(loaded, managed),
        attached_bytes: disk_bytes(loaded, false),
        managed,
        owner: marks.owner().filter(|_| managed).map(str::to_owned),
        keep: marks.is_kept(),
        timings: None,
        address_source: None,
    }
}

/// The lease that the marks of a managed VM describe.
pub(crate) fn lease(marks: &VmMarks, managed: bool) -> Lease {
    if !managed {
        return Lease::default();
    }
    let record = marks.lease_record();
    let expires_at = match marks.expiry() {
        Expiry::Lease(expires) => Some(expires.at),
        // A creation lease is no lease that a server may be left with: without another its marks are lost.
        Expiry::Creating(_) | Expiry::Never => None,
    };
    Lease {
        started_at: record.map(|record| record.start),
        ttl: record.map(|record| record.ttl()),
        expires_at,
    }
}

/// The NICs, primary one first.
pub(crate) fn nics(loaded: &Loaded) -> Vec<Nic> {
    let nic = |vif: &xenapi::VifRecord| Nic {
        device: vif.device.parse().unwrap_or(u32::MAX),
        mac: vif.mac.clone(),
    };
    let mut nics: Vec<Nic> = loaded.vifs.iter().map(|(_, vif)| nic(vif)).collect();
    address::sort_nics(&mut nics);
    nics
}

/// The primary NIC's record.
pub(crate) fn primary_vif(loaded: &Loaded) -> Option<&xenapi::VifRecord> {
    let nics = nics(loaded);
    let primary = nics.first()?;
    loaded
        .vifs
        .iter()
        .map(|(_, vif)| vif)
        .find(|vif| vif.mac == primary.mac && vif.device.parse().unwrap_or(u32::MAX) == primary.device)
}

/// All tags but dynvm's own.
pub(crate) fn user_tags(tags: &BTreeSet<String>) -> BTreeSet<String> {
    tags.iter().filter(|tag| !is_reserved(tag)).cloned().collect()
}

/// What a VM is doing. A state that this version does not know is taken for one in which nothing may be assumed.
pub(crate) fn power_state(state: &XenState) -> PowerState {
    match state {
        XenState::Halted => PowerState::Halted,
        XenState::Paused | XenState::Other(_) => PowerState::Paused,
        XenState::Running => PowerState::Running,
        XenState::Suspended => PowerState::Suspended,
    }
}

pub(crate) fn first_disk(loaded: &Loaded) -> Option<&VdiRecord> {
    let drives = loaded
        .vbds
        .iter()
        .filter(|(_, vbd)| loaded.disks().any(|(vdi, _)| *vdi == vbd.vdi));
    let first = drives.min_by_key(|(_, vbd)| (vbd.userdevice.parse().unwrap_or(u32::MAX), vbd.userdevice.clone()))?;
    loaded
        .vdis
        .iter()
        .find(|(vdi, _)| *vdi == first.1.vdi)
        .map(|(_, record)| record)
}

/// The sum of a VM's disks; of a server's only its own.
pub(crate) fn disk_bytes(loaded: &Loaded, managed: bool) -> u64 {
    let counted = loaded
        .disks()
        .filter(|(_, disk)| !managed || passes_for_own(loaded, disk));
    counted
        .map(|(_, disk)| u64::try_from(disk.virtual_size).unwrap_or_default())
        .sum()
}

/// What the agent says: its name for the system, or what it gave of it.
fn os_version(os_version: &std::collections::BTreeMap<String, String>) -> Option<String> {
    let part = |key: &str| {
        os_version
            .get(key)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    match (part("name"), part("distro"), part("major"), part("minor")) {
        // Windows agents append "|C:\Windows|\Device\Harddisk0\Partition2".
        (Some(name), ..) => name.split('|').next().map(|name| name.trim().to_owned()),
        (None, Some(distro), Some(major), Some(minor)) => Some(format!("{distro} {major}.{minor}")),
        (None, Some(distro), Some(major), None) => Some(format!("{distro} {major}")),
        (None, Some(distro), None, _) => Some(distro.to_owned()),
        (None, None, ..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_the_guest_runs() {
        let check = |entries: &[(&str, &str)], expect: Option<&str>| {
            let map = entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(os_version(&map).as_deref(), expect, "{entries:?}");
        };
        check(
            &[("name", "CentOS Linux release 7.7"), ("distro", "centos")],
            Some("CentOS Linux release 7.7"),
        );
        check(
            &[("name", "Microsoft Windows Server 2016|C:\\Windows|\\Device")],
            Some("Microsoft Windows Server 2016"),
        );
        check(
            &[("distro", "debian"), ("major", "12"), ("minor", "5")],
            Some("debian 12.5"),
        );
        check(&[("distro", "debian"), ("major", "12")], Some("debian 12"));
        check(&[("name", " ")], None);
        check(&[], None);
    }

    #[test]
    fn the_marks_are_no_tags_of_users() {
        let tags = ["web", "dynvm:keep", "dynvm"]
            .iter()
            .map(|tag| (*tag).to_owned())
            .collect();
        assert_eq!(user_tags(&tags).into_iter().collect::<Vec<_>>(), ["dynvm", "web"]);
    }
}
