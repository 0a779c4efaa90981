//! How the servers of a reservation are spread: one after another to the least loaded pool and host, as they would be made.

use std::collections::BTreeMap;

use xenapi::{Host, Ref};

use crate::capacity::{Need, Room};
use crate::placement::{hosts_in_order, least_loaded};

/// For how many servers room is to be held on which host, by pool in the order of the rooms.
pub(super) type Spread = Vec<BTreeMap<Ref<Host>, u32>>;

/// Spreads so many servers over rooms; `None` if they do not all fit.
pub(super) fn spread(mut rooms: Vec<(Room, Need)>, servers: u32) -> Option<Spread> {
    let mut spread: Spread = vec![BTreeMap::new(); rooms.len()];
    for _ in 0..servers {
        let offers: Vec<_> = rooms.iter().map(|(room, need)| (&room.room, need)).collect();
        let at = least_loaded(&offers)?;
        let (room, need) = rooms.get_mut(at)?;
        let on = hosts_in_order(&room.room, need).into_iter().next()?;
        let host = room.hosts.get(on)?.clone();
        room.hold_one(on, need);
        *spread.get_mut(at)?.entry(host).or_insert(0) += 1;
    }
    Some(spread)
}
