//! [`Attribute`]: one row of the table, built up word by word.

use cty::{Type, Value};

use super::behaviour::{Change, OnUpdate, Replace};
use crate::equality::Equality;
use crate::rule::Rule;

/// One attribute: its type, who sets it, what it accepts, and how it behaves in a plan.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name in configurations.
    pub name: String,
    /// The type, or the attributes inside.
    pub kind: Kind,
    /// Who sets it.
    pub presence: Presence,
    /// Whether Terraform hides it.
    pub sensitive: bool,
    /// Whether it is passed along but never stored.
    pub write_only: bool,
    /// What to use instead, if it is deprecated.
    pub deprecated: Option<String>,
    /// What it is, in Markdown: units, range, source.
    pub description: String,
    /// The value where the configuration is null.
    pub default: Option<Value>,
    /// What the value must satisfy.
    pub rules: Vec<Rule>,
    /// When a change needs a new object.
    pub replace: Replace,
    /// What an update plans for it when the configuration is null.
    pub on_update: OnUpdate,
    /// When two different texts mean the same.
    pub equality: Option<Equality>,
    /// The attribute that tells the elements of a nested list or set apart.
    pub match_by: Option<String>,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value of a type.
    Plain(Type),
    /// One or many objects, whose attributes have rows of their own.
    Nested(Nesting, Vec<Attribute>),
}

/// How nested objects are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// A list of objects.
    List,
    /// A set of objects.
    Set,
    /// Objects by name.
    Map,
}

/// Who sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The configuration, always.
    Required,
    /// The configuration, if it wants.
    Optional,
    /// The provider.
    Computed,
    /// The configuration if it wants, else the provider.
    OptionalComputed,
}

impl Presence {
    /// Says whether the configuration must set it.
    #[must_use]
    pub fn is_required(self) -> bool {
        self == Presence::Required
    }

    /// Says whether the configuration may leave it out or set it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Presence::Optional | Presence::OptionalComputed)
    }

    /// Says whether the provider may set it.
    #[must_use]
    pub fn is_computed(self) -> bool {
        matches!(self, Presence::Computed | Presence::OptionalComputed)
    }
}

/// Makes an optional attribute of a kind.
impl Attribute {
    fn new(name: impl Into<String>, kind: Kind) -> Attribute {
        Attribute {
            name: name.into(),
            kind,
            presence: Presence::Optional,
            sensitive: false,
            write_only: false,
            deprecated: None,
            description: String::new(),
            default: None,
            rules: Vec::new(),
            replace: Replace::Never,
            on_update: OnUpdate::Unknown,
            equality: None,
            match_by: None,
        }
    }

    /// Text.
    #[must_use]
    pub fn string(name: impl Into<String>) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::String))
    }

    /// A number of any precision.
    #[must_use]
    pub fn number(name: impl Into<String>) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::Number))
    }

    /// A whole number of at most 64 bits.
    #[must_use]
    pub fn integer(name: impl Into<String>) -> Attribute {
        Attribute::number(name).rule(Rule::integer())
    }

    /// True or false.
    #[must_use]
    pub fn boolean(name: impl Into<String>) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::Bool))
    }

    /// A value that brings its own type.
    #[must_use]
    pub fn dynamic(name: impl Into<String>) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::Dynamic))
    }

    /// A list of values.
    #[must_use]
    pub fn list(name: impl Into<String>, element: Type) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::list(element)))
    }

    /// A set of values.
    #[must_use]
    pub fn set(name: impl Into<String>, element: Type) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::set(element)))
    }

    /// Values by name.
    #[must_use]
    pub fn map(name: impl Into<String>, element: Type) -> Attribute {
        Attribute::new(name, Kind::Plain(Type::map(element)))
    }

    /// One nested object.
    #[must_use]
    pub fn object(name: impl Into<String>, attributes: Vec<Attribute>) -> Attribute {
        Attribute::new(name, Kind::Nested(Nesting::Single, attributes))
    }

    /// A list of nested objects.
    #[must_use]
    pub fn object_list(name: impl Into<String>, attributes: Vec<Attribute>) -> Attribute {
        Attribute::new(name, Kind::Nested(Nesting::List, attributes))
    }

    /// A set of nested objects.
    #[must_use]
    pub fn object_set(name: impl Into<String>, attributes: Vec<Attribute>) -> Attribute {
        Attribute::new(name, Kind::Nested(Nesting::Set, attributes))
    }

    /// Nested objects by name.
    #[must_use]
    pub fn object_map(name: impl Into<String>, attributes: Vec<Attribute>) -> Attribute {
        Attribute::new(name, Kind::Nested(Nesting::Map, attributes))
    }
}

/// Who sets it, and what is said about it.
impl Attribute {
    /// The configuration must set it.
    #[must_use]
    pub fn required(self) -> Attribute {
        Attribute {
            presence: Presence::Required,
            ..self
        }
    }

    /// The configuration may set it; the provider never does.
    #[must_use]
    pub fn optional(self) -> Attribute {
        Attribute {
            presence: Presence::Optional,
            ..self
        }
    }

    /// The provider sets it; the configuration must not.
    #[must_use]
    pub fn computed(self) -> Attribute {
        Attribute {
            presence: Presence::Computed,
            ..self
        }
    }

    /// The configuration may set it, else the provider does.
    #[must_use]
    pub fn optional_computed(self) -> Attribute {
        Attribute {
            presence: Presence::OptionalComputed,
            ..self
        }
    }

    /// Terraform hides the value.
    #[must_use]
    pub fn sensitive(self) -> Attribute {
        Attribute {
            sensitive: true,
            ..self
        }
    }

    /// The value is passed along at plan and apply, but stands in no plan and no state. Needs Terraform 1.11.
    #[must_use]
    pub fn write_only(self) -> Attribute {
        Attribute {
            write_only: true,
            ..self
        }
    }

    /// The attribute still works, but warns; the text says what to use instead.
    #[must_use]
    pub fn deprecated(self, instead: impl Into<String>) -> Attribute {
        Attribute {
            deprecated: Some(instead.into()),
            ..self
        }
    }

    /// Says what it is, in Markdown.
    #[must_use]
    pub fn describe(self, description: impl Into<String>) -> Attribute {
        Attribute {
            description: description.into(),
            ..self
        }
    }

    /// The value where the configuration is null. The attribute must be [`optional_computed`](Attribute::optional_computed):
    /// core refuses a plan that fills in any other.
    #[must_use]
    pub fn default(self, value: impl Into<Value>) -> Attribute {
        Attribute {
            default: Some(value.into()),
            ..self
        }
    }

    /// Adds a rule that the configured value must satisfy. Unknown values pass, null ones are skipped.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Attribute {
        self.rules.push(rule);
        self
    }
}

/// How it behaves in a plan.
impl Attribute {
    /// Any change needs a new object.
    #[must_use]
    pub fn replaces(self) -> Attribute {
        Attribute {
            replace: Replace::Always,
            ..self
        }
    }

    /// A change of the configured value needs a new object; a change that the provider plans does not.
    #[must_use]
    pub fn replaces_if_configured(self) -> Attribute {
        Attribute {
            replace: Replace::IfConfigured,
            ..self
        }
    }

    /// A change for which the function says so needs a new object; the text says for the docs when that is.
    #[must_use]
    pub fn replaces_if(self, decides: fn(&Change<'_>) -> bool, text: impl Into<String>) -> Attribute {
        Attribute {
            replace: Replace::If(decides, text.into()),
            ..self
        }
    }

    /// Sets what an update plans when the configuration is null.
    #[must_use]
    pub fn on_update(self, on_update: OnUpdate) -> Attribute {
        Attribute { on_update, ..self }
    }

    /// An update keeps the value: [`OnUpdate::Keep`].
    #[must_use]
    pub fn keep(self) -> Attribute {
        self.on_update(OnUpdate::Keep)
    }

    /// An update keeps the value unless one of these attributes beside it changes: then it is unknown.
    #[must_use]
    pub fn unknown_when_changed(self, names: &[&str]) -> Attribute {
        self.on_update(OnUpdate::UnknownWhenChanged(
            names.iter().map(ToString::to_string).collect(),
        ))
    }

    /// Different texts may mean the same: then the text that was there first is kept.
    #[must_use]
    pub fn equality(self, equality: Equality) -> Attribute {
        Attribute {
            equality: Some(equality),
            ..self
        }
    }

    /// The elements of a nested list or set are told apart by this attribute of theirs, not by their place.
    #[must_use]
    pub fn match_elements_by(self, name: impl Into<String>) -> Attribute {
        Attribute {
            match_by: Some(name.into()),
            ..self
        }
    }

    /// The type of a value of this attribute.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match &self.kind {
            Kind::Plain(ty) => ty.clone(),
            Kind::Nested(Nesting::Single, attributes) => object_type(attributes),
            Kind::Nested(Nesting::List, attributes) => Type::list(object_type(attributes)),
            Kind::Nested(Nesting::Set, attributes) => Type::set(object_type(attributes)),
            Kind::Nested(Nesting::Map, attributes) => Type::map(object_type(attributes)),
        }
    }

    /// The rows of the attributes inside; none for a plain attribute.
    #[must_use]
    pub fn nested(&self) -> &[Attribute] {
        match &self.kind {
            Kind::Plain(_) => &[],
            Kind::Nested(_, attributes) => attributes,
        }
    }
}

/// The type of an object with these attributes.
pub(crate) fn object_type(attributes: &[Attribute]) -> Type {
    Type::object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.as_str(), attribute.value_type())),
    )
}

/// The row of that name.
pub(crate) fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}
