//! The inventory: one live picture of a pool, filled once and kept by the pool's events, shared by all that a process does.
//!
//! ```text
//!           first need                        a loss of events, another session
//!   empty -------------> filling -----> followed --------------------------------> empty
//!                 fabric, guests,        |    ^
//!                 what servers are       +----+ each change is put in; whoever waits for a point is told
//! ```
//! It holds the [`Fabric`](crate::pool::Fabric) (hosts, SRs, networks), what each guest takes of a host, and the records of dynvm's
//! servers with all that belongs to them. Of other guests only the few numbers are kept that capacity needs.
//!
//! What is absent on purpose: it is never *asked* whether a VM is gone. That a VM is not here means that it has to be looked for in
//! the pool: only the pool itself says that something does not exist. And it is never older than the events that it has seen: a
//! reader of what this process has written waits until the picture has passed that point.

mod births;
mod disks;
mod fill;
mod following;
mod groups;
mod guests;
mod live;
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;

use xenapi::{Change, ChangeOp, EventClass, Ref, Token, Uuid, Vm};

pub(crate) use self::births::Born;
pub(crate) use self::guests::Use;
pub(crate) use self::live::{Freshness, Live};

use self::guests::Guests;
pub(crate) use self::servers::Servers;
use crate::pool::{Fabric, Loaded};
use crate::ticket::{Board, Served};

/// A picture of a pool.
#[derive(Debug)]
pub(crate) struct Inventory {
    fabric: Arc<Fabric>,
    /// The tickets that the fabric shows.
    board: Board,
    guests: Guests,
    servers: Servers,
    /// All changes up to here are in.
    reached: Token,
    /// How many of this process's writes are surely in.
    writes: u64,
}

impl Inventory {
    /// The hosts, SRs and networks.
    pub(crate) fn fabric(&self) -> &Arc<Fabric> {
        &self.fabric
    }

    /// The tickets that are there.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// The servers that were made under these tickets, or in a reservation that they are about.
    pub(crate) fn served(&self, tickets: &Board) -> Vec<Served> {
        let servers = self.guests.servers();
        let under = tickets.ids().into_iter().flat_map(|id| servers.under(id));
        let drawn = tickets.reservations().into_iter().flat_map(|of| servers.drawn_from(of));
        // One may be both.
        let made: BTreeMap<&Ref<Vm>, &Born> = under.chain(drawn).collect();
        let served = made.into_values().map(|born| Served {
            ticket: born.ticket,
            reservation: born.reservation,
            host: born.host.as_ref().and_then(|host| self.fabric.host_uuid(host)),
        });
        served.collect()
    }

    /// How far the changes go that are in.
    pub(crate) fn reached(&self) -> &Token {
        &self.reached
    }

    /// What runs on the hosts, and which servers of dynvm there are.
    pub(crate) fn guests(&self) -> &Guests {
        &self.guests
    }

    /// The disks and records of dynvm's servers.
    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// A server with all that belongs to it. `None` says nothing but that the pool has to be asked.
    pub(crate) fn loaded(&self, vm: Uuid) -> Option<Loaded> {
        self.servers.loaded(vm)
    }

    fn apply(&mut self, change: &Change) {
        match (change.class, change.op, change.of::<Vm>()) {
            (EventClass::Vm, ChangeOp::Del, Some((vm, _))) => {
                self.guests.remove(&vm);
                self.servers.remove(&vm);
            }
            (EventClass::Vm, ChangeOp::Add | ChangeOp::Mod, Some((vm, Some(record)))) => {
                self.guests.put(&vm, record);
                self.servers.put(&vm, record);
            }
            (EventClass::Vbd | EventClass::Vif | EventClass::Vdi | EventClass::VmGuestMetrics, _, _) => {
                self.servers.apply(change);
            }
            (_, _, _) if change.class != EventClass::Vm => {
                Arc::make_mut(&mut self.fabric).apply(change);
                if change.class == EventClass::Pool {
                    self.board = self.fabric.board();
                }
            }
            // A VM whose record could not be read: what was known of it stays.
            (_, _, _) => {}
        }
    }
}
