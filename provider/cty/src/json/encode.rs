//! From a [`Value`] to JSON.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::types::MAX_DEPTH;
use crate::{CodecError, Path, Problem, Type, Value};

/// Writes a value as JSON. Attributes that an object lacks are written as null.
///
/// # Errors
/// If the value is not of the type, holds an unknown, or nests too deep.
pub fn encode(value: &Value, ty: &Type) -> Result<String, CodecError> {
    write(value, ty, &Path::root()).map(|json| json.get().to_owned())
}

type Raw = Box<RawValue>;

fn write(value: &Value, ty: &Type, path: &Path) -> Result<Raw, CodecError> {
    if path.steps().len() >= MAX_DEPTH {
        return Err(CodecError::at(path, Problem::TooDeep));
    }
    match (value, ty) {
        (Value::Unknown(_), _) => Err(CodecError::at(path, Problem::UnknownValue)),
        (Value::Dynamic(typed), Type::Dynamic) => {
            let value = write(&typed.value, &typed.ty, &path.attribute("value"))?;
            let ty = raw(typed.ty.to_json(), path)?;
            join(&BTreeMap::from([("value", value), ("type", ty)]), path)
        }
        (Value::Null, _) => join(&(), path),
        (Value::Bool(bool), Type::Bool) => join(bool, path),
        (Value::Number(number), Type::Number) => raw(number.to_string(), path),
        (Value::String(text), Type::String) => join(text, path),
        (Value::List(elements), Type::List(element) | Type::Set(element)) => {
            join_elements(elements.iter().map(|value| (value, &**element)), path)
        }
        (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            join_elements(elements.iter().zip(types), path)
        }
        (Value::List(elements), Type::Tuple(types)) => Err(CodecError::at(
            path,
            Problem::Count {
                expected: types.len(),
                found: elements.len(),
            },
        )),
        (Value::Map(elements), Type::Map(element)) => {
            let elements = elements
                .iter()
                .map(|(key, value)| Ok((key, write(value, element, &path.key(key))?)));
            join(&elements.collect::<Result<BTreeMap<_, _>, _>>()?, path)
        }
        (Value::Map(attributes), Type::Object(types)) => {
            if let Some(stranger) = attributes.keys().find(|name| !types.contains_key(*name)) {
                return Err(CodecError::at(path, Problem::UnknownAttribute(stranger.clone())));
            }
            let fields = types.iter().map(|(name, ty)| {
                let value = attributes.get(name).unwrap_or(&Value::Null);
                Ok((name, write(value, ty, &path.attribute(name))?))
            });
            join(&fields.collect::<Result<BTreeMap<_, _>, _>>()?, path)
        }
        (value, ty) => Err(CodecError::mismatch(path, ty, value.kind())),
    }
}

fn join_elements<'a>(elements: impl Iterator<Item = (&'a Value, &'a Type)>, path: &Path) -> Result<Raw, CodecError> {
    let elements = elements
        .enumerate()
        .map(|(index, (value, ty))| write(value, ty, &path.index(index)));
    join(&elements.collect::<Result<Vec<_>, _>>()?, path)
}

fn join<T: serde::Serialize + ?Sized>(json: &T, path: &Path) -> Result<Raw, CodecError> {
    serde_json::value::to_raw_value(json).map_err(|error| CodecError::at(path, Problem::Malformed(error.to_string())))
}

/// Takes text that is JSON already: the text of a number, or of a type.
fn raw(json: String, path: &Path) -> Result<Raw, CodecError> {
    RawValue::from_string(json).map_err(|error| CodecError::at(path, Problem::Malformed(error.to_string())))
}
