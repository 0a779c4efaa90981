//! Values, schemas and diagnostics as messages.

mod diagnostics;
mod functions;
mod identity;
mod schema;
mod values;

pub(crate) use diagnostics::{diagnostics, path};
pub(crate) use functions::function;
pub(crate) use identity::{decode_identity, encode_identity, identity_schema};
pub(crate) use schema::schema;
pub(crate) use values::{decode, encode, private, without_unknowns};
