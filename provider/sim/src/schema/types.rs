//! The types of the data model, and what of the wire's looseness each accepts.

use crate::value::{Map, Value};

/// A XenAPI type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Str,
    Int,
    Float,
    Bool,
    Time,
    Void,
    Ref,
    Enum(String),
    Set(Box<Type>),
    Map(Box<Type>),
    /// A constructor's or an event's structure.
    Record,
}

impl Type {
    pub(crate) fn parse(text: &str) -> Self {
        if let Some(inner) = text.strip_suffix(" set") {
            return Self::Set(Box::new(Self::parse(inner)));
        }
        if let Some(inner) = text.strip_suffix(" map") {
            let value = inner
                .trim_matches(['(', ')'])
                .split_once(" -> ")
                .map_or("string", |(_, v)| v);
            return Self::Map(Box::new(Self::parse(value)));
        }
        if let Some(name) = text.strip_prefix("enum ") {
            return Self::Enum(name.to_owned());
        }
        match text {
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "datetime" => Self::Time,
            "void" => Self::Void,
            _ if text.ends_with(" ref") => Self::Ref,
            _ if text.ends_with(" record") => Self::Record,
            _ => Self::Str,
        }
    }

    /// The value of a fresh row, from the model's text or else the type's zero.
    pub(crate) fn default(&self, text: Option<&str>) -> Value {
        let text = text.unwrap_or_default();
        match self {
            Self::Str => Value::str(text.trim_matches('"')),
            Self::Int => Value::Int(text.parse().unwrap_or(0)),
            Self::Float => Value::Float(text.parse().unwrap_or(0.0)),
            Self::Bool => Value::Bool(text == "true"),
            Self::Time => Value::Time(0),
            Self::Void | Self::Record => Value::Void,
            Self::Ref => Value::str("OpaqueRef:NULL"),
            Self::Enum(name) if text.is_empty() => {
                let first = match name.as_str() {
                    "task_status_type" => "pending",
                    "vif_ipv4_configuration_mode" | "vif_ipv6_configuration_mode" => "None",
                    "ip_configuration_mode" | "ipv6_configuration_mode" => "None",
                    _ => "",
                };
                Value::str(first)
            }
            Self::Enum(_) => Value::str(text),
            Self::Set(inner) => {
                let items = text.trim_matches(['{', '}']);
                let items = items.split("; ").filter(|t| !t.is_empty());
                Value::Set(items.map(|t| inner.default(Some(t))).collect())
            }
            Self::Map(_) => {
                let pairs = text
                    .trim_matches(['{', '}'])
                    .split(", ")
                    .filter_map(|p| p.split_once(" -> "));
                Value::map(pairs.map(|(k, v)| (k.trim_matches('"'), v.trim_matches('"'))))
            }
        }
    }

    /// Brings a value from the wire to this type; `None` if it is of another one.
    pub(crate) fn accept(&self, value: Value) -> Option<Value> {
        Some(match (self, value) {
            (Self::Str | Self::Ref | Self::Enum(_), Value::Str(text)) => Value::Str(text),
            // An empty XML value is a string of no characters.
            (Self::Str | Self::Ref | Self::Enum(_), Value::Void) => Value::str(""),
            (Self::Int, Value::Int(n)) => Value::Int(n),
            (Self::Int, Value::Str(text)) => Value::Int(text.trim().parse().ok()?),
            #[expect(clippy::cast_possible_truncation, reason = "only whole numbers that fit come here")]
            (Self::Int, Value::Float(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Value::Int(n as i64),
            (Self::Float, Value::Float(n)) => Value::Float(n),
            #[expect(clippy::cast_precision_loss, reason = "seconds and fractions are small")]
            (Self::Float, Value::Int(n)) => Value::Float(n as f64),
            (Self::Float, Value::Str(text)) => Value::Float(text.trim().parse().ok()?),
            (Self::Bool, Value::Bool(b)) => Value::Bool(b),
            (Self::Time, Value::Time(t)) => Value::Time(t),
            (Self::Time, Value::Str(text)) => Value::Time(crate::wire::parse_datetime(&text)?),
            (Self::Set(inner), Value::Set(items)) => {
                Value::Set(items.into_iter().map(|v| inner.accept(v)).collect::<Option<_>>()?)
            }
            (Self::Map(inner), Value::Map(map)) => Value::Map(
                map.into_iter()
                    .map(|(k, v)| Some((k, inner.accept(v)?)))
                    .collect::<Option<Map>>()?,
            ),
            (Self::Record, Value::Map(map)) => Value::Map(map),
            (Self::Void, _) => Value::Void,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_types_parse() {
        let ty = Type::parse("(string -> enum vm_operations) map");
        assert_eq!(ty, Type::Map(Box::new(Type::Enum("vm_operations".to_owned()))));
        assert_eq!(
            Type::parse("string set set"),
            Type::Set(Box::new(Type::Set(Box::new(Type::Str))))
        );
        assert_eq!(Type::parse("VM ref set"), Type::Set(Box::new(Type::Ref)));
    }

    #[test]
    fn integers_may_come_as_text_but_booleans_may_not() {
        assert_eq!(
            Type::Int.accept(Value::str("4294967296")),
            Some(Value::Int(4_294_967_296))
        );
        assert_eq!(Type::Int.accept(Value::str("x")), None);
        assert_eq!(Type::Bool.accept(Value::str("true")), None);
        assert_eq!(Type::Float.accept(Value::Int(3)), Some(Value::Float(3.0)));
    }
}
