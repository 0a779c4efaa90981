//! A reservation, in the words of callers: room for servers that are made later, held in several pools at once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use crate::spec::Wish;

/// A reservation to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationSpec {
    /// What each of its servers asks of the pools; no host, storage or network.
    pub each: Wish,
    /// For how many servers.
    pub servers: u32,
    /// How long it holds.
    pub ttl: Duration,
    /// How long to wait for room; zero fails at once.
    pub queue: Duration,
}

/// What to change of a reservation; `None` leaves as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReservationChanges {
    /// For how many servers.
    pub servers: Option<u32>,
    /// How long it holds, from the moment that it was made.
    pub ttl: Option<Duration>,
}

/// Which reservation: enough to find it again, and to know that its pools are the right ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationKey {
    /// The reservation.
    pub id: Ulid,
    /// The pools that hold it, by their configured names, with the UUID that each had then. Empty if that is not known: it is
    /// looked for in all.
    pub pools: BTreeMap<String, Uuid>,
}

/// A reservation as its pools show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// What finds it again.
    pub key: ReservationKey,
    /// For how many servers each pool holds room, by its configured name.
    pub placements: BTreeMap<String, u32>,
    /// How many servers were made in it, or are being made.
    pub used: u32,
    /// When it ends, by the clock of the pool whose part ends first.
    pub expires_at: Timestamp,
    /// What it is worth.
    pub status: ReservationStatus,
}

/// What a reservation is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationStatus {
    /// It holds room.
    Held,
    /// It holds, and every place in it is taken.
    UsedUp,
}
