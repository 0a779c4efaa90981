//! [`Signature`]: what a provider-defined function takes and gives.

use cty::Type;

/// What a function takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name after `provider::dynvm::`.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// What it does, in Markdown.
    pub description: String,
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
    /// What any further arguments are, if there may be some.
    pub variadic: Option<Parameter>,
    /// The type of the result.
    pub returns: Type,
}

/// One parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name, for messages and docs.
    pub name: String,
    /// The type.
    pub ty: Type,
    /// What it is, in Markdown.
    pub description: String,
    /// Whether null may be passed.
    pub allow_null: bool,
    /// Whether the function is called although the argument is unknown.
    pub allow_unknown: bool,
}

impl Parameter {
    /// Makes a parameter that must be set and known.
    #[must_use]
    pub fn new(name: impl Into<String>, ty: Type, description: impl Into<String>) -> Parameter {
        Parameter {
            name: name.into(),
            ty,
            description: description.into(),
            allow_null: false,
            allow_unknown: false,
        }
    }
}
