//! [`Constraint`]: what must hold between the attributes of one object.

use std::fmt;

use cty::Value;

use crate::diagnostics::{Diagnostic, Diagnostics};

/// What must hold between attributes. Unknown attributes may still turn out either way, so they never break a rule.
#[derive(Clone, Debug)]
pub struct Constraint(Check);

#[derive(Clone, Debug)]
enum Check {
    ExactlyOneOf(Vec<String>),
    AtLeastOneOf(Vec<String>),
    Conflicts(Vec<String>),
    Requires(String, Vec<String>),
    Custom {
        check: fn(&Value) -> Diagnostics,
        text: String,
    },
}

impl Constraint {
    /// Exactly one of the attributes is set.
    #[must_use]
    pub fn exactly_one_of(names: &[&str]) -> Constraint {
        Constraint(Check::ExactlyOneOf(owned(names)))
    }

    /// One of the attributes is set, or more.
    #[must_use]
    pub fn at_least_one_of(names: &[&str]) -> Constraint {
        Constraint(Check::AtLeastOneOf(owned(names)))
    }

    /// No two of the attributes are set.
    #[must_use]
    pub fn conflicts(names: &[&str]) -> Constraint {
        Constraint(Check::Conflicts(owned(names)))
    }

    /// If the attribute is set, so are the others.
    #[must_use]
    pub fn requires(name: &str, others: &[&str]) -> Constraint {
        Constraint(Check::Requires(name.to_owned(), owned(others)))
    }

    /// What the function finds nothing to say against. It sees the whole object, with unknown values in it.
    #[must_use]
    pub fn custom(check: fn(&Value) -> Diagnostics, text: impl Into<String>) -> Constraint {
        Constraint(Check::Custom {
            check,
            text: text.into(),
        })
    }

    /// Says what the constraint does not accept about an object.
    #[must_use]
    pub fn check(&self, object: &Value) -> Diagnostics {
        match &self.0 {
            Check::ExactlyOneOf(names) => match Count::of(object, names) {
                Count { set, .. } if set.len() > 1 => too_many(&set, names),
                Count { set, unknown: false } if set.is_empty() => none(names, "Exactly one of"),
                _ => Diagnostics::new(),
            },
            Check::AtLeastOneOf(names) => match Count::of(object, names) {
                Count { set, unknown: false } if set.is_empty() => none(names, "At least one of"),
                _ => Diagnostics::new(),
            },
            Check::Conflicts(names) => match Count::of(object, names) {
                Count { set, .. } if set.len() > 1 => too_many(&set, names),
                _ => Diagnostics::new(),
            },
            Check::Requires(name, others) if object.get(name).is_set() => {
                let missing = others.iter().filter(|other| object.get(other).is_null());
                missing.map(|other| lacking(name, other)).collect()
            }
            Check::Requires(..) => Diagnostics::new(),
            Check::Custom { check, .. } => check(object),
        }
    }

    /// The names of the attributes that the constraint speaks of.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match &self.0 {
            Check::ExactlyOneOf(names) | Check::AtLeastOneOf(names) | Check::Conflicts(names) => {
                names.iter().map(String::as_str).collect()
            }
            Check::Requires(name, others) => std::iter::once(name).chain(others).map(String::as_str).collect(),
            Check::Custom { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Constraint {
    /// Writes the constraint as a sentence for the docs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Check::ExactlyOneOf(names) => write!(f, "Exactly one of {} must be set.", listed(names)),
            Check::AtLeastOneOf(names) => write!(f, "At least one of {} must be set.", listed(names)),
            Check::Conflicts(names) => write!(f, "At most one of {} may be set.", listed(names)),
            Check::Requires(name, others) => write!(f, "`{name}` needs {}.", listed(others)),
            Check::Custom { text, .. } => f.write_str(text),
        }
    }
}

/// Which of some attributes are set, and whether any may still turn out to be.
struct Count<'a> {
    set: Vec<&'a str>,
    unknown: bool,
}

impl<'a> Count<'a> {
    fn of(object: &Value, names: &'a [String]) -> Count<'a> {
        Count {
            set: names
                .iter()
                .map(String::as_str)
                .filter(|name| object.get(name).is_set())
                .collect(),
            unknown: names.iter().any(|name| object.get(name).is_unknown()),
        }
    }
}

fn too_many(set: &[&str], names: &[String]) -> Diagnostics {
    let all: Vec<String> = set.iter().map(ToString::to_string).collect();
    let detail = format!("Of {} only one may be set, but {} are.", listed(names), listed(&all));
    set.iter()
        .skip(1)
        .map(|name| Diagnostic::error("Conflicting arguments", detail.clone()).at(*name))
        .collect()
}

fn none(names: &[String], how_many: &str) -> Diagnostics {
    Diagnostic::error("Missing argument", format!("{how_many} {} must be set.", listed(names))).into()
}

fn lacking(name: &str, other: &str) -> Diagnostic {
    Diagnostic::error(
        "Missing argument",
        format!("`{name}` needs `{other}`, which is not set."),
    )
    .at(name)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Writes names as a list in words: "`a`, `b` and `c`".
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(constraint: &Constraint, set: &[&str], unknown: &[&str]) -> Vec<String> {
        let set = set.iter().map(|name| (*name, Value::from("x")));
        let unknown = unknown.iter().map(|name| (*name, Value::unknown()));
        constraint
            .check(&Value::object(set.chain(unknown)))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn constraints_count_what_is_set_and_wait_for_what_is_unknown() {
        let one = Constraint::exactly_one_of(&["a", "b", "c"]);
        let some = Constraint::at_least_one_of(&["a", "b"]);
        let apart = Constraint::conflicts(&["a", "b"]);
        let needs = Constraint::requires("a", &["b", "c"]);
        let both =
            |names| format!("error: Conflicting arguments (b): Of {names} only one may be set, but `a` and `b` are.");
        type Case<'a> = (&'a Constraint, &'a [&'a str], &'a [&'a str], Vec<String>);
        let cases: Vec<Case<'_>> = vec![
            (&one, &["a"], &[], vec![]),
            (&one, &["a", "b"], &[], vec![both("`a`, `b` and `c`")]),
            (&one, &["a", "b"], &["c"], vec![both("`a`, `b` and `c`")]),
            (&one, &["a"], &["b"], vec![]),
            (&one, &[], &["b"], vec![]),
            (
                &one,
                &[],
                &[],
                vec!["error: Missing argument: Exactly one of `a`, `b` and `c` must be set.".into()],
            ),
            (&some, &["a", "b"], &[], vec![]),
            (
                &some,
                &[],
                &[],
                vec!["error: Missing argument: At least one of `a` and `b` must be set.".into()],
            ),
            (&some, &[], &["a"], vec![]),
            (&apart, &[], &[], vec![]),
            (&apart, &["a", "b"], &[], vec![both("`a` and `b`")]),
            (&apart, &["a"], &["b"], vec![]),
            (&needs, &["a", "b"], &["c"], vec![]),
            (
                &needs,
                &["a", "b"],
                &[],
                vec!["error: Missing argument (a): `a` needs `c`, which is not set.".into()],
            ),
            (&needs, &[], &["a"], vec![]),
        ];
        for (constraint, set, unknown, expected) in cases {
            assert_eq!(
                check(constraint, set, unknown),
                expected,
                "{constraint} with {set:?} and {unknown:?}"
            );
        }
    }
}
