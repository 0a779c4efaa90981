//! The host's rules, checked before an answer leaves: in debug builds, where a mistake should be found by whoever makes
//! it.

use cty::Value;
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    function::Signature,
    identity::IdentitySchema,
    oracle::{self, Occasion, Outcome, Owner, Violation},
    plan::Plan,
    schema::Schema,
};

use crate::provider::FunctionError;

/// Runs a check in debug builds.
fn checked(check: impl FnOnce() -> Vec<Violation>) -> Diagnostics {
    if !cfg!(debug_assertions) {
        return Diagnostics::new();
    }
    let told = |violation: Violation| {
        let detail = format!("The host would refuse this answer: {violation}. Please report this.");
        Diagnostic::error("Bug in the provider", detail).at(violation.path)
    };
    check().into_iter().map(told).collect()
}

pub(super) fn schema(name: &str, owner: Owner, schema: &Schema) -> Diagnostics {
    named(name, checked(|| oracle::check_schema(schema, owner)))
}

/// Checks the schema of a list against that of the resource whose objects it lists.
pub(super) fn list(name: &str, schema: &Schema, resource: Option<&Schema>) -> Diagnostics {
    named(name, checked(|| oracle::check_list(schema, resource)))
}

fn named(name: &str, found: Diagnostics) -> Diagnostics {
    let named = |diagnostic: Diagnostic| Diagnostic {
        detail: format!("{name}: {}", diagnostic.detail),
        ..diagnostic
    };
    found.into_iter().map(named).collect()
}

pub(super) fn signature(signature: &Signature) -> Diagnostics {
    checked(|| oracle::check_signature(signature))
}

pub(super) fn plan(schema: &Schema, prior: &Value, config: &Value, plan: &Plan) -> Diagnostics {
    checked(|| oracle::check_plan(schema, prior, config, &plan.planned, &plan.requires_replace))
}

/// Checks a change that succeeded.
pub(super) fn apply(schema: &Schema, planned: &Value, new: &Value) -> Diagnostics {
    checked(|| oracle::check_apply(schema, planned, new, Outcome::Succeeded))
}

pub(super) fn read(schema: &Schema, new: &Value) -> Diagnostics {
    checked(|| oracle::check_read(schema, new))
}

pub(super) fn import(schema: &Schema, imported: &Value) -> Diagnostics {
    checked(|| oracle::check_import(schema, imported))
}

/// Checks the identity of an object that exists.
pub(super) fn identity(schema: &IdentitySchema, before: &Value, new: &Value, occasion: Occasion) -> Diagnostics {
    checked(|| oracle::check_identity(schema, before, new, occasion))
}

pub(super) fn upgrade(schema: &Schema, upgraded: &Value) -> Diagnostics {
    checked(|| oracle::check_upgrade(schema, upgraded))
}

pub(super) fn data(schema: &Schema, read: &Value) -> Diagnostics {
    checked(|| oracle::check_data(schema, read))
}

pub(super) fn function(signature: &Signature, arguments: &[Value], result: &Value) -> Result<(), FunctionError> {
    let found = checked(|| oracle::check_function(signature, arguments, result));
    found
        .into_iter()
        .next()
        .map_or(Ok(()), |violation| Err(FunctionError::call(violation.detail)))
}
