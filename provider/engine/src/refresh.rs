//! The answer to a read: what was found, in the words of the state before.

use cty::Value;

use crate::schema::Schema;
use crate::settle;

/// Settles what a read found against the state before: where both mean the same, the earlier value stays. Null, for an
/// object that is gone, stays null.
#[must_use]
pub fn settle(schema: &Schema, prior: &Value, new: Value) -> Value {
    settle::against(schema, prior, new)
}
