//! The base of a plan: what is configured, defaults, and what the provider computed before.

use cty::{Path, Step, Value};

use crate::matching::{came_from, may_continue, means_same, pairs};
use crate::schema::{Attribute, Kind, Nesting};

/// What was before, from two points of view.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    /// The object that this one continues; null if it is new.
    pub(super) continued: &'a Value,
    /// The object that stood in this place. Core compares with it, so only its spelling of a configured value may be kept.
    in_place: &'a Value,
    spelling: Spelling,
}

/// How far a value may keep the spelling that it had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Text may. A collection keeps the configured one: core accepts the prior only for the whole, so that a collection of
    /// which one element is not known yet could not be planned to keep it, and at apply it would be too late.
    OfTexts,
    /// Everything may: core does not compare the elements of a set with the configuration.
    OfAll,
    /// Not known yet: the element of a set around this may turn out to continue one that spells it in another way.
    Open,
}

impl<'a> Before<'a> {
    pub(super) fn of(prior: &'a Value) -> Before<'a> {
        Before {
            continued: prior,
            in_place: prior,
            spelling: Spelling::OfTexts,
        }
    }

    pub(super) fn attribute(self, name: &str) -> Before<'a> {
        Before {
            continued: self.continued.get(name),
            in_place: self.in_place.get(name),
            ..self
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
    match (config, &attribute.kind) {
        _ if attribute.write_only => Value::Null,
        (Value::Null, _) => match &attribute.default {
            Some(default) => spelled(attribute, default.clone().canonical(&attribute.value_type()), before),
            None if attribute.presence.is_computed() => before.continued.clone(),
            None => Value::Null,
        },
        (Value::Unknown(_), _) => config.clone(),
        (config, Kind::Plain(_)) => spelled(attribute, config.clone(), before),
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

/// The value in the spelling that it had, if it had one.
fn spelled(attribute: &Attribute, value: Value, before: Before<'_>) -> Value {
    let may_keep = match before.spelling {
        Spelling::OfTexts => matches!(value, Value::String(_)),
        Spelling::OfAll => true,
        Spelling::Open if attribute.equality.is_some() => return Value::unknown(),
        Spelling::Open => false,
    };
    if may_keep && means_same(attribute, &value, before.in_place) {
        before.in_place.clone()
    } else {
        value
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
            let free: Vec<&Value> = old
                .iter()
                .enumerate()
                .filter(|(index, _)| !pairs.contains(&Some(*index)))
                .map(|(_, old)| old)
                .collect();
            let partner = |pair: Option<usize>| pair.and_then(|index| old.get(index)).unwrap_or(&NULL);
            let elements = new.iter().zip(pairs).enumerate().map(|(index, (config, pair))| {
                let step = Some(Step::Index(i64::try_from(index).unwrap_or(i64::MAX)));
                let before = match nesting {
                    Nesting::Set => {
                        let is_open = pair.is_none()
                            && !config.is_wholly_known()
                            && free.iter().any(|old| may_continue(attribute, config, old));
                        let spelling = match before.spelling {
                            Spelling::OfTexts | Spelling::OfAll if is_open => Spelling::Open,
                            Spelling::OfTexts | Spelling::OfAll => Spelling::OfAll,
                            Spelling::Open => Spelling::Open,
                        };
                        Before {
                            continued: partner(pair),
                            in_place: partner(pair),
                            spelling,
                        }
                    }
                    Nesting::Single | Nesting::List | Nesting::Map => {
                        let in_place = in_place.get(index).unwrap_or(&NULL);
                        Before {
                            continued: partner(pair),
                            in_place,
                            spelling: before.spelling,
                        }
                    }
                };
                Element { step, config, before }
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
