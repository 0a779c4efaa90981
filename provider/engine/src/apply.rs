//! The answer to an apply: what was made, in the words of the plan.

use cty::Value;

use crate::schema::Schema;
use crate::settle;

/// Settles what an apply made against what was planned: where both mean the same, the planned value stays, as core
/// demands. A real difference is left to be seen.
#[must_use]
pub fn settle(schema: &Schema, planned: &Value, new: Value) -> Value {
    settle::against(schema, planned, new)
}
