//! The open elements of an answer.

use super::{Value, WireError};

/// What a value is for, which follows from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Keep,
    Record,
    RecordMap,
    ListedRecord,
    EventAnswer,
    EventList,
    Event,
    Snapshot,
    Skip,
}

/// An open element and what it holds so far.
#[derive(Debug)]
pub(super) enum Frame {
    Envelope {
        tag: &'static str,
    },
    Value {
        role: Role,
        mark: usize,
        text: String,
        built: Option<Value>,
    },
    Scalar {
        scalar: &'static Scalar,
        text: String,
    },
    Struct {
        role: Role,
        members: Vec<(String, Value)>,
    },
    Member {
        role: Role,
        mark: usize,
        name: Option<String>,
        value: Held,
    },
    Name {
        text: Option<String>,
    },
    Array {
        role: Role,
        items: Vec<Value>,
    },
    Data,
}

/// The value of a member.
#[derive(Debug)]
pub(super) enum Held {
    /// It has to come.
    Awaited,
    /// It came.
    There(Value),
    /// It came and was handed out, or nobody wanted it.
    Gone,
}

impl Frame {
    /// An empty `<value>`.
    pub(super) fn value(role: Role, mark: usize) -> Self {
        Self::Value {
            role,
            mark,
            text: String::new(),
            built: None,
        }
    }

    /// The name of the element.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Envelope { tag } => tag,
            Self::Value { .. } => "value",
            Self::Scalar { scalar, .. } => scalar.tag,
            Self::Struct { .. } => "struct",
            Self::Member { .. } => "member",
            Self::Name { .. } => "name",
            Self::Array { .. } => "array",
            Self::Data => "data",
        }
    }
}

/// A type that stands in a tag of its own.
#[derive(Debug)]
pub(super) struct Scalar {
    tag: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Int,
    Bool,
    Float,
    Time,
    Nil,
}

static SCALARS: [Scalar; 8] = [
    Scalar::new("boolean", Kind::Bool),
    Scalar::new("double", Kind::Float),
    Scalar::new("dateTime.iso8601", Kind::Time),
    Scalar::new("string", Kind::Text),
    Scalar::new("int", Kind::Int),
    Scalar::new("i4", Kind::Int),
    Scalar::new("i8", Kind::Int),
    Scalar::new("nil", Kind::Nil),
];

impl Scalar {
    const fn new(tag: &'static str, kind: Kind) -> Self {
        Self { tag, kind }
    }

    pub(super) fn of(tag: &str) -> Option<&'static Self> {
        SCALARS.iter().find(|scalar| scalar.tag == tag)
    }

    pub(super) fn parse(&self, text: String) -> Result<Value, WireError> {
        let trimmed = text.trim();
        let wrong = |expected| WireError::Literal {
            expected,
            text: trimmed.chars().take(100).collect(),
        };
        match self.kind {
            Kind::Text => Ok(Value::Text(text)),
            Kind::Int => trimmed.parse().map(Value::Int).map_err(|_| wrong("whole number")),
            Kind::Bool => match trimmed {
                "1" | "true" => Ok(Value::Bool(true)),
                "0" | "false" => Ok(Value::Bool(false)),
                _ => Err(wrong("flag")),
            },
            Kind::Float => trimmed.parse().map(Value::Float).map_err(|_| wrong("number")),
            Kind::Time => Ok(Value::Time(text)),
            Kind::Nil => Ok(Value::Text(String::new())),
        }
    }
}
