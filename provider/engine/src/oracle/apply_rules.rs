//! The rules for applies: core's `AssertObjectCompatible`, and what may be stored at all.

use std::collections::BTreeMap;

use cty::{Path, Refinement, Type, Value};

use super::{Found, Violation};
use crate::schema::Schema;

/// How an apply went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without errors: the new state must be what was planned.
    Succeeded,
    /// With errors: the new state says what is true.
    Failed,
}

/// Checks the answer to an apply.
#[must_use]
pub fn check_apply(schema: &Schema, planned: &Value, new: &Value, outcome: Outcome) -> Vec<Violation> {
    let mut invalid = Found::new("Provider returned invalid result object after apply");
    invalid.conforms(new, &schema.value_type());
    invalid.wholly_known(new);
    invalid.write_only_null(schema, new);
    let mut inconsistent = Found::new("Provider produced inconsistent result after apply");
    match outcome {
        Outcome::Succeeded => compatible(&mut inconsistent, schema, planned, new),
        Outcome::Failed => {}
    }
    invalid.violations.into_iter().chain(inconsistent.violations).collect()
}

/// Checks that `actual` completes `planned`: what was known is the same.
pub(super) fn compatible(found: &mut Found, schema: &Schema, planned: &Value, actual: &Value) {
    match (planned, actual) {
        (Value::Null, Value::Null) => {}
        (Value::Null, _) => found.add(&Path::root(), "root object was absent, but now present"),
        (_, Value::Null) => found.add(&Path::root(), "root object was present, but now absent"),
        (planned, actual) => {
            for attribute in &schema.attributes {
                let path = Path::from(attribute.name.as_str());
                let mut inside = Found::new(found.title);
                value(
                    &mut inside,
                    &attribute.value_type(),
                    planned.get(&attribute.name),
                    actual.get(&attribute.name),
                    &path,
                );
                if attribute.sensitive && !inside.violations.is_empty() {
                    found.add(&path, "inconsistent values for sensitive attribute");
                } else {
                    found.violations.extend(inside.violations);
                }
            }
        }
    }
}

fn value(found: &mut Found, ty: &Type, planned: &Value, actual: &Value, path: &Path) {
    match (planned, actual, ty) {
        (Value::Unknown(Refinement { not_null: true }), Value::Null, _) => {
            found.add(
                path,
                "final value null does not conform to a planning placeholder that is not null",
            );
        }
        (Value::Unknown(_), ..) | (Value::Null, Value::Null, _) => {}
        (planned, Value::Null, _) => found.add(path, format!("was {planned}, but now null")),
        (Value::Null, actual, _) => found.add(path, format!("was null, but now {actual}")),
        (_, Value::Unknown(_), _) => found.add(path, "was known, but now unknown"),
        (Value::List(planned), Value::List(actual), Type::Set(element)) => set(found, element, planned, actual, path),
        (Value::List(planned), Value::List(actual), Type::List(element)) => {
            list(found, std::iter::repeat(&**element), planned, actual, path);
        }
        (Value::List(planned), Value::List(actual), Type::Tuple(elements)) => {
            list(found, elements.iter(), planned, actual, path);
        }
        (Value::Map(planned), Value::Map(actual), Type::Map(element)) => map(found, element, planned, actual, path),
        (planned @ Value::Map(_), actual @ Value::Map(_), Type::Object(types)) => {
            for (name, ty) in types {
                value(found, ty, planned.get(name), actual.get(name), &path.attribute(name));
            }
        }
        (Value::Dynamic(planned), Value::Dynamic(actual), _) if planned.ty == actual.ty => {
            value(found, &planned.ty, &planned.value, &actual.value, path);
        }
        (planned, actual, _) if planned == actual => {}
        (planned, actual, _) => found.add(path, format!("was {planned}, but now {actual}")),
    }
}

fn list<'a>(
    found: &mut Found,
    types: impl Iterator<Item = &'a Type>,
    planned: &[Value],
    actual: &[Value],
    path: &Path,
) {
    for index in actual.len()..planned.len() {
        found.add(path, format!("element {index} has vanished"));
    }
    for index in planned.len()..actual.len() {
        found.add(path, format!("new element {index} has appeared"));
    }
    for (index, ((planned, actual), ty)) in planned.iter().zip(actual).zip(types).enumerate() {
        value(found, ty, planned, actual, &path.index(index));
    }
}

fn map(found: &mut Found, ty: &Type, planned: &BTreeMap<String, Value>, actual: &BTreeMap<String, Value>, path: &Path) {
    for (key, planned) in planned {
        match actual.get(key) {
            Some(actual) => value(found, ty, planned, actual, &path.key(key)),
            None => found.add(path, format!("element {key:?} has vanished")),
        }
    }
    for key in actual.keys().filter(|key| !planned.contains_key(*key)) {
        found.add(path, format!("new element {key:?} has appeared"));
    }
}

/// Each element must correlate with one of the other set, both ways. Elements may coalesce, but not become more.
fn set(found: &mut Found, ty: &Type, planned: &[Value], actual: &[Value], path: &Path) {
    let correlates = |planned: &Value, actual: &Value| {
        let mut inside = Found::new(found.title);
        value(&mut inside, ty, planned, actual, path);
        inside.violations.is_empty()
    };
    let lost: Vec<&Value> = planned
        .iter()
        .filter(|planned| !actual.iter().any(|actual| correlates(planned, actual)))
        .collect();
    let new: Vec<&Value> = actual
        .iter()
        .filter(|actual| !planned.iter().any(|planned| correlates(planned, actual)))
        .collect();
    for element in &lost {
        found.add(
            path,
            format!("planned set element {element} does not correlate with any element in actual"),
        );
    }
    if lost.is_empty() {
        for element in new {
            found.add(
                path,
                format!("actual set element {element} does not correlate with any element in plan"),
            );
        }
    }
    if planned.len() < actual.len() {
        found.add(
            path,
            format!("length changed from {} to {}", planned.len(), actual.len()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Attribute;

    fn schema() -> Schema {
        Schema::new(vec![
            Attribute::string("name").required(),
            Attribute::string("secret").sensitive(),
            Attribute::string("token").write_only(),
            Attribute::list("ports", Type::Number),
            Attribute::map("tags", Type::String),
            Attribute::object_set(
                "disks",
                vec![Attribute::string("name").required(), Attribute::string("id").computed()],
            ),
            Attribute::dynamic("any"),
        ])
    }

    fn disk(name: &str, id: impl Into<Value>) -> Value {
        Value::object([("name", Value::from(name)), ("id", id.into())])
    }

    fn planned() -> Value {
        let disks = Value::set([disk("a", Value::unknown()), disk("b", Value::unknown())]);
        schema()
            .empty()
            .with("name", "vm")
            .with("secret", "s")
            .with("ports", Value::list([22]))
            .with("tags", Value::object([("k", Value::unknown())]))
            .with("disks", disks)
    }

    fn made() -> Value {
        planned()
            .with("tags", Value::object([("k", Value::from("v"))]))
            .with("disks", Value::set([disk("a", "1"), disk("b", "2")]))
    }

    fn violations(new: &Value, outcome: Outcome) -> Vec<String> {
        check_apply(&schema(), &planned(), new, outcome)
            .iter()
            .map(|violation| format!("{}: {}", violation.path, violation.problem))
            .collect()
    }

    #[test]
    fn what_was_planned_passes() {
        assert_eq!(violations(&made(), Outcome::Succeeded), Vec::<String>::new());
    }

    #[test]
    fn each_way_to_break_the_plan_is_found() {
        let cases = [
            ("name", Value::from("other"), r#"name: was "vm", but now "other""#),
            ("name", Value::Null, r#"name: was "vm", but now null"#),
            (
                "secret",
                "other".into(),
                "secret: inconsistent values for sensitive attribute",
            ),
            (
                "token",
                "t".into(),
                "token: returned a value for the write-only attribute",
            ),
            ("any", Value::unknown(), "any: still indicated an unknown value"),
            ("ports", Value::list([22, 80]), "ports: new element 1 has appeared"),
            ("ports", Value::list::<Value>([]), "ports: element 0 has vanished"),
            ("ports", Value::list([23]), "ports[0]: was 22, but now 23"),
            ("tags", Value::object::<&str>([]), r#"tags: element "k" has vanished"#),
            (
                "tags",
                Value::object([("k", "v".into()), ("l", "w".into())]),
                r#"tags: new element "l" has appeared"#,
            ),
            (
                "disks",
                Value::set([disk("a", "1"), disk("c", "2")]),
                r#"disks: planned set element { id = (known after apply), name = "b" } does not correlate with any element in actual"#,
            ),
            (
                "disks",
                Value::set([disk("a", "1"), disk("b", "2"), disk("b", "3")]),
                "disks: length changed from 2 to 3",
            ),
            (
                "disks",
                Value::set([disk("a", "1"), disk("b", "2"), disk("c", "3")]),
                r#"disks: actual set element { id = "3", name = "c" } does not correlate with any element in plan"#,
            ),
        ];
        for (name, value, expected) in cases {
            let found = violations(&made().with(name, value), Outcome::Succeeded);
            assert_eq!(found.first().map(String::as_str), Some(expected), "{found:?}");
        }
        assert_eq!(
            violations(&Value::Null, Outcome::Succeeded),
            [": root object was present, but now absent"]
        );
    }

    #[test]
    fn after_an_error_only_what_cannot_be_stored_counts() {
        assert_eq!(
            violations(&made().with("name", "other"), Outcome::Failed),
            Vec::<String>::new()
        );
        assert_eq!(violations(&Value::Null, Outcome::Failed), Vec::<String>::new());
        assert_eq!(
            violations(&made().with("name", Value::unknown()), Outcome::Failed),
            ["name: still indicated an unknown value"]
        );
    }

    #[test]
    fn promises_about_unknown_values_bind() {
        let promised = Value::Unknown(Refinement { not_null: true });
        let planned = planned().with("name", promised);
        let found = check_apply(
            &schema(),
            &planned,
            &made().with("name", Value::Null),
            Outcome::Succeeded,
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(check_apply(&schema(), &planned, &made(), Outcome::Succeeded).is_empty());
    }
}
