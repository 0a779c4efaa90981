//! Hosts and the pool's own record.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Pbd, Pif, Sr, TextMap, class};
use crate::reference::Ref;
use crate::uuid::Uuid;

class! {
    /// The one object that describes the pool.
    PoolObject = "pool", Pool, PoolRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label",
        /// The coordinator.
        master: Ref<Host> = "master",
        default_sr: Ref<Sr> = "default_SR",
        other_config: TextMap = "other_config",
        tags: BTreeSet<String> = "tags" or default,
        ha_enabled: bool = "ha_enabled" or default,
    }
}

class! {
    /// A host. Memory is in bytes.
    Host = "host", Host, HostRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label",
        /// Management address, possibly IPv6 without brackets.
        address: String = "address",
        hostname: String = "hostname" or default,
        enabled: bool = "enabled",
        metrics: Ref<HostMetrics> = "metrics",
        memory_overhead: i64 = "memory_overhead" or default,
        /// Holds `cpu_count`, the number of physical CPUs.
        cpu_info: TextMap = "cpu_info",
        current_operations: TextMap = "current_operations" or default,
        pbds: Vec<Ref<Pbd>> = "PBDs" or default,
        pifs: Vec<Ref<Pif>> = "PIFs" or default,
        other_config: TextMap = "other_config" or default,
        tags: BTreeSet<String> = "tags" or default,
    }
}

class! {
    /// Measured values of a host. Memory is in bytes.
    HostMetrics = "host_metrics", HostMetrics, HostMetricsRecord {
        uuid: Uuid = "uuid",
        live: bool = "live",
        memory_total: i64 = "memory_total",
        memory_free: i64 = "memory_free",
        last_updated: Timestamp = "last_updated" or default,
    }
}
