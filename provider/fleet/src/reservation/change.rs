//! Changing a reservation in place: in each pool a new ticket takes the place of the old one, all or none.
//!
//! Growing asks for the room of the new ones only: what it holds already counts as its own. Where one pool refuses, those that have
//! changed are changed back. Back to a smaller size that asks for nothing; what one pool has let go meanwhile somebody else may hold,
//! and then it says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use xenapi::Uuid;

use super::hold::{Part, Seen, parts, shown, take};
use super::spread::spread;
use super::{Pass, Reservation, ReservationChanges, ReservationKey};
use crate::capacity::{self, Kind, PoolCapacity};
use crate::error::Error;
use crate::inventory::Freshness;
use crate::lease::mint;
use crate::pool::{Member, later, whole_seconds};
use crate::ticket::Ticket;

/// Changes a reservation; after a failure it is as it was.
pub(crate) async fn change(
    members: &[Arc<Member>],
    key: &ReservationKey,
    changes: ReservationChanges,
    cancel: &CancellationToken,
) -> Result<Reservation, Error> {
    let present = parts(members, key).await?;
    if present.is_empty() {
        return Err(Error::Reservation {
            id: key.id.to_string(),
            why: "is not there any more: it was released, or its time is over",
        });
    }
    let wanted = wanted(&present, key, changes).await?;
    let mut changed: Vec<(Part, &Seen)> = Vec::new();
    for (part, ticket) in present.iter().zip(wanted) {
        let taken = match ticket {
            None => continue,
            Some(_) if cancel.is_cancelled() => Err(Error::Cancelled { left: None }),
            Some(ticket) => replace(part, ticket, cancel).await,
        };
        match taken {
            Ok(Some(now)) => changed.push((now, part)),
            refused => {
                change_back(changed).await;
                return Err(match refused {
                    Err(error) => error,
                    Ok(_) => full(part).await?,
                });
            }
        }
    }
    let now = parts(members, key).await?;
    shown(&now, key).ok_or_else(|| Error::Reservation {
        id: key.id.to_string(),
        why: "was released while it was being changed",
    })
}

/// The ticket that each part is to have; `None` where it stays.
async fn wanted(
    present: &[Seen],
    key: &ReservationKey,
    changes: ReservationChanges,
) -> Result<Vec<Option<Ticket>>, Error> {
    let placed: u32 = present.iter().map(|part| part.reserved.ticket.servers()).sum();
    let servers = changes.servers.unwrap_or(placed);
    let mut hosts: Vec<BTreeMap<Uuid, u32>> = present.iter().map(|part| part.reserved.ticket.hosts.clone()).collect();
    if servers > placed {
        grow(present, &mut hosts, servers - placed).await?;
    } else {
        shrink(present, &mut hosts, placed - servers);
    }
    let tickets = present.iter().zip(hosts).map(|(part, hosts)| {
        let old = &part.reserved.ticket;
        let until = changes.ttl.map_or(old.until, |ttl| end(key.id, ttl));
        let is_same = hosts == old.hosts && until == old.until;
        // Several tickets are what a change has left that died half-way: one takes the place of all.
        let is_settled = is_same && part.reserved.numbers.len() == 1;
        (!is_settled).then(|| Ticket {
            hosts,
            until,
            ..old.clone()
        })
    });
    Ok(tickets.collect())
}

/// When a reservation ends that was made then, as its id says.
fn end(id: Ulid, ttl: Duration) -> Timestamp {
    let start = i64::try_from(id.timestamp_ms())
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    whole_seconds(later(start.unwrap_or(Timestamp::UNIX_EPOCH), ttl))
}

/// Finds places for more servers in the pools that hold some already.
async fn grow(present: &[Seen], hosts: &mut [BTreeMap<Uuid, u32>], more: u32) -> Result<(), Error> {
    let mut rooms = Vec::new();
    for part in present {
        let kind = Kind::of_ticket(&part.reserved.ticket.each, &part.fabric);
        let need = kind.need;
        rooms.push((capacity::room(&part.member, &kind, Freshness::OwnWrites).await?, need));
    }
    let Some(spread) = spread(rooms.clone(), more) else {
        let names = present.iter().map(|part| part.member.name());
        let pools = names
            .zip(&rooms)
            .map(|(name, (room, need))| PoolCapacity::new(name, room, need));
        return Err(Error::Full {
            pools: pools.collect(),
            cause: None,
        });
    };
    for ((part, hosts), new) in present.iter().zip(hosts).zip(spread) {
        for (host, servers) in new {
            if let Some(uuid) = part.fabric.host_uuid(&host) {
                *hosts.entry(uuid).or_insert(0) += servers;
            }
        }
    }
    Ok(())
}

/// Takes places away: first those that are not used, in the pool that has most of them, and there on the host with most places.
fn shrink(present: &[Seen], hosts: &mut [BTreeMap<Uuid, u32>], less: u32) {
    let unused = |at: usize, hosts: &BTreeMap<Uuid, u32>| {
        let used = present.get(at).map_or(0, |part| part.reserved.used);
        i64::from(hosts.values().sum::<u32>()) - i64::from(used)
    };
    for _ in 0..less {
        let with_places = hosts
            .iter_mut()
            .enumerate()
            .filter(|(_, hosts)| hosts.values().any(|servers| *servers > 0));
        let most = with_places.max_by_key(|(at, hosts)| unused(*at, hosts));
        if let Some(servers) = most.and_then(|(_, hosts)| hosts.values_mut().max()) {
            *servers = servers.saturating_sub(1);
        }
    }
    for hosts in hosts {
        hosts.retain(|_, servers| *servers > 0);
    }
}

/// Puts a ticket in the place of a part's present one; `None` if it is refused.
async fn replace(part: &Seen, ticket: Ticket, cancel: &CancellationToken) -> Result<Option<Part>, Error> {
    let kind = Kind::of_ticket(&ticket.each, &part.fabric);
    // The earliest was admitted; a later one may be of a change that died half-way.
    let number = part.reserved.numbers.first().copied().unwrap_or_default();
    let id = mint(part.member.now().await?);
    let change = ticket.changed(number, id);
    take(&part.member, &part.fabric, &kind, change, cancel).await
}

/// Gives parts their old size and time again.
async fn change_back(changed: Vec<(Part, &Seen)>) {
    for (now, before) in changed {
        let Pass { number, .. } = now.pass;
        let back = async {
            let kind = Kind::of_ticket(&before.reserved.ticket.each, &before.fabric);
            let id = mint(now.member.now().await?);
            let old = before.reserved.ticket.changed(number, id);
            take(&now.member, &now.fabric, &kind, old, &CancellationToken::new()).await
        };
        match back.await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!(
                pool = now.member.name(),
                "a reservation keeps its changed size in this pool"
            ),
            Err(error) => {
                tracing::warn!(pool = now.member.name(), %error, "a reservation keeps its changed size in this pool");
            }
        }
    }
}

async fn full(part: &Seen) -> Result<Error, Error> {
    let kind = Kind::of_ticket(&part.reserved.ticket.each, &part.fabric);
    let room = capacity::room(&part.member, &kind, Freshness::OwnWrites).await?;
    Ok(Error::Full {
        pools: vec![PoolCapacity::new(part.member.name(), &room, &kind.need)],
        cause: None,
    })
}
