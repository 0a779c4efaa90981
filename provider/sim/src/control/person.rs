//! What a person does with a VM beside dynvm: by the pool's own calls, as the superuser, at the pool's own pace.

use serde_json::{Value as Json, json};

use super::{Control, ControlError};
use crate::db::Cls;

impl Control {
    /// Makes an empty disk on the pool's default SR and attaches it, plugged in if the VM runs; returns the disk's UUID.
    ///
    /// # Errors
    /// No such VM, no default SR, or a pool that refuses.
    pub async fn attach_disk(&self, vm: &str, name: &str, gib: u64) -> Result<String, ControlError> {
        let (pool, reference) = self.place_of(vm)?;
        let pools = self.person(&pool, "pool.get_all_records", json!([])).await?;
        let settings = pools.as_object().and_then(|rows| rows.values().next());
        let sr = settings.and_then(|record| record.get("default_SR"));
        let disk = json!({
            "name_label": name, "SR": sr, "virtual_size": gib << 30, "type": "user",
            "sharable": false, "read_only": false, "other_config": {},
        });
        let disk = self.person(&pool, "VDI.create", json!([disk])).await?;
        let device = json!({
            "VM": reference, "VDI": disk, "userdevice": "autodetect", "bootable": false, "mode": "RW", "type": "Disk",
            "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {},
        });
        let device = self.person(&pool, "VBD.create", json!([device])).await?;
        if self.person(&pool, "VM.get_power_state", json!([reference])).await? == "Running" {
            self.person(&pool, "VBD.plug", json!([device])).await?;
        }
        self.uuid_of(&pool, "VDI", &disk).await
    }

    /// Makes a snapshot of a VM; returns its UUID.
    ///
    /// # Errors
    /// No such VM, or a pool that refuses.
    pub async fn snapshot_vm(&self, vm: &str, name: &str) -> Result<String, ControlError> {
        let (pool, reference) = self.place_of(vm)?;
        let made = self.person(&pool, "VM.snapshot", json!([reference, name])).await?;
        self.uuid_of(&pool, "VM", &made).await
    }

    /// Makes a fast clone of a halted VM; returns its UUID.
    ///
    /// # Errors
    /// No such VM, or a pool that refuses.
    pub async fn clone_vm(&self, vm: &str, name: &str) -> Result<String, ControlError> {
        let (pool, reference) = self.place_of(vm)?;
        let made = self.person(&pool, "VM.clone", json!([reference, name])).await?;
        self.uuid_of(&pool, "VM", &made).await
    }

    /// Makes a full copy of a halted VM on the same SRs; returns its UUID.
    ///
    /// # Errors
    /// No such VM, or a pool that refuses.
    pub async fn copy_vm(&self, vm: &str, name: &str) -> Result<String, ControlError> {
        let (pool, reference) = self.place_of(vm)?;
        let copy = json!([reference, name, "OpaqueRef:NULL"]);
        let made = self.person(&pool, "VM.copy", copy).await?;
        self.uuid_of(&pool, "VM", &made).await
    }

    /// Turns a halted VM into a template, in place.
    ///
    /// # Errors
    /// No such VM, or a pool that refuses.
    pub async fn turn_into_template(&self, vm: &str) -> Result<(), ControlError> {
        let (pool, reference) = self.place_of(vm)?;
        let call = self.person(&pool, "VM.set_is_a_template", json!([reference, true]));
        call.await.map(drop)
    }

    /// The pool and the reference of a VM.
    fn place_of(&self, uuid: &str) -> Result<(String, String), ControlError> {
        let found = self.pools.iter().find_map(|pool| {
            let reference = pool.with(|state| state.db.by_uuid(Cls::Vm, uuid).cloned())?;
            Some((pool.name.clone(), reference.as_str().to_owned()))
        });
        found.ok_or_else(|| ControlError::NotFound {
            kind: "VM".to_owned(),
            name: uuid.to_owned(),
        })
    }

    async fn person(&self, pool: &str, method: &str, params: Json) -> Result<Json, ControlError> {
        let params = params.as_array().cloned().unwrap_or_default();
        let answer = self.call(pool, method, params).await;
        answer.map_err(|failure| ControlError::Refused {
            message: failure.join(" "),
        })
    }

    async fn uuid_of(&self, pool: &str, class: &str, reference: &Json) -> Result<String, ControlError> {
        let uuid = self
            .person(pool, &format!("{class}.get_uuid"), json!([reference]))
            .await?;
        Ok(uuid.as_str().unwrap_or_default().to_owned())
    }
}
