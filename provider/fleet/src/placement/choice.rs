//! The choice of one place among candidates, and its entry in the ledger: one step that no other choice of this process comes between.

use std::sync::{Arc, Mutex, PoisonError};

use xenapi::{Host, Ref};

use super::candidate::Candidate;
use super::load::{hosts_in_order, least_loaded};
use crate::capacity::{self, Kind, PoolCapacity, Room};
use crate::error::Error;
use crate::inventory::Freshness;
use crate::pool::{Member, Place, UnderWay};

/// How often a choice is made again whose pictures were lost meanwhile.
const TRIES: u32 = 3;

/// Chooses the least loaded pool and host that has room. Full is said only when all that this process has freed is taken into account.
pub(crate) async fn choose(candidates: Vec<Candidate>, choosing: &Mutex<()>) -> Result<(Candidate, Place), Error> {
    let mut full = Vec::new();
    for freshness in [Freshness::Seen, Freshness::OwnWrites] {
        for _ in 0..TRIES {
            for candidate in &candidates {
                candidate.member.live.look(&candidate.member, freshness, |_| ()).await?;
            }
            match choose_now(&candidates, choosing) {
                Choice::Made(candidate, place) => return Ok((*candidate, place)),
                Choice::Full(rooms) => {
                    full = rooms;
                    break;
                }
                Choice::Lost => {}
            }
        }
    }
    Err(Error::Full {
        pools: full,
        cause: None,
    })
}

enum Choice {
    Made(Box<Candidate>, Place),
    Full(Vec<PoolCapacity>),
    /// A picture went away just now.
    Lost,
}

fn choose_now(candidates: &[Candidate], choosing: &Mutex<()>) -> Choice {
    let _choosing = choosing.lock().unwrap_or_else(PoisonError::into_inner);
    let rooms: Option<Vec<Room>> = candidates.iter().map(room_now).collect();
    let Some(rooms) = rooms else { return Choice::Lost };
    let needs = candidates.iter().map(|candidate| &candidate.kind.need);
    let offers: Vec<_> = rooms.iter().map(|room| &room.room).zip(needs).collect();
    let chosen = least_loaded(&offers).and_then(|at| Some((candidates.get(at)?, rooms.get(at)?)));
    let Some((candidate, room)) = chosen else {
        let names = candidates.iter().map(|candidate| candidate.member.name());
        let pools = names
            .zip(&offers)
            .zip(&rooms)
            .map(|((name, (_, need)), room)| PoolCapacity::new(name, room, need));
        return Choice::Full(pools.collect());
    };
    let first = hosts_in_order(&room.room, &candidate.kind.need).into_iter().next();
    let host = first.and_then(|at| room.hosts.get(at).cloned());
    let place = candidate.member.ledger.enter(UnderWay::new(&candidate.kind, host));
    Choice::Made(Box::new(candidate.clone()), place)
}

fn room_now(candidate: &Candidate) -> Option<Room> {
    let member = &candidate.member;
    member
        .live
        .peek(|inventory| member.room(inventory, &candidate.kind, candidate.now))
}

/// The hosts that may be tried instead of one that refused the start, the least loaded first.
pub(crate) async fn other_hosts(
    member: &Arc<Member>,
    kind: &Kind,
    tried: &[Ref<Host>],
) -> Result<Vec<Ref<Host>>, Error> {
    let room = capacity::room(member, kind, Freshness::Seen).await?;
    let hosts = hosts_in_order(&room.room, &kind.need)
        .into_iter()
        .filter_map(|at| room.hosts.get(at));
    Ok(hosts.filter(|host| !tried.contains(host)).cloned().collect())
}
