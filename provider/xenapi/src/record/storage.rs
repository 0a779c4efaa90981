//! Storage repositories, disks and how both are attached.

use std::collections::BTreeSet;

use super::{Host, TextMap, Vm, class, open_enum};
use crate::reference::Ref;
use crate::uuid::Uuid;

open_enum! {
    /// Kind of a virtual block device.
    VbdType {
        /// A CD drive; what is in it belongs to somebody else.
        Cd = "CD",
        /// A disk.
        Disk = "Disk",
        /// A floppy drive.
        Floppy = "Floppy",
    }
}

open_enum! {
    /// Mode of a virtual block device.
    VbdMode {
        /// Read-only.
        Ro = "RO",
        /// Read and write.
        Rw = "RW",
    }
}

open_enum! {
    /// Kind of a disk image.
    VdiType {
        /// Holds an operating system.
        System = "system",
        /// Holds data.
        User = "user",
        /// Is thrown away with its VM.
        Ephemeral = "ephemeral",
        /// Holds the memory of a suspended VM.
        Suspend = "suspend",
        /// Holds a crash dump.
        Crashdump = "crashdump",
        /// Used by high availability.
        HaStatefile = "ha_statefile",
        /// Holds pool metadata.
        Metadata = "metadata",
        /// Holds the pool's redo log.
        RedoLog = "redo_log",
        /// Holds performance data.
        Rrd = "rrd",
        /// Holds a passthrough disk.
        PvsCache = "pvs_cache",
        /// Holds changed-block metadata.
        CbtMetadata = "cbt_metadata",
    }
}

class! {
    /// A storage repository. Sizes are in bytes, -1 when unknown.
    Sr = "SR", Sr, SrRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label",
        kind: String = "type",
        content_type: String = "content_type",
        shared: bool = "shared",
        physical_size: i64 = "physical_size",
        physical_utilisation: i64 = "physical_utilisation",
        virtual_allocation: i64 = "virtual_allocation",
        current_operations: TextMap = "current_operations" or default,
        pbds: Vec<Ref<Pbd>> = "PBDs",
        other_config: TextMap = "other_config",
        sm_config: TextMap = "sm_config" or default,
        tags: BTreeSet<String> = "tags" or default,
        is_tools_sr: bool = "is_tools_sr" or default,
    }
}

class! {
    /// The connection of a host to a storage repository.
    Pbd = "PBD", Pbd, PbdRecord {
        uuid: Uuid = "uuid",
        host: Ref<Host> = "host",
        sr: Ref<Sr> = "SR",
        currently_attached: bool = "currently_attached",
    }
}

class! {
    /// A disk image. Sizes are in bytes.
    Vdi = "VDI", Vdi, VdiRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label",
        sr: Ref<Sr> = "SR",
        kind: VdiType = "type",
        virtual_size: i64 = "virtual_size",
        physical_utilisation: i64 = "physical_utilisation",
        managed: bool = "managed",
        sharable: bool = "sharable",
        read_only: bool = "read_only",
        missing: bool = "missing" or default,
        is_a_snapshot: bool = "is_a_snapshot",
        is_tools_iso: bool = "is_tools_iso" or default,
        snapshot_of: Ref<Vdi> = "snapshot_of" or default,
        vbds: Vec<Ref<Vbd>> = "VBDs",
        other_config: TextMap = "other_config",
        sm_config: TextMap = "sm_config" or default,
        tags: BTreeSet<String> = "tags" or default,
        current_operations: TextMap = "current_operations" or default,
    }
}

class! {
    /// A virtual block device: a disk or drive of a VM.
    Vbd = "VBD", Vbd, VbdRecord {
        uuid: Uuid = "uuid",
        vm: Ref<Vm> = "VM",
        vdi: Ref<Vdi> = "VDI",
        kind: VbdType = "type",
        mode: VbdMode = "mode",
        userdevice: String = "userdevice",
        device: String = "device" or default,
        bootable: bool = "bootable",
        empty: bool = "empty",
        unpluggable: bool = "unpluggable" or default,
        currently_attached: bool = "currently_attached",
        other_config: TextMap = "other_config",
    }
}
