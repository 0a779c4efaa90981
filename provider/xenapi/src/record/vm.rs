//! VMs, their metrics, and what their guest agents report.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Host, TextMap, Vbd, Vdi, Vif, class, open_enum};
use crate::reference::Ref;
use crate::uuid::Uuid;

open_enum! {
    /// Power state of a VM.
    PowerState {
        /// Not running, no memory image.
        Halted = "Halted",
        /// In memory, not scheduled.
        Paused = "Paused",
        /// Running on a host.
        Running = "Running",
        /// Stopped with a memory image on disk.
        Suspended = "Suspended",
    }
}

impl Default for PowerState {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

open_enum! {
    /// Kind of virtualisation.
    #[derive(Default)]
    DomainType {
        /// Hardware virtualisation.
        Hvm = "hvm",
        /// Paravirtualisation.
        Pv = "pv",
        /// Paravirtualised guest inside a hardware container.
        PvInPvh = "pv_in_pvh",
        /// Hardware virtualisation without emulated devices.
        Pvh = "pvh",
        /// Not yet known.
        #[default]
        Unspecified = "unspecified",
    }
}

class! {
    /// A VM, template, snapshot or control domain. Memory is in bytes.
    Vm = "VM", Vm, VmRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label",
        power_state: PowerState = "power_state",
        is_a_template: bool = "is_a_template",
        is_default_template: bool = "is_default_template" or default,
        is_a_snapshot: bool = "is_a_snapshot",
        is_control_domain: bool = "is_control_domain",
        snapshot_of: Ref<Vm> = "snapshot_of" or default,
        snapshots: Vec<Ref<Vm>> = "snapshots" or default,
        suspend_vdi: Ref<Vdi> = "suspend_VDI" or default,
        resident_on: Ref<Host> = "resident_on",
        /// Set while a start or migration has reserved room on a host.
        scheduled_to_be_resident_on: Ref<Host> = "scheduled_to_be_resident_on" or default,
        affinity: Ref<Host> = "affinity" or default,
        memory_static_min: i64 = "memory_static_min",
        memory_static_max: i64 = "memory_static_max",
        memory_dynamic_min: i64 = "memory_dynamic_min",
        memory_dynamic_max: i64 = "memory_dynamic_max",
        memory_overhead: i64 = "memory_overhead" or default,
        hvm_shadow_multiplier: f64 = "HVM_shadow_multiplier" or default,
        vcpus_max: i64 = "VCPUs_max",
        vcpus_at_startup: i64 = "VCPUs_at_startup",
        tags: BTreeSet<String> = "tags",
        other_config: TextMap = "other_config",
        /// Operation to the code of the reason.
        blocked_operations: TextMap = "blocked_operations" or default,
        /// Task reference to operation.
        current_operations: TextMap = "current_operations" or default,
        vbds: Vec<Ref<Vbd>> = "VBDs",
        vifs: Vec<Ref<Vif>> = "VIFs",
        metrics: Ref<VmMetrics> = "metrics" or default,
        guest_metrics: Ref<GuestMetrics> = "guest_metrics",
        platform: TextMap = "platform" or default,
        ha_restart_priority: String = "ha_restart_priority" or default,
        /// -1 unless running.
        domid: i64 = "domid" or default,
        domain_type: DomainType = "domain_type" or default,
    }
}

class! {
    /// Measured values of a VM.
    VmMetrics = "VM_metrics", VmMetrics, VmMetricsRecord {
        uuid: Uuid = "uuid",
        memory_actual: i64 = "memory_actual" or default,
        start_time: Timestamp = "start_time" or default,
        install_time: Timestamp = "install_time" or default,
    }
}

class! {
    /// What the agent inside the guest reports. Made empty when the domain starts, and not cleared when it stops.
    GuestMetrics = "VM_guest_metrics", VmGuestMetrics, GuestMetricsRecord {
        uuid: Uuid = "uuid",
        os_version: TextMap = "os_version" or default,
        /// `<n>/ip`, `<n>/ipv4/<i>`, `<n>/ipv6/<i>` to address; replaced as a whole.
        networks: TextMap = "networks",
        pv_drivers_detected: bool = "PV_drivers_detected" or default,
        other: TextMap = "other" or default,
        live: bool = "live" or default,
        last_updated: Timestamp = "last_updated" or default,
    }
}
