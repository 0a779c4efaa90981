//! From a [`Value`] to MessagePack.

use std::collections::BTreeMap;

use rmp::encode as write;

use crate::types::MAX_DEPTH;
use crate::{CodecError, Number, Path, Problem, Refinement, Type, Typed, Value};

/// Writes a value as MessagePack. Attributes that an object lacks are written as null.
///
/// # Errors
/// If the value is not of the type, or nests too deep.
pub fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    put(&mut out, value, ty, &Path::root())?;
    Ok(out)
}

/// Writing into a vector cannot fail; the result type of `rmp` says otherwise.
fn written<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok(), "writing to memory");
}

fn put(out: &mut Vec<u8>, value: &Value, ty: &Type, path: &Path) -> Result<(), CodecError> {
    if path.steps().len() >= MAX_DEPTH {
        return Err(CodecError::at(path, Problem::TooDeep));
    }
    match (value, ty) {
        (Value::Dynamic(typed), Type::Dynamic) => put_typed(out, typed, path),
        (Value::Null, _) => {
            written(write::write_nil(out));
            Ok(())
        }
        (Value::Unknown(refinement), _) => {
            put_unknown(out, *refinement);
            Ok(())
        }
        (Value::Bool(bool), Type::Bool) => {
            written(write::write_bool(out, *bool));
            Ok(())
        }
        (Value::String(text), Type::String) => {
            written(write::write_str(out, text));
            Ok(())
        }
        (Value::Number(number), Type::Number) => {
            put_number(out, number);
            Ok(())
        }
        (Value::List(elements), Type::List(element) | Type::Set(element)) => put_elements(
            out,
            elements.iter().map(|value| (value, &**element)),
            elements.len(),
            path,
        ),
        (Value::List(elements), Type::Tuple(types)) => {
            if elements.len() != types.len() {
                return Err(CodecError::at(
                    path,
                    Problem::Count {
                        expected: types.len(),
                        found: elements.len(),
                    },
                ));
            }
            put_elements(out, elements.iter().zip(types), elements.len(), path)
        }
        (Value::Map(elements), Type::Map(element)) => put_map(out, elements, element, path),
        (Value::Map(attributes), Type::Object(types)) => put_object(out, attributes, types, path),
        (value, ty) => Err(CodecError::mismatch(path, ty, value.kind())),
    }
}

fn put_unknown(out: &mut Vec<u8>, refinement: Refinement) {
    if refinement.not_null {
        // Extension 12 holds a map of promises; promise 1 is "may be null", here false.
        out.extend_from_slice(&[0xc7, 0x03, 0x0c, 0x81, 0x01, 0xc2]);
    } else {
        out.extend_from_slice(&[0xd4, 0x00, 0x00]);
    }
}

/// Every number goes as its decimal text, which core reads at full precision, as it reads its own state. Read from an integer or a float it would have
/// another precision than the same number in the state, and a refresh would report a difference that nobody can see
/// (hashicorp/terraform#37406).
fn put_number(out: &mut Vec<u8>, number: &Number) {
    written(write::write_str(out, &number.to_string()));
}

fn put_elements<'a>(
    out: &mut Vec<u8>,
    elements: impl Iterator<Item = (&'a Value, &'a Type)>,
    count: usize,
    path: &Path,
) -> Result<(), CodecError> {
    written(write::write_array_len(out, length(count, path)?));
    for (index, (value, ty)) in elements.enumerate() {
        put(out, value, ty, &path.index(index))?;
    }
    Ok(())
}

fn put_map(
    out: &mut Vec<u8>,
    elements: &BTreeMap<String, Value>,
    element: &Type,
    path: &Path,
) -> Result<(), CodecError> {
    written(write::write_map_len(out, length(elements.len(), path)?));
    for (key, value) in elements {
        written(write::write_str(out, key));
        put(out, value, element, &path.key(key))?;
    }
    Ok(())
}

fn put_object(
    out: &mut Vec<u8>,
    attributes: &BTreeMap<String, Value>,
    types: &BTreeMap<String, Type>,
    path: &Path,
) -> Result<(), CodecError> {
    if let Some(stranger) = attributes.keys().find(|name| !types.contains_key(*name)) {
        return Err(CodecError::at(path, Problem::UnknownAttribute(stranger.clone())));
    }
    written(write::write_map_len(out, length(types.len(), path)?));
    for (name, ty) in types {
        written(write::write_str(out, name));
        put(
            out,
            attributes.get(name).unwrap_or(&Value::Null),
            ty,
            &path.attribute(name),
        )?;
    }
    Ok(())
}

fn put_typed(out: &mut Vec<u8>, typed: &Typed, path: &Path) -> Result<(), CodecError> {
    if typed.value == Value::Null {
        written(write::write_nil(out));
        return Ok(());
    }
    written(write::write_array_len(out, 2));
    written(write::write_bin(out, typed.ty.to_json().as_bytes()));
    put(out, &typed.value, &typed.ty, &path.index(1))
}

fn length(count: usize, path: &Path) -> Result<u32, CodecError> {
    u32::try_from(count).map_err(|_| CodecError::at(path, Problem::Malformed("too many elements".to_owned())))
}
