//! The records of dynvm's servers, with drives, NICs, disks and what their guests report.

use std::collections::{HashMap, HashSet};

use xenapi::{
    Change, ChangeOp, Class, GuestMetrics, GuestMetricsRecord, PowerState, Ref, Sr, Uuid, Vbd, VbdRecord, VbdType, Vdi,
    VdiRecord, Vif, VifRecord, Vm, VmRecord,
};

use super::disks::Disks;
use crate::lease::PREFIX;
use crate::pool::Loaded;

/// Everything that carries a mark of dynvm, and what belongs to it.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    vms: HashMap<Ref<Vm>, VmRecord>,
    by_uuid: HashMap<Uuid, Ref<Vm>>,
    vbds: HashMap<Ref<Vbd>, VbdRecord>,
    vifs: HashMap<Ref<Vif>, VifRecord>,
    disks: Disks,
    metrics: HashMap<Ref<GuestMetrics>, GuestMetricsRecord>,
}

/// Says whether a VM carries a mark.
pub(super) fn is_marked(record: &VmRecord) -> bool {
    record.other_config.keys().any(|key| key.starts_with(PREFIX))
}

impl Servers {
    /// Puts in what was read of a server.
    pub(super) fn fill(&mut self, loaded: Loaded) {
        let Loaded {
            reference,
            vm,
            vbds,
            vifs,
            vdis,
            guest,
        } = loaded;
        self.vbds.extend(vbds);
        self.vifs.extend(vifs);
        for (vdi, record) in vdis {
            self.disks.put(vdi, record);
        }
        if let Some(guest) = guest {
            self.metrics.insert(vm.guest_metrics.clone(), guest);
        }
        self.put(&reference, &vm);
    }

    /// Puts in a VM; one without a mark is none of ours.
    pub(super) fn put(&mut self, vm: &Ref<Vm>, record: &VmRecord) {
        if record.is_a_template || !is_marked(record) {
            return self.remove(vm);
        }
        self.by_uuid.insert(record.uuid, vm.clone());
        self.disks.owner_comes(record.uuid);
        if let Some(before) = self.vms.insert(vm.clone(), record.clone())
            && before.guest_metrics != record.guest_metrics
        {
            self.metrics.remove(&before.guest_metrics);
        }
    }

    /// Takes out a VM with its drives and NICs. Disks stay as long as the pool has them: whose they are stands on them.
    pub(super) fn remove(&mut self, vm: &Ref<Vm>) {
        let Some(record) = self.vms.remove(vm) else { return };
        self.by_uuid.remove(&record.uuid);
        self.disks.owner_goes(record.uuid);
        self.metrics.remove(&record.guest_metrics);
        for vbd in &record.vbds {
            self.vbds.remove(vbd);
        }
        for vif in &record.vifs {
            self.vifs.remove(vif);
        }
    }

    /// Takes in a change of what belongs to a server. Of others nothing is kept.
    pub(super) fn apply(&mut self, change: &Change) {
        let Self {
            vms,
            vbds,
            vifs,
            disks,
            metrics,
            ..
        } = self;
        put(vbds, change, |_, vbd| vms.contains_key(&vbd.vm));
        put(vifs, change, |_, vif| vms.contains_key(&vif.vm));
        disks.apply(change);
        put(metrics, change, |is_known, _| is_known);
    }

    /// A server with all that belongs to it; `None` if a part has not been seen.
    pub(super) fn loaded(&self, vm: Uuid) -> Option<Loaded> {
        let reference = self.by_uuid.get(&vm)?;
        let record = self.vms.get(reference)?;
        let vbds: Vec<_> = record
            .vbds
            .iter()
            .map(|vbd| of(&self.vbds, vbd))
            .collect::<Option<_>>()?;
        let vifs: Vec<_> = record
            .vifs
            .iter()
            .map(|vif| of(&self.vifs, vif))
            .collect::<Option<_>>()?;
        let on_drives = vbds.iter().filter(|(_, vbd)| vbd.kind == VbdType::Disk);
        let disks: HashSet<_> = on_drives.filter_map(|(_, vbd)| vbd.vdi.non_null()).collect();
        let vdis = disks
            .into_iter()
            .map(|vdi| Some((vdi.clone(), self.disks.get(vdi)?.clone())))
            .collect::<Option<_>>()?;
        let guest = match record.guest_metrics.non_null() {
            Some(guest) if record.power_state == PowerState::Running => Some(self.metrics.get(guest)?.clone()),
            Some(_) | None => None,
        };
        Some(Loaded {
            reference: reference.clone(),
            vm: record.clone(),
            vbds,
            vifs,
            vdis,
            guest,
        })
    }

    /// All marked VMs that match, with all that belongs to them; `None` if a part of one has not been seen.
    pub(crate) fn matching(&self, is_meant: impl Fn(&VmRecord) -> bool) -> Option<Vec<Loaded>> {
        let meant = self.vms.values().filter(|record| is_meant(record));
        meant.map(|record| self.loaded(record.uuid)).collect()
    }

    /// Keeps disks that are no server's from now on, such as a template's.
    pub(super) fn keep(&mut self, disks: &[(Ref<Vdi>, VdiRecord)]) {
        for (vdi, record) in disks {
            if self.disks.get(vdi).is_none() {
                self.disks.put(vdi.clone(), record.clone());
            }
        }
    }

    /// A disk that is kept.
    pub(crate) fn disk(&self, vdi: &Ref<Vdi>) -> Option<&VdiRecord> {
        self.disks.get(vdi)
    }

    /// What the own disks of servers that there are may still grow by on an SR: what a thin disk does not use yet, it was promised.
    pub(crate) fn promised(&self, sr: &Ref<Sr>) -> u64 {
        self.disks.growth(sr)
    }

    /// Says whether a server's disk is there that is marked as its own: from then on the SR and [`Servers::promised`] show what it
    /// takes.
    pub(crate) fn has_own_disk(&self, vm: Uuid) -> bool {
        let Some(record) = self.by_uuid.get(&vm).and_then(|vm| self.vms.get(vm)) else {
            return false;
        };
        record.vbds.is_empty() || self.disks.has_of(vm)
    }
}

fn of<C, R: Clone>(map: &HashMap<Ref<C>, R>, object: &Ref<C>) -> Option<(Ref<C>, R)> {
    map.get(object).map(|record| (object.clone(), record.clone()))
}

/// Puts a change into the map of its class, if the record is wanted there.
fn put<C: Class>(
    map: &mut HashMap<Ref<C>, C::Record>,
    change: &Change,
    is_wanted: impl FnOnce(bool, &C::Record) -> bool,
) {
    let Some((object, record)) = change.of::<C>() else {
        return;
    };
    let there = record.filter(|_| change.op != ChangeOp::Del);
    match there.filter(|record| is_wanted(map.contains_key(&object), record)) {
        Some(record) => {
            map.insert(object, record.clone());
        }
        // It is gone, or is none of ours any more, or could not be read: then the pool has to be asked.
        None => {
            map.remove(&object);
        }
    }
}
