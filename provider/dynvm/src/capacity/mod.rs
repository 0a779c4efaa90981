//! `dynvm_capacity` (resource): room that is held for servers which are made later.
//!
//! The table says what each attribute is; `plan` adds what needs the provider's settings, or depends on whether the reservation still holds; `request` and
//! `state` translate between Terraform's values and [`fleet`]'s words.
//!
//! ```text
//!   servers, ttl             in place, all or none; of one that is over: a new reservation
//!   what a server would be   a new reservation
//!   expired, unchanged       stays in the state, without a difference
//! ```

mod plan;
mod request;
pub(crate) mod schema;
mod state;
