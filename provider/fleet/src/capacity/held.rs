//! The room that a ticket is judged by: what exists, seen after the tickets were read, and what the tickets before it hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::coming::{of_hold, of_others};
use super::formula::Need;
use super::kind::Kind;
use super::room::Room;
use crate::config::PoolSettings;
use crate::inventory::Inventory;
use crate::pool::Fabric;
use crate::ticket::{self, Board, Hold, PerServer, Served};

/// What exists in a pool, for one kind of server.
pub(crate) struct HeldRoom {
    fabric: Arc<Fabric>,
    served: Vec<Served>,
    room: Room,
    each: PerServer,
}

impl HeldRoom {
    /// Looks at it, as far as these tickets are about it. This process's own servers count as those of others do: by what is there, and
    /// by their tickets.
    pub(crate) fn of(
        inventory: &Inventory,
        settings: &PoolSettings,
        kind: &Kind,
        tickets: &Board,
        now: Timestamp,
    ) -> Self {
        let mut room = Room::shown(inventory, settings, kind);
        for load in of_others(inventory, &BTreeSet::new(), now) {
            room.put(&load);
        }
        Self {
            fabric: Arc::clone(inventory.fabric()),
            served: inventory.served(tickets),
            room,
            each: kind.per_server(inventory.fabric()),
        }
    }
}

impl ticket::Room for HeldRoom {
    fn servers(&self) -> &[Served] {
        &self.served
    }

    fn takes(&self, held: &[Hold], asked: &Hold) -> bool {
        // A ticket about another kind of server cannot be judged by the room for this one.
        if asked.each != self.each {
            return false;
        }
        let mut room = self.room.clone();
        for load in held.iter().flat_map(|hold| of_hold(&self.fabric, hold)) {
            room.put(&load);
        }
        let need = Need {
            cpus: asked.each.vcpus,
            memory: asked.each.memory_bytes,
        };
        let on_hosts = asked.hosts.iter().all(|(host, servers)| {
            let mut rows = room.hosts.iter().zip(&room.room.hosts);
            let row = rows.find(|(known, _)| self.fabric.host_uuid(known) == Some(*host));
            row.is_some_and(|(_, row)| row.takes(&need).available >= *servers)
        });
        let in_storages = room
            .room
            .storages
            .iter()
            .all(|storage| storage.takes() >= asked.servers);
        let under_ceilings = room.room.ceilings.iter().all(|ceiling| ceiling.left() >= asked.servers);
        on_hosts && in_storages && under_ceilings
    }
}
