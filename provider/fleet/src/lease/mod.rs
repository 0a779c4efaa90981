//! The lease: the marks that say whose a VM is and how long it lives, and the rules that change them without any other lock.
//!
//! Marks stand twice, in `VM.tags` and as keys of `VM.other_config`, because a tool that reads one field and writes it back
//! whole may undo a change of that field at any moment; it cannot undo both. Each change is a pure state machine
//! ([`Renewal`], [`Shortening`]) that names the next step; a thin driver executes it. So an exhaustive model drives the
//! very functions that run against a pool; it stands in the reaper's tests, where all who write on a VM meet.
//!
//! ```text
//!  renew:    add own mark (tags, keys) -> read -+-> claimed: take the own mark back, fail "being reaped"
//!                 ^                             +-> own mark lost on a side, no later one: start again
//!                 |                             |
//!                 +-----------------------------+-> else acknowledge, remove the earlier marks that were read before
//!
//!  shorten:  add own mark (tags, keys) -> read -> remove the later marks that were read before (tags, keys) -> read
//!                                                 another later mark on either read: fail "extended elsewhere"
//! ```
//!
//! What a reaper does before it destroys ([`Claim`]) and what a creator does before it goes on ([`Confirmation`]) are judged
//! here as well: the four hold only together.
//!
//! The creation lease (`creating`) counts only while there is no expiry. The first lease removes it from `other_config`, so
//! that a person who takes the expiry away is not reaped by it: at once while it has time left, else when the lease is
//! acknowledged. The tag, which by itself condemns nothing, goes with the next renewal: each create would pay a request for it.

mod claim;
mod confirmation;
mod mark;
#[cfg(test)]
mod model;
mod record;
mod renewal;
mod seen;
mod shortening;

pub use claim::{Claim, ClaimOutcome, ClaimStep, Seen};
pub use confirmation::Confirmation;
pub use mark::{Expires, Mark, PREFIX, Parsed, format_time, mint, parse_time};
pub use record::{LeaseRecord, SpecRecord};
pub use renewal::{Obsolete, Outcome, Renewal, Step};
pub(crate) use seen::is_reserved;
pub use seen::{Expiry, Ownership, VmMarks};
pub use shortening::Shortening;

/// The key of `VM.other_config` that holds the unchanging facts of a server's birth as JSON.
pub const SPEC_KEY: &str = "dynvm:spec";

/// The key that names the server a disk or a VM belongs to, with the VM's UUID as its value.
pub const VM_KEY: &str = "dynvm:vm";

/// The key that names the very disk that was marked, with the disk's own UUID as its value: a copy inherits another's.
pub const DISK_KEY: &str = "dynvm:disk";
