//! Finds the changes that need a new object.
//!
//! Core counts a path only if the value there changes, and a set's elements have no path: for them, and for lists whose
//! elements are told apart by a key, the path is that of the collection. An element that comes or goes is a change of the
//! collection, not of the attributes inside it.

use cty::{Path, Value};

use super::base::{Before, Element, elements};
use crate::matching::{may_continue, means_same};
use crate::schema::{Attribute, Change, Kind, Nesting, Replace};

/// The whole objects of a plan.
#[derive(Clone, Copy)]
pub(super) struct Roots<'a> {
    pub(super) config: &'a Value,
    pub(super) prior: &'a Value,
    pub(super) planned: &'a Value,
}

/// One object of a plan. `planned` has its sets in the order of the configuration.
pub(super) struct Place<'a> {
    pub(super) config: &'a Value,
    pub(super) before: Before<'a>,
    pub(super) planned: &'a Value,
    pub(super) path: Path,
    /// The collection whose path stands for all paths in it, if there is one around this object.
    pub(super) collection: Option<Path>,
}

/// The paths of the attributes whose change needs a new object.
pub(super) fn paths(roots: Roots<'_>, attributes: &[Attribute], place: &Place<'_>) -> Vec<Path> {
    let mut found = Vec::new();
    for attribute in attributes {
        let (name, path) = (attribute.name.as_str(), place.path.attribute(&attribute.name));
        let planned = place.planned.get(name).clone().canonical(&attribute.value_type());
        let (config, prior) = (place.config.get(name), place.before.continued.get(name));
        if !means_same(attribute, &planned, prior) && needs_new(roots, attribute, config, prior, &planned) {
            found.push(place.collection.clone().unwrap_or_else(|| path.clone()));
        }
        if let Kind::Nested(nesting, inside) = &attribute.kind {
            for place in inner(attribute, *nesting, place, &path) {
                found.extend(paths(roots, inside, &place));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn inner<'a>(attribute: &Attribute, nesting: Nesting, outer: &Place<'a>, path: &Path) -> Vec<Place<'a>> {
    let name = attribute.name.as_str();
    let (config, before) = (outer.config.get(name), outer.before.attribute(name));
    let has_paths = nesting != Nesting::Set && attribute.match_by.is_none();
    let collection = outer.collection.clone().or_else(|| (!has_paths).then(|| path.clone()));
    let found = elements(attribute, nesting, config, before);
    let continued = found
        .iter()
        .filter(|element| nesting == Nesting::Single || !element.before.continued.is_null());
    let mut places: Vec<Place<'a>> = continued
        .filter_map(|element| {
            let planned = outer.planned.at(&element.path(&Path::from(name)))?;
            let (config, before, path) = (element.config, element.before, element.path(path));
            Some(Place {
                config,
                before,
                planned,
                path,
                collection: collection.clone(),
            })
        })
        .collect();
    places.extend(
        undecided(attribute, nesting, outer, &found)
            .into_iter()
            .map(|(config, before, planned)| Place {
                config,
                before: Before::of(before),
                planned,
                path: path.clone(),
                collection: Some(outer.collection.clone().unwrap_or_else(|| path.clone())),
            }),
    );
    places
}

/// The elements of which it is not known yet which earlier ones they continue, with each that they may: if one of them
/// then needs a new object, the plan must say so now, for the action may not change at apply.
fn undecided<'a>(
    attribute: &Attribute,
    nesting: Nesting,
    outer: &Place<'a>,
    found: &[Element<'a>],
) -> Vec<(&'a Value, &'a Value, &'a Value)> {
    let name = attribute.name.as_str();
    let (config, planned) = (outer.config.get(name), outer.planned.get(name));
    let old: Vec<&'a Value> = match outer.before.continued.get(name) {
        Value::List(old) => old.iter().collect(),
        Value::Map(old) => old.values().collect(),
        _ => return Vec::new(),
    };
    match (nesting, config) {
        (Nesting::Single, _) => Vec::new(),
        (_, Value::Unknown(_)) => old.into_iter().map(|old| (config, old, planned)).collect(),
        (Nesting::List | Nesting::Set, _) if nesting == Nesting::Set || attribute.match_by.is_some() => {
            let free: Vec<&'a Value> = old
                .into_iter()
                .filter(|old| !found.iter().any(|element| std::ptr::eq(element.before.continued, *old)))
                .collect();
            let open = found
                .iter()
                .filter(|element| element.before.continued.is_null() && !element.config.is_wholly_known());
            let may = open.flat_map(|element| {
                let planned = outer
                    .planned
                    .at(&element.path(&Path::from(name)))
                    .unwrap_or(&Value::Null);
                let partners = free.iter().filter(|old| may_continue(attribute, element.config, old));
                partners.map(move |old| (element.config, *old, planned))
            });
            may.collect()
        }
        (Nesting::List | Nesting::Set | Nesting::Map, _) => Vec::new(),
    }
}

fn needs_new(roots: Roots<'_>, attribute: &Attribute, config: &Value, prior: &Value, planned: &Value) -> bool {
    match &attribute.replace {
        Replace::Never => false,
        Replace::Always => true,
        Replace::IfConfigured => !config.is_null(),
        Replace::If(decides, _) => decides(&Change {
            config,
            prior,
            planned,
            root_config: roots.config,
            root_prior: roots.prior,
            root_planned: roots.planned,
        }),
    }
}
