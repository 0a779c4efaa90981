//! Settles what a provider found against what was known before: where both mean the same, the earlier value stays, byte
//! for byte. A difference in spelling, or between null and empty, is no change.

use cty::Value;

use crate::matching::{means_same, pairs};
use crate::schema::{Attribute, Kind, Nesting, Schema};

/// Settles a new object of the schema, in canonical form, against an earlier one.
pub(crate) fn against(schema: &Schema, earlier: &Value, new: Value) -> Value {
    let ty = schema.value_type();
    object(&schema.attributes, &earlier.clone().canonical(&ty), new.canonical(&ty)).canonical(&ty)
}

/// Settles an object. Write-only attributes become null.
fn object(attributes: &[Attribute], earlier: &Value, new: Value) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equality::Equality;
    use cty::Type;

    fn rows() -> Vec<Attribute> {
        let lease = || {
            vec![
                Attribute::string("ttl").equality(Equality::Duration),
                Attribute::string("id").computed(),
            ]
        };
        vec![
            Attribute::string("ttl").equality(Equality::Duration),
            Attribute::string("note"),
            Attribute::string("token").write_only(),
            Attribute::number("size"),
            Attribute::list("list", Type::String).equality(Equality::Duration),
            Attribute::set("set", Type::String).equality(Equality::Duration),
            Attribute::map("map", Type::String).equality(Equality::Duration),
            Attribute::object("one", lease()),
            Attribute::object_list("many", lease()).match_elements_by("id"),
            Attribute::object_set("some", lease()),
            Attribute::object_map("named", lease()),
            Attribute::object_set(
                "deep",
                vec![
                    Attribute::object_set("inner", vec![Attribute::list("list", Type::String)]),
                    Attribute::string("id").computed(),
                ],
            ),
        ]
    }

    fn settled(name: &str, earlier: Value, new: Value) -> Value {
        let object = |value: Value| Value::object([(name, value)]);
        super::object(&rows(), &object(earlier), object(new)).get(name).clone()
    }

    fn lease(ttl: &str, id: impl Into<Value>) -> Value {
        Value::object([("ttl", ttl.into()), ("id", id.into())])
    }

    #[test]
    fn the_earlier_spelling_stays_where_it_means_the_same() {
        let list = |elements: &[&str]| Value::list(elements.iter().copied());
        let named = |value: Value| Value::object([("k", value)]);
        let unknown = Value::unknown;
        let cases = [
            ("ttl", "60m".into(), "1h".into(), "60m".into()),
            ("ttl", "60m".into(), "2h".into(), "2h".into()),
            ("ttl", unknown(), "2h".into(), "2h".into()),
            ("note", "a".into(), "A".into(), "A".into()),
            ("list", list(&["60m", "2h"]), list(&["1h", "3h"]), list(&["60m", "3h"])),
            (
                "set",
                Value::set(["60m", "1h", "2h"]),
                Value::set(["3600s", "3h"]),
                Value::set(["60m", "1h", "3h"]),
            ),
            ("map", named("60m".into()), named("1h".into()), named("60m".into())),
            ("one", lease("60m", unknown()), lease("1h", "1"), lease("60m", "1")),
            (
                "named",
                named(lease("60m", "1")),
                named(lease("1h", "2")),
                named(lease("60m", "2")),
            ),
        ];
        for (name, earlier, new, expected) in cases {
            assert_eq!(settled(name, earlier, new), expected, "{name}");
        }
    }

    #[test]
    fn elements_are_settled_with_those_they_were() {
        let list = |elements: &[Value]| Value::list(elements.iter().cloned());
        let set = |elements: &[Value]| Value::set(elements.iter().cloned());
        let moved = settled(
            "many",
            list(&[lease("60m", "1"), lease("2h", "2")]),
            list(&[lease("120m", "2"), lease("1h", "1")]),
        );
        assert_eq!(moved, list(&[lease("2h", "2"), lease("60m", "1")]));
        let planned = set(&[lease("60m", Value::unknown()), lease("2h", Value::unknown())]);
        let made = settled("some", planned.clone(), set(&[lease("120m", "2"), lease("1h", "1")]));
        assert_eq!(made, set(&[lease("2h", "2"), lease("60m", "1")]));
        let lost = settled("some", planned, set(&[lease("120m", "2")]));
        assert_eq!(lost, set(&[lease("2h", "2")]), "what was not made is not made up");
        let told_once = settled(
            "some",
            set(&[lease("60m", "1"), lease("1h", "1")]),
            set(&[lease("3600s", "1")]),
        );
        assert_eq!(told_once, set(&[lease("60m", "1"), lease("1h", "1")]));
    }

    #[test]
    fn what_is_told_to_the_letter_goes_before_what_means_the_same() {
        let nothing = || Value::object([("list", Value::Null)]);
        let empty = || Value::object([("list", Value::list::<Value>([]))]);
        let element = |inner: Vec<Value>, id: Value| Value::object([("inner", Value::set(inner)), ("id", id)]);
        let both = |first: Value, second: Value| {
            Value::set([element(vec![nothing(), empty()], first), element(vec![empty()], second)])
        };
        for (first, second) in [("1", "2"), ("2", "1")] {
            let told = both(first.into(), second.into());
            let planned = both(Value::unknown(), Value::unknown());
            assert_eq!(settled("deep", planned, told.clone()), told);
        }
    }

    #[test]
    fn null_and_empty_are_the_same_and_the_earlier_stays() {
        let empty = || Value::list::<Value>([]);
        for (name, earlier, new) in [
            ("note", Value::Null, "".into()),
            ("note", "".into(), Value::Null),
            ("list", Value::Null, empty()),
            ("set", empty(), Value::Null),
            ("many", Value::Null, empty()),
        ] {
            assert_eq!(settled(name, earlier.clone(), new), earlier, "{name}");
        }
        assert_eq!(settled("note", "x".into(), "".into()), "".into());
        assert_eq!(settled("size", Value::Null, 0.into()), 0.into());
    }

    #[test]
    fn write_only_values_are_dropped() {
        assert_eq!(settled("token", Value::Null, "t".into()), Value::Null);
    }
}
