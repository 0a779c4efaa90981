//! What is peculiar about sets: their elements have no path, and elements that become equal become one.

use cty::{Path, Step, Value};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::schema::{Attribute, Kind, Nesting};

/// Finds the nested sets of which two elements, different as configured, are planned alike, because a default or a kept
/// value makes up for the difference. Core would refuse the plan and blame the provider.
pub(super) fn check(attributes: &[Attribute], planned: &Value) -> Diagnostics {
    let mut found = Diagnostics::new();
    walk(attributes, planned, &Path::root(), &mut found);
    found
}

fn walk(attributes: &[Attribute], object: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in attributes {
        let Kind::Nested(nesting, inside) = &attribute.kind else {
            continue;
        };
        let (value, path) = (object.get(&attribute.name), path.attribute(&attribute.name));
        match (nesting, value) {
            (Nesting::Single, value) => walk(inside, value, &path, found),
            (Nesting::List | Nesting::Set, Value::List(elements)) => {
                let distinct = value.clone().canonical(&attribute.value_type());
                if distinct
                    .as_list()
                    .is_some_and(|distinct| distinct.len() < elements.len())
                {
                    found.push(alike(&path));
                }
                elements
                    .iter()
                    .enumerate()
                    .for_each(|(index, element)| walk(inside, element, &path.index(index), found));
            }
            (Nesting::Map, Value::Map(elements)) => {
                elements
                    .iter()
                    .for_each(|(key, element)| walk(inside, element, &path.key(key), found));
            }
            (Nesting::List | Nesting::Set | Nesting::Map, _) => {}
        }
    }
}

fn alike(path: &Path) -> Diagnostic {
    let detail = format!(
        "Two elements of {path} differ only in values that are left to their defaults, so that they are the same: remove one."
    );
    Diagnostic::error("Duplicate set element", detail).at(path)
}

/// The row of the attribute at a path, if the path ends at an attribute.
pub(super) fn attribute_at<'a>(attributes: &'a [Attribute], path: &Path) -> Option<&'a Attribute> {
    let mut inside = attributes;
    let mut found = None;
    for step in path.steps() {
        match step {
            Step::Attribute(name) => {
                found = Some(inside.iter().find(|attribute| attribute.name == *name)?);
                inside = found.map_or(&[], Attribute::nested);
            }
            Step::Index(_) | Step::Key(_) => found = None,
        }
    }
    found
}

/// Says whether a path goes on below a set.
pub(super) fn leads_into_a_set(attributes: &[Attribute], path: &Path) -> bool {
    let is_set = |attribute: &Attribute| matches!(attribute.value_type(), cty::Type::Set(_));
    let beginnings = (1..path.steps().len()).map(|length| path.steps().iter().take(length).cloned().collect::<Path>());
    beginnings
        .into_iter()
        .any(|beginning| attribute_at(attributes, &beginning).is_some_and(is_set))
}
