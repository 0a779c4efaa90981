//! Finding a template, and where its disks are.

use std::collections::{BTreeMap, BTreeSet};

use xenapi::{Filter, Ref, Sr, Uuid, VbdType, Vdi, VdiRecord, Vm, VmRecord};

use super::fabric::pick;
use crate::choices::Choices;
use crate::error::{Error, VmName, What};

/// A template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) reference: Ref<Vm>,
    pub(crate) record: VmRecord,
}

/// The disks of a template.
#[derive(Debug)]
pub(crate) struct Disks {
    /// Their records, as they were read.
    pub(crate) records: Vec<(Ref<Vdi>, VdiRecord)>,
    /// Bytes that the base copies use that clones of them have left behind, by the base's UUID.
    bases: BTreeMap<String, u64>,
}

/// The key of `VDI.sm_config` that names the base copy which a disk shares with its clones.
const BASE: &str = "vhd-parent";

impl Template {
    /// Finds it by UUID or name.
    pub(crate) async fn find(pool: &str, client: &xenapi::Pool, wanted: &str) -> Result<Self, Error> {
        let found = templates_where(client, Some(wanted)).await?;
        let named = found
            .iter()
            .map(|(vm, record)| (vm, record.uuid, record.name_label.as_str()));
        match pick(What::Template, pool, wanted, named) {
            Ok(reference) => {
                let record = found.into_iter().find(|(vm, _)| *vm == reference);
                record
                    .map(|(reference, record)| Self { reference, record })
                    .ok_or_else(|| Error::Missing {
                        what: What::Template,
                        wanted: wanted.to_owned(),
                        pool: pool.to_owned(),
                        there: Choices::default(),
                    })
            }
            Err(Error::Missing { what, wanted, pool, .. }) => {
                let there = own_templates(client).await;
                Err(Error::Missing {
                    there: Choices::new(&wanted, there),
                    what,
                    wanted,
                    pool,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The template's UUID.
    pub(crate) fn uuid(&self) -> Uuid {
        self.record.uuid
    }
}

impl Disks {
    /// Reads a template's disks.
    pub(crate) async fn read(client: &xenapi::Pool, template: &Ref<Vm>) -> Result<Self, Error> {
        let failed = |cause| Error::call("reading the template's disks", VmName::unknown(), cause);
        let drives = client.vbd().records_where(&Filter::refers("VM", template)).await;
        let drives = drives.map_err(failed)?.into_iter().map(|(_, vbd)| vbd);
        let refs: Vec<_> = drives
            .filter(|vbd| vbd.kind == VbdType::Disk && !vbd.empty)
            .map(|vbd| vbd.vdi)
            .collect();
        let records = client.vdi().records_by_ref(&refs).await.map_err(failed)?;
        let named = records
            .iter()
            .filter_map(|(_, disk)| disk.sm_config.get(BASE)?.parse().ok());
        let named: Vec<Filter> = named.map(Filter::uuid).collect();
        let bases = if named.is_empty() {
            Vec::new()
        } else {
            client.vdi().records_where(&Filter::any(named)).await.map_err(failed)?
        };
        let bases = bases.into_iter().map(|(_, base)| (base.uuid.to_string(), used(&base)));
        Ok(Self {
            records,
            bases: bases.collect(),
        })
    }

    /// What is kept free on a disk's SR for its base copy; `now` is the disk as it is now. The first clone turns the disk into the base
    /// and gives the template a new leaf: then what that leaf uses is taken of what is kept, so that the clone costs what any other
    /// costs.
    pub(crate) fn base_copy_bytes(&self, disk: &VdiRecord, now: &VdiRecord) -> u64 {
        let base = match (disk.sm_config.get(BASE), now.sm_config.get(BASE)) {
            (_, None) => return used(now),
            (None, Some(_)) => used(disk),
            (Some(_), Some(base)) => self.bases.get(base).copied().unwrap_or_default(),
        };
        base.saturating_sub(used(now))
    }

    /// The SRs that hold them.
    pub(crate) fn srs(&self) -> BTreeSet<Ref<Sr>> {
        self.records.iter().map(|(_, disk)| disk.sr.clone()).collect()
    }
}

fn used(disk: &VdiRecord) -> u64 {
    u64::try_from(disk.physical_utilisation).unwrap_or_default()
}

/// Reads the templates with this UUID or name. A name that the query language cannot quote is compared here.
async fn templates_where(client: &xenapi::Pool, wanted: Option<&str>) -> Result<Vec<(Ref<Vm>, VmRecord)>, Error> {
    let templates = Filter::is_true("is_a_template").and(Filter::is_false("is_a_snapshot"));
    let named = wanted.map(|wanted| Filter::eq("name__label", wanted).map(|name| (name, wanted.parse::<Uuid>().ok())));
    let filter = match named {
        Some(Ok((name, Some(uuid)))) => Filter::uuid(uuid).or(name).and(templates),
        Some(Ok((name, None))) => name.and(templates),
        Some(Err(_)) | None => templates,
    };
    let found = client.vm().records_where(&filter).await;
    found.map_err(|cause| Error::call("looking for the template", VmName::unknown(), cause))
}

/// The names of templates that people made, for messages. Where they cannot be read the message goes without.
async fn own_templates(client: &xenapi::Pool) -> Vec<String> {
    let all = templates_where(client, None).await.unwrap_or_default();
    let is_default = |record: &VmRecord| {
        record.is_default_template
            || record
                .other_config
                .get("default_template")
                .is_some_and(|value| value == "true")
    };
    let own = all.into_iter().filter(|(_, record)| !is_default(record));
    own.map(|(_, record)| record.name_label).collect()
}
