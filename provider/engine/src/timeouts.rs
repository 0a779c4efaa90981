//! [`Timeouts`]: the `timeouts` attribute that resources share, and its reader.

use std::time::Duration;

use cty::Value;

use crate::duration;
use crate::rule::Rule;
use crate::schema::Attribute;

/// The timeouts of a resource: their names and what holds where the configuration sets none.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts(&'static [(&'static str, &'static str)]);

impl Timeouts {
    /// Makes timeouts from names and defaults, such as `("create", "20m")`. Where the default is `0s`, a configured 0 is
    /// accepted as well.
    #[must_use]
    pub const fn new(rows: &'static [(&'static str, &'static str)]) -> Timeouts {
        Timeouts(rows)
    }

    /// The row for a schema: `timeouts = { create = "30m" }`. What is not configured stays null, so that a default that
    /// changes with the provider is no diff.
    #[must_use]
    pub fn attribute(self) -> Attribute {
        let rows = self.0.iter().map(|(name, default)| {
            let rule = if is_zero(default) {
                Rule::duration()
            } else {
                Rule::positive_duration()
            };
            Attribute::string(*name)
                .rule(rule)
                .describe(format!("How long {name} may take. Default `{default}`."))
        });
        Attribute::object("timeouts", rows.collect())
            .describe("How long operations may take, as durations such as `90m` or `1h30m`.")
    }

    /// What holds for an operation: what the object's `timeouts` says, else the default. Zero for a name without a row.
    #[must_use]
    pub fn get(self, object: &Value, name: &str) -> Duration {
        let configured = object.get("timeouts").get(name).as_str();
        let default = || self.0.iter().find(|(row, _)| *row == name).map(|(_, default)| *default);
        let text = configured.or_else(default).unwrap_or("0s");
        duration::parse_or_zero(text).unwrap_or(Duration::ZERO)
    }

    /// Names and defaults.
    #[must_use]
    pub const fn rows(self) -> &'static [(&'static str, &'static str)] {
        self.0
    }
}

fn is_zero(text: &str) -> bool {
    duration::parse_or_zero(text) == Ok(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use crate::validate::{self, WriteOnly};

    const TIMEOUTS: Timeouts = Timeouts::new(&[("create", "20m"), ("queue", "0s")]);

    fn object(create: impl Into<Value>) -> Value {
        Value::object([(
            "timeouts",
            Value::object([("create", create.into()), ("queue", Value::Null)]),
        )])
    }

    #[test]
    fn the_configuration_goes_before_the_default() {
        assert_eq!(TIMEOUTS.get(&object("90s"), "create"), Duration::from_secs(90));
        assert_eq!(TIMEOUTS.get(&object(Value::Null), "create"), Duration::from_secs(1200));
        assert_eq!(
            TIMEOUTS.get(&Value::object([("timeouts", Value::Null)]), "create"),
            Duration::from_secs(1200)
        );
        assert_eq!(TIMEOUTS.get(&object("90s"), "queue"), Duration::ZERO);
    }

    #[test]
    fn zero_is_accepted_where_it_is_the_default() {
        let schema = Schema::new(vec![TIMEOUTS.attribute()]);
        let faults = |object: Value| validate::config(&schema, &object, WriteOnly::Allowed).len();
        assert_eq!(faults(object("0s")), 1);
        assert_eq!(faults(object("1 month")), 1);
        assert_eq!(
            faults(object("5m").with(
                "timeouts",
                Value::object([("create", Value::Null), ("queue", "0s".into())])
            )),
            0
        );
    }
}
