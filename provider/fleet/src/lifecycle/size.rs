//! How big a VM is: vCPUs and memory, set on a halted VM in the order that the pool demands.

use xenapi::{MemoryLimits, Pool, Ref, Vm, VmRecord};

use super::refused;
use crate::error::{Error, Subject, VmName};

/// vCPUs and memory, as a VM's record has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    vcpus_max: i64,
    vcpus_at_startup: i64,
    memory: MemoryLimits,
}

impl Size {
    /// The size that a VM has.
    pub(super) fn of(record: &VmRecord) -> Self {
        Self {
            vcpus_max: record.vcpus_max,
            vcpus_at_startup: record.vcpus_at_startup,
            memory: MemoryLimits {
                static_min: record.memory_static_min,
                static_max: record.memory_static_max,
                dynamic_min: record.memory_dynamic_min,
                dynamic_max: record.memory_dynamic_max,
            },
        }
    }

    /// The same with other vCPUs or other memory, where one is asked for.
    pub(super) fn with(mut self, cpus: Option<u32>, memory_mib: Option<u64>) -> Self {
        if let Some(cpus) = cpus {
            self.vcpus_max = i64::from(cpus);
            self.vcpus_at_startup = i64::from(cpus);
        }
        if let Some(mib) = memory_mib {
            let bytes = i64::try_from(mib << 20).unwrap_or(i64::MAX);
            self.memory = MemoryLimits {
                static_min: self.memory.static_min.min(bytes),
                static_max: bytes,
                dynamic_min: bytes,
                dynamic_max: bytes,
            };
        }
        self
    }

    /// A VM's record with this size.
    pub(super) fn put(self, record: &mut VmRecord) {
        record.vcpus_max = self.vcpus_max;
        record.vcpus_at_startup = self.vcpus_at_startup;
        record.memory_static_min = self.memory.static_min;
        record.memory_static_max = self.memory.static_max;
        record.memory_dynamic_min = self.memory.dynamic_min;
        record.memory_dynamic_max = self.memory.dynamic_max;
    }
}

/// A halted VM that is given another size.
pub(super) struct Resized<'a> {
    pub(super) client: &'a Pool,
    /// The pool's name, or that of a section of it.
    pub(super) pool: &'a str,
    pub(super) vm: &'a Ref<Vm>,
    pub(super) name: &'a VmName,
}

impl Resized<'_> {
    /// Makes it another size. Only what differs is written.
    pub(super) async fn resize(&self, from: Size, to: Size) -> Result<(), Error> {
        tokio::try_join!(self.vcpus(from, to), self.memory(from, to))?;
        Ok(())
    }

    /// Growing, the ceiling goes first; shrinking, last: it is never below what the VM starts with.
    async fn vcpus(&self, from: Size, to: Size) -> Result<(), Error> {
        if (from.vcpus_max, from.vcpus_at_startup) == (to.vcpus_max, to.vcpus_at_startup) {
            return Ok(());
        }
        let calls = self.client.vm();
        let set = async {
            if to.vcpus_max >= from.vcpus_max {
                calls.set_vcpus_max(self.vm, to.vcpus_max).await?;
                calls.set_vcpus_at_startup(self.vm, to.vcpus_at_startup).await
            } else {
                calls.set_vcpus_at_startup(self.vm, to.vcpus_at_startup).await?;
                calls.set_vcpus_max(self.vm, to.vcpus_max).await
            }
        };
        let what = || format!("{} vCPUs cannot be set", to.vcpus_at_startup);
        set.await
            .map_err(|cause| refused(self.pool, Subject::Cpus, what(), self.name, cause))
    }

    async fn memory(&self, from: Size, to: Size) -> Result<(), Error> {
        // A floor that is lower than it has to be hinders nothing.
        let counts = |limits: MemoryLimits| (limits.static_max, limits.dynamic_min, limits.dynamic_max);
        if counts(from.memory) == counts(to.memory) {
            return Ok(());
        }
        let set = self.client.vm().set_memory_limits(self.vm, to.memory).await;
        let what = || format!("{} MiB of memory cannot be set", to.memory.static_max >> 20);
        set.map_err(|cause| refused(self.pool, Subject::Memory, what(), self.name, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_all_one_and_its_floor_no_higher() {
        let size = Size {
            vcpus_max: 4,
            vcpus_at_startup: 2,
            memory: MemoryLimits {
                static_min: 1 << 30,
                static_max: 4 << 30,
                dynamic_min: 2 << 30,
                dynamic_max: 4 << 30,
            },
        };
        assert_eq!(size.with(None, None), size);
        let grown = size.with(Some(8), Some(8192));
        assert_eq!((grown.vcpus_max, grown.vcpus_at_startup), (8, 8));
        assert_eq!(
            (
                grown.memory.static_min,
                grown.memory.static_max,
                grown.memory.dynamic_min
            ),
            (1 << 30, 8 << 30, 8 << 30)
        );
        assert_eq!(size.with(None, Some(512)).memory.static_min, 512 << 20);
    }
}
