//! Settles what a provider found against what was known before: where both mean the same, the earlier value stays, byte
//! for byte. A difference in spelling, or between null and empty, is no change.

use cty::Value;

use crate::matching::{means_same, pairs};
use crate::schema::{Attribute, Kind, Nesting};

/// Settles an object. Write-only attributes become null.
pub(crate) fn object(attributes: &[Attribute], earlier: &Value, new: Value) -> Value {
    let Value::Map(mut found) = new else { return new };
    for attribute in attributes {
        let new = found.remove(&attribute.name).unwrap_or(Value::Null);
        let settled = if attribute.write_only {
            Value::Null
        } else {
            value(attribute, earlier.get(&attribute.name), new)
        };
        found.insert(attribute.name.clone(), settled);
    }
    Value::Map(found)
}

fn value(attribute: &Attribute, earlier: &Value, new: Value) -> Value {
    if is_empty(earlier) && is_empty(&new) || means_same(attribute, earlier, &new) {
        return earlier.clone();
    }
    match (&attribute.kind, earlier, new) {
        (Kind::Plain(ty), earlier, new) => plain(attribute, ty, earlier, new),
        (Kind::Nested(Nesting::Single, inside), earlier, new) => object(inside, earlier, new),
        (Kind::Nested(Nesting::Map, inside), earlier, Value::Map(elements)) => Value::Map(
            elements
                .into_iter()
                .map(|(key, new)| (key.clone(), object(inside, earlier.get(&key), new)))
                .collect(),
        ),
        (Kind::Nested(Nesting::Set, inside), earlier, Value::List(elements)) => {
            set(attribute, inside, earlier, elements)
        }
        (Kind::Nested(nesting, inside), earlier, Value::List(elements)) => {
            let old = earlier.as_list().unwrap_or_default();
            let pairs = pairs(attribute, *nesting, &elements, old, |new, old| agree(inside, old, new));
            let partner = |pair: Option<usize>| pair.and_then(|index| old.get(index)).unwrap_or(&Value::Null);
            Value::list(
                elements
                    .into_iter()
                    .zip(pairs)
                    .map(|(new, pair)| object(inside, partner(pair), new)),
            )
        }
        (Kind::Nested(..), _, new) => new,
    }
}

/// Settles the elements of a nested set. Earlier elements that mean what another one means, and so were told only once,
/// are put back.
fn set(attribute: &Attribute, inside: &[Attribute], earlier: &Value, elements: Vec<Value>) -> Value {
    let old = earlier.as_list().unwrap_or_default();
    let pairs = pairs(attribute, Nesting::Set, &elements, old, |new, old| {
        agree(inside, old, new)
    });
    let untold = old
        .iter()
        .enumerate()
        .filter(|(index, _)| !pairs.contains(&Some(*index)));
    let put_back = untold.filter_map(|(_, old)| {
        let new = elements.iter().find(|new| agree(inside, old, new))?;
        let restored = object(inside, old, new.clone());
        (restored == without_unknowns(old)).then_some(restored)
    });
    let put_back: Vec<Value> = put_back.collect();
    let partner = |pair: Option<usize>| pair.and_then(|index| old.get(index)).unwrap_or(&Value::Null);
    let settled = elements
        .into_iter()
        .zip(pairs)
        .map(|(new, pair)| object(inside, partner(pair), new));
    Value::set(settled.chain(put_back))
}

/// What an element is if nothing was found for what was unknown.
fn without_unknowns(value: &Value) -> Value {
    match value {
        Value::Unknown(_) => Value::Null,
        Value::List(elements) => Value::list(elements.iter().map(without_unknowns)),
        Value::Map(elements) => Value::object(
            elements
                .iter()
                .map(|(key, value)| (key.as_str(), without_unknowns(value))),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Dynamic(_) => value.clone(),
    }
}

/// Settles a collection of plain values element by element.
fn plain(attribute: &Attribute, ty: &cty::Type, earlier: &Value, new: Value) -> Value {
    let Some(equality) = attribute.equality else { return new };
    let settled = |earlier: Option<&Value>, new: Value, ty: &cty::Type| match earlier {
        Some(earlier) if equality.same(earlier, &new, ty) => earlier.clone(),
        _ => new,
    };
    match (ty, earlier, new) {
        (cty::Type::List(ty), Value::List(earlier), Value::List(new)) => Value::list(
            new.into_iter()
                .enumerate()
                .map(|(index, new)| settled(earlier.get(index), new, ty)),
        ),
        (cty::Type::Set(ty), Value::List(earlier), Value::List(new)) => Value::set(
            new.into_iter()
                .flat_map(|new| spellings(earlier, new, |earlier, new| equality.same(earlier, new, ty))),
        ),
        (cty::Type::Map(ty), Value::Map(earlier), Value::Map(new)) => Value::Map(
            new.into_iter()
                .map(|(key, new)| (key.clone(), settled(earlier.get(&key), new, ty)))
                .collect(),
        ),
        (_, _, new) => new,
    }
}

/// The elements of the earlier set that mean what the new element means; the new one if there is none. There may be
/// several: who tells it in his own words tells two spellings of one thing as one.
fn spellings(earlier: &[Value], new: Value, same: impl Fn(&Value, &Value) -> bool) -> Vec<Value> {
    let found: Vec<Value> = earlier.iter().filter(|earlier| same(earlier, &new)).cloned().collect();
    if found.is_empty() { vec![new] } else { found }
}

/// Null, and text or a collection with nothing in it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::List(elements) => elements.is_empty(),
        Value::Map(elements) => elements.is_empty(),
        Value::Unknown(_) | Value::Bool(_) | Value::Number(_) | Value::Dynamic(_) => false,
    }
}

/// Says whether a new object is what the earlier one says, as far as that is known.
fn agree(attributes: &[Attribute], earlier: &Value, new: &Value) -> bool {
    attributes.iter().all(|attribute| {
        let (earlier, new) = (earlier.get(&attribute.name), new.get(&attribute.name));
        earlier.is_unknown()
            || attribute.write_only
            || is_empty(earlier) && is_empty(new)
            || means_same(attribute, earlier, new)
            || matches!(&attribute.kind, Kind::Nested(nesting, inside) if all_agree(*nesting, inside, earlier, new))
    })
}

fn all_agree(nesting: Nesting, attributes: &[Attribute], earlier: &Value, new: &Value) -> bool {
    match (nesting, earlier, new) {
        (Nesting::Single, earlier, new) => earlier.is_set() && new.is_set() && agree(attributes, earlier, new),
        (Nesting::List, Value::List(earlier), Value::List(new)) => {
            earlier.len() == new.len()
                && earlier
                    .iter()
                    .zip(new)
                    .all(|(earlier, new)| agree(attributes, earlier, new))
        }
        // What is told once may stand for two elements that mean the same, so the counts may differ.
        (Nesting::Set, Value::List(earlier), Value::List(new)) => {
            earlier
                .iter()
                .all(|earlier| new.iter().any(|new| agree(attributes, earlier, new)))
                && new
                    .iter()
                    .all(|new| earlier.iter().any(|earlier| agree(attributes, earlier, new)))
        }
        (Nesting::Map, Value::Map(earlier), Value::Map(new)) => {
            earlier.len() == new.len()
                && earlier
                    .iter()
                    .all(|(key, earlier)| new.get(key).is_some_and(|new| agree(attributes, earlier, new)))
        }
        (Nesting::List | Nesting::Set | Nesting::Map, ..) => false,
    }
}
