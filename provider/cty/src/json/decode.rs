//! From JSON to a [`Value`].

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::nfc::normalised;
use crate::types::MAX_DEPTH;
use crate::{CodecError, Number, Path, Problem, Type, Typed, Value};

/// Reads a value of the type from JSON: missing attributes are null, unknown ones are dropped, a number or truth value
/// may stand as text and the other way round, as older states have it.
///
/// # Errors
/// If the text is no JSON, holds something else than the type asks for, or nests too deep.
pub fn decode(json: &[u8], ty: &Type) -> Result<Value, CodecError> {
    read(raw(json)?, ty, &Path::root())
}

/// Reads a value from JSON as it stands: objects become maps, arrays lists.
///
/// # Errors
/// If the text is no JSON or nests too deep.
pub fn decode_untyped(json: &[u8]) -> Result<Value, CodecError> {
    read_any(raw(json)?, &Path::root())
}

fn raw(json: &[u8]) -> Result<&RawValue, CodecError> {
    serde_json::from_slice(json).map_err(|error| malformed(&Path::root(), &error))
}

fn malformed(path: &Path, error: &serde_json::Error) -> CodecError {
    CodecError::at(path, Problem::Malformed(error.to_string()))
}

/// One level of JSON. A number stays text, so that no digit is lost.
enum Level<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(BTreeMap<String, &'a RawValue>),
}

impl<'a> Level<'a> {
    fn of(json: &'a RawValue, path: &Path) -> Result<Level<'a>, CodecError> {
        if path.steps().len() >= MAX_DEPTH {
            return Err(CodecError::at(path, Problem::TooDeep));
        }
        let text = json.get();
        let level = match text.as_bytes().first() {
            Some(b'n') => Ok(Level::Null),
            Some(b't') => Ok(Level::Bool(true)),
            Some(b'f') => Ok(Level::Bool(false)),
            Some(b'"') => serde_json::from_str(text).map(Level::Text),
            Some(b'[') => serde_json::from_str(text).map(Level::Array),
            Some(b'{') => serde_json::from_str(text).map(Level::Object),
            _ => Ok(Level::Number(text)),
        };
        level.map_err(|error| malformed(path, &error))
    }

    fn kind(&self) -> &'static str {
        match self {
            Level::Null => "null",
            Level::Bool(_) => "a bool",
            Level::Number(_) => "a number",
            Level::Text(_) => "a string",
            Level::Array(_) => "an array",
            Level::Object(_) => "an object",
        }
    }
}

fn read(json: &RawValue, ty: &Type, path: &Path) -> Result<Value, CodecError> {
    match (Level::of(json, path)?, ty) {
        (Level::Null, _) => Ok(Value::Null),
        (Level::Object(fields), Type::Dynamic) => read_typed(&fields, path),
        (Level::Bool(bool), Type::Bool) => Ok(Value::Bool(bool)),
        (Level::Text(text), Type::Bool) if text == "true" || text == "false" => Ok(Value::Bool(text == "true")),
        (Level::Number(text), Type::Number) => number(text, path),
        (Level::Text(text), Type::Number) => number(&text, path),
        (Level::Text(text), Type::String) => Ok(Value::string(text)),
        (Level::Number(text), Type::String) => Ok(Value::string(text)),
        (Level::Bool(bool), Type::String) => Ok(Value::string(bool.to_string())),
        (Level::Array(elements), Type::List(element)) => Ok(Value::List(read_elements(&elements, element, path)?)),
        (Level::Array(elements), Type::Set(element)) => Ok(Value::set(read_elements(&elements, element, path)?)),
        (Level::Array(elements), Type::Tuple(types)) => read_tuple(&elements, types, path),
        (Level::Object(fields), Type::Map(element)) => {
            let elements = fields.into_iter().map(|(key, json)| {
                let value = read(json, element, &path.key(&key))?;
                Ok((normalised(key), value))
            });
            Ok(Value::Map(elements.collect::<Result<_, _>>()?))
        }
        (Level::Object(fields), Type::Object(types)) => {
            let attributes = types.iter().map(|(name, ty)| match fields.get(name) {
                Some(json) => Ok((name.clone(), read(json, ty, &path.attribute(name))?)),
                None => Ok((name.clone(), Value::Null)),
            });
            Ok(Value::Map(attributes.collect::<Result<_, _>>()?))
        }
        (level, ty) => Err(CodecError::mismatch(path, ty, level.kind())),
    }
}

fn read_elements(elements: &[&RawValue], ty: &Type, path: &Path) -> Result<Vec<Value>, CodecError> {
    elements
        .iter()
        .enumerate()
        .map(|(index, json)| read(json, ty, &path.index(index)))
        .collect()
}

fn read_tuple(elements: &[&RawValue], types: &[Type], path: &Path) -> Result<Value, CodecError> {
    if elements.len() != types.len() {
        return Err(CodecError::at(
            path,
            Problem::Count {
                expected: types.len(),
                found: elements.len(),
            },
        ));
    }
    let elements = elements
        .iter()
        .zip(types)
        .enumerate()
        .map(|(index, (json, ty))| read(json, ty, &path.index(index)));
    Ok(Value::List(elements.collect::<Result<_, _>>()?))
}

/// A dynamic value in a state is `{"value": …, "type": …}`.
fn read_typed(fields: &BTreeMap<String, &RawValue>, path: &Path) -> Result<Value, CodecError> {
    let (Some(value), Some(ty)) = (fields.get("value"), fields.get("type")) else {
        return Err(CodecError::mismatch(
            path,
            &Type::Dynamic,
            "an object without \"value\" and \"type\"",
        ));
    };
    let ty = Type::from_json(ty.get().as_bytes()).map_err(|error| CodecError::at(path, error))?;
    let value = read(value, &ty, &path.attribute("value"))?;
    Ok(match ty {
        Type::Dynamic => value,
        _ if value == Value::Null => Value::Null,
        ty => Value::Dynamic(Box::new(Typed { ty, value })),
    })
}

fn read_any(json: &RawValue, path: &Path) -> Result<Value, CodecError> {
    match Level::of(json, path)? {
        Level::Null => Ok(Value::Null),
        Level::Bool(bool) => Ok(Value::Bool(bool)),
        Level::Number(text) => number(text, path),
        Level::Text(text) => Ok(Value::string(text)),
        Level::Array(elements) => {
            let elements = elements
                .iter()
                .enumerate()
                .map(|(index, json)| read_any(json, &path.index(index)));
            Ok(Value::List(elements.collect::<Result<_, _>>()?))
        }
        Level::Object(fields) => {
            let fields = fields.into_iter().map(|(key, json)| {
                let value = read_any(json, &path.key(&key))?;
                Ok((normalised(key), value))
            });
            Ok(Value::Map(fields.collect::<Result<_, _>>()?))
        }
    }
}

fn number(text: &str, path: &Path) -> Result<Value, CodecError> {
    text.parse::<Number>()
        .map(Value::Number)
        .map_err(|error| CodecError::at(path, error))
}
