//! Rails: why nothing happens in a pool although something is due. Each has a name for metrics and a reason for people.

use std::fmt;

use jiff::Timestamp;

/// What holds a pool's deletions back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rail {
    /// A person put `dynvm:pause` on the pool.
    Paused,
    /// The pool has another coordinator since a short time: its database and its clock may be others.
    CoordinatorChanged {
        /// How many seconds it has to stand still for.
        remaining_seconds: i64,
    },
    /// The coordinator's clock has moved against the reaper's own.
    ClockMoved {
        /// By how many seconds.
        by_seconds: i64,
    },
    /// Very many servers at once, by marks that are very new: perhaps a mistake.
    MassExpiry {
        /// How many are due by new marks.
        due: usize,
        /// Of how many servers in all.
        managed: usize,
    },
    /// Not all VMs of the pool were listed.
    Incomplete {
        /// How many were.
        listed: usize,
        /// How many there are by the pool's own count.
        counted: i64,
    },
    /// The pool could not be listed.
    Unreadable {
        /// Why.
        why: String,
    },
    /// More is due than one cycle may delete.
    MaxDeletions {
        /// How many wait for the next cycle.
        waiting: usize,
        /// How many a cycle may delete.
        max: usize,
    },
}

/// The names of all rails: the values of the metric's label `rail`.
pub const NAMES: [&str; 7] = [
    "paused",
    "coordinator-changed",
    "clock-moved",
    "mass-expiry",
    LISTING_INCOMPLETE,
    LISTING_FAILED,
    "max-deletions",
];

/// The rail of a listing whose count is not the pool's.
pub const LISTING_INCOMPLETE: &str = "listing-incomplete";
/// The rail of a listing that could not be taken.
pub const LISTING_FAILED: &str = "listing-failed";

/// The mark on a pool, as a tag or a key of `other_config`, that stops everything there.
pub const PAUSE: &str = "dynvm:pause";
/// Fewer servers than this are never many at once.
pub const MASS_AT_LEAST: usize = 20;
/// A mark younger than this may be a mistake that nobody has noticed yet.
pub const MASS_YOUNG_SECONDS: i64 = 600;

impl Rail {
    /// The name, as in metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Rail::Paused => "paused",
            Rail::CoordinatorChanged { .. } => "coordinator-changed",
            Rail::ClockMoved { .. } => "clock-moved",
            Rail::MassExpiry { .. } => "mass-expiry",
            Rail::Incomplete { .. } => LISTING_INCOMPLETE,
            Rail::Unreadable { .. } => LISTING_FAILED,
            Rail::MaxDeletions { .. } => "max-deletions",
        }
    }

    /// Says whether it stops everything, or only what is beyond a number.
    pub fn stops_everything(&self) -> bool {
        match self {
            Rail::Paused
            | Rail::CoordinatorChanged { .. }
            | Rail::ClockMoved { .. }
            | Rail::MassExpiry { .. }
            | Rail::Incomplete { .. }
            | Rail::Unreadable { .. } => true,
            Rail::MaxDeletions { .. } => false,
        }
    }
}

/// Says whether a mark is young. One from the future is: its writer's clock is not the coordinator's.
pub fn is_young(made_at: Timestamp, now: Timestamp) -> bool {
    now.as_second() - made_at.as_second() < MASS_YOUNG_SECONDS
}

impl fmt::Display for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rail::Paused => write!(f, "the pool carries {PAUSE}"),
            Rail::CoordinatorChanged { remaining_seconds } => {
                write!(f, "the pool has a new coordinator; waiting {remaining_seconds} s more")
            }
            Rail::ClockMoved { by_seconds } => {
                write!(
                    f,
                    "the coordinator's clock moved by {by_seconds} s against the reaper's own"
                )
            }
            Rail::MassExpiry { due, managed } => write!(
                f,
                "{due} of {managed} servers are due, or will be soon, by marks younger than {} minutes: `dynvm-reaper ack` lets them go",
                MASS_YOUNG_SECONDS / 60
            ),
            Rail::Incomplete { listed, counted } => {
                write!(f, "{listed} VMs were listed, and the pool counts {counted}")
            }
            Rail::Unreadable { why } => write!(f, "the pool could not be listed: {why}"),
            Rail::MaxDeletions { waiting, max } => {
                write!(f, "{waiting} more are due, and a cycle deletes at most {max}")
            }
        }
    }
}
