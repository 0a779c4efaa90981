//! Any configuration and any state of a schema.

use std::collections::BTreeSet;

use cty::{Refinement, Type, Typed, Value};
use engine::schema::{Attribute, Kind, Nesting, Schema};

use crate::choices::Choices;

const WORDS: [&str; 4] = ["", "x", "y", "z"];
const DURATIONS: [&str; 5] = ["1h", "60m", "3600s", "2h", "soon"];

/// What a value is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// A configuration, with unknown values.
    Config,
    /// A configuration in which all is known.
    Known,
    /// A default: a known configuration without write-only values.
    Default,
    /// A state: all is known, and everything may be set.
    State,
}

pub(crate) fn config(choices: &mut Choices<'_>, schema: &Schema) -> Value {
    object(choices, &schema.attributes, Use::Config)
}

pub(crate) fn state(choices: &mut Choices<'_>, schema: &Schema) -> Value {
    object(choices, &schema.attributes, Use::State)
}

pub(crate) fn default(choices: &mut Choices<'_>, attribute: &Attribute) -> Value {
    set(choices, attribute, Use::Default)
}

/// Any value of an attribute, known or not.
pub(crate) fn any_of(choices: &mut Choices<'_>, attribute: &Attribute) -> Value {
    match choices.below(5) {
        0 => Value::Null,
        1 => Value::unknown(),
        _ => set(choices, attribute, Use::State),
    }
}

fn object(choices: &mut Choices<'_>, attributes: &[Attribute], purpose: Use) -> Value {
    let values: Vec<_> = attributes
        .iter()
        .map(|attribute| (attribute.name.clone(), value(choices, attribute, purpose)))
        .collect();
    Value::object(values)
}

fn value(choices: &mut Choices<'_>, attribute: &Attribute, purpose: Use) -> Value {
    let read_only = attribute.presence.is_computed() && !attribute.presence.is_optional();
    match purpose {
        Use::State | Use::Default if attribute.write_only => Value::Null,
        Use::Config | Use::Known | Use::Default if read_only => Value::Null,
        Use::Config if choices.chance(15) => Value::Unknown(Refinement {
            not_null: attribute.presence.is_required() || choices.chance(50),
        }),
        _ if !attribute.presence.is_required() && choices.chance(40) => Value::Null,
        _ => set(choices, attribute, purpose),
    }
}

/// A value that is not null.
fn set(choices: &mut Choices<'_>, attribute: &Attribute, purpose: Use) -> Value {
    match &attribute.kind {
        Kind::Plain(ty) => plain(
            choices,
            ty,
            if attribute.equality.is_some() {
                &DURATIONS
            } else {
                &WORDS
            },
            purpose,
        ),
        Kind::Nested(Nesting::Single, inside) => object(choices, inside, purpose),
        Kind::Nested(Nesting::Map, inside) => {
            let elements: Vec<_> = (0..choices.below(4))
                .map(|_| (*choices.pick(&WORDS), object(choices, inside, purpose)))
                .collect();
            Value::object(elements)
        }
        Kind::Nested(nesting, inside) => {
            let mut keys: Vec<&str> = vec!["k0", "k1", "k2", "k3"];
            let elements: Vec<Value> = (0..choices.below(4))
                .map(|_| element(choices, attribute, inside, &mut keys, purpose))
                .collect();
            if *nesting == Nesting::Set {
                Value::set(elements)
            } else {
                Value::list(elements)
            }
        }
    }
}

/// An element of a list or set. If elements are told apart by a key, each has its own.
fn element(
    choices: &mut Choices<'_>,
    attribute: &Attribute,
    inside: &[Attribute],
    keys: &mut Vec<&str>,
    purpose: Use,
) -> Value {
    if purpose == Use::Config && choices.chance(5) {
        return Value::Unknown(Refinement { not_null: true });
    }
    let element = object(choices, inside, purpose);
    match &attribute.match_by {
        Some(key) if !element.get(key).is_unknown() => {
            element.with(key.as_str(), keys.remove(choices.below(keys.len())))
        }
        _ => element,
    }
}

fn plain(choices: &mut Choices<'_>, ty: &Type, words: &[&str], purpose: Use) -> Value {
    match ty {
        Type::Bool => Value::from(choices.chance(50)),
        Type::Number => Value::from(choices.below(3)),
        Type::List(ty) => Value::list(
            (0..choices.below(3))
                .map(|_| member(choices, ty, words, purpose))
                .collect::<Vec<_>>(),
        ),
        Type::Set(ty) => Value::set(
            (0..choices.below(3))
                .map(|_| member(choices, ty, words, purpose))
                .collect::<Vec<_>>(),
        ),
        Type::Map(ty) => Value::object(
            (0..choices.below(3))
                .map(|_| (*choices.pick(&WORDS), member(choices, ty, words, purpose)))
                .collect::<Vec<_>>(),
        ),
        Type::Dynamic => Value::Dynamic(Box::new(Typed {
            ty: Type::Number,
            value: Value::from(choices.below(3)),
        })),
        Type::String | Type::Object(_) | Type::Tuple(_) => Value::from(*choices.pick(words)),
    }
}

fn member(choices: &mut Choices<'_>, ty: &Type, words: &[&str], purpose: Use) -> Value {
    if purpose == Use::Config && choices.chance(15) {
        Value::unknown()
    } else {
        plain(choices, ty, words, purpose)
    }
}

/// The configuration as it is at apply: every unknown value has become known.
pub(crate) fn resolved(choices: &mut Choices<'_>, schema: &Schema, config: &Value) -> Value {
    resolved_object(choices, &schema.attributes, config)
}

fn resolved_object(choices: &mut Choices<'_>, attributes: &[Attribute], config: &Value) -> Value {
    if config.is_unknown() {
        return object(choices, attributes, Use::Known);
    }
    let values: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            (
                attribute.name.clone(),
                resolved_value(choices, attribute, config.get(&attribute.name)),
            )
        })
        .collect();
    Value::object(values)
}

fn resolved_value(choices: &mut Choices<'_>, attribute: &Attribute, config: &Value) -> Value {
    match (config, &attribute.kind) {
        (Value::Unknown(Refinement { not_null: true }), _) => set(choices, attribute, Use::Known),
        (Value::Unknown(_), _) => value(choices, attribute, Use::Known),
        (Value::Null, _) => Value::Null,
        (config, Kind::Plain(ty)) => resolved_plain(
            choices,
            ty,
            if attribute.equality.is_some() {
                &DURATIONS
            } else {
                &WORDS
            },
            config,
        ),
        (config, Kind::Nested(Nesting::Single, inside)) => resolved_object(choices, inside, config),
        (Value::Map(elements), Kind::Nested(_, inside)) => {
            let elements: Vec<_> = elements
                .iter()
                .map(|(key, config)| (key.clone(), resolved_object(choices, inside, config)))
                .collect();
            Value::object(elements)
        }
        (Value::List(elements), Kind::Nested(nesting, inside)) => {
            let resolved: Vec<Value> = elements
                .iter()
                .map(|config| resolved_object(choices, inside, config))
                .collect();
            let resolved = with_own_keys(choices, attribute, elements, resolved);
            if *nesting == Nesting::Set {
                Value::set(resolved)
            } else {
                Value::list(resolved)
            }
        }
        (config, Kind::Nested(..)) => config.clone(),
    }
}

/// Gives each element whose key was unknown a key that no other has.
fn with_own_keys(
    choices: &mut Choices<'_>,
    attribute: &Attribute,
    configs: &[Value],
    resolved: Vec<Value>,
) -> Vec<Value> {
    let Some(key) = &attribute.match_by else {
        return resolved;
    };
    let used: BTreeSet<&str> = configs.iter().filter_map(|config| config.get(key).as_str()).collect();
    let mut free: Vec<&str> = ["k0", "k1", "k2", "k3"]
        .into_iter()
        .filter(|key| !used.contains(key))
        .collect();
    let keyed = configs
        .iter()
        .zip(resolved)
        .map(|(config, resolved)| match config.get(key).is_unknown() {
            true => resolved.with(key.as_str(), free.remove(choices.below(free.len()))),
            false => resolved,
        });
    keyed.collect()
}

fn resolved_plain(choices: &mut Choices<'_>, ty: &Type, words: &[&str], config: &Value) -> Value {
    match (config, ty) {
        (Value::Unknown(_), ty) => plain(choices, ty, words, Use::Known),
        (Value::List(elements), Type::List(ty)) => Value::list(
            elements
                .iter()
                .map(|config| resolved_plain(choices, ty, words, config))
                .collect::<Vec<_>>(),
        ),
        (Value::List(elements), Type::Set(ty)) => Value::set(
            elements
                .iter()
                .map(|config| resolved_plain(choices, ty, words, config))
                .collect::<Vec<_>>(),
        ),
        (Value::Map(elements), Type::Map(ty)) => {
            let elements: Vec<_> = elements
                .iter()
                .map(|(key, config)| (key.clone(), resolved_plain(choices, ty, words, config)))
                .collect();
            Value::object(elements)
        }
        (config, _) => config.clone(),
    }
}
