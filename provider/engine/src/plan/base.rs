//! The base of a plan: what is configured, defaults, and what the provider computed before.

use cty::{Path, Step, Value};

use crate::matching::{came_from, means_same, pairs};
use crate::schema::{Attribute, Kind, Nesting};

/// What was before, from two points of view.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    /// The object that this one continues; null if it is new.
    pub(super) continued: &'a Value,
    /// The object that stood in this place. Core compares with it, so only its spelling of a configured value may be kept.
    pub(super) in_place: &'a Value,
}

impl<'a> Before<'a> {
    pub(super) fn of(prior: &'a Value) -> Before<'a> {
        Before {
            continued: prior,
            in_place: prior,
        }
    }

    pub(super) fn attribute(self, name: &str) -> Before<'a> {
        Before {
            continued: self.continued.get(name),
            in_place: self.in_place.get(name),
        }
    }
}

/// Makes the base of an object. The elements of a set stay in the order of the configuration, so that later passes can
/// walk both side by side.
pub(super) fn object(attributes: &[Attribute], config: &Value, before: Before<'_>) -> Value {
    if !config.is_set() {
        return config.clone();
    }
    Value::object(attributes.iter().map(|attribute| {
        let name = attribute.name.as_str();
        (name, value(attribute, config.get(name), before.attribute(name)))
    }))
}

fn value(attribute: &Attribute, config: &Value, before: Before<'_>) -> Value {
    let spelled = |value: &Value, earlier: &Value| {
        if means_same(attribute, value, earlier) {
            earlier.clone()
        } else {
            value.clone()
        }
    };
    match (config, &attribute.kind) {
        _ if attribute.write_only => Value::Null,
        (Value::Null, _) => match &attribute.default {
            Some(default) => spelled(&default.clone().canonical(&attribute.value_type()), before.continued),
            None if attribute.presence.is_computed() => before.continued.clone(),
            None => Value::Null,
        },
        (Value::Unknown(_), _) => config.clone(),
        (config, Kind::Plain(_)) => spelled(config, before.in_place),
        (config, Kind::Nested(nesting, attributes)) => {
            let objects = elements(attribute, *nesting, config, before).into_iter();
            rebuilt(
                *nesting,
                config,
                objects.map(|element| object(attributes, element.config, element.before)),
            )
        }
    }
}

/// One object of a nested attribute.
pub(super) struct Element<'a> {
    step: Option<Step>,
    pub(super) config: &'a Value,
    pub(super) before: Before<'a>,
}

/// The objects of a nested attribute, each with what was before: as many as the configured value has, in its order.
pub(super) fn elements<'a>(
    attribute: &Attribute,
    nesting: Nesting,
    config: &'a Value,
    before: Before<'a>,
) -> Vec<Element<'a>> {
    static NULL: Value = Value::Null;
    match nesting {
        Nesting::Single => vec![Element {
            step: None,
            config,
            before,
        }],
        Nesting::Map => {
            let keys = config.as_map().into_iter().flatten();
            keys.map(|(key, config)| Element {
                step: Some(Step::Key(key.clone())),
                config,
                before: before.attribute(key),
            })
            .collect()
        }
        Nesting::List | Nesting::Set => {
            let new = config.as_list().unwrap_or_default();
            let old = before.continued.as_list().unwrap_or_default();
            let in_place = before.in_place.as_list().unwrap_or_default();
            let pairs = pairs(attribute, nesting, new, old, |new, old| {
                came_from(attribute.nested(), new, old)
            });
            let partner = |index: Option<usize>| index.and_then(|index| old.get(index)).unwrap_or(&NULL);
            let elements = new.iter().zip(pairs).enumerate().map(|(index, (config, pair))| {
                let continued = partner(pair);
                let in_place = if nesting == Nesting::Set {
                    continued
                } else {
                    in_place.get(index).unwrap_or(&NULL)
                };
                let step = Some(Step::Index(i64::try_from(index).unwrap_or(i64::MAX)));
                Element {
                    step,
                    config,
                    before: Before { continued, in_place },
                }
            });
            elements.collect()
        }
    }
}

impl Element<'_> {
    /// The path of this element in the attribute at `path`. In a set it holds only as long as the order of the
    /// configuration is kept.
    pub(super) fn path(&self, path: &Path) -> Path {
        self.step.clone().map_or_else(|| path.clone(), |step| path.step(step))
    }
}

/// Puts the new objects of a nested attribute into the form of its configured value, one for one.
fn rebuilt(nesting: Nesting, config: &Value, mut objects: impl Iterator<Item = Value>) -> Value {
    match nesting {
        Nesting::Single => objects.next().unwrap_or(Value::Null),
        Nesting::List | Nesting::Set => Value::List(objects.collect()),
        Nesting::Map => Value::object(
            config
                .as_map()
                .into_iter()
                .flat_map(|elements| elements.keys().cloned())
                .zip(objects),
        ),
    }
}
