//! Removing a VM with its own disks: hard stop, own disks, snapshots, the VM. Each step takes "gone already" for done.
//!
//! Disks go first: a crash then leaves a VM that is marked and found again, instead of disks that nobody knows.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use xenapi::{Failure, Filter, Outcome, Pool, PowerState, Ref, Sr, SrRecord, Vdi, VdiRecord, Vm};

use super::call;
use super::drive::drive_name;
use super::own::{Judge, Whose, image_keeps, snapshot_keeps};
use super::protection::unprotect;
use super::site::{Keeps, KeptDisk, Site, TRIES, gone_is_done};
use crate::error::{Error, VmName};
use crate::pool::{Loaded, related};

/// A VM that is being removed.
pub(super) struct Removal<'a> {
    pub(super) site: Site<'a>,
    pub(super) storage: &'a BTreeMap<Ref<Sr>, SrRecord>,
    pub(super) loaded: &'a Loaded,
    pub(super) whose: Whose,
}

impl Removal<'_> {
    /// Removes it; names the disks that were kept.
    pub(super) async fn remove(&self) -> Result<Vec<KeptDisk>, Error> {
        let bounds = self.site.bounds;
        let late = |status: &'static str| {
            move || Error::Timeout {
                doing: "deleting",
                pool: self.site.pool.to_owned(),
                vm: self.loaded.name(),
                limit: bounds.limit,
                status,
            }
        };
        bounds.hold(self.halt(), late("still stopping")).await?;
        let disks = bounds.hold(self.disks(), late("its disks are not all destroyed"));
        let mut kept = disks.await?;
        let image = bounds.hold(
            self.suspend_image(self.loaded),
            late("its suspend image is not destroyed"),
        );
        kept.extend(image.await?);
        let snapshots = bounds.hold(self.snapshots(), late("its snapshots are not all destroyed"));
        kept.extend(snapshots.await?);
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
        unprotect(client, vm, &self.loaded.vm, &name).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let cause = match client.vm().hard_shutdown(vm, self.site.bounds.remaining()).await {
                Ok(()) => return Ok(()),
                Err(cause) => cause,
            };
            if cause.is_failure(tells_halted) || cause.is_gone_object(vm) {
                return Ok(());
            }
            if cause.outcome() == Outcome::Rejected || tries == TRIES {
                return Err(call("stopping the server", &name)(cause));
            }
            let state = client.vm().get_power_state(vm).await;
            if state.is_ok_and(|state| state == PowerState::Halted) {
                return Ok(());
            }
        }
    }

    async fn disks(&self) -> Result<Vec<KeptDisk>, Error> {
        let judge = Judge::new(self.site.client, self.loaded, self.storage, &self.whose).await?;
        let mut kept = Vec::new();
        let mut own = Vec::new();
        for (vdi, record) in self.loaded.disks() {
            match self.still_keeps(&judge, vdi, record).await? {
                None => own.push((vdi, record)),
                Some(disk) => {
                    self.site.recheck().await?;
                    self.detach(vdi).await?;
                    kept.push(disk);
                }
            }
        }
        let destroyed = own.into_iter().map(|(vdi, record)| self.disk(&judge, vdi, record));
        kept.extend(try_join_all(destroyed).await?.into_iter().flatten());
        kept.extend(self.stray_drive(&judge).await?);
        Ok(kept)
    }

    /// Says why a disk is kept. It is looked at again first: what held it when it was read may have let go of it.
    async fn still_keeps(
        &self,
        judge: &Judge<'_>,
        vdi: &Ref<Vdi>,
        record: &VdiRecord,
    ) -> Result<Option<KeptDisk>, Error> {
        if judge.keeps(vdi, record).is_none() {
            return Ok(None);
        }
        let now = self.site.look(&self.loaded.name(), vdi, &record.vbds).await?;
        Ok(now.and_then(|now| Some(KeptDisk::new(&now, judge.keeps(vdi, &now)?))))
    }

    /// Removes a config drive that hangs on nothing: whoever made it died, or gave up, before it was attached. It is looked for behind
    /// the other disks' destruction, which has waited in the pool for what the SR was doing.
    async fn stray_drive(&self, judge: &Judge<'_>) -> Result<Vec<KeptDisk>, Error> {
        let marks = self.loaded.marks();
        let has_drive = marks.names_itself() && marks.spec().is_some_and(|spec| spec.user_data.is_some());
        let Ok(named) = Filter::eq("name__label", &drive_name(self.loaded.vm.uuid)) else {
            return Ok(Vec::new());
        };
        if !has_drive {
            return Ok(Vec::new());
        }
        let name = self.loaded.name();
        let found = self.site.client.vdi().records_where(&named).await;
        let found = found.map_err(call("looking for the config drive of", &name))?;
        let is_known = |vdi: &Ref<Vdi>| self.loaded.vdis.iter().any(|(known, _)| known == vdi);
        let strays = found
            .iter()
            .filter(|(vdi, disk)| !is_known(vdi) && judge.is_own(vdi, disk));
        let destroyed = try_join_all(strays.map(|(vdi, disk)| self.disk(judge, vdi, disk))).await?;
        Ok(destroyed.into_iter().flatten().collect())
    }

    async fn disk(&self, judge: &Judge<'_>, vdi: &Ref<Vdi>, record: &VdiRecord) -> Result<Option<KeptDisk>, Error> {
        let keeps = |now: &VdiRecord| judge.keeps(vdi, now);
        let kept = self.site.destroy(&self.loaded.name(), vdi, record, &keeps).await?;
        if kept.is_some() {
            self.detach(vdi).await?;
        }
        Ok(kept)
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
    async fn suspend_image(&self, of: &Loaded) -> Result<Option<KeptDisk>, Error> {
        let Some(image) = of.vm.suspend_vdi.non_null() else {
            return Ok(None);
        };
        let name = self.loaded.name();
        let left = self.site.client.vdi().records_by_ref(std::slice::from_ref(image)).await;
        let left = left.map_err(call("reading the suspend image", &name))?;
        let Some((vdi, record)) = left.into_iter().next() else {
            return Ok(None);
        };
        self.stays_or_goes(&vdi, &record, &image_keeps).await
    }

    async fn snapshots(&self) -> Result<Vec<KeptDisk>, Error> {
        let mut kept = Vec::new();
        if self.loaded.vm.snapshots.is_empty() {
            return Ok(kept);
        }
        let client = self.site.client;
        let name = self.loaded.name();
        let records = client.vm().records_by_ref(&self.loaded.vm.snapshots).await;
        let own = records
            .map_err(call("removing the server's snapshots", &name))?
            .into_iter()
            .filter(|(_, record)| record.is_a_snapshot && record.snapshot_of == self.loaded.reference);
        for snapshot in related(client, own.collect()).await? {
            kept.extend(self.snapshot(&snapshot).await?);
        }
        Ok(kept)
    }

    async fn snapshot(&self, snapshot: &Loaded) -> Result<Vec<KeptDisk>, Error> {
        let client = self.site.client;
        let name = self.loaded.name();
        let keeps = |disk: &VdiRecord| snapshot_keeps(snapshot, disk);
        let disks = snapshot
            .disks()
            .map(|(vdi, record)| self.stays_or_goes(vdi, record, &keeps));
        let kept = try_join_all(disks).await?;
        let image = self.suspend_image(snapshot).await?;
        self.site.recheck().await?;
        gone_is_done(&snapshot.reference, || client.vm().destroy(&snapshot.reference))
            .await
            .map_err(call("destroying a snapshot", &name))?;
        Ok(kept.into_iter().flatten().chain(image).collect())
    }

    /// Keeps a disk, or destroys it in its turn, by one and the same rule.
    async fn stays_or_goes(
        &self,
        vdi: &Ref<Vdi>,
        record: &VdiRecord,
        keeps: &Keeps<'_>,
    ) -> Result<Option<KeptDisk>, Error> {
        match keeps(record) {
            Some(reason) => Ok(Some(KeptDisk::new(record, reason))),
            None => self.site.destroy(&self.loaded.name(), vdi, record, keeps).await,
        }
    }
}

/// Says whether a refusal to stop a VM tells that it is halted already.
fn tells_halted(failure: &Failure) -> bool {
    failure
        .actual_power_state()
        .is_some_and(|state| state.eq_ignore_ascii_case("halted"))
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
