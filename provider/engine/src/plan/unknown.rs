//! Marks what an update cannot know yet.

use cty::{Path, Value};

use super::base::{Before, elements};
use crate::matching::means_same;
use crate::schema::{Attribute, Kind, OnUpdate};

/// Marks the attributes of an object that the provider computes and whose value is not known before apply. Called only if
/// something changes at all. What stands at a pinned path is left alone.
pub(super) fn mark(
    attributes: &[Attribute],
    config: &Value,
    before: Before<'_>,
    planned: &mut Value,
    path: &Path,
    is_pinned: &impl Fn(&Path) -> bool,
) {
    mark_nested(attributes, config, before, planned, path, is_pinned);
    let is_new = before.continued.is_null();
    let mut open: Vec<&Attribute> = attributes
        .iter()
        .filter(|attribute| is_computed_here(attribute, config) && !is_pinned(&path.attribute(&attribute.name)))
        .collect();
    loop {
        let (due, rest) = open
            .into_iter()
            .partition::<Vec<_>, _>(|attribute| is_new || is_due(attribute, attributes, before, planned));
        if due.is_empty() {
            break;
        }
        for attribute in due {
            planned.set_at(&Path::from(attribute.name.as_str()), Value::unknown());
        }
        open = rest;
    }
}

fn mark_nested(
    attributes: &[Attribute],
    config: &Value,
    before: Before<'_>,
    planned: &mut Value,
    path: &Path,
    is_pinned: &impl Fn(&Path) -> bool,
) {
    for attribute in attributes {
        let (name, path) = (attribute.name.as_str(), path.attribute(&attribute.name));
        let Kind::Nested(nesting, inside) = &attribute.kind else {
            continue;
        };
        if !config.get(name).is_set() || is_pinned(&path) {
            continue;
        }
        for element in elements(attribute, *nesting, config.get(name), before.attribute(name)) {
            let place = element.path(&Path::from(name));
            if let Some(mut object) = planned.at(&place).cloned().filter(Value::is_set) {
                mark(
                    inside,
                    element.config,
                    element.before,
                    &mut object,
                    &element.path(&path),
                    is_pinned,
                );
                planned.set_at(&place, object);
            }
        }
    }
}

fn is_computed_here(attribute: &Attribute, config: &Value) -> bool {
    attribute.presence.is_computed()
        && attribute.default.is_none()
        && !attribute.write_only
        && config.get(&attribute.name).is_null()
}

fn is_due(attribute: &Attribute, attributes: &[Attribute], before: Before<'_>, planned: &Value) -> bool {
    match &attribute.on_update {
        OnUpdate::Unknown => true,
        OnUpdate::Keep => false,
        OnUpdate::UnknownWhenChanged(names) => attributes
            .iter()
            .filter(|other| names.contains(&other.name))
            .any(|other| has_changed(other, before, planned)),
    }
}

fn has_changed(attribute: &Attribute, before: Before<'_>, planned: &Value) -> bool {
    let planned = planned.get(&attribute.name).clone().canonical(&attribute.value_type());
    !means_same(attribute, &planned, before.continued.get(&attribute.name))
}
