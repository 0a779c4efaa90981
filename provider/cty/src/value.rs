//! [`Value`]: what a configuration, a plan or a state holds.

use std::collections::BTreeMap;

use crate::nfc::normalised;
use crate::{Number, Path, Step, Type};

mod canonical;
mod convert;
mod display;

/// A value of Terraform. Lists, sets and tuples share one form, and so do maps and objects: their [`Type`] tells them
/// apart.
///
/// The order is total and has no meaning beyond that; it is what makes a set comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Not set.
    Null,
    /// Known only after apply.
    Unknown(Refinement),
    /// `true` or `false`.
    Bool(bool),
    /// A number of any precision.
    Number(Number),
    /// Text in NFC. Made by `Value::from`, which normalises; by hand only from text that is ASCII.
    String(String),
    /// The elements of a list, set or tuple. Those of a set stand in order, without duplicates: see [`Value::set`].
    List(Vec<Value>),
    /// The elements of a map, or the attributes of an object.
    Map(BTreeMap<String, Value>),
    /// A value that carries its type, where the schema says `dynamic`.
    Dynamic(Box<Typed>),
}

/// What is promised about an unknown value. A promise binds: to break it at apply is an error of the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refinement {
    /// The value will not be null.
    pub not_null: bool,
}

/// A value with its type, for places whose schema says `dynamic`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Typed {
    /// The type; never `Dynamic` itself.
    pub ty: Type,
    /// The value, of that type.
    pub value: Value,
}

static NULL: Value = Value::Null;
static UNKNOWN: Value = Value::Unknown(Refinement { not_null: false });

impl Value {
    /// Makes an unknown value about which nothing is promised.
    #[must_use]
    pub const fn unknown() -> Value {
        Value::Unknown(Refinement { not_null: false })
    }

    /// Makes an object, or a map.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(
            attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// Makes a list, or a tuple.
    #[must_use]
    pub fn list<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
        Value::List(elements.into_iter().map(Into::into).collect())
    }

    /// Makes a set: the elements in order, known duplicates once. Elements that are not wholly known are all kept, for
    /// they may still turn out to differ.
    #[must_use]
    pub fn set<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
        let mut elements: Vec<Value> = elements.into_iter().map(Into::into).collect();
        elements.sort();
        elements.dedup_by(|a, b| a == b && a.is_wholly_known());
        Value::List(elements)
    }

    /// The attribute of that name: null if there is none or this is null, unknown if this is unknown.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        match self {
            Value::Map(attributes) => attributes.get(name).unwrap_or(&NULL),
            Value::Unknown(_) => &UNKNOWN,
            Value::Dynamic(typed) => typed.value.get(name),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::List(_) => &NULL,
        }
    }

    /// What stands at the path, if the path leads anywhere; below an unknown value all is unknown. The elements of a set
    /// count in their order.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Value> {
        path.steps().iter().try_fold(self, Value::child)
    }

    fn child(&self, step: &Step) -> Option<&Value> {
        match (self, step) {
            (Value::Map(attributes), Step::Attribute(name) | Step::Key(name)) => attributes.get(name),
            (Value::List(elements), Step::Index(index)) => elements.get(usize::try_from(*index).ok()?),
            (Value::Unknown(_), _) => Some(&UNKNOWN),
            _ => None,
        }
    }

    /// Puts a value at the path; the last step may name an attribute or key that is new. Says whether the path led
    /// somewhere: if not, nothing is changed. A set must not be changed element by element: put the whole set.
    pub fn set_at(&mut self, path: &Path, value: impl Into<Value>) -> bool {
        let Some((last, parents)) = path.steps().split_last() else {
            *self = value.into();
            return true;
        };
        let parent = parents.iter().try_fold(self, |value, step| match (value, step) {
            (Value::Map(attributes), Step::Attribute(name) | Step::Key(name)) => attributes.get_mut(name),
            (Value::List(elements), Step::Index(index)) => elements.get_mut(usize::try_from(*index).ok()?),
            _ => None,
        });
        match (parent, last) {
            (Some(Value::Map(attributes)), Step::Attribute(name) | Step::Key(name)) => {
                attributes.insert(name.clone(), value.into());
                true
            }
            (Some(Value::List(elements)), Step::Index(index)) => {
                let element = usize::try_from(*index).ok().and_then(|index| elements.get_mut(index));
                element.map(|element| *element = value.into()).is_some()
            }
            _ => false,
        }
    }

    /// The same value with something else at the path; unchanged if the path leads nowhere.
    #[must_use]
    pub fn with(mut self, path: impl Into<Path>, value: impl Into<Value>) -> Value {
        self.set_at(&path.into(), value);
        self
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self.inner() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.inner() {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        match self.inner() {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The number as integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::to_i64)
    }

    /// The number as unsigned integer, if it is one and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::to_u64)
    }

    /// The float nearest to the number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::to_f64)
    }

    /// The elements of a list, set or tuple.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self.inner() {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements of a map, or the attributes of an object.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self.inner() {
            Value::Map(elements) => Some(elements),
            _ => None,
        }
    }

    /// The value without the type that a dynamic one carries.
    #[must_use]
    pub fn inner(&self) -> &Value {
        match self {
            Value::Dynamic(typed) => typed.value.inner(),
            value => value,
        }
    }

    /// Says whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.inner(), Value::Null)
    }

    /// Says whether this is unknown as a whole.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.inner(), Value::Unknown(_))
    }

    /// Says whether this is neither null nor unknown. There may be unknown values inside.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.is_null() && !self.is_unknown()
    }

    /// Says whether nothing in here is unknown.
    #[must_use]
    pub fn is_wholly_known(&self) -> bool {
        match self.inner() {
            Value::Unknown(_) => false,
            Value::List(elements) => elements.iter().all(Value::is_wholly_known),
            Value::Map(elements) => elements.values().all(Value::is_wholly_known),
            _ => true,
        }
    }

    /// What the value is, in a word for messages: `null`, `a string`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Unknown(_) => "an unknown value",
            Value::Bool(_) => "a bool",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Dynamic(_) => "a dynamic value",
        }
    }

    /// Makes text that comes from outside a value: in NFC, as Terraform keeps it.
    #[must_use]
    pub fn string(text: impl Into<String>) -> Value {
        Value::String(normalised(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised() {
        assert_eq!(Value::from("e\u{301}"), Value::String("\u{e9}".into()));
    }

    #[test]
    fn a_set_drops_known_duplicates_and_order() {
        assert_eq!(Value::set(["b", "a", "b"]), Value::list(["a", "b"]));
        let unknown = Value::set([Value::unknown(), Value::unknown()]);
        assert_eq!(unknown.as_list().map(<[Value]>::len), Some(2));
    }

    #[test]
    fn attributes_of_what_is_no_object_are_null_or_unknown() {
        let object = Value::object([("a", Value::from(1))]);
        assert_eq!(object.get("a").as_i64(), Some(1));
        assert!(object.get("b").is_null());
        assert!(Value::Null.get("a").get("b").is_null());
        assert!(Value::unknown().get("a").get("b").is_unknown());
    }

    #[test]
    fn paths_lead_to_values_and_put_them() {
        let path = Path::from("pools").key("lab1").attribute("urls").index(0);
        let mut value = Value::object([(
            "pools",
            Value::object([("lab1", Value::object([("urls", Value::list(["x"]))]))]),
        )]);
        assert_eq!(value.at(&path), Some(&Value::from("x")));
        assert!(value.set_at(&path, "y"));
        assert_eq!(value.at(&path), Some(&Value::from("y")));
        assert!(value.set_at(&Path::from("new"), true));
        assert!(!value.set_at(&Path::from("no").attribute("way"), true));
        assert_eq!(Value::unknown().at(&path), Some(&Value::unknown()));
        assert!(!Value::unknown().set_at(&path, "y"));
        assert!(!value.set_at(&Path::from("pools").index(0), true));
        assert_eq!(value.clone().with("new", Value::Null).get("new"), &Value::Null);
    }

    #[test]
    fn knowledge_is_asked_at_the_root_or_all_the_way() {
        let value = Value::list([Value::Null, Value::unknown()]);
        assert!(value.is_set());
        assert!(!value.is_unknown());
        assert!(!value.is_wholly_known());
        let dynamic = Value::Dynamic(Box::new(Typed {
            ty: Type::String,
            value: Value::unknown(),
        }));
        assert!(dynamic.is_unknown() && !dynamic.is_wholly_known() && !dynamic.is_null());
    }
}
