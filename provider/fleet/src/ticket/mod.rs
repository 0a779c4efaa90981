//! Tickets: room in a pool that processes hold which share nothing but the pool.
//!
//! A ticket is a key of `pool.other_config`, `dynvm:ticket.<n>`, added with the pool's atomic test-and-set under the number after the
//! highest that is there. Whoever is too late for a number takes the next: so the order of the numbers is the order of arrival. It
//! says how many servers of which size it is for and on which hosts ([`Ticket`]), and until when.
//!
//! ```text
//!  take:     read -> add n -> read -> look at the servers -+-> it fits with those before it: admitted
//!                                                          +-> else: release it
//!  release:  add the mark `n.released`
//!  clear:    remove n, then its mark; never the highest n
//! ```
//! Each protocol is a state machine without I/O ([`Taking`], [`Releasing`], [`Clearing`]) that names the next [`Step`]; a thin driver
//! executes it, and an exhaustive model in the tests drives the very same. What holds them together:
//!
//! - **Read the tickets first, the servers then.** A server whose ticket was released in between is seen as a server.
//! - **Those before count, whether admitted or not.** Of two that ask at once the earlier one is served, and both agree which that is.
//!   A wish that is refused is released, so that it stands in nobody's way.
//! - **What goes on with an earlier hold counts for everybody**, whatever its number: a change of a reservation whose former ticket is
//!   released, and servers being created in a reservation that is gone.
//! - **Nothing is counted twice.** A server says in `dynvm:spec` under which ticket it was made and which reservation it draws from;
//!   tickets hold that much less. Servers that are created in a reservation hold nothing as long as the reservation does.
//! - **A number is given once**, as the highest is never removed: so a release or a removal that comes late meets nobody else's ticket.
//!   Only a tool that writes the whole map back, or a coordinator that lost its last minutes, can break that; therefore a mark names
//!   the ticket that it ends, and each ticket is looked for by its id.
//! - **Whoever dies leaves a ticket that ends by its time.** Its holder stops relying on it [`MARGIN`] earlier.
//!
//! What nobody understands under the prefix holds nothing, as nobody can say what. Its number counts as given, and it is told of. A
//! newer version may have written it: therefore it is cleared only if it says itself, by the `until` that all versions share, that it
//! is over, or if a mark ends it, which a newer version or a person has put there. The rest stays for a person.

mod board;
mod clearing;
mod count;
mod hold;
mod key;
mod releasing;
#[cfg(test)]
mod sample;
mod step;
mod taking;
mod value;

pub use board::{Board, Leftover, Standing};
pub use clearing::Clearing;
pub use hold::{Hold, Refusal, Reserved, Room, Served, Verdict, holds, judge, reserved};
pub use key::{Key, TICKET_PREFIX, released_key, ticket_key};
pub use releasing::{Released, Releasing};
pub use step::{Call, Heard, Machine, Step};
pub use taking::{Taken, Taking};
pub use value::{Kind, MARGIN, PerServer, Ticket, Value};
