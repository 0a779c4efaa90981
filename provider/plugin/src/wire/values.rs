//! Values and private data.

use std::collections::BTreeMap;

use cty::{CodecError, Path, Type, Value, json, msgpack};
use engine::{diagnostics::Diagnostic, private::Private};
use proto::tfplugin6::DynamicValue;

/// Reads a value. An absent or empty one is null: OpenTofu sends null function arguments like that.
pub(crate) fn decode(value: Option<&DynamicValue>, ty: &Type) -> Result<Value, Diagnostic> {
    let decoded = match value {
        Some(DynamicValue { msgpack, .. }) if !msgpack.is_empty() => msgpack::decode(msgpack, ty),
        Some(DynamicValue { json, .. }) if !json.is_empty() => json::decode(json, ty),
        Some(_) | None => Ok(Value::Null),
    };
    decoded.map_err(|error| {
        let detail = format!(
            "A value does not fit the provider's schema: {error}. The provider may have been exchanged while it was \
             in use."
        );
        Diagnostic::error("Unreadable value", detail).at(error.path)
    })
}

/// Writes a value.
pub(crate) fn encode(value: &Value, ty: &Type) -> Result<DynamicValue, Diagnostic> {
    let written = msgpack::encode(value, ty).map(|msgpack| DynamicValue {
        msgpack,
        json: Vec::new(),
    });
    written.map_err(|error: CodecError| {
        let detail =
            format!("The provider has made a value that does not fit its own schema: {error}. Please report this bug.");
        Diagnostic::error("Bug in the provider", detail).at(error.path)
    })
}

/// Reads private data.
pub(crate) fn private(bytes: &[u8]) -> Result<Private, Diagnostic> {
    Private::from_bytes(bytes).map_err(|error| {
        Diagnostic::error(
            "Unreadable private data",
            format!("What the provider remembers about the object cannot be read: {error}."),
        )
    })
}

/// Makes what is unknown null, and tells where that was: a host accepts nothing unknown as a state.
pub(crate) fn without_unknowns(value: Value) -> (Value, Vec<Path>) {
    let mut places = Vec::new();
    let value = settle(value, &Path::root(), &mut places);
    (value, places)
}

fn settle(value: Value, path: &Path, places: &mut Vec<Path>) -> Value {
    match value {
        Value::Unknown(_) => {
            places.push(path.clone());
            Value::Null
        }
        Value::List(elements) => {
            let elements = elements.into_iter().enumerate();
            Value::List(
                elements
                    .map(|(index, element)| settle(element, &path.index(index), places))
                    .collect(),
            )
        }
        Value::Map(members) => {
            let member = |(name, member): (String, Value)| {
                let member = settle(member, &path.attribute(&name), places);
                (name, member)
            };
            Value::Map(members.into_iter().map(member).collect::<BTreeMap<_, _>>())
        }
        Value::Dynamic(mut typed) => {
            typed.value = settle(typed.value, path, places);
            Value::Dynamic(typed)
        }
        known @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_are_null() {
        assert_eq!(decode(None, &Type::String), Ok(Value::Null));
        assert_eq!(decode(Some(&DynamicValue::default()), &Type::String), Ok(Value::Null));
    }

    #[test]
    fn json_is_read_where_there_is_no_msgpack() {
        let value = DynamicValue {
            msgpack: Vec::new(),
            json: b"\"a\"".to_vec(),
        };
        assert_eq!(decode(Some(&value), &Type::String), Ok(Value::from("a")));
    }

    #[test]
    fn values_come_back() {
        let (value, ty) = (
            Value::object([("a", Value::from(1))]),
            Type::object([("a", Type::Number)]),
        );
        assert_eq!(decode(Some(&encode(&value, &ty).unwrap()), &ty), Ok(value));
    }

    #[test]
    fn garbage_is_a_diagnostic() {
        let value = DynamicValue {
            msgpack: vec![0xc1, 0xff],
            json: Vec::new(),
        };
        assert_eq!(
            decode(Some(&value), &Type::String).unwrap_err().summary,
            "Unreadable value"
        );
        assert_eq!(
            encode(&Value::from(true), &Type::list(Type::String))
                .unwrap_err()
                .summary,
            "Bug in the provider"
        );
    }

    #[test]
    fn unknown_parts_become_null_and_are_named() {
        let value = Value::object([
            ("id", Value::unknown()),
            ("name", Value::from("a")),
            ("ips", Value::list([Value::from("b"), Value::unknown()])),
        ]);
        let (known, places) = without_unknowns(value);
        assert_eq!(
            known,
            Value::object([
                ("id", Value::Null),
                ("name", Value::from("a")),
                ("ips", Value::list([Value::from("b"), Value::Null]))
            ])
        );
        assert_eq!(
            places.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["id", "ips[1]"]
        );
    }
}
