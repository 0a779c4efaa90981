//! One-to-many relations: which set on which class mirrors which reference.

use super::Cls;

/// `cls.field` names an object of `other`, whose `set` holds all that name it.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) cls: Cls,
    pub(super) field: &'static str,
    pub(super) other: Cls,
    pub(super) set: &'static str,
}

const fn rel(cls: Cls, field: &'static str, other: Cls, set: &'static str) -> Relation {
    Relation { cls, field, other, set }
}

static RELATIONS: &[Relation] = &[
    rel(Cls::Task, "subtask_of", Cls::Task, "subtasks"),
    rel(Cls::Vm, "appliance", Cls::VmAppliance, "VMs"),
    rel(Cls::Vm, "resident_on", Cls::Host, "resident_VMs"),
    rel(Cls::Vm, "snapshot_of", Cls::Vm, "snapshots"),
    rel(Cls::Vm, "parent", Cls::Vm, "children"),
    rel(Cls::HostCpu, "host", Cls::Host, "host_CPUs"),
    rel(Cls::Vif, "VM", Cls::Vm, "VIFs"),
    rel(Cls::Vif, "network", Cls::Network, "VIFs"),
    rel(Cls::Pif, "host", Cls::Host, "PIFs"),
    rel(Cls::Pif, "network", Cls::Network, "PIFs"),
    rel(Cls::Vdi, "SR", Cls::Sr, "VDIs"),
    rel(Cls::Vdi, "snapshot_of", Cls::Vdi, "snapshots"),
    rel(Cls::Vbd, "VM", Cls::Vm, "VBDs"),
    rel(Cls::Vbd, "VDI", Cls::Vdi, "VBDs"),
    rel(Cls::Pbd, "SR", Cls::Sr, "PBDs"),
    rel(Cls::Pbd, "host", Cls::Host, "PBDs"),
    rel(Cls::Console, "VM", Cls::Vm, "consoles"),
];

/// The references of a class that are mirrored elsewhere.
pub(super) fn forward(cls: Cls) -> &'static [Relation] {
    let start = RELATIONS.iter().position(|r| r.cls == cls).unwrap_or(0);
    let count = RELATIONS.iter().filter(|r| r.cls == cls).count();
    RELATIONS.get(start..start + count).unwrap_or(&[])
}
