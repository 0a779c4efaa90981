//! The reaper: enforces the expiry of servers, and nothing else.
//!
//! ```text
//!  survey ──> classify ──> decide ──> claim ──> act
//!  a pool,    a verdict    what is    on both   hard stop, own disks, snapshots,
//!  whole      for each VM  done, and  sides,    the VM last; each step looks again
//!                          rails      read again
//! ```
//! [`classify`] and [`decide`] are pure: what they are not told cannot change what is deleted. What is deliberately never cleaned
//! stands at the head of [`classify`]. To lose a race against the server's owner or another reaper is a counted success.
//!
//! What is absent on purpose: making, starting or changing VMs, any clock but the coordinator's in a judgement, and any deletion
//! that follows from an answer that was not whole.

pub mod act;
pub mod chronicle;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod ground;
pub mod listen;
pub mod logging;
pub mod marks;
pub mod memory;
pub mod metrics;
pub mod once;
pub mod output;
pub mod policy;
pub mod rails;
pub mod report;
pub mod setup;
pub mod sight;
pub mod signals;
pub mod steadiness;
pub mod survey;
pub mod tickets;
pub mod verbs;
pub mod watch;
