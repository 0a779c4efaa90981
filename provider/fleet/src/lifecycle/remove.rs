//! Removing a VM with its own disks: hard stop, own disks, snapshots, the VM. Each step takes "gone already" for done.
//!
//! Disks go first: a crash then leaves a VM that is marked and found again, instead of disks that nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use tokio::time::Instant;
use xenapi::{Failure, Outcome, Pool, PowerState, Ref, Sr, SrRecord, Uuid, Vbd, VbdType, Vdi, VdiRecord, VdiType, Vm};

use super::{Bounds, call};
use crate::error::{Error, VmName};
use crate::lease::{DISK_KEY, VM_KEY};
use crate::pool::{Loaded, related};

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

/// The pool in which something is removed.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) client: &'a Pool,
    pub(super) pool: &'a str,
    pub(super) bounds: &'a Bounds,
    /// Where others may change their mind meanwhile: asked before each destructive step.
    pub(super) recheck: Option<&'a dyn Recheck>,
}

/// Says whether a removal may go on.
pub trait Recheck: Sync {
    /// Looks again; an error ends the removal where it is.
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// A VM that is being removed.
pub(super) struct Removal<'a> {
    pub(super) site: Site<'a>,
    pub(super) storage: &'a BTreeMap<Ref<Sr>, SrRecord>,
    pub(super) loaded: &'a Loaded,
    pub(super) whose: Whose,
}

/// What becomes of a disk.
enum Fate {
    Destroyed,
    Kept(String),
}

impl Site<'_> {
    async fn recheck(&self) -> Result<(), Error> {
        match self.recheck {
            Some(recheck) => recheck.recheck().await,
            None => Ok(()),
        }
    }

    /// Destroys a disk when it is its SR's turn. `keeps` says why it must stay after all, looking at it anew.
    pub(super) async fn destroy(
        &self,
        vm: &VmName,
        vdi: &Ref<Vdi>,
        record: &VdiRecord,
        keeps: &(dyn Fn(&VdiRecord) -> Option<String> + Sync),
    ) -> Result<Option<KeptDisk>, Error> {
        let client = self.client;
        let mut tries = 0;
        loop {
            tries += 1;
            let held = client.sr_queue().acquire(&record.sr, &self.bounds.cancel).await;
            let held = held.ok_or(Error::Cancelled { left: None })?;
            if self.recheck.is_some() {
                self.recheck().await?;
                match client.vdi().record(vdi).await {
                    Ok(record) => {
                        if let Some(reason) = keeps(&record) {
                            return Ok(Some(KeptDisk::new(&record, reason)));
                        }
                    }
                    Err(cause) if cause.is_gone_object(vdi) => return Ok(None),
                    Err(cause) => return Err(call("looking at a disk again", vm)(cause)),
                }
            }
            let result = gone_is_done(vdi, || client.vdi().destroy(vdi, self.bounds.remaining())).await;
            drop(held);
            match result {
                Ok(()) => return Ok(None),
                Err(cause) if cause.is_failure(Failure::is_in_use) && tries < IN_USE_TRIES => {
                    tokio::time::sleep_until(Instant::now() + IN_USE_PAUSE).await;
                }
                Err(cause) if cause.is_failure(Failure::is_in_use) => {
                    return Err(Error::DiskHeld {
                        pool: self.pool.to_owned(),
                        vm: vm.clone(),
                        disk: record.uuid,
                        why: format!("is in use still ({cause})"),
                    });
                }
                Err(cause) => return Err(call("destroying a disk", vm)(cause)),
            }
        }
    }
}

impl KeptDisk {
    fn new(record: &VdiRecord, reason: String) -> Self {
        Self {
            uuid: record.uuid,
            name: record.name_label.clone(),
            reason,
        }
    }
}

impl Removal<'_> {
    /// Removes it; names the disks that were detached and kept.
    pub(super) async fn remove(&self) -> Result<Vec<KeptDisk>, Error> {
        let late = |status: &'static str| {
            move || Error::Timeout {
                doing: "deleting",
                pool: self.site.pool.to_owned(),
                vm: self.loaded.name(),
                limit: self.site.bounds.limit,
                status,
            }
        };
        let bounds = self.site.bounds;
        bounds.hold(self.halt(), late("still stopping")).await?;
        let kept = bounds
            .hold(self.disks(), late("its disks are not all destroyed"))
            .await?;
        bounds
            .hold(
                self.suspend_image(self.loaded),
                late("its suspend image is not destroyed"),
            )
            .await?;
        bounds
            .hold(self.snapshots(), late("its snapshots are not all destroyed"))
            .await?;
        bounds.hold(self.record(), late("it is not destroyed")).await?;
        Ok(kept)
    }

    async fn record(&self) -> Result<(), Error> {
        self.site.recheck().await?;
        let (client, vm, name) = (self.site.client, &self.loaded.reference, self.loaded.name());
        gone_is_done(vm, || client.vm().destroy(vm))
            .await
            .map_err(call("destroying the VM", &name))
    }

    async fn halt(&self) -> Result<(), Error> {
        if self.loaded.vm.power_state == PowerState::Halted {
            return Ok(());
        }
        self.site.recheck().await?;
        let client = self.site.client;
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
            let cause = match client.vm().hard_shutdown(vm, self.site.bounds.remaining()).await {
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
                    self.site.recheck().await?;
                    self.detach(vdi).await?;
                    kept.push(KeptDisk::new(record, reason));
                }
            }
        }
        let destroyed = own.into_iter().map(|(vdi, record)| self.disk(vdi, record));
        kept.extend(try_join_all(destroyed).await?.into_iter().flatten());
        Ok(kept)
    }

    async fn disk(&self, vdi: &Ref<Vdi>, record: &VdiRecord) -> Result<Option<KeptDisk>, Error> {
        let keeps = |now: &VdiRecord| match self.fate(vdi, now) {
            Fate::Destroyed => None,
            Fate::Kept(reason) => Some(reason),
        };
        let kept = self.site.destroy(&self.loaded.name(), vdi, record, &keeps).await?;
        if kept.is_some() {
            self.detach(vdi).await?;
        }
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
        match self.storage.get(&disk.sr) {
            Some(sr) if sr.content_type == "iso" || sr.kind == "udev" || sr.kind == "iso" => {
                Fate::Kept(format!("it is on {:?}, which is not for disks", sr.name_label))
            }
            Some(_) | None => Fate::Destroyed,
        }
    }

    fn is_own(&self, vdi: &Ref<Vdi>, disk: &VdiRecord) -> bool {
        is_marked_as_of(disk, self.loaded.vm.uuid)
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
        let client = self.site.client;
        let name = self.loaded.name();
        for (vbd, _) in self.loaded.vbds.iter().filter(|(_, vbd)| vbd.vdi == *vdi) {
            gone_is_done(vbd, || client.vbd().destroy(vbd))
                .await
                .map_err(call("detaching a disk", &name))?;
        }
        Ok(())
    }

    /// A suspended VM's image goes with the hard stop, a checkpoint's with nothing; where it is left, it goes here.
    async fn suspend_image(&self, of: &Loaded) -> Result<(), Error> {
        let Some(image) = of.vm.suspend_vdi.non_null() else {
            return Ok(());
        };
        let client = self.site.client;
        let name = self.loaded.name();
        let left = client.vdi().records_by_ref(std::slice::from_ref(image)).await;
        for (vdi, record) in left.map_err(call("reading the suspend image", &name))? {
            if record.kind == VdiType::Suspend && record.managed && record.vbds.is_empty() {
                self.site.destroy(&name, &vdi, &record, &|_| None).await?;
            }
        }
        Ok(())
    }

    async fn snapshots(&self) -> Result<(), Error> {
        if self.loaded.vm.snapshots.is_empty() {
            return Ok(());
        }
        let client = self.site.client;
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
        let client = self.site.client;
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
        try_join_all(own.map(|(vdi, record)| self.site.destroy(&name, vdi, record, &|_| None))).await?;
        self.suspend_image(snapshot).await?;
        self.site.recheck().await?;
        gone_is_done(&snapshot.reference, || client.vm().destroy(&snapshot.reference))
            .await
            .map_err(call("destroying a snapshot", &name))
    }
}

/// Says whether a disk carries the mark of a VM, and not as the copy of one that does.
pub(crate) fn is_marked_as_of(disk: &VdiRecord, vm: Uuid) -> bool {
    let names = |key: &str, uuid: Uuid| disk.other_config.get(key).map(|text| *text == uuid.to_string());
    names(VM_KEY, vm) == Some(true) && names(DISK_KEY, disk.uuid) != Some(false)
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
pub(super) async fn reload(client: &Pool, vm: &Ref<Vm>) -> Result<Option<Loaded>, Error> {
    let name = VmName::unknown();
    let record = match client.vm().record(vm).await {
        Ok(record) => record,
        Err(cause) if cause.is_gone_object(vm) => return Ok(None),
        Err(cause) => return Err(call("reading the VM", &name)(cause)),
    };
    Ok(related(client, vec![(vm.clone(), record)]).await?.into_iter().next())
}
