//! Finds the changes that need a new object.
//!
//! Core counts a path only if the value there changes, and a set's elements have no path: for them, and for lists whose
//! elements are told apart by a key, the path is that of the collection. An element that comes or goes is a change of the
//! collection, not of the attributes inside it.

use cty::{Path, Value};

use super::base::{Before, elements};
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
        if planned != *prior && needs_new(roots, attribute, config, prior, &planned) {
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
    let has_paths = nesting != Nesting::Set && attribute.match_by.is_none();
    let collection = outer.collection.clone().or_else(|| (!has_paths).then(|| path.clone()));
    let found = elements(attribute, nesting, outer.config.get(name), outer.before.attribute(name));
    let continued = found
        .into_iter()
        .filter(|element| nesting == Nesting::Single || !element.before.continued.is_null());
    let places = continued.filter_map(|element| {
        let planned = outer.planned.at(&element.path(&Path::from(name)))?;
        Some(Place {
            config: element.config,
            before: element.before,
            planned,
            path: element.path(path),
            collection: collection.clone(),
        })
    });
    places.collect()
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
