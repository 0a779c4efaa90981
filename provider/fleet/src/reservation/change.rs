//! Changing a reservation in place: in each pool a new ticket takes the place of the old one, all or none.
//!
//! Growing asks for the room of the new ones only: what it holds already counts as its own. Where one pool refuses, those that have
//! changed are changed back. Back to a smaller size that asks for nothing; what one pool has let go meanwhile somebody else may hold.
//! Then it stays changed in part, and the failure says what is held where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use xenapi::Uuid;

use super::hold::{Part, Seen, alike, holders, parts, shown, take};
use super::spread::spread;
use super::{Pass, Reservation, ReservationChanges, ReservationKey};
use crate::capacity::{self, Kind, PoolCapacity};
use crate::error::Error;
use crate::inventory::Freshness;
use crate::lease::mint;
use crate::placement::{self, Candidate, Looks, none_fits};
use crate::pool::{Member, later, whole_seconds};
use crate::spec::Wish;
use crate::ticket::Ticket;

/// A change that failed.
#[derive(Debug, Clone)]
pub struct ChangeFailure {
    /// Why.
    pub error: Error,
    /// What is held now, if that is not what was held before.
    pub now: Option<Reservation>,
}

impl From<Error> for ChangeFailure {
    fn from(error: Error) -> Self {
        Self { error, now: None }
    }
}

/// What a part is to become, and what one of its servers is.
struct Wanted {
    ticket: Ticket,
    kind: Kind,
}

/// Changes a reservation, each of whose servers asks for this; after a failure it is as it was, or the failure says how it is.
pub(crate) async fn change(
    members: &[Arc<Member>],
    key: &ReservationKey,
    each: &Wish,
    changes: ReservationChanges,
    cancel: &CancellationToken,
) -> Result<Reservation, ChangeFailure> {
    let present = parts(members, key).await?;
    if present.is_empty() {
        return Err(gone(key, "is not there any more: it was released, or its time is over").into());
    }
    let wanted = wanted(members, &present, key, each, changes).await?;
    let mut changed: Vec<(Part, &Seen)> = Vec::new();
    for (part, wanted) in present.iter().zip(&wanted) {
        let Some(wanted) = wanted else { continue };
        let taken = if cancel.is_cancelled() {
            Err(Error::Cancelled { left: None })
        } else {
            replace(part, wanted).await
        };
        let error = match taken {
            Ok(Some(now)) => {
                changed.push((now, part));
                continue;
            }
            Ok(None) => full(part, &wanted.kind).await.unwrap_or_else(|error| error),
            Err(error) => error,
        };
        return Err(match change_back(changed).await {
            Ok(()) => error.into(),
            Err(left) => in_part(members, key, error, left).await,
        });
    }
    let now = parts(members, key).await?;
    Ok(shown(&now, key).ok_or_else(|| gone(key, "was released while it was being changed"))?)
}

fn gone(key: &ReservationKey, why: &'static str) -> Error {
    Error::Reservation {
        id: key.id.to_string(),
        why,
    }
}

/// The tickets that the parts are to have; `None` where one stays.
async fn wanted(
    members: &[Arc<Member>],
    present: &[Seen],
    key: &ReservationKey,
    each: &Wish,
    changes: ReservationChanges,
) -> Result<Vec<Option<Wanted>>, Error> {
    let placed: u32 = present.iter().map(|part| part.reserved.ticket.servers()).sum();
    let servers = changes.servers.unwrap_or(placed);
    let mut hosts: Vec<BTreeMap<Uuid, u32>> = present.iter().map(|part| part.reserved.ticket.hosts.clone()).collect();
    let kinds = if servers > placed {
        let kinds = kinds(members, present, key, each).await?;
        grow(present, &kinds, &mut hosts, servers - placed).await?;
        kinds
    } else {
        shrink(present, &mut hosts, placed - servers);
        present.iter().map(|_| None).collect()
    };
    let ends = match changes.ttl {
        Some(ttl) => ends(members, present, key, ttl).await?,
        None => present.iter().map(|part| part.reserved.ticket.until).collect(),
    };
    let tickets = present
        .iter()
        .zip(kinds)
        .zip(hosts)
        .zip(ends)
        .map(|(((part, kind), hosts), until)| {
            let old = &part.reserved.ticket;
            let is_same = hosts == old.hosts && until == old.until;
            // Several tickets are what a change has left that died half-way: one takes the place of all.
            let is_settled = is_same && part.reserved.numbers.len() == 1;
            (!is_settled).then(|| Wanted {
                ticket: Ticket {
                    hosts,
                    until,
                    ..old.clone()
                },
                kind: kind.unwrap_or_else(|| Kind::of_ticket(&old.each, &part.fabric)),
            })
        });
    Ok(tickets.collect())
}

/// When each part ends, by the clock of its own pool. When the reservation was made its id says, by the clock of the first of its pools.
async fn ends(
    members: &[Arc<Member>],
    present: &[Seen],
    key: &ReservationKey,
    ttl: Duration,
) -> Result<Vec<Timestamp>, Error> {
    let first = key.pools.iter().min_by_key(|(_, uuid)| **uuid).map(|(name, _)| name);
    let minting = holders(members, key)
        .await
        .into_iter()
        .find(|(name, _)| Some(name) == first);
    let minting = match minting {
        Some((_, member)) => member?.now().await?,
        None => {
            return Ok(present
                .iter()
                .map(|_| whole_seconds(later(start(key.id), ttl)))
                .collect());
        }
    };
    let mut ends = Vec::new();
    for part in present {
        let ahead = part.member.now().await?.duration_since(minting);
        let begun = start(key.id).saturating_add(ahead).unwrap_or(start(key.id));
        ends.push(whole_seconds(later(begun, ttl)));
    }
    Ok(ends)
}

/// When a reservation was made, as its id says.
fn start(id: Ulid) -> Timestamp {
    let ms = i64::try_from(id.timestamp_ms()).ok();
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What a new server would be in the pool of each part; `None` where it would not be one that the ticket is for.
async fn kinds(
    members: &[Arc<Member>],
    present: &[Seen],
    key: &ReservationKey,
    each: &Wish,
) -> Result<Vec<Option<Kind>>, Error> {
    let sections = placement::asked(members, each).await?;
    let Looks { found, reasons } = placement::candidates(&sections, each).await?;
    if found.is_empty() {
        return Err(none_fits(reasons));
    }
    let found = alike(found);
    let is_of_a_part = |candidate: &Candidate| present.iter().any(|part| Arc::ptr_eq(&candidate.member, &part.member));
    if !reasons.is_empty() && !found.iter().any(is_of_a_part) {
        return Err(none_fits(reasons));
    }
    let kind_of = |part: &Seen| {
        let mut of_pool = found
            .iter()
            .filter(|candidate| Arc::ptr_eq(&candidate.member, &part.member));
        let is_meant = |kind: &Kind| kind.per_server(&part.fabric) == part.reserved.ticket.each;
        of_pool
            .find(|candidate| is_meant(&candidate.kind))
            .map(|candidate| candidate.kind.clone())
    };
    let kinds: Vec<Option<Kind>> = present.iter().map(kind_of).collect();
    if kinds.iter().all(Option::is_none) {
        return Err(gone(
            key,
            "is for servers of another size than would be made now: release it and make a new one",
        ));
    }
    Ok(kinds)
}

/// Finds places for more servers in the pools that hold some already.
async fn grow(
    present: &[Seen],
    kinds: &[Option<Kind>],
    hosts: &mut [BTreeMap<Uuid, u32>],
    more: u32,
) -> Result<(), Error> {
    let mut growing = Vec::new();
    let mut rooms = Vec::new();
    for ((part, kind), hosts) in present.iter().zip(kinds).zip(hosts) {
        if let Some(kind) = kind {
            growing.push((part, hosts));
            rooms.push((
                capacity::room(&part.member, kind, Freshness::OwnWrites).await?,
                kind.need,
            ));
        }
    }
    let Some(spread) = spread(rooms.clone(), more) else {
        let names = growing.iter().map(|(part, _)| &part.fabric.pool);
        let pools = names
            .zip(&rooms)
            .map(|(name, (room, need))| PoolCapacity::new(name, room, need));
        return Err(Error::Full {
            pools: pools.collect(),
            cause: None,
        });
    };
    for ((part, hosts), new) in growing.into_iter().zip(spread) {
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
async fn replace(part: &Seen, wanted: &Wanted) -> Result<Option<Part>, Error> {
    // The earliest was admitted; a later one may be of a change that died half-way.
    let number = part.reserved.numbers.first().copied().unwrap_or_default();
    let id = mint(part.member.now().await?);
    let change = wanted.ticket.changed(number, id);
    // The places are chosen: hosts that take no new servers hold some still.
    let kind = wanted.kind.clone().on_host(None);
    take(&part.member, &part.fabric, &kind, change).await
}

/// Gives parts their old size and time again; the error is why one of them keeps the new one.
async fn change_back(changed: Vec<(Part, &Seen)>) -> Result<(), Error> {
    let mut all = Ok(());
    for (now, before) in changed {
        let Pass { number, .. } = now.pass;
        let kind = Kind::of_ticket(&before.reserved.ticket.each, &before.fabric);
        let back = async {
            let id = mint(now.member.now().await?);
            let old = before.reserved.ticket.changed(number, id);
            match take(&now.member, &now.fabric, &kind, old).await? {
                Some(_) => Ok(()),
                None => Err(full(before, &kind).await?),
            }
        };
        // One that cannot be changed back keeps nobody from the others.
        all = all.and(back.await);
    }
    all
}

/// The failure of a change that has come to something in some of its pools.
async fn in_part(members: &[Arc<Member>], key: &ReservationKey, error: Error, left: Error) -> ChangeFailure {
    let now = parts(members, key).await.unwrap_or_default();
    let held = now.iter().map(|part| {
        let ticket = &part.reserved.ticket;
        (part.fabric.pool.clone(), ticket.servers(), ticket.until)
    });
    ChangeFailure {
        error: Error::ChangedInPart {
            error: Box::new(error),
            left: Box::new(left),
            held: held.collect(),
        },
        now: shown(&now, key),
    }
}

async fn full(part: &Seen, kind: &Kind) -> Result<Error, Error> {
    let room = capacity::room(&part.member, kind, Freshness::OwnWrites).await?;
    Ok(Error::Full {
        pools: vec![PoolCapacity::new(&part.fabric.pool, &room, &kind.need)],
        cause: None,
    })
}
