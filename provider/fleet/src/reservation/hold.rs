//! Holding room in several pools at once: all or none.
//!
//! ```text
//!  spread over the pools -+-> a ticket in each pool, in the order of their UUIDs -+-> all held
//!        ^                |                                                      |
//!        |                +-> no room ------------+                              +-> one refused: the others are released
//!        |                                        v                                               |
//!        +---- something changed, time left ---- wait <-------------------------------------------+
//! ```
//! Two who reserve in the same pools ask in the same order, so that they do not keep each other out by halves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_all};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use xenapi::{Host, Ref};

use super::spread::{Spread, spread};
use super::{Admission, Desk, Pass, Reservation, ReservationKey, ReservationSpec, ReservationStatus};
use crate::capacity::{self, Kind, Need, PoolCapacity, Room};
use crate::error::Error;
use crate::inventory::{Freshness, Inventory};
use crate::lease::mint;
use crate::placement::{self, Candidate, Looks, none_fits, passed_over};
use crate::pool::{Around, Fabric, Member, later, pools, serving, whole_seconds};
use crate::ticket::{self, Kind as TicketKind, Refusal, Released, Ticket};

/// How often another spread is tried at once when somebody else is faster.
const TRIES: u32 = 3;
/// How long after a change one who waits looks.
const PACE: Duration = Duration::from_secs(1);
/// How long one who waits goes without a look when nothing seems to change.
const LOOK: Duration = Duration::from_secs(5);

/// A pass of one pool.
pub(super) struct Part {
    pub(super) member: Arc<Member>,
    pub(super) fabric: Arc<Fabric>,
    pub(super) pass: Pass,
}

/// Reserves room, waiting for it at most as long as the wish says. What nobody waits for any more is given back.
pub(crate) async fn reserve(
    members: &[Arc<Member>],
    spec: &ReservationSpec,
    owner: &str,
    cancel: &CancellationToken,
    answer: oneshot::Sender<Result<Reservation, Error>>,
) {
    let held = hold(members, spec, owner, cancel).await;
    let told = held.as_ref().map(|parts| made(parts)).map_err(Error::clone);
    if answer.send(told).is_err()
        && let Ok(parts) = held
    {
        give_back(&parts).await;
    }
}

/// Tries until the room is held, or the time is over.
async fn hold(
    members: &[Arc<Member>],
    spec: &ReservationSpec,
    owner: &str,
    cancel: &CancellationToken,
) -> Result<Vec<Part>, Error> {
    let until = Instant::now() + spec.queue;
    let mut tries = 0;
    loop {
        tries += 1;
        let moves = members.iter().map(|member| member.live.moves()).collect();
        let (error, is_worth_another) = match once(members, spec, owner, cancel).await {
            Ok(Outcome::Held(parts)) => return Ok(parts),
            Ok(Outcome::Full(error)) => (error, false),
            Ok(Outcome::Beaten(error)) => (error, tries < TRIES),
            // A pool that cannot be asked now may answer while there is time.
            Err(error) if error.is_passing() => (error, false),
            Err(error) => return Err(error),
        };
        if cancel.is_cancelled() {
            return Err(Error::Cancelled { left: None });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !is_worth_another {
            return Err(error);
        }
        if !left.is_zero() {
            changed(members, moves, left.min(LOOK), cancel).await;
        }
    }
}

/// What came of one try.
enum Outcome {
    Held(Vec<Part>),
    /// There is no room for all of them.
    Full(Error),
    /// There was, and somebody else was faster.
    Beaten(Error),
}

/// One try.
async fn once(
    members: &[Arc<Member>],
    spec: &ReservationSpec,
    owner: &str,
    cancel: &CancellationToken,
) -> Result<Outcome, Error> {
    let sections = placement::asked(members, &spec.each).await?;
    let Looks { found, reasons } = placement::candidates(&sections, &spec.each).await?;
    if found.is_empty() {
        return Err(none_fits(reasons));
    }
    passed_over(&reasons);
    let found = each_pool_once(found).await?;
    let rooms = rooms(&found).await?;
    let Some(spread) = spread(rooms.clone(), spec.servers) else {
        return Ok(Outcome::Full(full(&found, &rooms)));
    };
    match take_all(&found, &spread, spec, owner, cancel).await? {
        Some(parts) => Ok(Outcome::Held(parts)),
        None => Ok(Outcome::Beaten(full(&found, &self::rooms(&found).await?))),
    }
}

/// One candidate for each pool: a ticket is for one kind of server. Of sections whose servers differ those take part that have most room.
async fn each_pool_once(found: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
    let alike = alike(found);
    let mut once: Vec<(Candidate, u32)> = Vec::new();
    for (candidate, (room, need)) in alike.iter().zip(rooms(&alike).await?) {
        let fit = room.room.fit(&need).available;
        match once
            .iter_mut()
            .find(|(other, _)| Arc::ptr_eq(&other.member, &candidate.member))
        {
            Some(other) if other.1 < fit => *other = (candidate.clone(), fit),
            Some(_) => {}
            None => once.push((candidate.clone(), fit)),
        }
    }
    Ok(once.into_iter().map(|(candidate, _)| candidate).collect())
}

/// Puts together what the sections of a pool can make alike.
pub(super) fn alike(found: Vec<Candidate>) -> Vec<Candidate> {
    let mut alike: Vec<Candidate> = Vec::new();
    for candidate in found {
        let is_of_pool = |other: &&mut Candidate| Arc::ptr_eq(&other.member, &candidate.member);
        if !alike
            .iter_mut()
            .filter(is_of_pool)
            .any(|other| other.kind.join(&candidate.kind))
        {
            alike.push(candidate);
        }
    }
    alike
}

async fn rooms(found: &[Candidate]) -> Result<Vec<(Room, Need)>, Error> {
    let mut rooms = Vec::with_capacity(found.len());
    for candidate in found {
        let room = capacity::room(&candidate.member, &candidate.kind, Freshness::OwnWrites).await?;
        rooms.push((room, candidate.kind.need));
    }
    Ok(rooms)
}

fn full(found: &[Candidate], rooms: &[(Room, Need)]) -> Error {
    let names = found.iter().map(Candidate::pool);
    let pools = names
        .zip(rooms)
        .map(|(name, (room, need))| PoolCapacity::new(name, room, need));
    Error::Full {
        pools: pools.collect(),
        cause: None,
    }
}

/// Takes a ticket in each pool; `None` if one is refused, and nothing is left of the others.
async fn take_all(
    found: &[Candidate],
    spread: &Spread,
    spec: &ReservationSpec,
    owner: &str,
    cancel: &CancellationToken,
) -> Result<Option<Vec<Part>>, Error> {
    let mut asked: Vec<(&Candidate, &BTreeMap<Ref<Host>, u32>)> = found
        .iter()
        .zip(spread)
        .filter(|(_, hosts)| !hosts.is_empty())
        .collect();
    asked.sort_by_key(|(candidate, _)| candidate.fabric.uuid);
    let Some((first, _)) = asked.first() else {
        return Ok(None);
    };
    // Its id says when it was made, by a coordinator's clock.
    let id = mint(first.now);
    let mut parts = Vec::new();
    for (candidate, hosts) in asked {
        if cancel.is_cancelled() {
            give_back(&parts).await;
            return Err(Error::Cancelled { left: None });
        }
        let ticket = ticket(candidate, hosts, id, spec.ttl, owner);
        match take(&candidate.member, &candidate.fabric, &candidate.kind, ticket).await {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {
                give_back(&parts).await;
                return Ok(None);
            }
            Err(error) => {
                give_back(&parts).await;
                return Err(error);
            }
        }
    }
    Ok(Some(parts))
}

fn ticket(candidate: &Candidate, hosts: &BTreeMap<Ref<Host>, u32>, id: Ulid, ttl: Duration, owner: &str) -> Ticket {
    let fabric = &candidate.fabric;
    let hosts = hosts
        .iter()
        .filter_map(|(host, servers)| Some((fabric.host_uuid(host)?, *servers)));
    Ticket {
        id,
        kind: TicketKind::Reservation,
        each: candidate.kind.per_server(fabric),
        hosts: hosts.collect(),
        until: whole_seconds(later(candidate.now, ttl)),
        by: owner.to_owned(),
    }
}

/// Takes one ticket; `None` if it is refused.
pub(super) async fn take(
    member: &Arc<Member>,
    fabric: &Arc<Fabric>,
    kind: &Kind,
    ticket: Ticket,
) -> Result<Option<Part>, Error> {
    let desk = member.desk(fabric)?;
    let id = ticket.reservation().unwrap_or(ticket.id);
    let around = Around {
        member,
        kind: kind.clone(),
    };
    let admission = desk.take(ticket, &around).await?;
    member.wrote();
    match admission {
        Admission::Held(pass) => Ok(Some(Part {
            member: Arc::clone(member),
            fabric: Arc::clone(fabric),
            pass,
        })),
        Admission::Refused(Refusal::Over) => Err(Error::Reservation {
            id: id.to_string(),
            why: "would be over by now, or in less than a minute",
        }),
        Admission::Refused(Refusal::NoRoom | Refusal::UsedUp | Refusal::ReservationGone) => Ok(None),
        Admission::NoRole => Err(Error::RoleLacks {
            pool: fabric.pool.clone(),
            role: "pool-operator",
            what: "a reservation is written into the pool's own other_config",
        }),
        Admission::Unsettled => Err(Error::TicketLost {
            pool: fabric.pool.clone(),
        }),
    }
}

/// Releases what was taken of something that did not come to be.
async fn give_back(parts: &[Part]) {
    for part in parts {
        let released = async { desk_of(part)?.release(&part.pass).await };
        if let Err(error) = released.await {
            tracing::warn!(pool = part.fabric.pool, %error, "a ticket holds room until its time is over");
        }
        part.member.wrote();
    }
}

fn desk_of(part: &Part) -> Result<Arc<Desk>, Error> {
    part.member.desk(&part.fabric)
}

/// Waits until something changes in one of the pools, and then a moment: changes come in bursts, and a look costs the pools something.
async fn changed(
    members: &[Arc<Member>],
    mut moves: Vec<watch::Receiver<()>>,
    limit: Duration,
    cancel: &CancellationToken,
) {
    let hurries: Vec<_> = members.iter().filter_map(|member| member.live.hurry()).collect();
    let any = moves.iter_mut().map(|pool| Box::pin(pool.changed()));
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(limit) => {}
        () = async {
            // The senders live as long as the pools do.
            let _ = select_all(any).await;
            drop(hurries);
            tokio::time::sleep(PACE).await;
        } => {}
    }
}

fn made(parts: &[Part]) -> Reservation {
    let pools = parts.iter().map(|part| (part.fabric.pool.clone(), part.fabric.uuid));
    let placements = parts
        .iter()
        .map(|part| (part.fabric.pool.clone(), part.pass.ticket.servers()));
    let ends = parts.iter().map(|part| part.pass.ticket.until).min();
    let id = parts
        .first()
        .map(|part| part.pass.ticket.reservation().unwrap_or(part.pass.ticket.id));
    Reservation {
        key: ReservationKey {
            id: id.unwrap_or_default(),
            pools: pools.collect(),
        },
        placements: placements.collect(),
        used: 0,
        expires_at: ends.unwrap_or(Timestamp::MAX),
        status: ReservationStatus::Held,
    }
}

/// A reservation's part in one pool, as its inventory shows it.
pub(super) struct Seen {
    pub(super) member: Arc<Member>,
    pub(super) fabric: Arc<Fabric>,
    pub(super) reserved: ticket::Reserved,
}

/// The pools of a reservation, by the names that it knows them by; all pools, if it knows none.
pub(super) async fn holders(
    members: &[Arc<Member>],
    key: &ReservationKey,
) -> Vec<(String, Result<Arc<Member>, Error>)> {
    if key.pools.is_empty() {
        let all = pools(members, members).await;
        return all
            .into_iter()
            .map(|pool| (pool.name().to_owned(), Ok(pool.member)))
            .collect();
    }
    let entries = members.iter().filter(|entry| key.pools.contains_key(entry.name()));
    let found = entries.map(|entry| async { (entry.name().to_owned(), serving(members, entry).await) });
    join_all(found).await
}

/// Looks for the parts of a reservation in the pools of its key.
pub(super) async fn parts(members: &[Arc<Member>], key: &ReservationKey) -> Result<Vec<Seen>, Error> {
    let mut seen = Vec::new();
    for (name, member) in holders(members, key).await {
        let member = member?;
        let now = member.now().await?;
        let see = |inventory: &Inventory| {
            let board = inventory.board();
            let reserved = ticket::reserved(board, now, key.id, &inventory.served(board));
            (Arc::clone(inventory.fabric()), reserved)
        };
        let (fabric, reserved) = member.live.look(&member, Freshness::OwnWrites, see).await?;
        let fabric = fabric.named(&name);
        same_pool(&fabric, key)?;
        seen.extend(reserved.map(|reserved| Seen {
            member: Arc::clone(&member),
            fabric,
            reserved,
        }));
    }
    Ok(seen)
}

/// A reservation as its pools show it; `None` if none of them holds anything of it.
pub(crate) async fn look(members: &[Arc<Member>], key: &ReservationKey) -> Result<Option<Reservation>, Error> {
    Ok(shown(&parts(members, key).await?, key))
}

pub(super) fn shown(parts: &[Seen], key: &ReservationKey) -> Option<Reservation> {
    let ends = parts.iter().map(|part| part.reserved.ticket.until).min()?;
    let is_used_up = parts
        .iter()
        .all(|part| part.reserved.used >= part.reserved.ticket.servers());
    let used: u32 = parts.iter().map(|part| part.reserved.used).sum();
    let placements = parts
        .iter()
        .map(|part| (part.fabric.pool.clone(), part.reserved.ticket.servers()));
    let pools = parts.iter().map(|part| (part.fabric.pool.clone(), part.fabric.uuid));
    Some(Reservation {
        key: ReservationKey {
            id: key.id,
            pools: pools.collect(),
        },
        placements: placements.collect(),
        used,
        expires_at: ends,
        status: if is_used_up {
            ReservationStatus::UsedUp
        } else {
            ReservationStatus::Held
        },
    })
}

/// Releases all of a reservation. What is not there any more is released.
pub(crate) async fn release(members: &[Arc<Member>], key: &ReservationKey) -> Result<(), Error> {
    let mut released = Ok(());
    for (name, member) in holders(members, key).await {
        // One pool that cannot be asked keeps nobody from the others.
        let of_this = async { release_in(&member?, &name, key).await };
        released = released.and(of_this.await);
    }
    released
}

async fn release_in(member: &Arc<Member>, name: &str, key: &ReservationKey) -> Result<(), Error> {
    let fabric = member.fabric().await?.named(name);
    same_pool(&fabric, key)?;
    let released = member.desk(&fabric)?.release_reservation(key.id).await?;
    member.wrote();
    match released {
        Released::Surely => Ok(()),
        Released::Perhaps => Err(Error::Reservation {
            id: key.id.to_string(),
            why: "may hold still: the pool did not say whether it was released",
        }),
    }
}

/// Checks that the pool behind an entry is the one that holds the reservation.
fn same_pool(fabric: &Fabric, key: &ReservationKey) -> Result<(), Error> {
    match key.pools.get(&fabric.pool) {
        Some(expected) if *expected != fabric.uuid => Err(Error::OtherPool {
            pool: fabric.pool.clone(),
            expected: *expected,
            found: fabric.uuid,
        }),
        Some(_) | None => Ok(()),
    }
}
