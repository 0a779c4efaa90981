//! Whether a server of another size, or on another host, can be had at all, and where it is put.

use std::sync::Arc;

use xenapi::{Host, Ref};

use super::{Size, Work};
use crate::capacity::{Kind, PoolCapacity};
use crate::error::{Error, Subject};
use crate::inventory::{Freshness, Inventory};
use crate::placement::{allows, ever_fits, hosts_in_order};
use crate::pool::{Fabric, Member, Place, UnderWay};
use crate::spec::{Reshape, ServerKey};

/// A host for a server that is about to be started, held against the other servers of this process.
pub(super) struct Seat {
    pub(super) place: Place,
}

/// What a look for a host found.
enum Found {
    Host(Ref<Host>),
    Full(PoolCapacity),
}

impl Work<'_> {
    /// Finds a host: the one that it runs on if that has room, else the least loaded. What it takes there now it gives back.
    pub(super) async fn seat(&self, kind: &Kind) -> Result<Seat, Error> {
        let now = self.member.now().await?;
        let see = |inventory: &Inventory| self.find(inventory, kind, now);
        match self.member.live.look(self.member, Freshness::OwnWrites, see).await? {
            Found::Host(host) => {
                let place = self.member.ledger.enter(UnderWay::new(kind, Some(host)));
                place.is_vm(&self.loaded.reference, self.loaded.vm.uuid);
                Ok(Seat { place })
            }
            Found::Full(pool) => Err(Error::Full {
                pools: vec![pool],
                cause: None,
            }),
        }
    }

    fn find(&self, inventory: &Inventory, kind: &Kind, now: jiff::Timestamp) -> Found {
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
        match present.or(hosts.first().copied()) {
            Some(host) => Found::Host(host.clone()),
            None => Found::Full(PoolCapacity::new(self.member.name(), &room, &kind.need)),
        }
    }
}

/// Says at its setting what can never be of a change: a size that the VM cannot have or that no host has, a host that is not there or does not
/// see the server's disks and networks.
pub(crate) async fn possible(member: &Arc<Member>, key: &ServerKey, wanted: &Reshape) -> Result<(), Error> {
    let (fabric, loaded) = super::super::load(member, key).await?;
    let Some(loaded) = loaded else { return Ok(()) };
    let pool = member.name();
    let host = match &wanted.host {
        Some(host) => Some(member.resolve(&fabric, |fabric| fabric.find_host(host)).await?),
        None => None,
    };
    let vm = &loaded.vm;
    allows(pool, "server", vm, wanted.cpus, wanted.memory_mib)?;
    let from = Size::of(vm);
    let mut record = vm.clone();
    from.with(wanted.cpus, wanted.memory_mib).put(&mut record);
    let kind = Kind::new(&record, None, None, None).of_existing(
        loaded.disks().map(|(_, disk)| disk.sr.clone()),
        loaded.vifs.iter().map(|(_, vif)| vif.network.clone()),
    );
    let kind = kind.on_host(host.as_ref());
    if let Some(host) = &host {
        reaches(&fabric, &kind, host)?;
    }
    if record == *vm {
        return Ok(());
    }
    let now = member.now().await?;
    let see = |inventory: &Inventory| ever_fits(pool, &kind.need, inventory, &member.room(inventory, &kind, now));
    member.live.look(member, Freshness::Seen, see).await?
}

/// Says whether a host has what the server needs, whatever room there is.
fn reaches(fabric: &Fabric, kind: &Kind, host: &Ref<Host>) -> Result<(), Error> {
    let refuse = |lacking: String| {
        Err(Error::Refused {
            subject: Subject::Host,
            pool: fabric.pool.clone(),
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
