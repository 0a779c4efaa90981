//! Where something is removed: each disk in the turn of its SR, and looked at again when the turn has come.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use xenapi::{Failure, Outcome, Pool, Ref, Uuid, Vbd, Vdi, VdiRecord, Vm};

use super::{Bounds, call};
use crate::error::{Error, VmName};

/// How often a step is repeated whose answer was lost; all of them may be.
pub(super) const TRIES: u32 = 3;
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

/// Says whether a removal may go on.
pub trait Recheck: Sync {
    /// Looks again; an error ends the removal where it is.
    fn recheck(&self) -> BoxFuture<'_, Result<(), Error>>;
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

/// Says of a disk, as it is now, why it must stay.
pub(super) type Keeps<'a> = dyn Fn(&VdiRecord) -> Option<String> + Sync + 'a;

/// What became of a disk whose turn had come.
enum Turn {
    Gone,
    Kept(KeptDisk),
    InUse(xenapi::Error),
}

impl Site<'_> {
    pub(super) async fn recheck(&self) -> Result<(), Error> {
        match self.recheck {
            Some(recheck) => recheck.recheck().await,
            None => Ok(()),
        }
    }

    /// Destroys a disk when it is its SR's turn; one that `keeps` has a reason for by then is kept.
    pub(super) async fn destroy(
        &self,
        vm: &VmName,
        vdi: &Ref<Vdi>,
        record: &VdiRecord,
        keeps: &Keeps<'_>,
    ) -> Result<Option<KeptDisk>, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.turn(vm, vdi, record, keeps).await? {
                Turn::Gone => return Ok(None),
                Turn::Kept(kept) => return Ok(Some(kept)),
                Turn::InUse(cause) if tries == IN_USE_TRIES => {
                    return Err(Error::DiskHeld {
                        pool: self.pool.to_owned(),
                        vm: vm.clone(),
                        disk: record.uuid,
                        why: format!("is in use still ({cause})"),
                    });
                }
                Turn::InUse(_) => tokio::time::sleep_until(Instant::now() + IN_USE_PAUSE).await,
            }
        }
    }

    /// Waits for the turn, and takes it. The wait may be one of minutes, and the pool takes a disk away from everybody who has
    /// attached it meanwhile: what was decided before is decided again.
    async fn turn(&self, vm: &VmName, vdi: &Ref<Vdi>, record: &VdiRecord, keeps: &Keeps<'_>) -> Result<Turn, Error> {
        let client = self.client;
        let held = client.sr_queue().acquire(&record.sr, &self.bounds.cancel).await;
        let _held = held.ok_or(Error::Cancelled { left: None })?;
        self.recheck().await?;
        let Some(now) = self.look(vm, vdi, &record.vbds).await? else {
            return Ok(Turn::Gone);
        };
        if let Some(reason) = keeps(&now) {
            return Ok(Turn::Kept(KeptDisk::new(&now, reason)));
        }
        match gone_is_done(vdi, || client.vdi().destroy(vdi, self.bounds.remaining())).await {
            Ok(()) => Ok(Turn::Gone),
            Err(cause) if cause.is_failure(Failure::is_in_use) => Ok(Turn::InUse(cause)),
            Err(cause) => Err(call("destroying a disk", vm)(cause)),
        }
    }

    /// Looks at a disk again; `None` when it is gone. Drives that control domains have got since are left out: the pool plugs a
    /// disk there for a moment, to copy it or to back it up, and says itself that it is in use.
    pub(super) async fn look(
        &self,
        vm: &VmName,
        vdi: &Ref<Vdi>,
        known: &[Ref<Vbd>],
    ) -> Result<Option<VdiRecord>, Error> {
        let failed = call("looking at a disk again", vm);
        let mut now = match self.client.vdi().record(vdi).await {
            Ok(record) => record,
            Err(cause) if cause.is_gone_object(vdi) => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        let new: Vec<Ref<Vbd>> = now.vbds.iter().filter(|vbd| !known.contains(vbd)).cloned().collect();
        if !new.is_empty() {
            let passing = of_control_domains(self.client, &new).await.map_err(failed)?;
            now.vbds.retain(|vbd| !passing.contains(vbd));
        }
        Ok(Some(now))
    }
}

/// Those of some drives that control domains have.
pub(super) async fn of_control_domains(client: &Pool, vbds: &[Ref<Vbd>]) -> Result<BTreeSet<Ref<Vbd>>, xenapi::Error> {
    let drives = client.vbd().records_by_ref(vbds).await?;
    let users: Vec<Ref<Vm>> = drives.iter().map(|(_, vbd)| vbd.vm.clone()).collect();
    let users = client.vm().records_by_ref(&users).await?;
    let is_of_one = |of: &Ref<Vm>| users.iter().any(|(vm, user)| vm == of && user.is_control_domain);
    let passing = drives.into_iter().filter(|(_, vbd)| is_of_one(&vbd.vm));
    Ok(passing.map(|(vbd, _)| vbd).collect())
}

impl KeptDisk {
    pub(super) fn new(record: &VdiRecord, reason: String) -> Self {
        Self {
            uuid: record.uuid,
            name: record.name_label.clone(),
            reason,
        }
    }
}

/// Runs a removal that may be repeated: the object gone is done, and a lost answer is asked for again.
pub(super) async fn gone_is_done<C, F>(object: &Ref<C>, mut removal: impl FnMut() -> F) -> Result<(), xenapi::Error>
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
