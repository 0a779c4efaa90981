//! Calls on disks, their attachments and storage repositories.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Objects;
use crate::error::{Error, Outcome};
use crate::record::{Sr, Task, TextMap, Vbd, VbdMode, VbdType, Vdi, VdiType, Vm};
use crate::reference::Ref;
use crate::task::Running;
use crate::transport::{Repeat, Upload};
use crate::wire::Value;

/// Numbers the transfers of this process.
static TRANSFERS: AtomicU64 = AtomicU64::new(0);

/// What a new disk is to be.
#[derive(Clone, Debug)]
pub struct NewVdi {
    /// Name.
    pub name_label: String,
    /// Where it is made.
    pub sr: Ref<Sr>,
    /// Size in bytes.
    pub virtual_size: i64,
    /// Kind; usually [`VdiType::User`].
    pub kind: VdiType,
    /// Marks.
    pub other_config: TextMap,
}

/// How a disk is to be attached to a VM.
#[derive(Clone, Debug)]
pub struct NewVbd {
    /// The VM.
    pub vm: Ref<Vm>,
    /// The disk; null for an empty drive.
    pub vdi: Ref<Vdi>,
    /// Device number as text, or `autodetect`.
    pub userdevice: String,
    /// Kind of device.
    pub kind: VbdType,
    /// Read-only or not.
    pub mode: VbdMode,
    /// Marks.
    pub other_config: TextMap,
}

/// References need no escapes in a query; whatever else stands in one does.
fn query_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b':' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

fn empty() -> Value {
    Value::Struct(Vec::new())
}

impl Objects<'_, Vdi> {
    /// Makes a disk: an operation of the storage repository, to be queued.
    ///
    /// # Errors
    /// `is_storage_full` if there is no room; a `MaybeSent` one may have left a disk of that name.
    pub async fn create(self, new: &NewVdi, limit: Duration) -> Result<Ref<Vdi>, Error> {
        let method = "VDI.create";
        let members = [
            ("name_label", Value::text(&new.name_label)),
            ("name_description", Value::text("")),
            ("SR", Value::text(new.sr.as_str())),
            ("virtual_size", Value::Int(new.virtual_size)),
            ("type", Value::text(new.kind.as_str())),
            ("sharable", Value::Bool(false)),
            ("read_only", Value::Bool(false)),
            ("other_config", Value::map(&new.other_config)),
            ("xenstore_data", empty()),
            ("sm_config", empty()),
            ("tags", Value::Array(Vec::new())),
        ];
        let record = Value::Struct(members.map(|(name, value)| (name.to_owned(), value)).to_vec());
        let value = self
            .pool
            .value(method, Some(new.sr.as_str()), vec![record], limit, Repeat::Once)
            .await?;
        self.made(method, new.sr.as_str(), value)
    }

    /// Deletes a disk, its data and all its attachments: an operation of the storage repository, to be queued.
    ///
    /// # Errors
    /// `is_gone_object` if it is gone already, `is_in_use` if a VM has it.
    pub async fn destroy(self, vdi: &Ref<Vdi>, limit: Duration) -> Result<(), Error> {
        self.act("VDI.destroy", vdi, Vec::new(), limit, Repeat::Idempotent)
            .await
    }

    /// Grows a disk: an operation of the storage repository, to be queued.
    ///
    /// # Errors
    /// The call failed.
    pub async fn resize(self, vdi: &Ref<Vdi>, bytes: i64, limit: Duration) -> Result<(), Error> {
        self.act("VDI.resize", vdi, vec![Value::Int(bytes)], limit, Repeat::Idempotent)
            .await
    }

    /// Writes an image into a disk from its first byte on, and waits until the data is written. Plugs the disk into a control domain
    /// meanwhile: an operation of several seconds.
    ///
    /// # Errors
    /// The transfer or its task failed; how much was written is open, so the disk is worth nothing then.
    pub async fn import_raw(self, vdi: &Ref<Vdi>, image: Bytes, limit: Duration) -> Result<(), Error> {
        let method = "VDI.import_raw";
        let deadline = Instant::now() + limit;
        let task = self.transfer(vdi, self.pool.quick().min(limit)).await?;
        let running = Running::new(self.pool, method, vdi.as_str(), task)?;
        let upload = Upload {
            method,
            object: vdi.as_str(),
            path: format!(
                "/import_raw_vdi?vdi={}&format=raw&task_id={}",
                query_text(vdi.as_str()),
                query_text(running.task().as_str())
            ),
            content: image,
            limit: deadline.saturating_duration_since(Instant::now()),
        };
        self.pool.caller().upload(&upload).await?;
        running.result(self.pool, method, vdi.as_str(), deadline).await
    }

    /// Makes the task of one transfer. No other has its name: if the answer is lost it is looked for by that, as one that nobody knows stays
    /// pending for a day.
    async fn transfer(self, vdi: &Ref<Vdi>, limit: Duration) -> Result<Ref<Task>, Error> {
        let number = TRANSFERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("VDI import {} {number}", vdi.as_str());
        let params = vec![Value::text(name.as_str()), Value::text("")];
        let made = self
            .pool
            .value("task.create", Some(vdi.as_str()), params, limit, Repeat::Once)
            .await;
        match made {
            Err(lost) if lost.outcome() == Outcome::MaybeSent => {
                let found = self.pool.task().by_name_label(&name).await;
                found.ok().and_then(|tasks| tasks.into_iter().next()).ok_or(lost)
            }
            made => made,
        }
    }

    /// Deletes the record of a disk whose data is gone.
    ///
    /// # Errors
    /// The call failed.
    pub async fn forget(self, vdi: &Ref<Vdi>) -> Result<(), Error> {
        self.set("VDI.forget", vdi, Vec::new()).await
    }

    /// Adds one key atomically. Never repeated when the outcome is open.
    ///
    /// # Errors
    /// `is_duplicate_key` if the key is there, even with the same value.
    pub async fn add_to_other_config(self, vdi: &Ref<Vdi>, key: &str, value: &str) -> Result<(), Error> {
        self.add_pair("VDI.add_to_other_config", vdi, key, value).await
    }

    /// Removes one key, whatever its value; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_from_other_config(self, vdi: &Ref<Vdi>, key: &str) -> Result<(), Error> {
        self.set("VDI.remove_from_other_config", vdi, vec![Value::text(key)])
            .await
    }

    /// Replaces `other_config` whole: the last writer wins.
    ///
    /// # Errors
    /// The call failed, or a key cannot be sent.
    pub async fn set_other_config(self, vdi: &Ref<Vdi>, map: &TextMap) -> Result<(), Error> {
        self.set_map("VDI.set_other_config", vdi, map).await
    }
}

impl Objects<'_, Vbd> {
    /// Attaches a disk or drive in the VM's record.
    ///
    /// # Errors
    /// The call failed.
    pub async fn create(self, new: &NewVbd) -> Result<Ref<Vbd>, Error> {
        let method = "VBD.create";
        let members = [
            ("VM", Value::text(new.vm.as_str())),
            ("VDI", Value::text(new.vdi.as_str())),
            ("userdevice", Value::text(&new.userdevice)),
            ("bootable", Value::Bool(false)),
            ("mode", Value::text(new.mode.as_str())),
            ("type", Value::text(new.kind.as_str())),
            ("unpluggable", Value::Bool(true)),
            ("empty", Value::Bool(new.vdi.is_null())),
            ("other_config", Value::map(&new.other_config)),
            ("qos_algorithm_type", Value::text("")),
            ("qos_algorithm_params", empty()),
        ];
        let record = Value::Struct(members.map(|(name, value)| (name.to_owned(), value)).to_vec());
        let value = self
            .pool
            .value(
                method,
                Some(new.vm.as_str()),
                vec![record],
                self.pool.quick(),
                Repeat::Once,
            )
            .await?;
        self.made(method, new.vm.as_str(), value)
    }

    /// Detaches a disk in the VM's record.
    ///
    /// # Errors
    /// `is_gone_object` if it is gone already; not allowed while attached to a running VM.
    pub async fn destroy(self, vbd: &Ref<Vbd>) -> Result<(), Error> {
        self.set("VBD.destroy", vbd, Vec::new()).await
    }

    /// Detaches a disk from a running VM.
    ///
    /// # Errors
    /// `is_busy` if the guest holds it, `is_wrong_power_state` if it is detached already.
    pub async fn unplug(self, vbd: &Ref<Vbd>, limit: Duration) -> Result<(), Error> {
        self.act("VBD.unplug", vbd, Vec::new(), limit, Repeat::Idempotent).await
    }

    /// Takes the medium out of a drive.
    ///
    /// # Errors
    /// The call failed.
    pub async fn eject(self, vbd: &Ref<Vbd>, limit: Duration) -> Result<(), Error> {
        self.act("VBD.eject", vbd, Vec::new(), limit, Repeat::Idempotent).await
    }
}

impl Objects<'_, Sr> {
    /// Adds one key atomically. Never repeated when the outcome is open.
    ///
    /// # Errors
    /// `is_duplicate_key` if the key is there, even with the same value.
    pub async fn add_to_other_config(self, sr: &Ref<Sr>, key: &str, value: &str) -> Result<(), Error> {
        self.add_pair("SR.add_to_other_config", sr, key, value).await
    }

    /// Removes one key, whatever its value; silent if it is absent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_from_other_config(self, sr: &Ref<Sr>, key: &str) -> Result<(), Error> {
        self.set("SR.remove_from_other_config", sr, vec![Value::text(key)])
            .await
    }
}
