//! Calls on VMs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Objects;
use crate::error::Error;
use crate::record::{Host, PowerState, Sr, TextMap, Vm};
use crate::reference::Ref;
use crate::task::run;
use crate::transport::Repeat;
use crate::wire::Value;

/// Whether a VM is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// It is a VM.
    No,
    /// It is a template.
    Yes,
}

/// Memory limits of a VM in bytes; static minimum <= dynamic minimum <= dynamic maximum <= static maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Least that the VM may ever have.
    pub static_min: i64,
    /// Most that the VM may ever have.
    pub static_max: i64,
    /// Least that the host may squeeze it to.
    pub dynamic_min: i64,
    /// Most that the host may give it.
    pub dynamic_max: i64,
}

/// Writes that a VM's record takes at once: database only.
impl Objects<'_, Vm> {
    /// Makes a VM of a template or the reverse (`set_is_a_template`); takes no lock in the pool.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_is_a_template(self, vm: &Ref<Vm>, template: Template) -> Result<(), Error> {
        self.set("VM.set_is_a_template", vm, vec![Value::Bool(template == Template::Yes)])
            .await
    }

    /// Sets the name.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_name_label(self, vm: &Ref<Vm>, name: &str) -> Result<(), Error> {
        self.set("VM.set_name_label", vm, vec![Value::text(name)]).await
    }

    /// Sets the description.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_name_description(self, vm: &Ref<Vm>, text: &str) -> Result<(), Error> {
        self.set("VM.set_name_description", vm, vec![Value::text(text)]).await
    }

    /// Replaces all tags.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_tags(self, vm: &Ref<Vm>, tags: &BTreeSet<String>) -> Result<(), Error> {
        self.set("VM.set_tags", vm, vec![Value::set(tags.iter().cloned())])
            .await
    }

    /// Adds one tag; silent if it is there.
    ///
    /// # Errors
    /// The call failed.
    pub async fn add_tags(self, vm: &Ref<Vm>, tag: &str) -> Result<(), Error> {
        self.set("VM.add_tags", vm, vec![Value::text(tag)]).await
    }

    /// Removes one tag; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_tags(self, vm: &Ref<Vm>, tag: &str) -> Result<(), Error> {
        self.set("VM.remove_tags", vm, vec![Value::text(tag)]).await
    }

    /// Replaces `other_config` whole: the last writer wins.
    ///
    /// # Errors
    /// The call failed, or a key cannot be sent.
    pub async fn set_other_config(self, vm: &Ref<Vm>, map: &TextMap) -> Result<(), Error> {
        self.set_map("VM.set_other_config", vm, map).await
    }

    /// Adds one key atomically. Never repeated when the outcome is open.
    ///
    /// # Errors
    /// `is_duplicate_key` if the key is there, even with the same value.
    pub async fn add_to_other_config(self, vm: &Ref<Vm>, key: &str, value: &str) -> Result<(), Error> {
        self.add_pair("VM.add_to_other_config", vm, key, value).await
    }

    /// Removes one key, whatever its value; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_from_other_config(self, vm: &Ref<Vm>, key: &str) -> Result<(), Error> {
        self.set("VM.remove_from_other_config", vm, vec![Value::text(key)])
            .await
    }

    /// Reads `other_config` alone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get_other_config(self, vm: &Ref<Vm>) -> Result<TextMap, Error> {
        self.get("VM.get_other_config", vm, Vec::new()).await
    }

    /// Reads the tags alone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get_tags(self, vm: &Ref<Vm>) -> Result<BTreeSet<String>, Error> {
        self.get("VM.get_tags", vm, Vec::new()).await
    }

    /// Reads the power state alone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get_power_state(self, vm: &Ref<Vm>) -> Result<PowerState, Error> {
        self.get("VM.get_power_state", vm, Vec::new()).await
    }

    /// Lists device numbers that are free for a virtual block device.
    ///
    /// # Errors
    /// The call failed.
    pub async fn allowed_vbd_devices(self, vm: &Ref<Vm>) -> Result<Vec<String>, Error> {
        self.get("VM.get_allowed_VBD_devices", vm, Vec::new()).await
    }

    /// Sets the most virtual CPUs; before a growth of those at startup, after a shrink.
    ///
    /// # Errors
    /// `is_invalid_value` in the wrong order.
    pub async fn set_vcpus_max(self, vm: &Ref<Vm>, count: i64) -> Result<(), Error> {
        self.set("VM.set_VCPUs_max", vm, vec![Value::Int(count)]).await
    }

    /// Sets the virtual CPUs at startup.
    ///
    /// # Errors
    /// `is_invalid_value` in the wrong order.
    pub async fn set_vcpus_at_startup(self, vm: &Ref<Vm>, count: i64) -> Result<(), Error> {
        self.set("VM.set_VCPUs_at_startup", vm, vec![Value::Int(count)]).await
    }

    /// Sets all memory limits of a halted VM; needs vm-power-admin.
    ///
    /// # Errors
    /// `is_invalid_value` if they contradict each other.
    pub async fn set_memory_limits(self, vm: &Ref<Vm>, limits: MemoryLimits) -> Result<(), Error> {
        let MemoryLimits {
            static_min,
            static_max,
            dynamic_min,
            dynamic_max,
        } = limits;
        let params = [static_min, static_max, dynamic_min, dynamic_max].map(Value::Int);
        self.set("VM.set_memory_limits", vm, params.to_vec()).await
    }

    /// Sets the restart priority under high availability; empty means unprotected.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_ha_restart_priority(self, vm: &Ref<Vm>, priority: &str) -> Result<(), Error> {
        self.set("VM.set_ha_restart_priority", vm, vec![Value::text(priority)])
            .await
    }

    /// Sets the host that a plain start prefers.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_affinity(self, vm: &Ref<Vm>, host: &Ref<Host>) -> Result<(), Error> {
        self.set("VM.set_affinity", vm, vec![Value::text(host.as_str())]).await
    }

    /// Replaces `platform` whole.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_platform(self, vm: &Ref<Vm>, map: &TextMap) -> Result<(), Error> {
        self.set_map("VM.set_platform", vm, map).await
    }

    /// Replaces the texts that the guest sees under `vm-data/`.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_xenstore_data(self, vm: &Ref<Vm>, map: &TextMap) -> Result<(), Error> {
        self.set_map("VM.set_xenstore_data", vm, map).await
    }

    /// Sets firmware texts; only while there are none.
    ///
    /// # Errors
    /// The call failed.
    pub async fn set_bios_strings(self, vm: &Ref<Vm>, map: &TextMap) -> Result<(), Error> {
        self.set_map("VM.set_bios_strings", vm, map).await
    }
}

/// Effects: these take time, and may not happen twice unnoticed.
impl Objects<'_, Vm> {
    /// Clones a halted template or VM on its own storage, waiting for the result on the same connection.
    ///
    /// # Errors
    /// The call failed; a `MaybeSent` one may have left a VM of that name.
    pub async fn clone_to(self, template: &Ref<Vm>, name: &str, limit: Duration) -> Result<Ref<Vm>, Error> {
        let method = "VM.clone";
        let value = self
            .act(method, template, vec![Value::text(name)], limit, Repeat::Once)
            .await?;
        self.made(method, template.as_str(), value)
    }

    /// Copies a halted template or VM in full, to `sr` or to where its disks are, as a task; a dropped future cancels it.
    ///
    /// # Errors
    /// The call or its task failed; a `MaybeSent` one may have left a VM of that name.
    pub async fn copy_to(
        self,
        vm: &Ref<Vm>,
        name: &str,
        sr: Option<&Ref<Sr>>,
        limit: Duration,
    ) -> Result<Ref<Vm>, Error> {
        let method = "Async.VM.copy";
        let target = sr.map_or("OpaqueRef:NULL", Ref::as_str);
        let params = vec![Value::text(vm.as_str()), Value::text(name), Value::text(target)];
        let value = run(self.pool, method, vm.as_str(), params, limit).await?;
        self.made(method, vm.as_str(), value)
    }

    /// Starts a halted VM on a host of the pool's choice.
    ///
    /// # Errors
    /// `is_no_capacity` if there is no room; `is_wrong_power_state` if it is not halted.
    pub async fn start(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act(
            "VM.start",
            vm,
            vec![Value::Bool(false), Value::Bool(false)],
            limit,
            Repeat::Once,
        )
        .await
    }

    /// Starts a halted VM on this host; needs vm-power-admin.
    ///
    /// # Errors
    /// `is_other_host` if another host may take it.
    pub async fn start_on(self, vm: &Ref<Vm>, host: &Ref<Host>, limit: Duration) -> Result<(), Error> {
        let params = vec![Value::text(host.as_str()), Value::Bool(false), Value::Bool(false)];
        self.act("VM.start_on", vm, params, limit, Repeat::Once).await
    }

    /// Stops a VM at once, from running, paused or suspended.
    ///
    /// # Errors
    /// `is_wrong_power_state` if it is halted already.
    pub async fn hard_shutdown(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act("VM.hard_shutdown", vm, Vec::new(), limit, Repeat::Idempotent)
            .await
    }

    /// Asks the guest to stop.
    ///
    /// # Errors
    /// `is_guest` if it does not or cannot.
    pub async fn clean_shutdown(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act("VM.clean_shutdown", vm, Vec::new(), limit, Repeat::Idempotent)
            .await
    }

    /// Writes the memory of a running VM to disk and stops it.
    ///
    /// # Errors
    /// The call failed.
    pub async fn suspend(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act("VM.suspend", vm, Vec::new(), limit, Repeat::Once).await
    }

    /// Resumes a suspended VM on a host of the pool's choice.
    ///
    /// # Errors
    /// The call failed.
    pub async fn resume(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act(
            "VM.resume",
            vm,
            vec![Value::Bool(false), Value::Bool(false)],
            limit,
            Repeat::Once,
        )
        .await
    }

    /// Resumes a suspended VM on this host.
    ///
    /// # Errors
    /// `is_other_host` if another host may take it.
    pub async fn resume_on(self, vm: &Ref<Vm>, host: &Ref<Host>, limit: Duration) -> Result<(), Error> {
        let params = vec![Value::text(host.as_str()), Value::Bool(false), Value::Bool(false)];
        self.act("VM.resume_on", vm, params, limit, Repeat::Once).await
    }

    /// Pauses a running VM.
    ///
    /// # Errors
    /// The call failed.
    pub async fn pause(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act("VM.pause", vm, Vec::new(), limit, Repeat::Once).await
    }

    /// Lets a paused VM go on.
    ///
    /// # Errors
    /// The call failed.
    pub async fn unpause(self, vm: &Ref<Vm>, limit: Duration) -> Result<(), Error> {
        self.act("VM.unpause", vm, Vec::new(), limit, Repeat::Once).await
    }

    /// Moves a running VM to another host of the pool, live.
    ///
    /// # Errors
    /// `is_other_host` if another host may take it.
    pub async fn pool_migrate(self, vm: &Ref<Vm>, host: &Ref<Host>, limit: Duration) -> Result<(), Error> {
        let live = Value::Struct(vec![("live".to_owned(), Value::text("true"))]);
        self.act(
            "VM.pool_migrate",
            vm,
            vec![Value::text(host.as_str()), live],
            limit,
            Repeat::Once,
        )
        .await
    }

    /// Asks whether a host could start the VM now.
    ///
    /// # Errors
    /// The reason why not, as the pool's failure.
    pub async fn assert_can_boot_here(self, vm: &Ref<Vm>, host: &Ref<Host>) -> Result<(), Error> {
        self.set("VM.assert_can_boot_here", vm, vec![Value::text(host.as_str())])
            .await
    }

    /// Deletes the record of a halted VM with its devices; its disks stay.
    ///
    /// # Errors
    /// `is_gone_object` if it is gone already.
    pub async fn destroy(self, vm: &Ref<Vm>) -> Result<(), Error> {
        self.set("VM.destroy", vm, Vec::new()).await
    }

    /// Lists the hosts that could run the VM now, by what the pool knows.
    ///
    /// # Errors
    /// The call failed.
    pub async fn possible_hosts(self, vm: &Ref<Vm>) -> Result<Vec<Ref<Host>>, Error> {
        self.get("VM.get_possible_hosts", vm, Vec::new()).await
    }
}
