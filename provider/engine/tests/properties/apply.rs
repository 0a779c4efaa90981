//! An honest apply: it does what was planned, fills in what was unknown, and spells it in its own way.

use cty::{Type, Typed, Value};
use engine::schema::{Attribute, Kind, Nesting, Schema};

use crate::choices::Choices;

/// Makes what was planned. Values that were unknown differ from all others, as identifiers do, or are null where that
/// makes no two elements of a set alike.
pub(crate) fn honest(choices: &mut Choices<'_>, schema: &Schema, planned: &Value) -> Value {
    filled(choices, &schema.value_type(), planned, Around::Paths)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Paths,
    Set,
}

fn filled(choices: &mut Choices<'_>, ty: &Type, planned: &Value, around: Around) -> Value {
    let mut all = |ty: &Type, elements: &[Value], around: Around| -> Vec<Value> {
        elements
            .iter()
            .map(|planned| filled(choices, ty, planned, around))
            .collect()
    };
    match (planned, ty) {
        (Value::List(elements), Type::List(ty)) => Value::list(all(ty, elements, around)),
        (Value::List(elements), Type::Set(ty)) => Value::set(all(ty, elements, Around::Set)),
        (Value::Map(elements), Type::Map(ty)) => {
            let values: Vec<Value> = elements.values().cloned().collect();
            Value::object(elements.keys().cloned().zip(all(ty, &values, around)))
        }
        (Value::Map(attributes), Type::Object(types)) => Value::object(types.iter().map(|(name, ty)| {
            let planned = attributes.get(name).unwrap_or(&Value::Null);
            (name.as_str(), filled(choices, ty, planned, around))
        })),
        (Value::Unknown(refinement), ty) if refinement.not_null || around == Around::Set || choices.chance(80) => {
            fresh(choices, ty)
        }
        (Value::Unknown(_), _) => Value::Null,
        (planned, _) => planned.clone(),
    }
}

fn fresh(choices: &mut Choices<'_>, ty: &Type) -> Value {
    let unique = choices.unique();
    match ty {
        Type::Bool => Value::from(unique.is_multiple_of(2)),
        Type::Number => Value::from(1000 + unique),
        Type::String => Value::from(format!("made-{unique}")),
        Type::Dynamic => Value::Dynamic(Box::new(Typed {
            ty: Type::Number,
            value: Value::from(1000 + unique),
        })),
        Type::List(ty) => Value::list([fresh(choices, ty)]),
        Type::Set(ty) => Value::set([fresh(choices, ty)]),
        Type::Map(ty) => Value::object([("made", fresh(choices, ty))]),
        Type::Object(types) => {
            let values: Vec<_> = types
                .iter()
                .map(|(name, ty)| (name.clone(), fresh(choices, ty)))
                .collect();
            Value::object(values)
        }
        Type::Tuple(types) => Value::list(types.iter().map(|ty| fresh(choices, ty)).collect::<Vec<_>>()),
    }
}

/// The same object as an API would tell it: durations in another unit, and nothing where there is an empty collection,
/// except in a set, whose elements might become alike.
pub(crate) fn respelled(schema: &Schema, value: &Value) -> Value {
    respelled_object(&schema.attributes, value, Empty::IsNull)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    IsNull,
    Stays,
}

fn respelled_object(attributes: &[Attribute], object: &Value, empty: Empty) -> Value {
    if !object.is_set() {
        return object.clone();
    }
    let attributes = attributes.iter();
    Value::object(attributes.map(|attribute| {
        (
            attribute.name.as_str(),
            respelled_value(attribute, object.get(&attribute.name), empty),
        )
    }))
}

fn respelled_value(attribute: &Attribute, value: &Value, empty: Empty) -> Value {
    let respelled = |inside: &[Attribute], element: &Value| match &attribute.kind {
        Kind::Nested(Nesting::Set, _) => respelled_object(inside, element, Empty::Stays),
        Kind::Nested(..) | Kind::Plain(_) => respelled_object(inside, element, empty),
    };
    match (&attribute.kind, value) {
        (_, Value::List(elements)) if elements.is_empty() && empty == Empty::IsNull => Value::Null,
        (Kind::Plain(ty), value) if attribute.equality.is_some() => respelled_plain(ty, value),
        (Kind::Nested(Nesting::Single, inside), value) => respelled(inside, value),
        (Kind::Nested(_, inside), Value::List(elements)) => {
            Value::list(elements.iter().map(|element| respelled(inside, element)))
        }
        (Kind::Nested(_, inside), Value::Map(elements)) => Value::object(
            elements
                .iter()
                .map(|(key, element)| (key.as_str(), respelled(inside, element))),
        ),
        (Kind::Plain(_) | Kind::Nested(..), value) => value.clone(),
    }
}

fn respelled_plain(ty: &Type, value: &Value) -> Value {
    match (ty, value) {
        (_, Value::String(text)) => match engine::duration::parse(text) {
            Ok(duration) => Value::from(format!("{}s", duration.as_secs())),
            Err(_) => value.clone(),
        },
        (Type::Set(ty), Value::List(elements)) => {
            Value::set(elements.iter().map(|element| respelled_plain(ty, element)))
        }
        (Type::List(ty), Value::List(elements)) => {
            Value::list(elements.iter().map(|element| respelled_plain(ty, element)))
        }
        (Type::Map(ty), Value::Map(elements)) => Value::object(
            elements
                .iter()
                .map(|(key, element)| (key.as_str(), respelled_plain(ty, element))),
        ),
        (_, value) => value.clone(),
    }
}
