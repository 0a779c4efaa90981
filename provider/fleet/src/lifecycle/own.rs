//! Whose a disk is, and what else decides whether it goes. What is not surely the VM's own and nobody else's is kept.

use std::collections::{BTreeMap, BTreeSet};

use xenapi::{Filter, Pool, Ref, Sr, SrRecord, Uuid, Vbd, VbdRecord, VbdType, Vdi, VdiRecord, VdiType, Vm};

use super::call;
use super::site::of_control_domains;
use crate::error::Error;
use crate::lease::{DISK_KEY, VM_KEY};
use crate::pool::Loaded;

/// The key of a clone's `other_config` that names the template it was made from.
const BASE: &str = "base_template_name";

/// Which disks are a VM's own, beside those that carry its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// No others.
    Marked,
    /// Those that a clone was born with, as they were seen then.
    These(BTreeSet<Ref<Vdi>>),
    /// Those that a clone was born with, which nobody saw then: they are on drives of these numbers, the template's, and the
    /// pool has put the key `owner` on their drives. The key alone says nothing: people's tools put it on the drive of a disk
    /// that they attach, too.
    Fresh(BTreeSet<String>),
}

/// What a removal knows of a VM when it judges a disk.
pub(super) struct Judge<'a> {
    loaded: &'a Loaded,
    storage: &'a BTreeMap<Ref<Sr>, SrRecord>,
    whose: &'a Whose,
    /// Copies of own disks that have taken their place: reverting to a snapshot makes them, and destroys the others.
    heirs: BTreeSet<Ref<Vdi>>,
    /// Drives by which control domains have the VM's disks for a moment: one whose config drive was being written when its creation
    /// failed.
    passing: BTreeSet<Ref<Vbd>>,
}

impl<'a> Judge<'a> {
    /// Prepares to judge a VM's disks. An heir is told from another copy before anything is destroyed.
    pub(super) async fn new(
        client: &Pool,
        loaded: &'a Loaded,
        storage: &'a BTreeMap<Ref<Sr>, SrRecord>,
        whose: &'a Whose,
    ) -> Result<Self, Error> {
        Ok(Self {
            loaded,
            storage,
            whose,
            heirs: heirs(client, loaded).await?,
            passing: passing(client, loaded).await?,
        })
    }

    /// Says why a disk of the VM is kept.
    pub(super) fn keeps(&self, vdi: &Ref<Vdi>, disk: &VdiRecord) -> Option<String> {
        if !self.is_own(vdi, disk) {
            return Some(self.whose_instead(disk));
        }
        let drives = self
            .loaded
            .vbds
            .iter()
            .map(|(vbd, _)| vbd)
            .chain(&self.passing)
            .collect();
        if !is_only_on(disk, &drives) {
            return Some("another VM uses it".to_owned());
        }
        if disk.sharable {
            return Some("it can be shared".to_owned());
        }
        let kinds = [VdiType::User, VdiType::System, VdiType::Ephemeral];
        if !disk.managed || disk.is_a_snapshot || disk.is_tools_iso || !kinds.contains(&disk.kind) {
            return Some(of_the_kind(disk));
        }
        match self.storage.get(&disk.sr) {
            Some(sr) if sr.content_type == "iso" || sr.kind == "udev" || sr.kind == "iso" => {
                Some(format!("it is on {:?}, which is not for disks", sr.name_label))
            }
            Some(_) | None => None,
        }
    }

    pub(super) fn is_own(&self, vdi: &Ref<Vdi>, disk: &VdiRecord) -> bool {
        let vm = self.loaded.vm.uuid;
        if is_marked_as_of(disk, vm) || names_vm(disk, vm) && self.heirs.contains(vdi) {
            return true;
        }
        match self.whose {
            Whose::Marked => false,
            Whose::These(born) => born.contains(vdi),
            Whose::Fresh(numbers) => {
                let mut drives = self.loaded.vbds.iter().filter(|(_, vbd)| vbd.vdi == *vdi);
                let is_born_with =
                    |vbd: &VbdRecord| vbd.other_config.contains_key("owner") && numbers.contains(&vbd.userdevice);
                !is_anothers(disk, vm) && drives.all(|(_, vbd)| is_born_with(vbd))
            }
        }
    }

    fn whose_instead(&self, disk: &VdiRecord) -> String {
        match disk.other_config.get(VM_KEY) {
            Some(own) if *own == self.loaded.vm.uuid.to_string() => {
                "it is a copy of one of the server's disks".to_owned()
            }
            Some(other) => format!("it carries the mark of VM {other}"),
            None => "it does not carry the server's mark".to_owned(),
        }
    }
}

/// Says why a disk of a snapshot is kept.
pub(super) fn snapshot_keeps(snapshot: &Loaded, disk: &VdiRecord) -> Option<String> {
    let drives = snapshot.vbds.iter().filter(|(_, vbd)| vbd.kind == VbdType::Disk);
    if !is_only_on(disk, &drives.map(|(vbd, _)| vbd).collect()) {
        Some("another VM uses it".to_owned())
    } else if disk.sharable {
        Some("it can be shared".to_owned())
    } else if !disk.managed || !disk.is_a_snapshot {
        Some(of_the_kind(disk))
    } else {
        None
    }
}

/// Says why the image of a suspended VM's memory is kept.
pub(super) fn image_keeps(image: &VdiRecord) -> Option<String> {
    if !image.vbds.is_empty() {
        Some("a VM uses it".to_owned())
    } else if !image.managed || image.kind != VdiType::Suspend {
        Some(of_the_kind(image))
    } else {
        None
    }
}

fn is_only_on(disk: &VdiRecord, drives: &BTreeSet<&Ref<Vbd>>) -> bool {
    disk.vbds.iter().all(|vbd| drives.contains(vbd))
}

fn of_the_kind(disk: &VdiRecord) -> String {
    format!("it is of the kind {:?}", disk.kind.as_str())
}

/// Says whether one of a VM's disks passes for its own, as far as the VM itself shows: a copy beside its original does not.
pub(crate) fn passes_for_own(loaded: &Loaded, disk: &VdiRecord) -> bool {
    let vm = loaded.vm.uuid;
    let is_heir = |original: Uuid| loaded.vdis.iter().all(|(_, other)| other.uuid != original);
    is_marked_as_of(disk, vm) || original(disk, vm).is_some_and(is_heir)
}

/// Says whether a disk carries the mark of a VM, and not as the copy of one that does.
fn is_marked_as_of(disk: &VdiRecord, vm: Uuid) -> bool {
    names_vm(disk, vm) && names_disk(disk) != Some(false)
}

/// Says whether a disk carries the mark of another VM, put on this very disk.
fn is_anothers(disk: &VdiRecord, vm: Uuid) -> bool {
    disk.other_config.contains_key(VM_KEY) && !names_vm(disk, vm) && names_disk(disk) == Some(true)
}

fn names_vm(disk: &VdiRecord, vm: Uuid) -> bool {
    disk.other_config.get(VM_KEY) == Some(&vm.to_string())
}

/// Says whether the mark names the disk that carries it, if it names any.
fn names_disk(disk: &VdiRecord) -> Option<bool> {
    disk.other_config
        .get(DISK_KEY)
        .map(|named| *named == disk.uuid.to_string())
}

/// The disk that a copy of a VM's disk was made from, by the mark that it has inherited.
fn original(disk: &VdiRecord, vm: Uuid) -> Option<Uuid> {
    if !names_vm(disk, vm) || names_disk(disk) != Some(false) {
        return None;
    }
    disk.other_config.get(DISK_KEY)?.parse().ok()
}

/// The copies among a VM's disks whose originals the pool has not got any more.
async fn heirs(client: &Pool, loaded: &Loaded) -> Result<BTreeSet<Ref<Vdi>>, Error> {
    let name = loaded.name();
    let mut heirs = BTreeSet::new();
    for (vdi, disk) in loaded.disks() {
        let Some(original) = original(disk, loaded.vm.uuid) else {
            continue;
        };
        let found = client.vdi().record_by_uuid(original).await;
        let found = found.map_err(call("looking for the original of a disk", &name))?;
        if found.is_none() {
            heirs.insert(vdi.clone());
        }
    }
    Ok(heirs)
}

/// The drives by which control domains have some of a VM's disks.
async fn passing(client: &Pool, loaded: &Loaded) -> Result<BTreeSet<Ref<Vbd>>, Error> {
    let is_own = |drive: &Ref<Vbd>| loaded.vbds.iter().any(|(vbd, _)| vbd == drive);
    let drives = loaded.disks().flat_map(|(_, disk)| &disk.vbds);
    let others: Vec<Ref<Vbd>> = drives.filter(|drive| !is_own(drive)).cloned().collect();
    if others.is_empty() {
        return Ok(BTreeSet::new());
    }
    of_control_domains(client, &others)
        .await
        .map_err(call("looking who else has the server's disks", &loaded.name()))
}

/// The numbers of the drives that a clone was born with, as far as its template tells: the one that the clone's own spec names,
/// or else whichever has the name that the pool has written down at its birth. A template that is gone tells nothing.
pub(super) async fn born_with(client: &Pool, loaded: &Loaded) -> Result<BTreeSet<String>, Error> {
    let marks = loaded.marks();
    let spec = marks.spec().filter(|_| marks.names_itself());
    let by_uuid = spec.and_then(|spec| spec.template_uuid).map(Filter::uuid);
    let by_name = || Filter::eq("name__label", loaded.vm.other_config.get(BASE)?).ok();
    let Some(filter) = by_uuid.or_else(by_name) else {
        return Ok(BTreeSet::new());
    };
    let templates = Filter::is_true("is_a_template").and(Filter::is_false("is_a_snapshot"));
    let name = loaded.name();
    let found = client.vm().refs_where(&filter.and(templates)).await;
    let found = found.map_err(call("looking for the template", &name))?;
    drives_of(client, &found)
        .await
        .map_err(call("reading the template's drives", &name))
}

/// The numbers of the drives for disks that all of these templates have.
pub(super) async fn drives_of(client: &Pool, templates: &[Ref<Vm>]) -> Result<BTreeSet<String>, xenapi::Error> {
    if templates.is_empty() {
        return Ok(BTreeSet::new());
    }
    let drives = client.vbd().records_where(&Filter::refers_any("VM", templates)).await?;
    let of = |template: &Ref<Vm>| -> BTreeSet<String> {
        let disks = drives.iter().filter(|(_, vbd)| vbd.vm == *template);
        let disks = disks.filter(|(_, vbd)| vbd.kind == VbdType::Disk && !vbd.empty);
        disks.map(|(_, vbd)| vbd.userdevice.clone()).collect()
    };
    let common = templates.iter().map(of).reduce(|common, next| &common & &next);
    Ok(common.unwrap_or_default())
}
