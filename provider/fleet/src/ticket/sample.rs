//! Tickets for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use super::{Board, Call, Heard, Kind, Machine, PerServer, Room, Step, Ticket, released_key, ticket_key};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn host(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

/// A ticket for servers on host 1, until the second 1000.
pub(super) fn ticket(id: u128, kind: Kind, servers: u32) -> Ticket {
    Ticket {
        id: Ulid(id),
        kind,
        each: PerServer::default(),
        hosts: BTreeMap::from([(host(1), servers)]),
        until: at(1000),
        by: "ci".into(),
    }
}

/// A board with these tickets, and with these numbers released.
pub(super) fn board(tickets: &[(u64, Ticket)], released: &[u64]) -> Board {
    let values = tickets
        .iter()
        .map(|(number, ticket)| (ticket_key(*number), ticket.to_json()));
    let marks = released.iter().map(|number| (released_key(*number), String::new()));
    let pairs: Vec<_> = values.chain(marks).collect();
    Board::read(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// A pool's map in memory.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) map: BTreeMap<String, String>,
    /// What was done, in short.
    pub(super) done: Vec<String>,
}

impl Pool {
    pub(super) fn board(&self) -> Board {
        Board::read(self.map.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    pub(super) fn put(&mut self, number: u64, ticket: &Ticket) {
        self.map.insert(ticket_key(number), ticket.to_json());
    }

    /// Executes steps until the end; `disturb` runs after each call, and says what its sender hears.
    pub(super) fn drive<M: Machine>(
        &mut self,
        mut machine: M,
        room: &dyn Room,
        mut disturb: impl FnMut(&mut Self, &str, Call) -> Call,
    ) -> M::End {
        let mut heard = Heard::Nothing;
        for _ in 0..5000 {
            heard = match machine.next(heard) {
                Step::Read => Heard::Read(self.board(), at(0)),
                Step::Look => Heard::Servers(room),
                Step::Add { key, value } => {
                    let is_there = self.map.contains_key(&key);
                    self.map.entry(key.clone()).or_insert(value);
                    let call = if is_there { Call::AlreadyThere } else { Call::Done };
                    self.done.push(format!("add {key}"));
                    Heard::Call(disturb(self, &key, call))
                }
                Step::Remove(key) => {
                    self.map.remove(&key);
                    self.done.push(format!("remove {key}"));
                    Heard::Call(disturb(self, &key, Call::Done))
                }
                Step::Done(end) => return end,
            };
        }
        panic!("the steps never end");
    }
}

/// Room for everything.
pub(super) struct Endless;

impl Room for Endless {
    fn servers(&self) -> &[super::Served] {
        &[]
    }

    fn takes(&self, _: &[super::Hold], _: &super::Hold) -> bool {
        true
    }
}
