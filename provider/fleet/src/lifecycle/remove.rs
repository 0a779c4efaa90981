//! Removing a VM with its own disks: hard stop, own disks, snapshots, the VM. Each step takes "gone already" for done.
//!
//! Disks go first: a crash then leaves a VM that is marked and found again, instead of disks that nobody knows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::Instant;
use xenapi::{Failure, Outcome, PowerState, Ref, Uuid, Vbd, VbdType, Vdi, VdiRecord, VdiType, Vm};

use super::{Bounds, call};
use crate::error::{Error, VmName};
use crate::lease::VM_KEY;
use crate::pool::{Inventory, Loaded, Member, related};

/// How often a step is repeated whose answer was lost; all of them may be.
const TRIES: u32 = 3;
/// How often a disk in use is tried again, and after how long: the pool lets go of it in the background.
const IN_USE_TRIES: u32 = 10;
const IN_USE_PAUSE: Duration = Duration::from_secs(5);

/// A disk that was attached to a server and is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDisk {
    /// The disk.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Why it was kept.
    pub reason: String,
}

/// Which disks are a VM's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that carry its mark.
    Marked,
    /// Those that a clone was born with, as they were seen then.
    These(BTreeSet<Ref<Vdi>>),
    /// Those that a clone was born with, by the key that the pool gives the drives of a clone and no person's tool gives
    /// those of a disk that it attaches: nobody saw the clone before.
    Fresh,
}

/// A VM that is being removed.
pub(super) struct Removal<'a> {
    pub(super) member: &'a Arc<Member>,
    pub(super) inventory: &'a Inventory,
    pub(super) bounds: &'a Bounds,
    pub(super) loaded: &'a Loaded,
    pub(super) whose: Whose,
}

/// What becomes of a disk.
enum Fate {
    Destroyed,
    Kept(String),
}

impl Removal<'_> {
    /// Removes it; names the disks that were detached and kept.
    pub(super) async fn remove(&self) -> Result<Vec<KeptDisk>, Error> {
        self.member.wrote();
        let late = |status: &'static str| {
            move || Error::Timeout {
                doing: "deleting",
                pool: self.member.name().to_owned(),
                vm: self.loaded.name(),
                limit: self.bounds.limit,
                status,
            }
        };
        self.bounds.hold(self.halt(), late("still stopping")).await?;
        let kept = self
            .bounds
            .hold(self.disks(), late("its disks are not all destroyed"))
            .await?;
        self.bounds
            .hold(
                self.suspend_image(self.loaded),
                late("its suspend image is not destroyed"),
            )
            .await?;
        self.bounds
            .hold(self.snapshots(), late("its snapshots are not all destroyed"))
            .await?;
        let client = self.member.client()?;
        let name = self.loaded.name();
        let destroyed = gone_is_done(&self.loaded.reference, || client.vm().destroy(&self.loaded.reference));
        self.bounds
            .hold(
                async { destroyed.await.map_err(call("destroying the VM", &name)) },
                late("it is not destroyed"),
            )
            .await?;
        self.member.wrote();
        Ok(kept)
    }

    async fn halt(&self) -> Result<(), Error> {
        if self.loaded.vm.power_state == PowerState::Halted {
            return Ok(());
        }
        let client = self.member.client()?;
        let (vm, name) = (&self.loaded.reference, self.loaded.name());
        if !self.loaded.vm.ha_restart_priority.is_empty() {
            // High availability would start again what is stopped here.
            gone_is_done(vm, || client.vm().set_ha_restart_priority(vm, ""))
                .await
                .map_err(call("taking the server out of high availability", &name))?;
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let cause = match client.vm().hard_shutdown(vm, self.bounds.remaining()).await {
                Ok(()) => return Ok(()),
                Err(cause) => cause,
            };
            let is_halted = |failure: &Failure| {
                failure
                    .actual_power_state()
                    .is_some_and(|state| state.eq_ignore_ascii_case("halted"))
            };
            if cause.is_failure(is_halted) || cause.is_gone_object(vm) {
                return Ok(());
            }
            if cause.outcome() == Outcome::Rejected || tries == TRIES {
                return Err(call("stopping the server", &name)(cause));
            }
            if client
                .vm()
                .get_power_state(vm)
                .await
                .is_ok_and(|state| state == PowerState::Halted)
            {
                return Ok(());
            }
        }
    }

    async fn disks(&self) -> Result<Vec<KeptDisk>, Error> {
        let mut kept = Vec::new();
        let mut own = Vec::new();
        for (vdi, record) in self.loaded.disks() {
            match self.fate(vdi, record) {
                Fate::Destroyed => own.push((vdi, record)),
                Fate::Kept(reason) => {
                    self.detach(vdi).await?;
                    kept.push(KeptDisk {
                        uuid: record.uuid,
                        name: record.name_label.clone(),
                        reason,
                    });
                }
            }
        }
        try_join_all(own.into_iter().map(|(vdi, record)| self.destroy(vdi, record))).await?;
        Ok(kept)
    }

    /// Decides what becomes of a disk: only what is surely the VM's own and nobody else's is destroyed.
    fn fate(&self, vdi: &Ref<Vdi>, disk: &VdiRecord) -> Fate {
        if !self.is_own(vdi, disk) {
            return Fate::Kept(match disk.other_config.get(VM_KEY) {
                Some(other) => format!("it carries the mark of VM {other}"),
                None => "it does not carry the server's mark".to_owned(),
            });
        }
        let drives: BTreeSet<&Ref<Vbd>> = self.loaded.vbds.iter().map(|(vbd, _)| vbd).collect();
        if !disk.vbds.iter().all(|vbd| drives.contains(vbd)) {
            return Fate::Kept("another VM uses it".to_owned());
        }
        if disk.sharable {
            return Fate::Kept("it can be shared".to_owned());
        }
        let kinds = [VdiType::User, VdiType::System, VdiType::Ephemeral];
        if !disk.managed || disk.is_a_snapshot || disk.is_tools_iso || !kinds.contains(&disk.kind) {
            return Fate::Kept(format!("it is of the kind {:?}", disk.kind.as_str()));
        }
        match self.inventory.sr(&disk.sr) {
            Some(sr) if sr.content_type == "iso" || sr.kind == "udev" || sr.kind == "iso" => {
                Fate::Kept(format!("it is on {:?}, which is not for disks", sr.name_label))
            }
            Some(_) | None => Fate::Destroyed,
        }
    }

    fn is_own(&self, vdi: &Ref<Vdi>, disk: &VdiRecord) -> bool {
        let own = self.loaded.vm.uuid.to_string();
        let is_marked = disk.other_config.get(VM_KEY) == Some(&own);
        is_marked
            || match &self.whose {
                Whose::Marked => false,
                Whose::These(born) => born.contains(vdi),
                Whose::Fresh => {
                    let mut drives = self.loaded.vbds.iter().filter(|(_, vbd)| vbd.vdi == *vdi);
                    drives.all(|(_, vbd)| vbd.other_config.contains_key("owner"))
                }
            }
    }

    async fn detach(&self, vdi: &Ref<Vdi>) -> Result<(), Error> {
        let client = self.member.client()?;
        let name = self.loaded.name();
        for (vbd, _) in self.loaded.vbds.iter().filter(|(_, vbd)| vbd.vdi == *vdi) {
            gone_is_done(vbd, || client.vbd().destroy(vbd))
                .await
                .map_err(call("detaching a disk", &name))?;
        }
        Ok(())
    }

    async fn destroy(&self, vdi: &Ref<Vdi>, record: &VdiRecord) -> Result<(), Error> {
        let client = self.member.client()?;
        let name = self.loaded.name();
        let mut tries = 0;
        loop {
            tries += 1;
            let held = client
                .sr_queue()
                .acquire(&record.sr, &self.bounds.cancel)
                .await
                .ok_or(Error::Cancelled { left: None })?;
            let result = gone_is_done(vdi, || client.vdi().destroy(vdi, self.bounds.remaining())).await;
            drop(held);
            match result {
                Ok(()) => return Ok(()),
                Err(cause) if cause.is_failure(Failure::is_in_use) && tries < IN_USE_TRIES => {
                    tokio::time::sleep_until(Instant::now() + IN_USE_PAUSE).await;
                }
                Err(cause) if cause.is_failure(Failure::is_in_use) => {
                    return Err(Error::DiskHeld {
                        pool: self.member.name().to_owned(),
                        vm: name,
                        disk: record.uuid,
                        why: format!("is in use still ({cause})"),
                    });
                }
                Err(cause) => return Err(call("destroying a disk", &name)(cause)),
            }
        }
    }

    /// A suspended VM's image goes with the hard stop, a checkpoint's with nothing; where it is left, it goes here.
    async fn suspend_image(&self, of: &Loaded) -> Result<(), Error> {
        let Some(image) = of.vm.suspend_vdi.non_null() else {
            return Ok(());
        };
        let client = self.member.client()?;
        let name = self.loaded.name();
        let left = client.vdi().records_by_ref(std::slice::from_ref(image)).await;
        for (vdi, record) in left.map_err(call("reading the suspend image", &name))? {
            if record.kind == VdiType::Suspend && record.managed && record.vbds.is_empty() {
                self.destroy(&vdi, &record).await?;
            }
        }
        Ok(())
    }

    async fn snapshots(&self) -> Result<(), Error> {
        if self.loaded.vm.snapshots.is_empty() {
            return Ok(());
        }
        let client = self.member.client()?;
        let name = self.loaded.name();
        let failed = call("removing the server's snapshots", &name);
        let records = client
            .vm()
            .records_by_ref(&self.loaded.vm.snapshots)
            .await
            .map_err(&failed)?;
        let own = records
            .into_iter()
            .filter(|(_, record)| record.is_a_snapshot && record.snapshot_of == self.loaded.reference);
        for snapshot in related(client, own.collect()).await? {
            self.snapshot(&snapshot).await?;
        }
        Ok(())
    }

    async fn snapshot(&self, snapshot: &Loaded) -> Result<(), Error> {
        let client = self.member.client()?;
        let name = self.loaded.name();
        let drives: BTreeSet<&Ref<Vbd>> = snapshot
            .vbds
            .iter()
            .filter(|(_, vbd)| vbd.kind == VbdType::Disk)
            .map(|(vbd, _)| vbd)
            .collect();
        let own = snapshot.disks().filter(|(_, disk)| {
            disk.is_a_snapshot && disk.managed && !disk.sharable && disk.vbds.iter().all(|vbd| drives.contains(vbd))
        });
        try_join_all(own.map(|(vdi, record)| self.destroy(vdi, record))).await?;
        self.suspend_image(snapshot).await?;
        gone_is_done(&snapshot.reference, || client.vm().destroy(&snapshot.reference))
            .await
            .map_err(call("destroying a snapshot", &name))
    }
}

/// Runs a removal that may be repeated: the object gone is done, and a lost answer is asked for again.
async fn gone_is_done<C, F>(object: &Ref<C>, mut removal: impl FnMut() -> F) -> Result<(), xenapi::Error>
where
    F: Future<Output = Result<(), xenapi::Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match removal().await {
            Ok(()) => return Ok(()),
            Err(cause) if cause.is_gone_object(object) => return Ok(()),
            Err(cause) if cause.outcome() == Outcome::Rejected || tries == TRIES => return Err(cause),
            Err(_) => {}
        }
    }
}

/// Reads a VM anew; `None` when it is gone.
pub(super) async fn reload(member: &Arc<Member>, vm: &Ref<Vm>) -> Result<Option<Loaded>, Error> {
    let client = member.client()?;
    let name = VmName::unknown();
    let record = match client.vm().record(vm).await {
        Ok(record) => record,
        Err(cause) if cause.is_gone_object(vm) => return Ok(None),
        Err(cause) => return Err(call("reading the VM", &name)(cause)),
    };
    Ok(related(client, vec![(vm.clone(), record)]).await?.into_iter().next())
}
