//! Whether a server of another size, or on another host, can be had at all, and where it is put.

use std::sync::Arc;

use jiff::Timestamp;
use xenapi::{Host, Ref};

use super::{Size, Work};
use crate::capacity::{Kind, PoolCapacity};
use crate::error::{Error, Subject};
use crate::inventory::{Freshness, Inventory};
use crate::placement::{allows, ever_fits, hosts_in_order, in_section};
use crate::pool::{Fabric, Loaded, Member, Place, UnderWay};
use crate::spec::{Reshape, ServerKey};

/// How often a choice is made again whose picture was lost meanwhile.
const TRIES: u32 = 3;

impl Work<'_> {
    /// Holds a place against the other servers of this process: on the host that it runs on if that has room, else on the least loaded.
    /// What it takes there now it gives back.
    pub(super) async fn seat(&self, kind: &Kind) -> Result<Place, Error> {
        let now = self.member.now().await?;
        let live = &self.member.live;
        for _ in 0..TRIES {
            live.look(self.member, Freshness::OwnWrites, |_| ()).await?;
            if let Some(seated) = self.seat_now(kind, now) {
                return seated;
            }
        }
        Err(Error::Unsteady {
            pool: self.pool.to_owned(),
        })
    }

    /// Chooses and enters, in one step that no other choice comes between; `None` if the picture went away just now.
    fn seat_now(&self, kind: &Kind, now: Timestamp) -> Option<Result<Place, Error>> {
        let _choosing = self.member.choosing();
        let found = self.member.live.peek(|inventory| self.find(inventory, kind, now))?;
        Some(found.map(|host| {
            let place = self.member.ledger.enter(UnderWay::new(kind, Some(host)));
            place.is_vm(&self.loaded.reference, self.loaded.vm.uuid);
            place
        }))
    }

    /// The host to start on.
    fn find(&self, inventory: &Inventory, kind: &Kind, now: Timestamp) -> Result<Ref<Host>, Error> {
        let mut room = self.member.room(inventory, kind, now);
        let present = inventory.guests().place_of(&self.loaded.reference);
        if let Some((host, uses)) = &present {
            room.give_back(host, *uses);
        }
        let hosts: Vec<&Ref<Host>> = hosts_in_order(&room.room, &kind.need)
            .into_iter()
            .filter_map(|at| room.hosts.get(at))
            .collect();
        let present = present.and_then(|(host, _)| hosts.iter().copied().find(|known| **known == host));
        let host = present.or(hosts.first().copied()).cloned();
        host.ok_or_else(|| Error::Full {
            pools: vec![PoolCapacity::new(self.pool, &room, &kind.need)],
            cause: None,
        })
    }
}

/// What a server that there is needs at a size, and which hosts can have it.
pub(super) fn kind(loaded: &Loaded, size: Size, host: Option<&Ref<Host>>) -> Kind {
    let mut record = loaded.vm.clone();
    size.put(&mut record);
    let srs = loaded.disks().map(|(_, disk)| disk.sr.clone());
    let networks = loaded.vifs.iter().map(|(_, vif)| vif.network.clone());
    Kind::new(&record, None, None, None)
        .of_existing(srs, networks)
        .on_host(host)
}

/// Says at its setting what can never be of a change: a size that the VM cannot have or that no host has, a host that is not there or does not
/// see the server's disks and networks.
pub(crate) async fn possible(
    member: &Arc<Member>,
    key: &ServerKey,
    wanted: &Reshape,
    home: Option<&Ref<Host>>,
) -> Result<(), Error> {
    let (fabric, loaded) = super::super::load(member, key).await?;
    let Some(loaded) = loaded else { return Ok(()) };
    let pool = key.pool.as_str();
    allows(pool, "server", &loaded.vm, wanted.cpus, wanted.memory_mib)?;
    let host = member.host_for(&fabric, wanted.host.as_deref()).await?;
    in_section(pool, &fabric, home, host.as_ref())?;
    let from = Size::of(&loaded.vm);
    let to = from.with(wanted.cpus, wanted.memory_mib);
    let kind = kind(&loaded, to, host.as_ref().or(home));
    if let Some(host) = &host {
        reaches(pool, &fabric, &kind, host)?;
    }
    if from == to {
        return Ok(());
    }
    let now = member.now().await?;
    let see = |inventory: &Inventory| ever_fits(pool, &kind.need, inventory, &member.room(inventory, &kind, now));
    member.live.look(member, Freshness::Seen, see).await?
}

/// Says whether a host has what the server needs, whatever room there is.
fn reaches(pool: &str, fabric: &Fabric, kind: &Kind, host: &Ref<Host>) -> Result<(), Error> {
    let refuse = |lacking: String| {
        Err(Error::Refused {
            subject: Subject::Host,
            pool: pool.to_owned(),
            reason: format!(
                "the host {:?} does not see {lacking} of the server, which therefore cannot move there",
                fabric.host_name(host).unwrap_or_default()
            ),
        })
    };
    if let Some(sr) = kind.storage.keys().find(|sr| !fabric.sees(host, sr)) {
        let name = fabric.sr_named(sr).map(|named| named.name).unwrap_or_default();
        return refuse(format!("the storage repository {name:?}"));
    }
    if let Some(network) = kind.networks.iter().find(|network| !fabric.has_network(host, network)) {
        let name = fabric
            .network_named(network)
            .map(|named| named.name)
            .unwrap_or_default();
        return refuse(format!("the network {name:?}"));
    }
    Ok(())
}
