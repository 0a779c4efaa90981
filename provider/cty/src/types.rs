//! [`Type`]: the shape of a value, and its wire form (`["list","string"]`).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value as Json, json};

/// The deepest nesting that a type read from outside may have; the same bound holds for values.
pub(crate) const MAX_DEPTH: usize = 64;

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `number`, of any precision
    Number,
    /// `string`, in NFC
    String,
    /// Any type, known only with the value (`any` in HCL).
    Dynamic,
    /// A sequence of one element type.
    List(Box<Type>),
    /// An unordered collection of distinct elements of one type.
    Set(Box<Type>),
    /// Values of one type by name.
    Map(Box<Type>),
    /// Named attributes, each with its own type.
    Object(BTreeMap<String, Type>),
    /// A sequence of fixed length, each element with its own type.
    Tuple(Vec<Type>),
}

/// Says why a text is not a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The text is no JSON.
    #[error("a type must be JSON")]
    NotJson,
    /// The JSON has not the form of a type.
    #[error("not a type: {0}")]
    NotAType(String),
    /// The type nests deeper than is accepted.
    #[error("a type may nest {MAX_DEPTH} levels at most")]
    TooDeep,
}

impl Type {
    /// Makes a list type.
    #[must_use]
    pub fn list(element: Type) -> Type {
        Type::List(Box::new(element))
    }

    /// Makes a set type.
    #[must_use]
    pub fn set(element: Type) -> Type {
        Type::Set(Box::new(element))
    }

    /// Makes a map type.
    #[must_use]
    pub fn map(element: Type) -> Type {
        Type::Map(Box::new(element))
    }

    /// Makes an object type.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Type)>) -> Type {
        Type::Object(attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// Writes the type as the protocol wants it: `"string"`, `["list","string"]`, `["object",{"a":"bool"}]`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    fn to_json_value(&self) -> Json {
        match self {
            Type::Bool => json!("bool"),
            Type::Number => json!("number"),
            Type::String => json!("string"),
            Type::Dynamic => json!("dynamic"),
            Type::List(element) => json!(["list", element.to_json_value()]),
            Type::Set(element) => json!(["set", element.to_json_value()]),
            Type::Map(element) => json!(["map", element.to_json_value()]),
            Type::Object(attributes) => {
                let fields: serde_json::Map<String, Json> = attributes
                    .iter()
                    .map(|(name, ty)| (name.clone(), ty.to_json_value()))
                    .collect();
                json!(["object", fields])
            }
            Type::Tuple(elements) => json!(["tuple", elements.iter().map(Type::to_json_value).collect::<Vec<_>>()]),
        }
    }

    /// Reads the wire form. The list of optional attribute names that an object may carry as a third element is accepted
    /// and dropped.
    ///
    /// # Errors
    /// If the text is no JSON, has not the form of a type, or nests too deep.
    pub fn from_json(text: &[u8]) -> Result<Type, TypeError> {
        let json: Json = serde_json::from_slice(text).map_err(|_| TypeError::NotJson)?;
        Type::from_json_value(&json, MAX_DEPTH)
    }

    fn from_json_value(json: &Json, depth: usize) -> Result<Type, TypeError> {
        let depth = depth.checked_sub(1).ok_or(TypeError::TooDeep)?;
        let refused = || TypeError::NotAType(json.to_string());
        let inner = |json: &Json| Type::from_json_value(json, depth);
        match json {
            Json::String(name) => Type::primitive(name).ok_or_else(refused),
            Json::Array(parts) => match parts.as_slice() {
                [Json::String(kind), element] if kind == "list" => Ok(Type::list(inner(element)?)),
                [Json::String(kind), element] if kind == "set" => Ok(Type::set(inner(element)?)),
                [Json::String(kind), element] if kind == "map" => Ok(Type::map(inner(element)?)),
                [Json::String(kind), Json::Object(fields), ..] if kind == "object" => {
                    let fields = fields
                        .iter()
                        .map(|(name, ty)| Ok((crate::nfc::normalised(name.as_str()), inner(ty)?)));
                    Ok(Type::Object(fields.collect::<Result<_, TypeError>>()?))
                }
                [Json::String(kind), Json::Array(elements)] if kind == "tuple" => {
                    Ok(Type::Tuple(elements.iter().map(inner).collect::<Result<_, _>>()?))
                }
                _ => Err(refused()),
            },
            _ => Err(refused()),
        }
    }

    fn primitive(name: &str) -> Option<Type> {
        match name {
            "bool" => Some(Type::Bool),
            "number" => Some(Type::Number),
            "string" => Some(Type::String),
            "dynamic" => Some(Type::Dynamic),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    /// Writes the type as HCL does: `list(string)`, `object({ a = bool })`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Bool => f.write_str("bool"),
            Type::Number => f.write_str("number"),
            Type::String => f.write_str("string"),
            Type::Dynamic => f.write_str("any"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Set(element) => write!(f, "set({element})"),
            Type::Map(element) => write!(f, "map({element})"),
            Type::Object(attributes) => {
                let fields: Vec<String> = attributes.iter().map(|(name, ty)| format!("{name} = {ty}")).collect();
                write!(f, "object({{ {} }})", fields.join(", "))
            }
            Type::Tuple(elements) => {
                let elements: Vec<String> = elements.iter().map(Type::to_string).collect();
                write!(f, "tuple([{}])", elements.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_read_and_written() {
        let cases = [
            (Type::String, r#""string""#, "string"),
            (Type::Dynamic, r#""dynamic""#, "any"),
            (Type::list(Type::Number), r#"["list","number"]"#, "list(number)"),
            (
                Type::set(Type::map(Type::Bool)),
                r#"["set",["map","bool"]]"#,
                "set(map(bool))",
            ),
            (
                Type::object([("a", Type::Bool), ("b", Type::String)]),
                r#"["object",{"a":"bool","b":"string"}]"#,
                "object({ a = bool, b = string })",
            ),
            (
                Type::Tuple(vec![Type::Bool, Type::Number]),
                r#"["tuple",["bool","number"]]"#,
                "tuple([bool, number])",
            ),
        ];
        for (ty, wire, hcl) in cases {
            assert_eq!(ty.to_json(), wire);
            assert_eq!(Type::from_json(wire.as_bytes()), Ok(ty.clone()), "{wire}");
            assert_eq!(ty.to_string(), hcl);
        }
    }

    #[test]
    fn optional_attribute_names_are_dropped() {
        let read = Type::from_json(br#"["object",{"a":"bool"},["a"]]"#);
        assert_eq!(read, Ok(Type::object([("a", Type::Bool)])));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for wire in [
            "",
            "{",
            "1",
            r#""text""#,
            r#"["list"]"#,
            r#"["list","string","string"]"#,
            r#"["object",["a"]]"#,
            "[]",
        ] {
            assert!(Type::from_json(wire.as_bytes()).is_err(), "{wire}");
        }
        let deep = format!("{}\"bool\"{}", r#"["list","#.repeat(100), "]".repeat(100));
        assert_eq!(Type::from_json(deep.as_bytes()), Err(TypeError::TooDeep));
    }
}
