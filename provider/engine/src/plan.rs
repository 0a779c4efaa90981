//! Planning: from configuration and prior state to the planned state.
//!
//! ```text
//!   config, prior ──> base ──> pins ──> changed? ──no──> planned = prior
//!                  (defaults,  (what     │yes
//!                   computed    the      └─> mark unknown ──> planned ──> requires_replace
//!                   carried)    hook says)
//! ```
//!
//! Nothing is unknown unless something changes: that is what makes a second plan empty. What a resource's hook decides is
//! a *pin*; each pin runs the table again, so that what depends on the pinned attribute follows.

mod base;
mod collapse;
mod draft;
mod proposed;
mod replace;
mod unknown;

pub use draft::{Action, Draft, Plan};
pub use proposed::proposed_new;

use cty::Value;

use crate::schema::Schema;

/// Plans by the table alone.
#[must_use]
pub fn plan(schema: &Schema, config: Value, prior: Value) -> Plan {
    Draft::new(schema, config, prior).finish()
}

#[cfg(test)]
mod tests;
