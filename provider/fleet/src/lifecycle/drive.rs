//! The fifth phase, where user data or a network configuration was given: the config drive, before the start.
//!
//! ```text
//! VDI.create, marked as the VM's -> read -> VBD.create, and marked as itself -> image sent to a host that sees the SR, task awaited
//! ```
//!
//! The disk names its VM from its first instant on. While it hangs on nothing, whoever removes the VM finds it by its name; once the VM
//! is gone, a reaper finds it by its mark.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use xenapi::{
    Failure, Filter, NewVbd, NewVdi, Outcome, Ref, Uuid, Vbd, VbdMode, VbdRecord, VbdType, Vdi, VdiRecord, VdiType,
};

use super::birth::disk_marks;
use super::plan::Plan;
use super::{Made, Stage, call};
use crate::cloud_init::CloudInit;
use crate::error::{Error, Subject, VmName};
use crate::lease::VM_KEY;
use crate::pool::Loaded;
use crate::view;

/// How often each step is asked for whose answer was lost.
const TRIES: u32 = 3;
/// How long a disk with a lost answer is looked for, and how often.
const LOOK: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After how many looks at which the SR was making no disk either the call surely never arrived.
const IDLE_LOOKS: u32 = 3;
/// How long after a lost answer the image is sent again: the first transfer may hold the disk still.
const SEND_AGAIN: Duration = Duration::from_secs(2);
/// The highest number of a drive that every guest sees.
const LAST_DRIVE: u32 = 15;

/// The name of a VM's config drive, under which it is found as long as it hangs on nothing.
pub(super) fn drive_name(vm: Uuid) -> String {
    format!("config drive of {vm}")
}

/// Makes the drive, if there is anything to put on it.
pub(super) async fn drive(plan: &Plan, made: &mut Made) -> Result<(), Error> {
    let Some(init) = &plan.spec.cloud_init else {
        return Ok(());
    };
    let begun = Instant::now();
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let maker = Maker {
        plan,
        loaded,
        name: loaded.name(),
    };
    let steps = maker.make(init);
    let late = || plan.late(Stage::Drive, loaded.name());
    let (disk, drive) = plan.bounds.hold(steps, late).await?;
    if let Some(loaded) = &mut made.loaded {
        loaded.vdis.push(disk);
        loaded.vbds.push(drive);
    }
    made.timings.drive = begun.elapsed().as_secs_f64();
    Ok(())
}

/// What the steps have in common.
struct Maker<'a> {
    plan: &'a Plan,
    loaded: &'a Loaded,
    name: VmName,
}

impl Maker<'_> {
    async fn make(&self, init: &CloudInit) -> Result<((Ref<Vdi>, VdiRecord), (Ref<Vbd>, VbdRecord)), Error> {
        let client = self.plan.member.client()?;
        let image = init.image(self.loaded.vm.uuid, &self.plan.spec.name);
        let image =
            image.map_err(|error| self.refused(Subject::None, format!("the config drive cannot be made ({error})")))?;
        let vdi = self.disk().await?;
        let record = client.vdi().record(&vdi).await;
        let mut record = record.map_err(call("reading the config drive of", &self.name))?;
        let (vbd, ()) = tokio::try_join!(self.attached(&vdi), self.marked(&vdi, &mut record))?;
        let drive = client.vbd().record(&vbd).await;
        let drive = drive.map_err(call("reading the config drive of", &self.name))?;
        record.vbds.push(vbd.clone());
        self.written(&vdi, &image).await?;
        Ok(((vdi, record), (vbd, drive)))
    }

    /// Makes the disk, beside the server's first. There is never a second one without a look for the first.
    async fn disk(&self) -> Result<Ref<Vdi>, Error> {
        let client = self.plan.member.client()?;
        let vm = self.loaded.vm.uuid;
        let first = || view::first_disk(self.loaded).map(|disk| disk.sr.clone());
        let Some(sr) = self.plan.copy_to.clone().or_else(first) else {
            let reason = "the template has no disk, beside which a config drive could be";
            return Err(self.refused(Subject::Template, reason.to_owned()));
        };
        let new = NewVdi {
            name_label: drive_name(vm),
            sr,
            virtual_size: i64::try_from(CloudInit::DRIVE_BYTES).unwrap_or(i64::MAX),
            kind: VdiType::User,
            other_config: [(VM_KEY.to_owned(), vm.to_string())].into(),
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let held = client.sr_queue().acquire(&new.sr, &self.plan.bounds.cancel).await;
            let held = held.ok_or(Error::Cancelled { left: None })?;
            let cause = match client.vdi().create(&new, self.plan.bounds.remaining()).await {
                Ok(vdi) => return Ok(vdi),
                Err(cause) => cause,
            };
            drop(held);
            if cause.is_failure(Failure::is_storage_full) {
                return Err(Error::Full {
                    pools: Vec::new(),
                    cause: Some(cause),
                });
            }
            if cause.outcome() == Outcome::MaybeSent
                && let Some(vdi) = self.look_for(&new).await?
            {
                return Ok(vdi);
            }
            if cause.outcome() == Outcome::Rejected || tries == TRIES {
                return Err(call("making the config drive of", &self.name)(cause));
            }
        }
    }

    /// Looks for the disk of a call whose answer was lost: it may be there, or be in the making still, which the SR's current operations
    /// show, or the call may never have arrived.
    async fn look_for(&self, new: &NewVdi) -> Result<Option<Ref<Vdi>>, Error> {
        let client = self.plan.member.client()?;
        let Ok(named) = Filter::eq("name__label", &new.name_label) else {
            return Ok(None);
        };
        let until = Instant::now() + LOOK;
        let mut idle_looks = 0;
        while idle_looks < IDLE_LOOKS && Instant::now() < until {
            let srs = std::slice::from_ref(&new.sr);
            // The SR first: a disk that is made between the two reads is found by the second.
            let busy = client.sr().records_by_ref(srs).await;
            let found = client.vdi().records_where(&named).await;
            if let (Ok(srs), Ok(found)) = (busy, found) {
                if let Some((vdi, _)) = found.into_iter().next() {
                    return Ok(Some(vdi));
                }
                let mut operations = srs.iter().flat_map(|(_, sr)| sr.current_operations.values());
                let is_making = operations.any(|operation| operation == "vdi_create");
                idle_looks = if is_making { 0 } else { idle_looks + 1 };
            }
            tokio::time::sleep_until(Instant::now() + LOOK_AGAIN).await;
        }
        Ok(None)
    }

    /// Hangs it on the VM, in the first free place behind the VM's disks. Writable, for xapi refuses read-only disks to guests whose
    /// disks are emulated.
    async fn attached(&self, vdi: &Ref<Vdi>) -> Result<Ref<Vbd>, Error> {
        let client = self.plan.member.client()?;
        let new = NewVbd {
            vm: self.loaded.reference.clone(),
            vdi: vdi.clone(),
            userdevice: place(self.loaded),
            kind: VbdType::Disk,
            mode: VbdMode::Rw,
            other_config: [("owner".to_owned(), String::new())].into(),
        };
        let failed = call("attaching the config drive of", &self.name);
        let cause = match client.vbd().create(&new).await {
            Ok(vbd) => return Ok(vbd),
            Err(cause) if cause.outcome() == Outcome::Rejected => return Err(failed(cause)),
            Err(cause) => cause,
        };
        let there = client.vbd().records_where(&Filter::refers("VDI", vdi)).await;
        match there.map_err(&failed)?.into_iter().next() {
            Some((vbd, _)) => Ok(vbd),
            // Its place is taken only if the lost call arrives after all: then this one is refused.
            None if cause.outcome() == Outcome::MaybeSent => client.vbd().create(&new).await.map_err(failed),
            None => Err(failed(cause)),
        }
    }

    /// Marks it as itself, so that a copy of it is told apart.
    async fn marked(&self, vdi: &Ref<Vdi>, record: &mut VdiRecord) -> Result<(), Error> {
        record.other_config.extend(disk_marks(self.loaded.vm.uuid, record.uuid));
        let client = self.plan.member.client()?;
        let marked = client.vdi().set_other_config(vdi, &record.other_config).await;
        marked.map_err(call("marking the config drive of", &self.name))
    }

    /// Writes the image. It may be written twice: what is written is the same.
    async fn written(&self, vdi: &Ref<Vdi>, image: &Bytes) -> Result<(), Error> {
        let client = self.plan.member.client()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let limit = self.plan.bounds.remaining();
            let Err(cause) = client.vdi().import_raw(vdi, image.clone(), limit).await else {
                return Ok(());
            };
            let is_open = cause.outcome() != Outcome::Rejected || cause.is_failure(Failure::is_in_use);
            if !is_open || tries == TRIES {
                return Err(call("writing the config drive of", &self.name)(cause));
            }
            tokio::time::sleep_until(Instant::now() + SEND_AGAIN).await;
        }
    }

    fn refused(&self, subject: Subject, reason: String) -> Error {
        Error::Refused {
            subject,
            pool: self.plan.pool().to_owned(),
            reason,
        }
    }
}

/// The first free number behind those of the VM's disks.
fn place(loaded: &Loaded) -> String {
    let number = |vbd: &VbdRecord| vbd.userdevice.parse::<u32>().ok();
    let taken: BTreeSet<u32> = loaded.vbds.iter().filter_map(|(_, vbd)| number(vbd)).collect();
    let disks = loaded.vbds.iter().filter(|(_, vbd)| vbd.kind == VbdType::Disk);
    let behind = disks
        .filter_map(|(_, vbd)| number(vbd))
        .max()
        .map_or(0, |last| last + 1);
    let mut free = (behind..=LAST_DRIVE).filter(|number| !taken.contains(number));
    free.next()
        .map_or_else(|| "autodetect".to_owned(), |number| number.to_string())
}
