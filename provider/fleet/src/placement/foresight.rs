//! What a plan can be told of a server that it would make: that it fits with all the others of the plan, that it is one too many now,
//! or that it can never be.
//!
//! A server that fits is imagined from then on: it takes its room in the eyes of the next, until whoever holds it lets go, because the
//! server is made or the plan is over. What is imagined is known to this process only and keeps nobody out.

use std::sync::Arc;

use super::candidate::{Candidate, Looks, asked, candidates, none_fits};
use super::load::{hosts_in_order, least_loaded};
use super::possible::ever_fits;
use crate::capacity::{PoolCapacity, Room};
use crate::error::Error;
use crate::inventory::{Freshness, Inventory};
use crate::pool::{Member, Part, Whole, by_pool};
use crate::spec::Wish;

/// What is to be expected of a server that is planned.
#[derive(Debug)]
pub struct Outlook {
    /// Whether it will find room.
    pub foresight: Foresight,
    /// Pools that cannot be asked now, with the reason; they were left out.
    pub unreachable: Vec<(String, Error)>,
}

/// Whether a planned server will find room.
#[derive(Debug)]
pub enum Foresight {
    /// It fits, with all that are imagined.
    Fits(Imagined),
    /// There is no room for it now.
    Full {
        /// How many servers are imagined that fit.
        fit: u32,
        /// What is in the way in each pool.
        pools: Vec<Obstacle>,
    },
    /// It can never fit, whatever is freed; the error's subject is the setting at fault.
    Never(Error),
    /// It cannot be told: no pool that could take it can be asked.
    Unknown,
}

/// What is in the way of a server in one pool.
#[derive(Debug)]
pub struct Obstacle {
    /// The pool's name.
    pub pool: String,
    /// What is in the way.
    pub why: Box<Why>,
}

/// What is in the way of a server.
#[derive(Debug)]
pub enum Why {
    /// There is no room.
    Full(PoolCapacity),
    /// The pool cannot take such a server.
    Cannot(Error),
}

/// A server that is planned and not made; it takes its room in later plans of this process as long as this is held.
#[derive(Debug)]
pub struct Imagined {
    _part: Part,
}

/// Foresees one server.
pub(crate) async fn foresee(members: &[Arc<Member>], wish: &Wish) -> Outlook {
    let mut unreachable = Vec::new();
    let foresight = match look(members, wish, &mut unreachable).await {
        Ok(foresight) => foresight,
        Err(error) => Foresight::Never(error),
    };
    Outlook { foresight, unreachable }
}

async fn look(
    members: &[Arc<Member>],
    wish: &Wish,
    unreachable: &mut Vec<(String, Error)>,
) -> Result<Foresight, Error> {
    let sections = asked(members, wish).await?;
    let Looks { mut found, reasons } = candidates(&sections, wish).await?;
    let (silent, mut cannot): (Vec<_>, Vec<_>) = reasons.into_iter().partition(|(_, error)| is_silence(error));
    unreachable.extend(silent.into_iter().map(|(pool, error)| (pool, *error)));
    for candidate in &found {
        // One whose picture is lost by the choice is left out there.
        let look = candidate
            .member
            .live
            .look(&candidate.member, Freshness::OwnWrites, |inventory| {
                let room = imagined_room(candidate, inventory);
                ever_fits(candidate.pool(), &candidate.kind.need, inventory, &room)
            });
        match look.await {
            Ok(Ok(())) => {}
            Ok(Err(never)) => cannot.push((candidate.pool().to_owned(), Box::new(never))),
            Err(error) => unreachable.push((candidate.pool().to_owned(), error)),
        }
    }
    let left_out =
        |name: &str| cannot.iter().any(|(pool, _)| pool == name) || unreachable.iter().any(|(pool, _)| pool == name);
    found.retain(|candidate| !left_out(candidate.pool()));
    if found.is_empty() {
        return if unreachable.is_empty() {
            Err(none_fits(cannot))
        } else {
            Ok(Foresight::Unknown)
        };
    }
    Ok(imagine(&by_pool(sections), &found, cannot))
}

/// Says whether an error tells nothing of the wish, but that a pool did not answer.
fn is_silence(error: &Error) -> bool {
    matches!(error, Error::Call { .. } | Error::Unsteady { .. })
}

fn imagine(pools: &[Whole], found: &[Candidate], cannot: Vec<(String, Box<Error>)>) -> Foresight {
    let _choosing = found.first().map(|candidate| candidate.member.choosing());
    let seen: Vec<(&Candidate, Room)> = found
        .iter()
        .filter_map(|candidate| {
            let room = candidate
                .member
                .live
                .peek(|inventory| imagined_room(candidate, inventory))?;
            Some((candidate, room))
        })
        .collect();
    if seen.is_empty() {
        return Foresight::Unknown;
    }
    let offers: Vec<_> = seen
        .iter()
        .map(|(candidate, room)| (&room.room, &candidate.kind.need))
        .collect();
    let chosen = least_loaded(&offers).and_then(|at| seen.get(at));
    let chosen = chosen.and_then(|(candidate, room)| {
        let first = hosts_in_order(&room.room, &candidate.kind.need).into_iter().next()?;
        Some((candidate, room.hosts.get(first)?.clone()))
    });
    if let Some((candidate, host)) = chosen {
        let part = candidate.member.imagined.enter(&candidate.kind, host);
        return Foresight::Fits(Imagined { _part: part });
    }
    let full = seen.iter().map(|(candidate, room)| {
        let pool = candidate.pool();
        (
            pool.to_owned(),
            Why::Full(PoolCapacity::new(pool, room, &candidate.kind.need)),
        )
    });
    let cannot = cannot.into_iter().map(|(pool, error)| (pool, Why::Cannot(*error)));
    let obstacles = full.chain(cannot).map(|(pool, why)| Obstacle {
        pool,
        why: Box::new(why),
    });
    Foresight::Full {
        pools: obstacles.collect(),
        fit: pools.iter().map(|pool| pool.member.imagined.all().count()).sum(),
    }
}

/// The room beside what is under way and what is imagined.
fn imagined_room(candidate: &Candidate, inventory: &Inventory) -> Room {
    let member = &candidate.member;
    let mut ours = member.ours(inventory);
    ours.imagined = member.imagined.all();
    Room::of(inventory, &member.settings, &candidate.kind, &ours, candidate.now)
}
