//! Where a server goes: the pools that can take it, then the least loaded of them, then the least loaded of its hosts.
//!
//! ```text
//!   wish --> asked (pool, labels, os) --> candidate per pool: names resolved, bad input refused
//!        --> room per pool, from its inventory --> least loaded pool, its hosts in order --> entered in the ledger
//! ```
//! The choice and the entry are one step that no other choice of this process can come between. What other processes do is seen in
//! the inventory; and the pool has the last word, when the host that was chosen refuses the start.

mod candidate;
mod choice;
mod foresight;
mod load;
mod possible;

pub(crate) use self::candidate::{Candidate, Looks, asked, candidates, none_fits, passed_over};
pub(crate) use self::choice::{Chosen, Terms, choose, other_hosts};
pub(crate) use self::foresight::foresee;
pub use self::foresight::{Foresight, Imagined, Obstacle, Outlook, Why};
pub(crate) use self::load::{hosts_in_order, least_loaded};
pub(crate) use self::possible::{allows, ever_fits, in_section};
