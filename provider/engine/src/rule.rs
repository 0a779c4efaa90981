//! [`Rule`]: what a value must satisfy. A rule passes unknown values, skips null ones, and can say itself for the docs.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Bound, RangeBounds};

use cty::{Number, Path, Value};
use regex::Regex;

use crate::duration;

/// What a value must satisfy. Its [`Display`](fmt::Display) ends the sentence "The value must ...".
#[derive(Clone, Debug)]
pub struct Rule(Check);

#[derive(Clone, Debug)]
enum Check {
    Length {
        least: usize,
        most: Option<usize>,
    },
    Pattern {
        regex: Result<Regex, String>,
        text: String,
    },
    OneOf(Vec<Value>),
    Between {
        least: i64,
        most: Option<i64>,
    },
    Integer,
    PositiveDuration,
    Duration,
    Cidr,
    Ip,
    NotPrefixed(String),
    Unique,
    NoNulls,
    Each(Box<Rule>),
    Custom {
        check: fn(&Value) -> Result<(), String>,
        text: String,
    },
}

/// A value that a rule does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where: the attribute itself, or one of its elements.
    pub path: Path,
    /// Why, as in "must be at least 1".
    pub reason: String,
}

impl Rule {
    /// Text of so many characters, or a collection of so many elements.
    #[must_use]
    pub fn length(range: impl RangeBounds<usize>) -> Rule {
        let least = match range.start_bound() {
            Bound::Included(least) => *least,
            Bound::Excluded(below) => below.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let most = match range.end_bound() {
            Bound::Included(most) => Some(*most),
            Bound::Excluded(above) => Some(above.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        Rule(Check::Length { least, most })
    }

    /// Text that the regular expression matches somewhere; the text says in words what that is ("start with a letter").
    #[must_use]
    pub fn pattern(regex: &str, text: impl Into<String>) -> Rule {
        let regex = Regex::new(regex).map_err(|error| error.to_string());
        Rule(Check::Pattern {
            regex,
            text: text.into(),
        })
    }

    /// One of these values.
    #[must_use]
    pub fn one_of<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Rule {
        Rule(Check::OneOf(values.into_iter().map(Into::into).collect()))
    }

    /// A number within bounds, both included.
    #[must_use]
    pub fn between(least: i64, most: i64) -> Rule {
        Rule(Check::Between {
            least,
            most: Some(most),
        })
    }

    /// A number not below a bound.
    #[must_use]
    pub fn at_least(least: i64) -> Rule {
        Rule(Check::Between { least, most: None })
    }

    /// A whole number of at most 64 bits.
    #[must_use]
    pub fn integer() -> Rule {
        Rule(Check::Integer)
    }

    /// A duration above 0, as [`duration::parse`] reads it.
    #[must_use]
    pub fn positive_duration() -> Rule {
        Rule(Check::PositiveDuration)
    }

    /// A duration that may be 0.
    #[must_use]
    pub fn duration() -> Rule {
        Rule(Check::Duration)
    }

    /// A network in CIDR notation.
    #[must_use]
    pub fn cidr() -> Rule {
        Rule(Check::Cidr)
    }

    /// An IPv4 or IPv6 address.
    #[must_use]
    pub fn ip() -> Rule {
        Rule(Check::Ip)
    }

    /// Text that does not start so.
    #[must_use]
    pub fn not_prefixed(prefix: impl Into<String>) -> Rule {
        Rule(Check::NotPrefixed(prefix.into()))
    }

    /// A list without duplicates.
    #[must_use]
    pub fn unique() -> Rule {
        Rule(Check::Unique)
    }

    /// A collection without null elements.
    #[must_use]
    pub fn no_nulls() -> Rule {
        Rule(Check::NoNulls)
    }

    /// A collection each of whose elements satisfies the rule.
    #[must_use]
    pub fn each(rule: Rule) -> Rule {
        Rule(Check::Each(Box::new(rule)))
    }

    /// What the function accepts; the text says what that is. The function is asked only about values that are set, and
    /// must cope with unknown values inside them.
    #[must_use]
    pub fn custom(check: fn(&Value) -> Result<(), String>, text: impl Into<String>) -> Rule {
        Rule(Check::Custom {
            check,
            text: text.into(),
        })
    }

    /// Says what the rule does not accept about a value, tied to `path` or an element below it.
    #[must_use]
    pub fn refusals(&self, value: &Value, path: &Path) -> Vec<Refusal> {
        if !value.is_set() {
            return Vec::new();
        }
        if let Check::Each(rule) = &self.0 {
            return elements(value, path)
                .into_iter()
                .flat_map(|(path, element)| rule.refusals(element, &path))
                .collect();
        }
        let refusal = |reason| Refusal {
            path: path.clone(),
            reason,
        };
        self.accepts(value).err().map(refusal).into_iter().collect()
    }

    /// What is wrong with the rule itself, such as a regular expression that is none.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        match &self.0 {
            Check::Pattern { regex: Err(fault), .. } => Some(fault),
            Check::Each(rule) => rule.fault(),
            _ => None,
        }
    }

    fn accepts(&self, value: &Value) -> Result<(), String> {
        let accepted = match &self.0 {
            Check::Length { least, most } => {
                length(value).is_none_or(|length| *least <= length && most.is_none_or(|most| length <= most))
            }
            Check::Pattern { regex, .. } => text(value, |text| regex.as_ref().is_ok_and(|regex| regex.is_match(text))),
            Check::OneOf(values) => values.contains(value.inner()),
            Check::Between { least, most } => value.as_number().is_none_or(|number| between(number, *least, *most)),
            Check::Integer => value.as_number().is_none_or(|number| number.to_i64().is_some()),
            Check::PositiveDuration => return reading(value, |text| duration::parse(text).map(drop)),
            Check::Duration => return reading(value, |text| duration::parse_or_zero(text).map(drop)),
            Check::Cidr => text(value, |text| text.parse::<ipnet::IpNet>().is_ok()),
            Check::Ip => text(value, |text| text.parse::<IpAddr>().is_ok()),
            Check::NotPrefixed(prefix) => text(value, |text| !text.starts_with(prefix.as_str())),
            Check::Unique => value.as_list().is_none_or(is_unique),
            Check::NoNulls => !elements(value, &Path::root())
                .iter()
                .any(|(_, element)| element.is_null()),
            Check::Each(_) => true,
            Check::Custom { check, .. } => return check(value.inner()),
        };
        if accepted {
            Ok(())
        } else {
            Err(format!(
                "must {}",
                self.words(matches!(value.inner(), Value::String(_)))
            ))
        }
    }

    fn words(&self, of_text: bool) -> String {
        match &self.0 {
            Check::Length { least, most } => {
                let unit = if of_text { "characters" } else { "elements" };
                match most {
                    Some(most) => format!("have {least} to {most} {unit}"),
                    None => format!("have at least {least} {unit}"),
                }
            }
            Check::Pattern { text, .. } | Check::Custom { text, .. } => text.clone(),
            Check::OneOf(values) => format!("be one of {}", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
            Check::Between {
                least,
                most: Some(most),
            } => format!("be between {least} and {most}"),
            Check::Between { least, most: None } => format!("be at least {least}"),
            Check::Integer => "be a whole number".to_owned(),
            Check::PositiveDuration => "be a duration above 0, such as `90m`, `1h30m` or `2d`".to_owned(),
            Check::Duration => "be a duration, such as `0s`, `90m` or `1h30m`".to_owned(),
            Check::Cidr => "be a network in CIDR notation, such as `10.0.0.0/8`".to_owned(),
            Check::Ip => "be an IP address".to_owned(),
            Check::NotPrefixed(prefix) => format!("not start with `{prefix}`"),
            Check::Unique => "have no duplicates".to_owned(),
            Check::NoNulls => "have no null elements".to_owned(),
            Check::Each(rule) => format!("have elements that each {}", rule.words(true)),
        }
    }
}

impl Rule {
    /// The rule as a sentence for the docs; nothing for rules that go without saying.
    #[must_use]
    pub fn sentence(&self, of_text: bool) -> Option<String> {
        match &self.0 {
            Check::Integer => None,
            Check::Each(rule) if matches!(rule.0, Check::Integer) => None,
            Check::Each(rule) => Some(format!("Each element must {}.", rule.words(true))),
            _ => Some(format!("Must {}.", self.words(of_text))),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(true))
    }
}

/// A rule for text does not mind other kinds: core has converted the value to the attribute's type.
fn text(value: &Value, accepts: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_none_or(accepts)
}

fn reading<E: fmt::Display>(value: &Value, read: impl Fn(&str) -> Result<(), E>) -> Result<(), String> {
    value.as_str().map_or(Ok(()), |text| {
        read(text).map_err(|error| format!("must be a duration: {error}"))
    })
}

fn length(value: &Value) -> Option<usize> {
    match value.inner() {
        Value::String(text) => Some(text.chars().count()),
        Value::List(elements) => Some(elements.len()),
        Value::Map(elements) => Some(elements.len()),
        _ => None,
    }
}

fn between(number: &Number, least: i64, most: Option<i64>) -> bool {
    *number >= Number::from(least) && most.is_none_or(|most| *number <= Number::from(most))
}

fn is_unique(elements: &[Value]) -> bool {
    let mut known: Vec<&Value> = elements.iter().filter(|element| element.is_wholly_known()).collect();
    known.sort();
    known.windows(2).all(|pair| matches!(pair, [a, b] if a != b))
}

fn elements<'a>(value: &'a Value, path: &Path) -> Vec<(Path, &'a Value)> {
    match value.inner() {
        Value::List(elements) => elements
            .iter()
            .enumerate()
            .map(|(index, element)| (path.index(index), element))
            .collect(),
        Value::Map(elements) => elements.iter().map(|(key, element)| (path.key(key), element)).collect(),
        _ => Vec::new(),
    }
}

/// A value as the docs and messages show it.
pub(crate) fn quoted(value: &Value) -> String {
    match value.inner() {
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::Bool(bool) => format!("`{bool}`"),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &Rule, value: impl Into<Value>) -> Vec<String> {
        let refusals = rule.refusals(&value.into(), &Path::from("a"));
        refusals
            .into_iter()
            .map(|refusal| format!("{} {}", refusal.path, refusal.reason))
            .collect()
    }

    #[test]
    fn rules_accept_and_refuse() {
        let vowel = Rule::custom(
            |value| {
                if value.as_str() == Some("a") {
                    Ok(())
                } else {
                    Err("must sound".into())
                }
            },
            "be a vowel",
        );
        let list = |elements: &[&str]| Value::list(elements.iter().copied());
        let cases: Vec<(Rule, Value, Value, &str)> = vec![
            (
                Rule::length(1..=3),
                "äöü".into(),
                "".into(),
                "a must have 1 to 3 characters",
            ),
            (
                Rule::length(1..),
                list(&["x"]),
                list(&[]),
                "a must have at least 1 elements",
            ),
            (
                Rule::length(..2),
                "a".into(),
                "ab".into(),
                "a must have 0 to 1 characters",
            ),
            (
                Rule::pattern("^[a-z]+$", "be lower case"),
                "abc".into(),
                "aBc".into(),
                "a must be lower case",
            ),
            (
                Rule::one_of(["x", "y"]),
                "y".into(),
                "z".into(),
                "a must be one of `x`, `y`",
            ),
            (Rule::between(1, 4), 4.into(), 5.into(), "a must be between 1 and 4"),
            (Rule::at_least(1), 1.into(), 0.into(), "a must be at least 1"),
            (
                Rule::integer(),
                7.into(),
                Number::from_f64(0.5).unwrap().into(),
                "a must be a whole number",
            ),
            (
                Rule::positive_duration(),
                "90m".into(),
                "0s".into(),
                "a must be a duration: a duration must be longer than 0",
            ),
            (
                Rule::cidr(),
                "fe80::/10".into(),
                "10.0.0.0".into(),
                "a must be a network in CIDR notation, such as `10.0.0.0/8`",
            ),
            (Rule::ip(), "::1".into(), "1.2.3".into(), "a must be an IP address"),
            (
                Rule::not_prefixed("dynvm"),
                "vm".into(),
                "dynvm:x".into(),
                "a must not start with `dynvm`",
            ),
            (
                Rule::unique(),
                list(&["x", "y"]),
                list(&["x", "x"]),
                "a must have no duplicates",
            ),
            (
                Rule::no_nulls(),
                list(&["x"]),
                Value::list([Value::Null]),
                "a must have no null elements",
            ),
            (
                Rule::each(Rule::at_least(1)),
                Value::list([1, 2]),
                Value::list([1, 0]),
                "a[1] must be at least 1",
            ),
            (vowel, "a".into(), "b".into(), "a must sound"),
        ];
        for (rule, good, bad, refusal) in cases {
            assert_eq!(check(&rule, good), Vec::<String>::new(), "{rule}");
            assert_eq!(check(&rule, bad), [refusal]);
            assert!(
                check(&rule, Value::Null).is_empty() && check(&rule, Value::unknown()).is_empty(),
                "{rule}"
            );
        }
    }

    #[test]
    fn unknown_elements_are_passed_over() {
        assert!(check(&Rule::unique(), Value::list([Value::unknown(), Value::unknown()])).is_empty());
        assert!(
            check(
                &Rule::each(Rule::at_least(1)),
                Value::list([Value::unknown(), Value::Null])
            )
            .is_empty()
        );
    }

    #[test]
    fn a_broken_expression_is_a_fault_of_the_schema() {
        assert!(Rule::pattern("(", "x").fault().is_some());
        assert!(Rule::each(Rule::pattern("(", "x")).fault().is_some());
        assert!(Rule::pattern(".", "x").fault().is_none());
    }
}
