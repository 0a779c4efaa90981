//! The declarative plan engine: one attribute table gives schema, validation, plan behaviour and reference pages.
//!
//! ```text
//!                    schema: one row per attribute
//!        ┌───────────────┬───────┴───────┬──────────────┐
//!   validate         plan::Draft      settle          docs
//!  (configuration)   (planned value)  (read, apply)   (pages)
//!                        │
//!                     oracle: what core will refuse, checked before it is sent
//! ```
//!
//! Everything here is a pure function from values to values. What is absent on purpose: I/O, async, clocks, the protocol's
//! messages, and any knowledge of what a resource really is.

pub mod apply;
pub mod constraint;
pub mod diagnostics;
pub mod docs;
pub mod duration;
pub mod equality;
pub mod function;
pub mod identity;
pub mod moved;
pub mod oracle;
pub mod plan;
pub mod private;
pub mod refresh;
pub mod rule;
pub mod schema;
pub mod timeouts;
pub mod upgrade;
pub mod validate;

mod matching;
mod settle;
