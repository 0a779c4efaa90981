//! Removing for a reaper: a VM on which its claim is held, and a disk whose VM is gone. What is removed is asked about again
//! before each step; who asks, and what makes it stop, is the reaper's.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use xenapi::{Pool, Ref, Vdi, VdiRecord, Vm};

use super::delete::whose;
use super::remove::{Removal, reload};
use super::site::{KeptDisk, Recheck, Site};
use super::{Bounds, call};
use crate::error::{Error, VmName};
use crate::view;

/// The pool in which a reaper works, and its patience for one removal.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// The client.
    pub client: &'a Pool,
    /// How long one removal may take.
    pub limit: Duration,
    /// Ends a removal at the next safe point.
    pub cancel: &'a CancellationToken,
}

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Disks that were attached to it or to its snapshots and are not surely its own: detached and kept.
    pub kept_disks: Vec<KeptDisk>,
    /// The sum of the virtual sizes of its own disks; `None` if the VM was gone already.
    pub disk_bytes: Option<u64>,
}

/// A disk without a VM has nothing beside itself to be looked at.
struct DiskAlone;

impl Recheck for DiskAlone {
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Grounds<'_> {
    /// Removes a VM with its own disks and snapshots: hard stop, disks, snapshots, the VM last, so that a crash anywhere
    /// leaves something that the next run finds.
    ///
    /// # Errors
    /// Whatever `recheck` says before a step, or the step that failed; what is done is done.
    pub async fn remove(&self, vm: &Ref<Vm>, recheck: &dyn Recheck) -> Result<Removed, Error> {
        let bounds = Bounds::new(self.limit, self.cancel.clone());
        let late = || self.late(VmName::unknown());
        let Some(loaded) = bounds.hold(reload(self.client, vm), late).await? else {
            return Ok(Removed::default());
        };
        let name = loaded.name();
        let srs: Vec<_> = loaded.disks().map(|(_, disk)| disk.sr.clone()).collect();
        let read = async {
            let read = self.client.sr().records_by_ref(&srs).await;
            read.map_err(call("reading where the disks are", &name))
        };
        let storage = bounds.hold(read, || self.late(name.clone())).await?;
        let whose = whose(self.client, &loaded);
        let whose = bounds.hold(whose, || self.late(name.clone())).await?;
        let removal = Removal {
            site: Site {
                client: self.client,
                pool: self.client.name(),
                bounds: &bounds,
                recheck: Some(recheck),
            },
            storage: &storage.into_iter().collect(),
            whose,
            loaded: &loaded,
        };
        Ok(Removed {
            kept_disks: removal.remove().await?,
            disk_bytes: Some(view::disk_bytes(&loaded, true)),
        })
    }

    /// Destroys a disk whose VM is gone; `keeps` looks at it once more when it is its turn.
    ///
    /// # Errors
    /// The disk is in use, or the pool refuses.
    pub async fn remove_disk(
        &self,
        vdi: &Ref<Vdi>,
        record: &VdiRecord,
        keeps: &(dyn Fn(&VdiRecord) -> Option<String> + Sync),
    ) -> Result<Option<KeptDisk>, Error> {
        let bounds = Bounds::new(self.limit, self.cancel.clone());
        let site = Site {
            client: self.client,
            pool: self.client.name(),
            bounds: &bounds,
            recheck: Some(&DiskAlone),
        };
        let vm = VmName::unknown();
        bounds
            .hold(site.destroy(&vm, vdi, record, keeps), || self.late(vm.clone()))
            .await
    }

    fn late(&self, vm: VmName) -> Error {
        Error::Timeout {
            doing: "deleting",
            pool: self.client.name().to_owned(),
            vm,
            limit: self.limit,
            status: "the pool has not answered",
        }
    }
}
