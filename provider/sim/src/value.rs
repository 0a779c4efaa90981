//! Values of the API: what fields hold and what calls take and return.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::db::{Record, Ref};

/// A map field.
pub(crate) type Map = BTreeMap<Arc<str>, Value>;

/// A value of any XenAPI type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Void,
    /// Strings, references, enumerations, UUIDs.
    Str(Arc<str>),
    Int(i64),
    /// The only integers that XML types: `valid_ref_counts`.
    Int32(i32),
    Bool(bool),
    Float(f64),
    /// Seconds since 1970.
    Time(i64),
    Set(Vec<Value>),
    Map(Map),
    /// A row of the database, encoded once however often it is sent.
    Record(Arc<Record>),
}

impl Value {
    pub(crate) fn str(text: &str) -> Self {
        Self::Str(Arc::from(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        if let Self::Str(text) = self { text } else { "" }
    }

    pub(crate) fn as_int(&self) -> i64 {
        match self {
            Self::Int(n) | Self::Time(n) => *n,
            Self::Int32(n) => i64::from(*n),
            _ => 0,
        }
    }

    pub(crate) fn as_bool(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub(crate) fn as_float(&self) -> f64 {
        if let Self::Float(n) = self { *n } else { 0.0 }
    }

    pub(crate) fn as_set(&self) -> &[Self] {
        if let Self::Set(items) = self { items } else { &[] }
    }

    pub(crate) fn as_map(&self) -> Map {
        if let Self::Map(map) = self {
            map.clone()
        } else {
            Map::new()
        }
    }

    /// The text under a key of a map.
    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        if let Self::Map(map) = self {
            map.get(key).map(Self::as_str)
        } else {
            None
        }
    }

    pub(crate) fn as_ref(&self) -> Ref {
        if let Self::Str(text) = self {
            Ref::from_arc(text.clone())
        } else {
            Ref::null()
        }
    }

    pub(crate) fn refs(&self) -> Vec<Ref> {
        self.as_set().iter().map(Self::as_ref).collect()
    }

    pub(crate) fn strings<I: IntoIterator<Item = S>, S: AsRef<str>>(items: I) -> Self {
        Self::Set(items.into_iter().map(|s| Self::str(s.as_ref())).collect())
    }

    pub(crate) fn map<I, K, V>(items: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<str>,
        V: Into<Self>,
    {
        Self::Map(
            items
                .into_iter()
                .map(|(k, v)| (Arc::from(k.as_ref()), v.into()))
                .collect(),
        )
    }

    /// The form in which the database writes it, which filter literals are compared with.
    pub(crate) fn db_string(&self) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        match self {
            Self::Void | Self::Record(_) => String::new(),
            Self::Str(text) => text.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Int32(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Float(n) => format!("{n}"),
            Self::Time(n) => crate::wire::datetime(*n),
            Self::Set(items) => {
                let items: Vec<String> = items.iter().map(|v| quote(&v.db_string())).collect();
                format!("({})", items.join(" "))
            }
            Self::Map(map) => {
                let items: Vec<String> = map
                    .iter()
                    .map(|(k, v)| format!("({} {})", quote(k), quote(&v.db_string())))
                    .collect();
                format!("({})", items.join(" "))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Arc::from(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::str(text)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Float(n)
    }
}

impl From<&Ref> for Value {
    fn from(reference: &Ref) -> Self {
        Self::Str(reference.to_arc())
    }
}

impl From<Ref> for Value {
    fn from(reference: Ref) -> Self {
        Self::Str(reference.to_arc())
    }
}

impl From<Vec<Ref>> for Value {
    fn from(refs: Vec<Ref>) -> Self {
        Self::Set(refs.into_iter().map(Self::from).collect())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}
