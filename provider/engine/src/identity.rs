//! [`IdentitySchema`]: what tells one object from all others of its kind, and stays the same as long as it exists.
//!
//! A host keeps it beside the state, and finds the same object by it in an import. The rest of the state may change, this may not.

use cty::{Type, Value};

/// The attributes of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySchema {
    /// The version that identities are stored with.
    pub version: i64,
    /// One row per attribute.
    pub attributes: Vec<IdentityAttribute>,
}

/// One attribute of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityAttribute {
    /// The name in an `identity` of an `import` block.
    pub name: String,
    /// The type: a primitive one, or a list of such.
    pub ty: Type,
    /// Whether an import needs it.
    pub import: InImport,
    /// What it is, in plain text.
    pub description: String,
}

/// Whether an import needs an attribute of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InImport {
    /// There is no import without it.
    Required,
    /// It may be left out.
    Optional,
}

impl IdentitySchema {
    /// Makes a schema of version 0.
    #[must_use]
    pub fn new(attributes: Vec<IdentityAttribute>) -> IdentitySchema {
        IdentitySchema { version: 0, attributes }
    }

    /// The type of an identity.
    #[must_use]
    pub fn value_type(&self) -> Type {
        let attributes = self.attributes.iter();
        Type::object(attributes.map(|attribute| (attribute.name.as_str(), attribute.ty.clone())))
    }

    /// The attributes that an import needs and that are null here.
    #[must_use]
    pub fn missing(&self, identity: &Value) -> Vec<&str> {
        let required = self.attributes.iter().filter(|row| row.import == InImport::Required);
        required
            .map(|row| row.name.as_str())
            .filter(|name| identity.get(name).is_null())
            .collect()
    }
}

impl IdentityAttribute {
    /// An attribute without which there is no import.
    #[must_use]
    pub fn required(name: impl Into<String>, ty: Type, description: impl Into<String>) -> IdentityAttribute {
        IdentityAttribute {
            name: name.into(),
            ty,
            import: InImport::Required,
            description: description.into(),
        }
    }

    /// An attribute that an import may leave out.
    #[must_use]
    pub fn optional(name: impl Into<String>, ty: Type, description: impl Into<String>) -> IdentityAttribute {
        IdentityAttribute {
            import: InImport::Optional,
            ..IdentityAttribute::required(name, ty, description)
        }
    }
}
