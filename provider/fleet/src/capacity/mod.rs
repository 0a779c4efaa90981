//! Room: how many servers of a kind each pool can take now.

mod formula;
mod sample;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use xenapi::{Ref, Sr, VdiRecord, VmRecord};

pub use self::formula::{Ceiling, Fit, HostRoom, Limit, Need, PoolRoom, StorageRoom, fit, overhead};
pub(crate) use self::sample::Sample;

use crate::error::Error;
use crate::pool::Member;
use crate::spec::{CapacityQuery, Image};

/// How old a sample may be: as old as a plan takes, not older.
const SAMPLE: Duration = Duration::from_secs(5);

/// The room in all pools that were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// How many servers fit in all.
    pub available: u32,
    /// Each pool, sorted by name.
    pub pools: Vec<PoolCapacity>,
}

/// The room in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCapacity {
    /// The pool's name.
    pub pool: String,
    /// How many servers fit.
    pub available: u32,
    /// What keeps it from being more.
    pub limited_by: Option<Limit>,
    /// Free vCPUs on usable hosts.
    pub cpus_free: u64,
    /// All vCPUs of usable hosts.
    pub cpus_total: u64,
    /// Free memory of usable hosts in MiB.
    pub memory_free_mib: u64,
    /// All memory of usable hosts in MiB.
    pub memory_total_mib: u64,
    /// Free bytes of the SR that limits most.
    pub storage_free_bytes: u64,
    /// All bytes of that SR.
    pub storage_total_bytes: u64,
    /// dynvm servers that are being created.
    pub in_progress: u32,
}

/// A kind of server in one pool: what one needs of each thing.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) need: Need,
    pub(crate) os: Option<String>,
    /// Bytes that one server takes of each SR.
    pub(crate) storage: BTreeMap<Ref<Sr>, u64>,
    /// Bytes of the base copies there.
    pub(crate) base_copies: BTreeMap<Ref<Sr>, u64>,
}

impl Kind {
    /// A kind of server made from a template, with its disks where they are or all on one SR.
    pub(crate) fn new(template: &VmRecord, cpus: Option<u32>, memory_mib: Option<u64>, os: Option<&str>) -> Self {
        let own = |value: i64| u64::try_from(value).unwrap_or_default();
        let cpus = cpus.unwrap_or_else(|| u32::try_from(template.vcpus_at_startup).unwrap_or(1));
        let (memory, memory_max) = match memory_mib {
            Some(mib) => (mib << 20, mib << 20),
            None => (own(template.memory_dynamic_min), own(template.memory_static_max)),
        };
        Self {
            need: Need {
                cpus,
                memory,
                overhead: overhead(cpus, memory_max),
            },
            os: os.map(str::to_owned),
            storage: BTreeMap::new(),
            base_copies: BTreeMap::new(),
        }
    }

    /// Adds the disks of the template: where they are, or all on one SR.
    #[must_use]
    pub(crate) fn with_disks(mut self, disks: &[VdiRecord], on: Option<&Ref<Sr>>) -> Self {
        let bytes = |value: i64| u64::try_from(value).unwrap_or_default();
        for disk in disks {
            let sr = on.unwrap_or(&disk.sr);
            *self.storage.entry(sr.clone()).or_default() += bytes(disk.virtual_size);
            *self.base_copies.entry(sr.clone()).or_default() += bytes(disk.physical_utilisation);
        }
        self
    }
}

/// The kind of server that a query means in one pool.
pub(crate) async fn kind_in(member: &Arc<Member>, query: &CapacityQuery) -> Result<Kind, Error> {
    let template = member.template(template_name(member, &query.image)?).await?;
    let kind = Kind::new(&template.record, query.cpus, query.memory_mib, query.image.os());
    let storage = match &member.settings.storage {
        Some(wanted) => {
            let inventory = member.inventory().await?;
            Some(
                member
                    .resolve(&inventory, |inventory| inventory.find_sr(wanted))
                    .await?,
            )
        }
        None => None,
    };
    let disks = member.disks(&template.reference).await?;
    Ok(kind.with_disks(&disks.records, storage.as_ref()))
}

/// The template that an image means in a pool.
pub(crate) fn template_name<'a>(member: &'a Member, image: &'a Image) -> Result<&'a str, Error> {
    match image {
        Image::Template(template) => Ok(template),
        Image::Os(os) => member
            .settings
            .templates
            .get(os)
            .map(String::as_str)
            .ok_or_else(|| Error::UnknownOs {
                os: os.clone(),
                there: crate::choices::Choices::new(os, member.settings.templates.keys().cloned()),
            }),
    }
}

/// The room for a kind of server in one pool now.
pub(crate) async fn room(member: &Arc<Member>, kind: &Kind) -> Result<PoolCapacity, Error> {
    let sample = sample(member).await?;
    Ok(sample.capacity(member, kind))
}

/// What a query finds in one pool; a pool without the template has no room, and says why.
pub(crate) async fn of_pool(member: &Arc<Member>, query: &CapacityQuery) -> Result<PoolCapacity, Error> {
    match kind_in(member, query).await {
        Ok(kind) => room(member, &kind).await,
        Err(
            Error::UnknownOs { .. }
            | Error::Missing {
                what: crate::error::What::Template,
                ..
            },
        ) => {
            let need = Need {
                cpus: query.cpus.unwrap_or(1),
                memory: query.memory_mib.unwrap_or(0) << 20,
                overhead: 0,
            };
            let any = Kind {
                need,
                os: None,
                storage: BTreeMap::new(),
                base_copies: BTreeMap::new(),
            };
            let room = room(member, &any).await?;
            Ok(PoolCapacity {
                available: 0,
                limited_by: Some(Limit::Template),
                ..room
            })
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn sample(member: &Arc<Member>) -> Result<Arc<Sample>, Error> {
    let of = Arc::clone(member);
    let read = move || async move { Sample::take(&of).await.map(Arc::new) };
    member.samples.get(SAMPLE, read).await
}

impl fmt::Display for PoolCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {:?}: {} fit", self.pool, self.available)?;
        if let Some(limit) = self.limited_by {
            write!(f, ", limited by {limit}")?;
        }
        write!(
            f,
            " ({} of {} vCPUs, {} of {} MiB of memory, {} of {} GiB of storage free)",
            self.cpus_free,
            self.cpus_total,
            self.memory_free_mib,
            self.memory_total_mib,
            self.storage_free_bytes >> 30,
            self.storage_total_bytes >> 30,
        )
    }
}
