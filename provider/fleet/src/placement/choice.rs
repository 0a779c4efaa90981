//! The choice of one place among candidates, and its entry in the ledger: one step that no other choice of this process comes between.

use std::sync::Arc;
use std::time::Duration;

use ulid::Ulid;
use xenapi::{Host, Ref};

use super::candidate::Candidate;
use super::load::{hosts_in_order, least_loaded};
use crate::capacity::{self, Kind, PoolCapacity, Room};
use crate::error::Error;
use crate::inventory::{Freshness, Inventory};
use crate::pool::{Answer, Held, Member, Place, Request, UnderWay};
use crate::ticket::{self, Refusal};

/// How often a choice is made again whose pictures were lost meanwhile.
const TRIES: u32 = 3;
/// How often another place is chosen when the room that was seen turns out to be held by somebody else.
const PLACES: u32 = 5;

/// A place for a server, held against all others.
pub(crate) struct Chosen {
    pub(crate) candidate: Candidate,
    pub(crate) place: Place,
    /// The ticket; none where the user may write none.
    pub(crate) held: Option<Held>,
}

/// What is asked for besides the candidates.
pub(crate) struct Terms {
    /// The reservation to draw from.
    pub(crate) draws_from: Option<Ulid>,
    /// How long a ticket is to last.
    pub(crate) lasts: Duration,
    /// Who asks.
    pub(crate) owner: String,
}

impl Chosen {
    fn new(candidate: Candidate, place: Place, held: Option<Held>) -> Self {
        Self { candidate, place, held }
    }
}

impl Terms {
    /// A place that nothing holds against others. From a reservation nobody draws so: its places are given by tickets alone.
    fn without_ticket(&self, candidate: Candidate, place: Place) -> Result<Chosen, Error> {
        match self.draws_from {
            None => Ok(Chosen::new(candidate, place, None)),
            Some(_) => Err(Error::RoleLacks {
                pool: candidate.pool().to_owned(),
                role: "pool-operator",
                what: "a server draws from a reservation by a ticket in the pool's own other_config",
            }),
        }
    }

    /// What is asked for at the counter.
    fn request(&self, candidate: &Candidate, host: &Ref<Host>) -> Request {
        Request {
            kind: candidate.kind.clone(),
            host: host.clone(),
            lines: candidate.lines(),
            draws_from: self.draws_from,
            lasts: self.lasts,
            owner: self.owner.clone(),
        }
    }
}

/// Chooses the least loaded pool and host that has room, and takes a ticket for it.
pub(crate) async fn choose(mut candidates: Vec<Candidate>, terms: &Terms) -> Result<Chosen, Error> {
    if let Some(of) = terms.draws_from {
        candidates = reserved(candidates, of).await?;
    }
    let mut refused = Vec::new();
    for _ in 0..PLACES {
        let found = with_room(&candidates, &refused).await;
        let (candidate, place) = match (found, terms.draws_from) {
            // On its own hosts nothing is left.
            (Err(Error::Full { .. }), Some(of)) => return Err(used_up(of)),
            (found, _) => found?,
        };
        let Some(host) = place.host().filter(|_| candidate.member.may_choose_host()) else {
            return terms.without_ticket(candidate, place);
        };
        match candidate.member.ask(terms.request(&candidate, &host)).await? {
            Answer::Held(held) => return Ok(Chosen::new(candidate, place, Some(held))),
            Answer::Without => return terms.without_ticket(candidate, place),
            Answer::Refused(Refusal::NoRoom | Refusal::Over) => {}
            Answer::Refused(Refusal::UsedUp) => refused.push(host),
            Answer::Refused(Refusal::ReservationGone) => return Err(gone(terms)),
        }
    }
    match terms.draws_from {
        Some(of) => Err(used_up(of)),
        None => Err(full(&candidates).await),
    }
}

fn used_up(of: Ulid) -> Error {
    Error::Reservation {
        id: of.to_string(),
        why: "is used up",
    }
}

fn gone(terms: &Terms) -> Error {
    Error::Reservation {
        id: terms.draws_from.map(|of| of.to_string()).unwrap_or_default(),
        why: "is not there any more: it was released, or its time is over",
    }
}

/// The candidates in which a reservation holds room, for servers on its hosts.
async fn reserved(candidates: Vec<Candidate>, of: Ulid) -> Result<Vec<Candidate>, Error> {
    let mut found = Vec::new();
    for mut candidate in candidates {
        let member = Arc::clone(&candidate.member);
        let see = |inventory: &Inventory| {
            let reserved = ticket::reserved(
                inventory.board(),
                candidate.now,
                of,
                &inventory.served(inventory.board()),
            )?;
            if reserved.ticket.each != candidate.kind.per_server(inventory.fabric()) {
                return None;
            }
            let hosts = inventory
                .fabric()
                .hosts()
                .filter(|view| reserved.ticket.hosts.contains_key(&view.record.uuid));
            Some(hosts.map(|view| view.host.clone()).collect::<Vec<_>>())
        };
        if let Some(hosts) = member.live.look(&member, Freshness::OwnWrites, see).await? {
            candidate.kind = candidate.kind.in_reservation(of, hosts);
            found.push(candidate);
        }
    }
    if found.is_empty() {
        return Err(Error::Reservation {
            id: of.to_string(),
            why: "holds no room for such a server: it was released, its time is over, or it is for another kind",
        });
    }
    Ok(found)
}

/// Chooses a place. Full is said only when all that this process has freed is taken into account.
async fn with_room(candidates: &[Candidate], refused: &[Ref<Host>]) -> Result<(Candidate, Place), Error> {
    let mut full = None;
    let mut lost = None;
    for freshness in [Freshness::Seen, Freshness::OwnWrites] {
        for _ in 0..TRIES {
            let mut seen = Vec::new();
            for candidate in candidates {
                // A pool that cannot be looked at now keeps nobody from the others.
                match candidate.member.live.look(&candidate.member, freshness, |_| ()).await {
                    Ok(()) => seen.push(candidate),
                    Err(error) => lost = Some(error),
                }
            }
            match choose_now(&seen, refused) {
                Choice::Made(candidate, place) => return Ok((*candidate, place)),
                Choice::Full(rooms) => {
                    full = Some(rooms);
                    break;
                }
                Choice::Lost => {}
            }
        }
    }
    Err(match (full, lost) {
        (Some(pools), _) => Error::Full { pools, cause: None },
        (None, Some(error)) => error,
        (None, None) => Error::Unsteady {
            pool: candidates
                .iter()
                .map(|candidate| candidate.pool())
                .collect::<Vec<_>>()
                .join(", "),
        },
    })
}

/// That others were faster, with what there is.
async fn full(candidates: &[Candidate]) -> Error {
    let mut pools = Vec::new();
    for candidate in candidates {
        let room = capacity::room(&candidate.member, &candidate.kind, Freshness::OwnWrites).await;
        pools.extend(room.map(|room| PoolCapacity::new(candidate.pool(), &room, &candidate.kind.need)));
    }
    Error::Full { pools, cause: None }
}

enum Choice {
    Made(Box<Candidate>, Place),
    Full(Vec<PoolCapacity>),
    /// A picture went away just now.
    Lost,
}

fn choose_now(candidates: &[&Candidate], refused: &[Ref<Host>]) -> Choice {
    let _choosing = candidates.first().map(|candidate| candidate.member.choosing());
    let rooms: Option<Vec<Room>> = candidates
        .iter()
        .map(|candidate| room_now(candidate, refused))
        .collect();
    let Some(rooms) = rooms.filter(|rooms| !rooms.is_empty()) else {
        return Choice::Lost;
    };
    let needs = candidates.iter().map(|candidate| &candidate.kind.need);
    let offers: Vec<_> = rooms.iter().map(|room| &room.room).zip(needs).collect();
    let chosen = least_loaded(&offers).and_then(|at| Some((candidates.get(at)?, rooms.get(at)?)));
    let Some((candidate, room)) = chosen else {
        let names = candidates.iter().map(|candidate| candidate.pool());
        let pools = names
            .zip(&offers)
            .zip(&rooms)
            .map(|((name, (_, need)), room)| PoolCapacity::new(name, room, need));
        return Choice::Full(pools.collect());
    };
    let first = hosts_in_order(&room.room, &candidate.kind.need).into_iter().next();
    let host = first.and_then(|at| room.hosts.get(at).cloned());
    let place = candidate.member.ledger.enter(UnderWay::new(&candidate.kind, host));
    Choice::Made(Box::new((*candidate).clone()), place)
}

fn room_now(candidate: &Candidate, refused: &[Ref<Host>]) -> Option<Room> {
    let member = &candidate.member;
    let room = member
        .live
        .peek(|inventory| member.room(inventory, &candidate.kind, candidate.now));
    room.map(|room| room.without(refused))
}

/// The hosts that may be tried instead of one that refused the start, the least loaded first, by a picture of now: what was seen before
/// the refusal has been proved wrong.
pub(crate) async fn other_hosts(
    member: &Arc<Member>,
    kind: &Kind,
    tried: &[Ref<Host>],
) -> Result<Vec<Ref<Host>>, Error> {
    member.wrote();
    let room = capacity::room(member, kind, Freshness::OwnWrites).await?;
    let hosts = hosts_in_order(&room.room, &kind.need)
        .into_iter()
        .filter_map(|at| room.hosts.get(at));
    Ok(hosts.filter(|host| !tried.contains(host)).cloned().collect())
}
