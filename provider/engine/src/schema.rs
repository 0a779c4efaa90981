//! [`Schema`]: the table of attributes from which everything else follows.

use cty::{Type, Value};

use crate::constraint::Constraint;
use crate::identity::IdentitySchema;

mod attribute;
mod behaviour;

pub use attribute::{Attribute, Kind, Nesting, Presence};
pub use behaviour::{Change, OnUpdate, Replace};

/// The attributes of a resource, a data source or a provider.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The version that states are stored with.
    pub version: i64,
    /// What it is, in Markdown; the first sentence stands alone on overview pages.
    pub description: String,
    /// One row per attribute.
    pub attributes: Vec<Attribute>,
    /// What must hold between attributes.
    pub rules: Vec<Constraint>,
    /// What tells one object from all others, if hosts are to know: of resources only.
    pub identity: Option<IdentitySchema>,
}

impl Schema {
    /// Makes a schema of version 0.
    #[must_use]
    pub fn new(attributes: Vec<Attribute>) -> Schema {
        Schema {
            attributes,
            ..Schema::default()
        }
    }

    /// Sets the version that states are stored with.
    #[must_use]
    pub fn version(self, version: i64) -> Schema {
        Schema { version, ..self }
    }

    /// Sets the description, in Markdown.
    #[must_use]
    pub fn describe(self, description: impl Into<String>) -> Schema {
        Schema {
            description: description.into(),
            ..self
        }
    }

    /// Adds a rule between attributes.
    #[must_use]
    pub fn rule(mut self, rule: Constraint) -> Schema {
        self.rules.push(rule);
        self
    }

    /// Sets what tells one object from all others.
    #[must_use]
    pub fn identity(self, identity: IdentitySchema) -> Schema {
        Schema {
            identity: Some(identity),
            ..self
        }
    }

    /// The row of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        attribute::find(&self.attributes, name)
    }

    /// The type of a value of this schema.
    #[must_use]
    pub fn value_type(&self) -> Type {
        attribute::object_type(&self.attributes)
    }

    /// An object with every attribute at its default; null where it has none.
    #[must_use]
    pub fn defaults(&self) -> Value {
        Value::object(self.attributes.iter().map(|attribute| {
            let default = attribute.default.clone();
            (attribute.name.as_str(), default.unwrap_or(Value::Null))
        }))
    }

    /// An object with every attribute null.
    #[must_use]
    pub fn empty(&self) -> Value {
        Value::object(
            self.attributes
                .iter()
                .map(|attribute| (attribute.name.as_str(), Value::Null)),
        )
    }
}
