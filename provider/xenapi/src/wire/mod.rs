//! The wire: XML-RPC as xapi speaks it. The only place that names the XML library.
//!
//! The quirks that matter (read in xapi and in ocaml-rpc): texts and numbers come untagged, flags tagged; times have no dashes;
//! an absent optional is an absent member; a failure is HTTP 200 with a `Status` of `Failure`; one method answers without a status;
//! and names of members come unescaped, so what people write into maps can make an answer that is no XML.

mod answer;
mod build;
mod encode;
mod frame;
mod skip;

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub(crate) use self::answer::{Answer, ReadError, read_answer, read_fragment};
pub(crate) use self::build::{Emitted, Shape};
#[cfg(test)]
pub(crate) use self::encode::value_text;
pub(crate) use self::encode::{check_key, request};

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A text, a reference, an enum, and on the way in also a number.
    Text(String),
    /// A flag.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A time as text.
    Time(String),
    /// A set.
    Array(Vec<Value>),
    /// A map or a record.
    Struct(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Takes a number of seconds, as `event.from` wants it: with a fraction, because old releases refuse a whole number there.
    pub(crate) fn seconds(time: Duration) -> Self {
        Self::Float(time.as_secs_f64())
    }

    pub(crate) fn map<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self::Struct(
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), Self::text(value)))
                .collect(),
        )
    }

    pub(crate) fn set<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(Self::text).collect())
    }

    /// Takes one member out of a structure.
    pub(crate) fn take_member(&mut self, name: &str) -> Option<Self> {
        match self {
            Self::Struct(members) => {
                let at = members.iter().position(|(member, _)| member == name)?;
                Some(members.swap_remove(at).1)
            }
            Self::Text(_) | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) | Self::Array(_) => None,
        }
    }
}

/// Reads a time as xapi writes it (`20260821T12:34:56Z`), and the forms with dashes, fractions or without zone seen elsewhere.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = text.strip_suffix('Z').unwrap_or(text);
    let dashed = match (local.get(..8), local.get(8..)) {
        (Some(date), Some(rest)) if date.bytes().all(|b| b.is_ascii_digit()) => {
            let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..8)?);
            format!("{year}-{month}-{day}{rest}")
        }
        (Some(_) | None, Some(_) | None) => local.to_owned(),
    };
    let civil: DateTime = dashed.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// An answer that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{0}")]
    Xml(String),
    #[error("the element <{0}> stands where it cannot")]
    Unexpected(String),
    #[error("text stands where it cannot")]
    StrayText,
    #[error("{text:?} is no {expected}")]
    Literal { expected: &'static str, text: String },
    #[error("the entity &{0}; is not allowed")]
    Entity(String),
    #[error("a document type is not allowed")]
    DocumentType,
    #[error("more than {0} levels deep")]
    TooDeep(usize),
    #[error("one record or value takes more than {0} bytes")]
    TooBig(usize),
    #[error("the answer ends early")]
    Truncated,
    #[error("the answer holds no value")]
    Empty,
    #[error("the server reports a fault: {0}")]
    Fault(String),
    #[error("{0}")]
    Record(String),
    #[error("no value follows a name near {0:?}: a map key may hold `</name>`, which pools do not escape")]
    Name(String),
}

impl WireError {
    /// Something stands behind a name that is no value, or a name ends that did not begin. The builder knows the place.
    fn name() -> Self {
        Self::Name(String::new())
    }

    fn unexpected(tag: &str) -> Self {
        Self::Unexpected(tag.chars().take(100).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn reads_every_form_of_time() {
        for text in [
            "20260821T12:34:56Z",
            "2026-08-21T12:34:56Z",
            "20260821T12:34:56",
            "2026-08-21T12:34:56",
            " 20260821T12:34:56.000Z",
        ] {
            assert_eq!(
                parse_time(text).map(|time| time.as_second()),
                Some(1_787_315_696),
                "{text}"
            );
        }
        assert_eq!(parse_time("19700101T00:00:00Z").map(|time| time.as_second()), Some(0));
        for text in [
            "",
            "Z",
            "2026",
            "20261321T12:34:56Z",
            "ääää",
            "20260821T99:00:00Z",
            "１２",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
