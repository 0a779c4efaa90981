//! [`Timeouts`]: the `timeouts` attribute that resources share, and its reader.

use std::time::Duration;

use cty::Value;

use crate::duration;
use crate::rule::Rule;
use crate::schema::Attribute;

/// The timeouts of a resource: their names and what holds where the configuration sets none.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts(&'static [Row]);

/// One timeout: its name, its default, and what it bounds, as the beginning of a sentence.
type Row = (&'static str, &'static str, &'static str);

impl Timeouts {
    /// Makes timeouts from name, default and meaning, such as `("create", "20m", "Creating the server")`. Where the default is `0s`, a configured 0 is
    /// accepted as well.
    #[must_use]
    pub const fn new(rows: &'static [Row]) -> Timeouts {
        Timeouts(rows)
    }

    /// The row for a schema: `timeouts = { create = "30m" }`. What is not configured stays null, so that a default that
    /// changes with the provider is no diff.
    #[must_use]
    pub fn attribute(self) -> Attribute {
        let rows = self.0.iter().map(|(name, default, what)| {
            let rule = if is_zero(default) {
                Rule::duration()
            } else {
                Rule::positive_duration()
            };
            Attribute::string(*name)
                .rule(rule)
                .describe(format!("{what}. Default `{default}`."))
        });
        Attribute::object("timeouts", rows.collect())
            .describe("How long operations may take, as durations such as `90m` or `1h30m`.")
    }

    /// What holds for an operation: what the object's `timeouts` says, else the default. Zero for a name without a row.
    #[must_use]
    pub fn get(self, object: &Value, name: &str) -> Duration {
        let configured = object.get("timeouts").get(name).as_str();
        let default = || {
            self.0
                .iter()
                .find(|(row, ..)| *row == name)
                .map(|(_, default, _)| *default)
        };
        let text = configured.or_else(default).unwrap_or("0s");
        duration::parse_or_zero(text).unwrap_or(Duration::ZERO)
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

    const TIMEOUTS: Timeouts = Timeouts::new(&[("create", "20m", "Creating"), ("queue", "0s", "Queueing")]);

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
