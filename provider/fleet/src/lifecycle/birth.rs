//! The third phase: the marks that say whose the VM is. From here on it is under a creation lease that every tool can see.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use xenapi::{Ref, Uuid, Vdi, VdiRecord, VmRecord};

use super::plan::Plan;
use super::{Made, Stage, call};
use crate::cloud_init::CloudInit;
use crate::error::{Error, VmName};
use crate::lease::{Confirmation, DISK_KEY, Mark, SPEC_KEY, SpecRecord, VM_KEY, is_reserved};
use crate::pool::{Loaded, marks_of};

/// How often marks that another tool has overwritten are written again.
const TRIES: u32 = 3;

/// What is written on a VM at its birth.
struct Inscription {
    marks: [Mark; 3],
    spec: SpecRecord,
}

/// Writes the marks: other_config, then tags and disks.
pub(super) async fn birth(plan: &Plan, made: &mut Made) -> Result<(), Error> {
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let steps = write(plan, made, loaded);
    plan.bounds
        .hold(steps, || plan.late(Stage::Birth, loaded.name()))
        .await?;
    if let Some(loaded) = &mut made.loaded {
        let vm = loaded.vm.uuid;
        for (_, disk) in &mut loaded.vdis {
            disk.other_config.extend(disk_marks(vm, disk.uuid));
        }
    }
    Ok(())
}

/// Reads again what was written. A claim on it means stop; marks that another tool has overwritten are written again.
pub(super) async fn confirm(plan: &Plan, made: &Made) -> Result<VmRecord, Error> {
    let Some(loaded) = &made.loaded else {
        return Err(Error::Gone {
            pool: plan.pool().to_owned(),
            vm: VmName::unknown(),
        });
    };
    let name = loaded.name();
    let client = plan.member.client()?;
    let mut loaded = loaded.clone();
    for _ in 0..TRIES {
        let read = async {
            client
                .vm()
                .record(&made.reference)
                .await
                .map_err(call("reading the clone again", &name))
        };
        let record = plan.bounds.hold(read, || plan.late(Stage::Birth, name.clone())).await?;
        match Confirmation::of(&marks_of(&record), &record.name_label, &made.birth) {
            Confirmation::Confirmed => return Ok(record),
            Confirmation::Claimed => {
                return Err(Error::BeingReaped {
                    pool: plan.pool().to_owned(),
                    vm: name,
                });
            }
            Confirmation::Overwritten => loaded.vm = record,
        }
        plan.bounds
            .hold(write(plan, made, &loaded), || plan.late(Stage::Birth, name.clone()))
            .await?;
    }
    Err(Error::MarksContested {
        pool: plan.pool().to_owned(),
        vm: name,
    })
}

async fn write(plan: &Plan, made: &Made, loaded: &Loaded) -> Result<(), Error> {
    let client = plan.member.client()?;
    let inscription = inscription(plan, made, loaded.vm.uuid);
    let (vm, name) = (&made.reference, loaded.name());
    let other_config = inscription.other_config(&loaded.vm.other_config);
    client
        .vm()
        .set_other_config(vm, &other_config)
        .await
        .map_err(call("marking the clone", &name))?;
    let tags = inscription.tags(&plan.spec.tags);
    let tagged = async {
        client
            .vm()
            .set_tags(vm, &tags)
            .await
            .map_err(call("tagging the clone", &name))
    };
    let disks = loaded.disks();
    let marked = try_join_all(disks.map(|(vdi, disk)| mark_disk(client, vdi, disk, loaded.vm.uuid, &name)));
    tokio::try_join!(tagged, marked)?;
    Ok(())
}

/// Marks a disk of a new clone as the server's own, in one write: nobody else has seen it yet. What its template's disk
/// inherited from a server goes.
async fn mark_disk(
    client: &xenapi::Pool,
    vdi: &Ref<Vdi>,
    disk: &VdiRecord,
    vm: Uuid,
    name: &VmName,
) -> Result<(), Error> {
    let mut map = inherited(&disk.other_config);
    map.extend(disk_marks(vm, disk.uuid));
    if map == disk.other_config {
        return Ok(());
    }
    let marked = client.vdi().set_other_config(vdi, &map).await;
    marked.map_err(call("marking a disk", name))
}

/// What a clone keeps of its template's map: all but dynvm's marks, and but keys that no client may write, since a pool does not
/// escape them: a person's custom field such as "R&D" stays with the template.
fn inherited(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_writable = |key: &str| !key.contains(['<', '>', '&', '"', '\r']);
    let kept = map.iter().filter(|(key, _)| !is_reserved(key) && is_writable(key));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What stands on a server's own disk: whose it is, and which disk was marked. A copy of the disk inherits both, and is told by
/// the latter.
pub(super) fn disk_marks(vm: Uuid, disk: Uuid) -> [(String, String); 2] {
    [
        (VM_KEY.to_owned(), vm.to_string()),
        (DISK_KEY.to_owned(), disk.to_string()),
    ]
}

fn inscription(plan: &Plan, made: &Made, vm: Uuid) -> Inscription {
    let marks = [
        Mark::Vm(vm),
        Mark::Creating(made.birth.deadline),
        Mark::Owner(plan.origin.owner.clone()),
    ];
    let spec = SpecRecord {
        request_id: plan.spec.request_id,
        template_uuid: Some(plan.template.uuid()),
        template_name: plan.template.record.name_label.clone(),
        os: plan.spec.image.os().map(str::to_owned),
        section: plan.section.clone(),
        provider: plan.origin.version.clone(),
        created_at: made.created_at,
        user_data: plan.spec.cloud_init.as_ref().map(CloudInit::hash),
        ticket: plan.ticket,
        reservation: plan.spec.reservation,
    };
    Inscription { marks, spec }
}

impl Inscription {
    /// The clone's own map, without what it inherited of dynvm's, with its own marks.
    fn other_config(&self, clones: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut map = inherited(clones);
        map.extend(self.marks.iter().map(|mark| (mark.to_string(), String::new())));
        if let [Mark::Vm(vm), ..] = &self.marks {
            map.insert(VM_KEY.to_owned(), vm.to_string());
        }
        map.insert(SPEC_KEY.to_owned(), self.spec.to_json());
        map
    }

    /// The user's tags and the marks; what the template was tagged with is not the server's.
    fn tags(&self, users: &BTreeSet<String>) -> BTreeSet<String> {
        let users = users.iter().filter(|tag| !is_reserved(tag)).cloned();
        users.chain(self.marks.iter().map(ToString::to_string)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Expiry, VmMarks};

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
    const SOURCE: &str = "11111111-9c5c-4dcd-a1f4-9c7d6e1b8a10";

    fn inscription() -> Inscription {
        let deadline = "2026-11-20T10:40:00Z".parse().unwrap();
        let spec = SpecRecord {
            request_id: ulid::Ulid(7),
            template_uuid: None,
            template_name: "t".into(),
            os: None,
            section: None,
            provider: "0.1.0".into(),
            created_at: "2026-11-20T10:10:00Z".parse().unwrap(),
            user_data: None,
            ticket: None,
            reservation: None,
        };
        Inscription {
            marks: [
                Mark::Vm(VM.parse().unwrap()),
                Mark::Creating(deadline),
                Mark::Owner("ci".into()),
            ],
            spec,
        }
    }

    #[test]
    fn what_was_inherited_of_dynvm_goes_and_the_rest_stays() {
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let inherited = format!("dynvm:vm={SOURCE}");
        let clones = text(&[
            ("mac_seed", "s"),
            ("base_template_name", "b"),
            ("XenCenter.CustomFields.R&D", "x"),
            (&inherited, ""),
            ("dynvm:vm", SOURCE),
            ("dynvm:keep", ""),
        ]);
        let inscription = inscription();
        let map = inscription.other_config(&clones);
        assert_eq!(map.get("mac_seed").map(String::as_str), Some("s"));
        assert_eq!(map.get("base_template_name").map(String::as_str), Some("b"));
        let users = ["web", "dynvm:keep"].iter().map(|tag| (*tag).to_owned()).collect();
        let tags = inscription.tags(&users);
        let keys = map.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let marks = VmMarks::read(&VM.parse().unwrap(), tags.iter().map(String::as_str), keys);
        assert!(marks.is_managed() && marks.is_named_on_both_sides() && !marks.is_kept());
        assert!(matches!(marks.expiry(), Expiry::Creating(_)));
        assert_eq!(marks.owner(), Some("ci"));
        assert_eq!(marks.unreadable().count(), 0);
        assert!(tags.contains("web") && tags.len() == 4);
        assert!(map.keys().chain(&tags).all(|text| !text.contains(['<', '>', '&', '"'])));
    }
}
