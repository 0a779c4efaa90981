//! Any schema that is sound.

use cty::Type;
use engine::equality::Equality;
use engine::schema::{Attribute, Change, Nesting, OnUpdate, Schema};

use crate::choices::Choices;
use crate::values;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Where attributes stand.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    in_set: bool,
}

pub(crate) fn schema(choices: &mut Choices<'_>) -> Schema {
    Schema::new(attributes(
        choices,
        Place {
            depth: 2,
            in_set: false,
        },
    ))
}

fn attributes(choices: &mut Choices<'_>, place: Place) -> Vec<Attribute> {
    let count = 1 + choices.below(NAMES.len());
    let names: Vec<&str> = NAMES.into_iter().take(count).collect();
    names
        .iter()
        .map(|name| attribute(choices, name, &names, place))
        .collect()
}

fn attribute(choices: &mut Choices<'_>, name: &str, beside: &[&str], place: Place) -> Attribute {
    let nestings = [Nesting::Single, Nesting::List, Nesting::Set, Nesting::Map];
    let attribute = match choices.below(if place.depth > 0 { 15 } else { 11 }) {
        0 => Attribute::string(name),
        1 => Attribute::integer(name),
        // Of bools there are only two, so that an honest apply could not keep the elements of a set apart.
        2 if place.in_set => Attribute::number(name),
        2 => Attribute::boolean(name),
        3 => Attribute::list(name, Type::String),
        4 => Attribute::set(name, Type::String),
        5 => Attribute::map(name, Type::String),
        6 => Attribute::string(name).equality(Equality::Duration),
        7 => Attribute::list(name, Type::String).equality(Equality::Duration),
        8 => Attribute::set(name, Type::String).equality(Equality::Duration),
        9 => Attribute::map(name, Type::String).equality(Equality::Duration),
        10 if place.in_set => Attribute::number(name),
        10 => Attribute::dynamic(name),
        _ => {
            let nesting = *choices.pick(&nestings);
            nested(choices, name, nesting, place)
        }
    };
    behaving(choices, attribute, beside, place)
}

fn nested(choices: &mut Choices<'_>, name: &str, nesting: Nesting, place: Place) -> Attribute {
    let inside = Place {
        depth: place.depth - 1,
        in_set: place.in_set || nesting == Nesting::Set,
    };
    let mut rows = attributes(choices, inside);
    let keyed = matches!(nesting, Nesting::List | Nesting::Set) && choices.chance(50);
    if keyed {
        rows.push(Attribute::string("key").required());
    }
    let attribute = match nesting {
        Nesting::Single => Attribute::object(name, rows),
        Nesting::List => Attribute::object_list(name, rows),
        Nesting::Set => Attribute::object_set(name, rows),
        Nesting::Map => Attribute::object_map(name, rows),
    };
    if keyed {
        attribute.match_elements_by("key")
    } else {
        attribute
    }
}

fn behaving(choices: &mut Choices<'_>, attribute: Attribute, beside: &[&str], place: Place) -> Attribute {
    let attribute = match choices.below(4) {
        0 => attribute.optional(),
        1 => attribute.required(),
        2 => attribute.computed(),
        _ => attribute.optional_computed(),
    };
    let attribute = match choices.below(5) {
        0 | 1 => attribute,
        2 => attribute.replaces(),
        3 => attribute.replaces_if_configured(),
        _ => attribute.replaces_if(|change: &Change<'_>| !change.planned.is_null(), "it is set"),
    };
    let attribute = match choices.below(3) {
        0 => attribute.on_update(OnUpdate::Unknown),
        1 => attribute.keep(),
        _ => attribute.unknown_when_changed(&[*choices.pick(beside)]),
    };
    let plain = attribute.nested().is_empty();
    match (attribute.presence.is_computed(), attribute.presence.is_optional()) {
        (true, true) if choices.chance(40) => {
            let default = values::default(choices, &attribute);
            attribute.default(default)
        }
        (false, _) if plain && !place.in_set && choices.chance(15) => attribute.write_only(),
        _ if choices.chance(10) => attribute.sensitive(),
        _ => attribute,
    }
}
