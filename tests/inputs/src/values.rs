//! Values as Terraform sends and stores them. The first line is the type, as JSON, the rest is the value.

use cty::{Type, Value, json, msgpack};

use crate::lines::head_and_rest;

pub(crate) fn msgpack(bytes: &[u8]) {
    let Some((ty, bytes)) = typed(bytes) else { return };
    let Ok(value) = msgpack::decode(bytes, &ty) else { return };
    let canonical = value.clone().canonical(&ty);
    let written = msgpack::encode(&value, &ty);
    let read = written.and_then(|written| msgpack::decode(&written, &ty));
    assert_eq!(read.map(|read| read.canonical(&ty)), Ok(canonical.clone()), "{ty}");
    stored(&canonical, &ty);
}

pub(crate) fn json(bytes: &[u8]) {
    let Some((ty, bytes)) = typed(bytes) else { return };
    if let Ok(value) = json::decode_untyped(bytes) {
        drop(value.to_string());
    }
    let Ok(value) = json::decode(bytes, &ty) else { return };
    let value = value.canonical(&ty);
    assert!(
        json::encode(&value, &ty).is_ok(),
        "{ty}: {value} is read but not written"
    );
    stored(&value, &ty);
}

/// The type comes back, too.
fn typed(bytes: &[u8]) -> Option<(Type, &[u8])> {
    let (head, rest) = head_and_rest(bytes);
    let ty = Type::from_json(head).ok()?;
    assert_eq!(Type::from_json(ty.to_json().as_bytes()), Ok(ty.clone()));
    Some((ty, rest))
}

/// What can be stored at all, which nothing unknown can, comes back from the state.
fn stored(value: &Value, ty: &Type) {
    if let Ok(text) = json::encode(value, ty) {
        let read = json::decode(text.as_bytes(), ty);
        assert_eq!(read.map(|read| read.canonical(ty)), Ok(value.clone()), "{ty}: {text}");
    }
}
