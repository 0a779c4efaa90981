//! What core demands of every answer, checked before the answer is sent.
//!
//! A provider that breaks one of these rules makes the user read "This is a bug in the provider". The rules are those of
//! Terraform's `AssertPlanValid`, `AssertObjectCompatible`, its schema checks and the checks around each call; each says
//! so in core's words. Tests run every answer through them, and so do debug builds.

use std::fmt;

use cty::{CodecError, Path, Type, Value, msgpack};

use crate::schema::{Attribute, Kind, Nesting, Schema};

mod answers;
mod apply_rules;
mod identity_rules;
mod plan_rules;
mod schema_rules;

pub use answers::{check_data, check_function, check_import, check_read, check_upgrade};
pub use apply_rules::{Outcome, check_apply};
pub use identity_rules::{Occasion, check_identity};
pub use plan_rules::{check_final_plan, check_plan};
pub use schema_rules::{Owner, check_list, check_schema, check_signature};

/// A rule of core that an answer breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The title under which core would report it.
    pub title: &'static str,
    /// Where.
    pub path: Path,
    /// What is wrong. Sensitive values are not shown.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_root() {
            true => write!(f, "{}: {}", self.title, self.problem),
            false => write!(f, "{}: {}: {}", self.title, self.path, self.problem),
        }
    }
}

/// The violations found so far, all under one title.
struct Found {
    title: &'static str,
    violations: Vec<Violation>,
}

impl Found {
    fn new(title: &'static str) -> Found {
        Found {
            title,
            violations: Vec::new(),
        }
    }

    fn add(&mut self, path: &Path, problem: impl Into<String>) {
        self.violations.push(Violation {
            title: self.title,
            path: path.clone(),
            problem: problem.into(),
        });
    }

    fn conforms(&mut self, value: &Value, ty: &Type) {
        if let Err(CodecError { path, problem }) = msgpack::encode(value, ty) {
            self.add(&path, problem.to_string());
        }
    }

    fn wholly_known(&mut self, value: &Value) {
        for path in unknown_paths(value, &Path::root()) {
            self.add(&path, "still indicated an unknown value");
        }
    }

    fn write_only_null(&mut self, schema: &Schema, value: &Value) {
        for path in write_only_paths(&schema.attributes, value, &Path::root()) {
            self.add(&path, "returned a value for the write-only attribute");
        }
    }
}

/// Values as core compares them here: without the promises about unknown ones.
fn unrefined(value: &Value, ty: &Type) -> Value {
    fn strip(value: &Value) -> Value {
        match value {
            Value::Unknown(_) => Value::unknown(),
            Value::List(elements) => Value::list(elements.iter().map(strip)),
            Value::Map(elements) => Value::object(elements.iter().map(|(key, value)| (key.as_str(), strip(value)))),
            Value::Dynamic(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    strip(value).canonical(ty)
}

fn unknown_paths(value: &Value, path: &Path) -> Vec<Path> {
    match value.inner() {
        Value::Unknown(_) => vec![path.clone()],
        Value::List(elements) => elements
            .iter()
            .enumerate()
            .flat_map(|(index, element)| unknown_paths(element, &path.index(index)))
            .collect(),
        Value::Map(elements) => elements
            .iter()
            .flat_map(|(name, element)| unknown_paths(element, &path.attribute(name)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Dynamic(_) => Vec::new(),
    }
}

fn write_only_paths(attributes: &[Attribute], object: &Value, path: &Path) -> Vec<Path> {
    let mut found = Vec::new();
    if !object.is_set() {
        return found;
    }
    for attribute in attributes {
        let (value, path) = (object.get(&attribute.name), path.attribute(&attribute.name));
        match (&attribute.kind, value) {
            _ if attribute.write_only && !value.is_null() => found.push(path),
            (Kind::Nested(Nesting::Single, inside), value) => found.extend(write_only_paths(inside, value, &path)),
            (Kind::Nested(_, inside), Value::List(elements)) => {
                let elements = elements.iter().enumerate();
                found.extend(
                    elements.flat_map(|(index, element)| write_only_paths(inside, element, &path.index(index))),
                );
            }
            (Kind::Nested(_, inside), Value::Map(elements)) => {
                found.extend(
                    elements
                        .iter()
                        .flat_map(|(key, element)| write_only_paths(inside, element, &path.key(key))),
                );
            }
            (Kind::Plain(_) | Kind::Nested(..), _) => {}
        }
    }
    found
}
