//! Values of messages as JSON, by the types that the provider's own schemas give them.

use std::collections::BTreeMap;

use cty::{Type, json, msgpack};
use proto::tfplugin6::{DynamicValue, ResourceIdentitySchema, Schema, schema, schema::object::NestingMode};
use serde_json::Value as Json;

/// The type of a value of a schema.
pub(crate) fn of_schema(schema: &Schema) -> Type {
    object(&schema.block.as_ref().expect("a block").attributes)
}

/// The type of an identity.
pub(crate) fn of_identity(schema: &ResourceIdentitySchema) -> Type {
    let rows = schema.identity_attributes.iter();
    Type::object(rows.map(|row| (row.name.as_str(), plain(&row.r#type))))
}

fn object(attributes: &[schema::Attribute]) -> Type {
    let attributes: BTreeMap<&str, Type> = attributes.iter().map(|row| (row.name.as_str(), of_row(row))).collect();
    Type::object(attributes)
}

fn of_row(row: &schema::Attribute) -> Type {
    let Some(nested) = &row.nested_type else {
        return plain(&row.r#type);
    };
    let inside = object(&nested.attributes);
    match nested.nesting() {
        NestingMode::Single | NestingMode::Invalid => inside,
        NestingMode::List => Type::list(inside),
        NestingMode::Set => Type::set(inside),
        NestingMode::Map => Type::map(inside),
    }
}

fn plain(text: &[u8]) -> Type {
    Type::from_json(text).expect("a type")
}

/// A value to be sent; what is left out is null.
pub(crate) fn sent(value: &Json, ty: &Type) -> DynamicValue {
    let value = json::decode(value.to_string().as_bytes(), ty).expect("a value of its type");
    DynamicValue {
        msgpack: msgpack::encode(&value, ty).expect("a value of its type"),
        json: Vec::new(),
    }
}

/// A value that came, wholly known.
#[track_caller]
pub(crate) fn received(value: Option<&DynamicValue>, ty: &Type) -> Json {
    let Some(value) = value else { return Json::Null };
    let value = msgpack::decode(&value.msgpack, ty).expect("a value of its type");
    let text = json::encode(&value, ty).expect("a known value");
    serde_json::from_str(&text).expect("JSON")
}
