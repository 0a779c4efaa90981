//! Room: how many servers of a kind each pool can take now.

mod coming;
mod formula;
mod held;
mod kind;
mod room;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

pub use self::formula::{Ceiling, Fit, HostRoom, Limit, Need, PoolRoom, StorageRoom};
pub(crate) use self::held::HeldRoom;
pub(crate) use self::kind::{Kind, overhead_of};
pub(crate) use self::room::Room;

use crate::choices::Choices;
use crate::config::PoolSettings;
use crate::error::{Error, What};
use crate::inventory::{Freshness, Inventory};
use crate::pool::{Member, Section, Whole};
use crate::spec::{CapacityQuery, Image};

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
    pub limited_by: Limit,
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
    /// Servers for which reservations hold room.
    pub reserved: u32,
    /// dynvm servers that are being created.
    pub in_progress: u32,
    /// Each host, sorted by name.
    pub hosts: Vec<HostCapacity>,
    /// Each SR that such a server needs, sorted by name.
    pub storages: Vec<StorageCapacity>,
}

/// The room on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCapacity {
    /// The host's name.
    pub host: String,
    /// How many servers its CPUs and memory take, storage and ceilings aside.
    pub available: u32,
    /// What keeps it from being more.
    pub limited_by: Limit,
    /// Free vCPUs.
    pub cpus_free: u64,
    /// Free memory in MiB.
    pub memory_free_mib: u64,
}

/// The room in one SR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageCapacity {
    /// The SR's name.
    pub storage: String,
    /// How many servers it takes; `None` if it sets no limit.
    pub available: Option<u32>,
    /// Free bytes, without those that are kept free.
    pub free_bytes: u64,
    /// Its size in bytes.
    pub total_bytes: u64,
}

/// The template that an image means by these settings.
pub(crate) fn template_name<'a>(settings: &'a PoolSettings, image: &'a Image) -> Result<&'a str, Error> {
    match image {
        Image::Template(template) => Ok(template),
        Image::Os(os) => settings
            .templates
            .get(os)
            .map(String::as_str)
            .ok_or_else(|| Error::UnknownOs {
                os: os.clone(),
                there: Choices::new(os, settings.templates.keys().cloned()),
            }),
    }
}

/// The room for a kind of server in one pool now.
pub(crate) async fn room(member: &Arc<Member>, kind: &Kind, freshness: Freshness) -> Result<Room, Error> {
    let now = member.now().await?;
    let look = member
        .live
        .look(member, freshness, |inventory| member.room(inventory, kind, now));
    look.await
}

/// What a query finds in one pool by these sections of it, each of which counts its own host. One without the template has no room; if
/// that is so of all, the pool has none and says why.
pub(crate) async fn of_pool(pool: &Whole, query: &CapacityQuery) -> Result<PoolCapacity, Error> {
    let mut kinds = Vec::new();
    let mut name = None;
    for section in &pool.sections {
        match kind_in(section, query).await {
            Ok(kind) => {
                name = name.or(Some(section.name()));
                kinds.push(kind);
            }
            Err(
                Error::UnknownOs { .. }
                | Error::Missing {
                    what: What::Template, ..
                },
            ) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(name) = name else {
        return without_template(pool, query).await;
    };
    let rooms = rooms(&pool.member, &Kind::joined(kinds)).await?;
    Ok(PoolCapacity::of(name, &rooms))
}

async fn without_template(pool: &Whole, query: &CapacityQuery) -> Result<PoolCapacity, Error> {
    let kind = Kind::unknown(query.cpus, query.memory_mib);
    let hosts = pool
        .sections
        .iter()
        .map(|section| Ok(kind.clone().on_host(section.host()?)));
    let kinds = Kind::joined(hosts.collect::<Result<Vec<_>, Error>>()?);
    let rooms = rooms(&pool.member, &kinds).await?;
    Ok(PoolCapacity {
        available: 0,
        limited_by: Limit::Template,
        ..PoolCapacity::of(pool.name(), &rooms)
    })
}

/// The room for several kinds of server, each beside all that fit of those before it.
async fn rooms(member: &Arc<Member>, kinds: &[Kind]) -> Result<Vec<(Room, Need)>, Error> {
    let now = member.now().await?;
    let see = |inventory: &Inventory| {
        let mut taken = Vec::new();
        let mut rooms = Vec::new();
        for kind in kinds {
            let mut room = member.room(inventory, kind, now);
            for load in &taken {
                room.put(load);
            }
            taken.extend(room.filled(kind, room.room.fit(&kind.need).available));
            rooms.push((room, kind.need));
        }
        rooms
    };
    member.live.look(member, Freshness::OwnWrites, see).await
}

/// The kind of server that a query means by the settings of a section.
async fn kind_in(section: &Section, query: &CapacityQuery) -> Result<Kind, Error> {
    let member = &section.member;
    let template = section
        .template(template_name(section.settings(), &query.image)?)
        .await?;
    let (fabric, host) = (section.fabric().await?, section.host()?);
    let storage = section.storage_for(&fabric, None).await?;
    let network = section.network_for(&fabric, None, query.image.os()).await?;
    let disks = member.disks(&template.reference).await?;
    let kind = Kind::new(&template.record, query.cpus, query.memory_mib, query.image.os());
    Ok(kind
        .with_disks(&disks, storage.as_ref())
        .with_network(network.as_ref())
        .under(section.settings(), host)
        .on_host(host))
}

impl Member {
    /// The room for a kind of server that a picture of this pool shows.
    pub(crate) fn room(&self, inventory: &Inventory, kind: &Kind, now: Timestamp) -> Room {
        Room::of(inventory, &self.settings, kind, &self.ours(inventory), now)
    }
}

impl PoolCapacity {
    pub(crate) fn new(pool: &str, room: &Room, need: &Need) -> Self {
        Self::of(pool, &[(room.clone(), *need)])
    }

    /// That of a pool whose sections make servers of several kinds; the room for each is what the kinds before it leave.
    fn of(pool: &str, rooms: &[(Room, Need)]) -> Self {
        let (mut available, mut limited_by) = (0_u32, Limit::HostDisabled);
        let (mut hosts, mut storages) = (BTreeMap::new(), BTreeMap::new());
        for (room, need) in rooms {
            let fit = room.room.fit(need);
            // What keeps the last from being more keeps the others too, if they share it.
            if fit.available > 0 || available == 0 {
                limited_by = fit.limited_by;
            }
            available = available.saturating_add(fit.available);
            for (host, row) in room.asked_hosts() {
                hosts.entry(host).or_insert((row, need));
            }
            for (sr, row) in room.storages() {
                storages.entry(sr).or_insert(row);
            }
        }
        let usable = || {
            let rows = hosts.values().map(|(row, _)| *row);
            rows.filter(|row| row.bar != Some(Limit::HostDisabled))
        };
        let tightest = storages
            .values()
            .min_by_key(|storage| (storage.takes(), storage.free()));
        let first = rooms.first().map(|(room, _)| room);
        let mut capacity = Self {
            pool: pool.to_owned(),
            available,
            limited_by,
            cpus_free: usable().map(HostRoom::cpus_free).sum(),
            cpus_total: usable().map(|host| host.cpus_total).sum(),
            memory_free_mib: usable().map(|host| host.memory_free() >> 20).sum(),
            memory_total_mib: usable().map(|host| host.memory_total >> 20).sum(),
            storage_free_bytes: tightest.map_or(0, |storage| storage.free()),
            storage_total_bytes: tightest.and_then(|storage| storage.total).unwrap_or_default(),
            reserved: first.map_or(0, |room| room.reserved),
            in_progress: first.map_or(0, |room| room.in_progress),
            hosts: hosts.values().map(|(row, need)| HostCapacity::new(row, need)).collect(),
            storages: storages.values().map(|row| StorageCapacity::new(row)).collect(),
        };
        capacity.hosts.sort_by(|a, b| a.host.cmp(&b.host));
        capacity.storages.sort_by(|a, b| a.storage.cmp(&b.storage));
        capacity
    }
}

impl HostCapacity {
    fn new(host: &HostRoom, need: &Need) -> Self {
        let fit = host.takes(need);
        Self {
            host: host.name.clone(),
            available: fit.available,
            limited_by: fit.limited_by,
            cpus_free: host.cpus_free(),
            memory_free_mib: host.memory_free() >> 20,
        }
    }
}

impl StorageCapacity {
    fn new(storage: &StorageRoom) -> Self {
        Self {
            storage: storage.name.clone(),
            available: Some(storage.takes()).filter(|takes| *takes < u32::MAX),
            free_bytes: storage.free(),
            total_bytes: storage.total.unwrap_or_default(),
        }
    }
}

impl fmt::Display for PoolCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pool {:?}: {} fit, limited by {} ({} of {} vCPUs, {} of {} MiB of memory, {} of {} GiB of storage free)",
            self.pool,
            self.available,
            self.limited_by,
            self.cpus_free,
            self.cpus_total,
            self.memory_free_mib,
            self.memory_total_mib,
            self.storage_free_bytes >> 30,
            self.storage_total_bytes >> 30,
        )
    }
}
