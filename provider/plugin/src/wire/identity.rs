//! Identities and their schemas.

use cty::Value;
use engine::{
    diagnostics::Diagnostic,
    identity::{IdentityAttribute, IdentitySchema, InImport},
};
use proto::tfplugin6::{
    ResourceIdentityData, ResourceIdentitySchema, resource_identity_schema::IdentityAttribute as WireAttribute,
};

use super::values;

/// The schema of an identity.
pub(crate) fn identity_schema(schema: &IdentitySchema) -> ResourceIdentitySchema {
    ResourceIdentitySchema {
        version: schema.version,
        identity_attributes: schema.attributes.iter().map(attribute).collect(),
    }
}

fn attribute(row: &IdentityAttribute) -> WireAttribute {
    WireAttribute {
        name: row.name.clone(),
        r#type: row.ty.to_json().into_bytes(),
        required_for_import: row.import == InImport::Required,
        optional_for_import: row.import == InImport::Optional,
        description: row.description.clone(),
    }
}

/// Reads an identity. An absent one is null, and so is one without data.
pub(crate) fn decode_identity(
    identity: Option<&ResourceIdentityData>,
    schema: &IdentitySchema,
) -> Result<Value, Diagnostic> {
    values::decode(
        identity.and_then(|identity| identity.identity_data.as_ref()),
        &schema.value_type(),
    )
}

/// Writes an identity.
pub(crate) fn encode_identity(identity: &Value, schema: &IdentitySchema) -> Result<ResourceIdentityData, Diagnostic> {
    Ok(ResourceIdentityData {
        identity_data: Some(values::encode(identity, &schema.value_type())?),
    })
}
