//! The desk where tickets are taken, released and cleared: what carries out the machines of [`crate::ticket`] on a pool.
//!
//! ```text
//!  Taking, Releasing, Clearing --Step--> desk --call--> pool
//!          ^                               |
//!          +------------ Heard ------------+--- now, look ---> whoever knows the pool's clock and servers
//! ```
//! It decides nothing. A call that the pool rejects ends the matter; one whose answer is lost is told to the machine as such, which
//! looks before it repeats. Without the role for it (pool-operator) the desk says so once and takes no tickets: then room is held
//! against nobody outside of this process, as before there were any.

mod change;
mod desk;
mod drive;
mod hold;
mod spec;
mod spread;

pub use change::ChangeFailure;
pub(crate) use change::change;

pub(crate) use hold::{look, release, reserve};

pub use desk::{Admission, Desk, Pass, Surroundings, Tidied};
pub use spec::{Reservation, ReservationChanges, ReservationKey, ReservationSpec, ReservationStatus};
