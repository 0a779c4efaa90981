//! Validation of a configuration against the table: presences, rules, constraints, deprecations. Everything that is wrong
//! is said at once, tied to its attribute.

use cty::{Path, Type, Value};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::rule::{Refusal, quoted};
use crate::schema::{Attribute, Kind, Nesting, Schema};

/// Whether the client knows write-only attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOnly {
    /// It does, and keeps their values out of plan and state.
    Allowed,
    /// It does not, and would store them.
    Refused,
}

/// Says what is wrong with a configuration. Unknown values pass.
#[must_use]
pub fn config(schema: &Schema, config: &Value, write_only: WriteOnly) -> Diagnostics {
    let mut checking = Checking {
        write_only,
        found: Diagnostics::new(),
    };
    checking.object(&schema.attributes, config, &Path::root());
    for rule in &schema.rules {
        checking.found.extend(rule.check(config));
    }
    checking.found
}

struct Checking {
    write_only: WriteOnly,
    found: Diagnostics,
}

impl Checking {
    fn object(&mut self, attributes: &[Attribute], object: &Value, path: &Path) {
        for attribute in attributes {
            self.attribute(attribute, object.get(&attribute.name), &path.attribute(&attribute.name));
        }
    }

    fn attribute(&mut self, attribute: &Attribute, value: &Value, path: &Path) {
        if value.is_null() {
            if attribute.presence.is_required() {
                self.found.push(missing(path));
            }
            return;
        }
        if !attribute.presence.is_required() && !attribute.presence.is_optional() {
            self.found.push(read_only(path));
            return;
        }
        if attribute.write_only && self.write_only == WriteOnly::Refused {
            self.found.push(write_only_refused(path));
        }
        if value.is_unknown() {
            return;
        }
        if let Some(instead) = &attribute.deprecated {
            self.found
                .warning_at(path, "Deprecated argument", format!("{path} is deprecated: {instead}"));
        }
        for refusal in attribute.rules.iter().flat_map(|rule| rule.refusals(value, path)) {
            self.found.push(refused(attribute, value, path, refusal));
        }
        if let Some(key) = &attribute.match_by {
            self.found.extend(repeated_keys(key, value, path));
        }
        if let Kind::Nested(nesting, attributes) = &attribute.kind {
            self.nested(*nesting, attributes, value, path);
        }
    }

    fn nested(&mut self, nesting: Nesting, attributes: &[Attribute], value: &Value, path: &Path) {
        let no_nulls = |checking: &mut Checking, element: &Value, place: &Path| {
            if element.is_null() {
                checking.found.push(null_element(place));
            } else if element.is_set() {
                checking.object(attributes, element, place);
            }
        };
        match nesting {
            Nesting::Single => self.object(attributes, value, path),
            Nesting::List => {
                for (index, element) in value.as_list().unwrap_or_default().iter().enumerate() {
                    no_nulls(self, element, &path.index(index));
                }
            }
            // The elements of a set have no address of their own: what is wrong with them is said of the set.
            Nesting::Set => {
                for element in value.as_list().unwrap_or_default() {
                    let mut inside = Checking {
                        write_only: self.write_only,
                        found: Diagnostics::new(),
                    };
                    no_nulls(&mut inside, element, path);
                    self.found
                        .extend(inside.found.into_iter().map(|diagnostic| diagnostic.at(path)));
                }
            }
            Nesting::Map => {
                for (key, element) in value.as_map().into_iter().flatten() {
                    no_nulls(self, element, &path.key(key));
                }
            }
        }
    }
}

fn missing(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "Missing required argument",
        format!("{path} must be set and must not be null."),
    )
    .at(path)
}

fn read_only(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "Read-only attribute",
        format!("{path} is set by the provider: remove it from the configuration."),
    )
    .at(path)
}

fn write_only_refused(path: &Path) -> Diagnostic {
    let detail = format!(
        "{path} is write-only, which needs Terraform 1.11 or OpenTofu 1.11 or later; this version would store its value."
    );
    Diagnostic::error("Write-only attribute not allowed", detail).at(path)
}

/// The keys that tell elements apart must do so.
fn repeated_keys(key: &str, elements: &Value, path: &Path) -> Vec<Diagnostic> {
    let mut keys: Vec<&Value> = elements
        .as_list()
        .unwrap_or_default()
        .iter()
        .map(|element| element.get(key))
        .collect();
    keys.retain(|key| key.is_set());
    keys.sort();
    let repeated = keys.windows(2).filter_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    });
    let mut repeated: Vec<&Value> = repeated.collect();
    repeated.dedup();
    let diagnostic = |value: &Value| {
        let detail = format!(
            "Several elements of {path} have the {key} {}: it must tell them apart.",
            quoted(value)
        );
        Diagnostic::error("Duplicate key", detail).at(path)
    };
    repeated.into_iter().map(diagnostic).collect()
}

fn null_element(path: &Path) -> Diagnostic {
    Diagnostic::error("Null element", format!("{path} must not be null.")).at(path)
}

/// The value stands in the message only where it is short and no secret.
fn refused(attribute: &Attribute, value: &Value, path: &Path, refusal: Refusal) -> Diagnostic {
    let Refusal { path: place, reason } = refusal;
    let value = if place == *path {
        Some(value)
    } else {
        place
            .steps()
            .last()
            .and_then(|step| value.at(&Path::root().step(step.clone())))
    };
    let shown = value.filter(|value| !attribute.sensitive && !attribute.write_only && is_short(value));
    let detail = match shown {
        Some(value) => format!("{place} {reason}; it is {}.", quoted(value)),
        None => format!("{place} {reason}."),
    };
    // The elements of a set have no path.
    let path = if matches!(attribute.value_type(), Type::Set(_)) {
        path
    } else {
        &place
    };
    Diagnostic::error("Invalid value", detail).at(path)
}

fn is_short(value: &Value) -> bool {
    match value.inner() {
        Value::String(text) => text.len() <= 80,
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::Constraint;
    use crate::rule::Rule;

    fn schema() -> Schema {
        let disk = || {
            vec![
                Attribute::integer("size").required().rule(Rule::at_least(1)),
                Attribute::string("id").computed(),
            ]
        };
        Schema::new(vec![
            Attribute::string("name").required().rule(Rule::length(1..=5)),
            Attribute::string("password").sensitive().rule(Rule::length(8..)),
            Attribute::string("token").write_only(),
            Attribute::string("old").deprecated("use name instead"),
            Attribute::string("id").computed(),
            Attribute::list("ports", Type::Number).rule(Rule::each(Rule::between(1, 65535))),
            Attribute::object("boot", disk()),
            Attribute::object_list("disks", disk()),
            Attribute::object_set("shares", disk()),
            Attribute::object_map("pools", disk()),
        ])
        .rule(Constraint::conflicts(&["boot", "disks"]))
    }

    fn check(config: &Value, write_only: WriteOnly) -> Vec<String> {
        super::config(&schema(), config, write_only)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn with(name: &str, value: impl Into<Value>) -> Vec<String> {
        check(
            &Value::object([("name", Value::from("vm"))]).with(name, value),
            WriteOnly::Allowed,
        )
    }

    fn disk(size: impl Into<Value>) -> Value {
        Value::object([("size", size.into()), ("id", Value::Null)])
    }

    #[test]
    fn each_fault_is_said_at_its_attribute() {
        assert_eq!(
            with("name", Value::Null),
            ["error: Missing required argument (name): name must be set and must not be null."]
        );
        assert_eq!(
            with("name", "too long"),
            ["error: Invalid value (name): name must have 1 to 5 characters; it is `too long`."]
        );
        assert_eq!(
            with("password", "secret"),
            ["error: Invalid value (password): password must have at least 8 characters."]
        );
        assert_eq!(
            with("old", "x"),
            ["warning: Deprecated argument (old): old is deprecated: use name instead"]
        );
        assert_eq!(
            with("id", "x"),
            ["error: Read-only attribute (id): id is set by the provider: remove it from the configuration."]
        );
        assert_eq!(
            with("ports", Value::list([22, 0])),
            ["error: Invalid value (ports[1]): ports[1] must be between 1 and 65535; it is `0`."]
        );
        assert_eq!(with("ports", Value::list([22, 80])), Vec::<String>::new());
    }

    #[test]
    fn nested_faults_carry_their_path_and_those_in_sets_the_set() {
        let fault =
            |path: &str, place: &str| format!("error: Invalid value ({path}): {place} must be at least 1; it is `0`.");
        assert_eq!(with("boot", disk(0)), [fault("boot.size", "boot.size")]);
        assert_eq!(
            with("disks", Value::list([disk(1), disk(0)])),
            [fault("disks[1].size", "disks[1].size")]
        );
        assert_eq!(
            with("shares", Value::set([disk(1), disk(0)])),
            [fault("shares", "shares.size")]
        );
        assert_eq!(
            with("pools", Value::object([("a", disk(0))])),
            [fault(r#"pools["a"].size"#, r#"pools["a"].size"#)]
        );
        assert_eq!(
            with("disks", Value::list([Value::Null])),
            ["error: Null element (disks[0]): disks[0] must not be null."]
        );
        assert_eq!(
            with("boot", disk(Value::Null)),
            ["error: Missing required argument (boot.size): boot.size must be set and must not be null."]
        );
        assert_eq!(
            with("boot", disk(1).with("id", "x")),
            ["error: Read-only attribute (boot.id): boot.id is set by the provider: remove it from the configuration."]
        );
    }

    #[test]
    fn keys_tell_elements_apart() {
        let row = vec![Attribute::string("name").required()];
        let schema = Schema::new(vec![Attribute::object_list("disks", row).match_elements_by("name")]);
        let check = |names: &[Value]| {
            let disks = Value::list(names.iter().map(|name| Value::object([("name", name.clone())])));
            let found = super::config(&schema, &Value::object([("disks", disks)]), WriteOnly::Allowed);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            check(&["a".into(), "b".into(), Value::unknown(), Value::unknown()]),
            Vec::<String>::new()
        );
        let repeated =
            "error: Duplicate key (disks): Several elements of disks have the name `a`: it must tell them apart.";
        assert_eq!(check(&["a".into(), "b".into(), "a".into(), "a".into()]), [repeated]);
    }

    #[test]
    fn unknown_values_pass_everywhere() {
        for attribute in schema().attributes.iter().filter(|attribute| attribute.name != "id") {
            assert_eq!(
                with(&attribute.name, Value::unknown()),
                Vec::<String>::new(),
                "{}",
                attribute.name
            );
        }
        assert_eq!(
            with("disks", Value::list([disk(Value::unknown()), Value::unknown()])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn write_only_needs_a_client_that_knows_it() {
        let config = Value::object([("name", Value::from("vm")), ("token", Value::from("t"))]);
        assert!(check(&config, WriteOnly::Allowed).is_empty());
        let [refusal] = &check(&config, WriteOnly::Refused)[..] else {
            panic!("one refusal")
        };
        assert!(
            refusal.starts_with("error: Write-only attribute not allowed (token)"),
            "{refusal}"
        );
    }

    #[test]
    fn constraints_are_checked_too() {
        let config = Value::object([
            ("name", Value::from("vm")),
            ("boot", disk(1)),
            ("disks", Value::list([disk(1)])),
        ]);
        assert_eq!(
            check(&config, WriteOnly::Allowed),
            [
                "error: Conflicting arguments (disks): Of `boot` and `disks` only one may be set, but `boot` and `disks` are."
            ]
        );
    }
}
