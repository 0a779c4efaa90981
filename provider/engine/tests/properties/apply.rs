//! An honest apply: it does what was planned, fills in what was unknown, and spells it in its own way.

use cty::{Type, Typed, Value};
use engine::schema::{Attribute, Kind, Nesting, Schema};

use crate::choices::Choices;

/// Makes what was planned. Values that were unknown differ from all others, as identifiers do.
pub(crate) fn honest(choices: &mut Choices<'_>, schema: &Schema, planned: &Value) -> Value {
    filled(choices, &schema.value_type(), planned)
}

fn filled(choices: &mut Choices<'_>, ty: &Type, planned: &Value) -> Value {
    match (planned, ty) {
        (Value::Unknown(refinement), ty) if refinement.not_null || choices.chance(80) => fresh(choices, ty),
        (Value::Unknown(_), _) => Value::Null,
        (Value::List(elements), Type::List(ty)) => Value::list(
            elements
                .iter()
                .map(|planned| filled(choices, ty, planned))
                .collect::<Vec<_>>(),
        ),
        (Value::List(elements), Type::Set(ty)) => Value::set(
            elements
                .iter()
                .map(|planned| filled(choices, ty, planned))
                .collect::<Vec<_>>(),
        ),
        (Value::Map(elements), Type::Map(ty)) => {
            let elements: Vec<_> = elements
                .iter()
                .map(|(key, planned)| (key.clone(), filled(choices, ty, planned)))
                .collect();
            Value::object(elements)
        }
        (Value::Map(attributes), Type::Object(types)) => {
            let values: Vec<_> = types
                .iter()
                .map(|(name, ty)| (name.clone(), filled(choices, ty, &attributes[name])))
                .collect();
            Value::object(values)
        }
        (planned, _) => planned.clone(),
    }
}

fn fresh(choices: &mut Choices<'_>, ty: &Type) -> Value {
    let unique = choices.unique();
    match ty {
        // There are only two, so a bool might make two elements of a set alike.
        Type::Bool => Value::Null,
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

/// The same object as an API would tell it: durations in another unit, nothing where there is an empty collection.
pub(crate) fn respelled(schema: &Schema, value: &Value) -> Value {
    respelled_object(&schema.attributes, value)
}

fn respelled_object(attributes: &[Attribute], object: &Value) -> Value {
    if !object.is_set() {
        return object.clone();
    }
    Value::object(attributes.iter().map(|attribute| {
        (
            attribute.name.as_str(),
            respelled_value(attribute, object.get(&attribute.name)),
        )
    }))
}

fn respelled_value(attribute: &Attribute, value: &Value) -> Value {
    match (&attribute.kind, value) {
        (_, Value::List(elements)) if elements.is_empty() => Value::Null,
        (Kind::Plain(ty), value) if attribute.equality.is_some() => respelled_plain(ty, value),
        (Kind::Nested(Nesting::Single, inside), value) => respelled_object(inside, value),
        (Kind::Nested(_, inside), Value::List(elements)) => {
            Value::list(elements.iter().map(|element| respelled_object(inside, element)))
        }
        (Kind::Nested(_, inside), Value::Map(elements)) => Value::object(
            elements
                .iter()
                .map(|(key, element)| (key.as_str(), respelled_object(inside, element))),
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
