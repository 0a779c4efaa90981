//! What core proposes: the configuration with what was computed before. Core sends it along with every plan; the engine
//! builds its own (see [`super::base`]), and tests compare the two.

use cty::Value;

use crate::schema::{Attribute, Kind, Nesting, Schema};

/// Makes the value that core sends as `proposed_new_state`.
#[must_use]
pub fn proposed_new(schema: &Schema, config: &Value, prior: &Value) -> Value {
    let ty = schema.value_type();
    match (config, prior) {
        (Value::Null, Value::Null) => Value::Null,
        (Value::Null | Value::Unknown(_), prior) => prior.clone(),
        (config, prior) => object(&schema.attributes, config, prior).canonical(&ty),
    }
}

fn object(attributes: &[Attribute], config: &Value, prior: &Value) -> Value {
    if !config.is_set() {
        return config.clone();
    }
    Value::object(attributes.iter().map(|attribute| {
        let name = attribute.name.as_str();
        (name, value(attribute, config.get(name), prior.get(name)))
    }))
}

fn value(attribute: &Attribute, config: &Value, prior: &Value) -> Value {
    match &attribute.kind {
        _ if attribute.presence.is_computed() && config.is_null() => {
            if was_configured(attribute, prior) {
                config.clone()
            } else {
                prior.clone()
            }
        }
        Kind::Nested(nesting, attributes) => nested(*nesting, attributes, config, prior),
        Kind::Plain(_) => config.clone(),
    }
}

fn nested(nesting: Nesting, attributes: &[Attribute], config: &Value, prior: &Value) -> Value {
    match (nesting, config) {
        (Nesting::Single, config) => object(attributes, config, prior),
        (Nesting::List, Value::List(elements)) => {
            let old = prior.as_list().unwrap_or_default();
            Value::list(elements.iter().enumerate().map(|(index, config)| {
                old.get(index)
                    .map_or(config.clone(), |old| object(attributes, config, old))
            }))
        }
        (Nesting::Map, Value::Map(elements)) => {
            let merged = elements.iter().map(|(key, config)| {
                let old = prior.as_map().and_then(|old| old.get(key));
                (
                    key.as_str(),
                    old.map_or(config.clone(), |old| object(attributes, config, old)),
                )
            });
            Value::object(merged)
        }
        (Nesting::Set, Value::List(elements)) => {
            let mut free: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
            Value::set(elements.iter().map(|config| {
                let found = free.iter().position(|old| could_come_from(attributes, config, old));
                let old = found.map_or(&Value::Null, |index| free.remove(index));
                object(attributes, config, old)
            }))
        }
        (Nesting::List | Nesting::Map | Nesting::Set, config) => config.clone(),
    }
}

/// If an optional and computed object holds values that only a configuration can set, it was configured before, and to
/// remove it from the configuration is to remove it.
fn was_configured(attribute: &Attribute, prior: &Value) -> bool {
    attribute.presence.is_optional()
        && matches!(&attribute.kind, Kind::Nested(nesting, attributes) if holds_configured(*nesting, attributes, prior))
}

fn holds_configured(nesting: Nesting, attributes: &[Attribute], value: &Value) -> bool {
    objects(nesting, value).iter().any(|object| {
        attributes.iter().any(|attribute| {
            let value = object.get(&attribute.name);
            let inside = matches!(&attribute.kind, Kind::Nested(nesting, attributes) if holds_configured(*nesting, attributes, value));
            !value.is_null() && (!attribute.presence.is_computed() || inside)
        })
    })
}

fn objects(nesting: Nesting, value: &Value) -> Vec<&Value> {
    match (nesting, value) {
        (Nesting::Single, value) => vec![value],
        (Nesting::List | Nesting::Set, value) => value.as_list().unwrap_or_default().iter().collect(),
        (Nesting::Map, value) => value
            .as_map()
            .into_iter()
            .flat_map(|elements| elements.values())
            .collect(),
    }
}

/// Core's test for the elements of sets: equal, or different only in computed attributes that are not configured. Sets
/// inside must be equal.
fn could_come_from(attributes: &[Attribute], config: &Value, prior: &Value) -> bool {
    attributes.iter().all(|attribute| {
        let (config, prior) = (config.get(&attribute.name), prior.get(&attribute.name));
        config == prior
            || match &attribute.kind {
                Kind::Nested(Nesting::Set, _) => false,
                Kind::Plain(_) => attribute.presence.is_computed() && config.is_null(),
                Kind::Nested(Nesting::Single, inside) => config.is_set() && could_come_from(inside, config, prior),
                Kind::Nested(Nesting::List | Nesting::Map, inside) => all_could_come_from(inside, config, prior),
            }
    })
}

fn all_could_come_from(attributes: &[Attribute], config: &Value, prior: &Value) -> bool {
    match (config, prior) {
        (Value::List(config), Value::List(prior)) => {
            config.len() == prior.len()
                && config
                    .iter()
                    .zip(prior)
                    .all(|(config, prior)| could_come_from(attributes, config, prior))
        }
        (Value::Map(config), Value::Map(prior)) => {
            config.len() == prior.len()
                && config.iter().all(|(key, config)| {
                    prior
                        .get(key)
                        .is_some_and(|prior| could_come_from(attributes, config, prior))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let disk = || {
            vec![
                Attribute::string("name").required(),
                Attribute::string("id").computed(),
                Attribute::string("kind").optional_computed(),
            ]
        };
        Schema::new(vec![
            Attribute::string("name").optional(),
            Attribute::string("id").computed(),
            Attribute::object_list("disks", disk()).optional(),
            Attribute::object_set("shares", disk()).optional(),
            Attribute::object_map("pools", disk()).optional(),
            Attribute::object("boot", disk()).optional_computed(),
        ])
    }

    fn disk(name: &str, id: Option<&str>, kind: Option<&str>) -> Value {
        Value::object([("name", name.into()), ("id", id.into()), ("kind", kind.into())])
    }

    fn proposed(name: &str, config: Value, prior: Value) -> Value {
        let empty = schema().empty();
        let [config, prior] = [config, prior].map(|value| empty.clone().with(name, value));
        proposed_new(&schema(), &config, &prior).get(name).clone()
    }

    #[test]
    fn computed_values_are_carried_along() {
        let configured = |name| disk(name, None, None);
        let old = |name| disk(name, Some("1"), Some("ssd"));
        let list = |elements: &[Value]| Value::list(elements.iter().cloned());
        let map = |elements: &[(&str, Value)]| Value::object(elements.iter().cloned());
        let cases = [
            ("name", Value::Null, "vm".into(), Value::Null),
            ("id", Value::Null, "1".into(), "1".into()),
            (
                "disks",
                list(&[configured("b"), configured("c")]),
                list(&[old("a")]),
                list(&[old("b"), configured("c")]),
            ),
            (
                "shares",
                list(&[configured("b"), configured("c")]),
                list(&[old("b"), old("d")]),
                list(&[configured("c"), old("b")]),
            ),
            (
                "pools",
                map(&[("x", configured("b"))]),
                map(&[("x", old("a")), ("y", old("b"))]),
                map(&[("x", old("b"))]),
            ),
            ("boot", Value::Null, old("a"), Value::Null),
            ("boot", configured("b"), old("a"), old("b")),
            ("disks", Value::unknown(), list(&[old("a")]), Value::unknown()),
        ];
        for (name, config, prior, expected) in cases {
            assert_eq!(proposed(name, config.clone(), prior), expected, "{name} = {config}");
        }
    }

    #[test]
    fn without_configuration_or_state_there_is_little_to_propose() {
        let some = schema().empty().with("name", "vm").with("id", "1");
        assert_eq!(proposed_new(&schema(), &Value::Null, &Value::Null), Value::Null);
        assert_eq!(proposed_new(&schema(), &Value::Null, &some), some);
        assert_eq!(
            proposed_new(&schema(), &some.clone().with("id", Value::Null), &Value::Null),
            some.with("id", Value::Null)
        );
    }
}
