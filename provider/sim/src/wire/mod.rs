//! The two wire formats and what they share. Nothing here is shared with any client.

pub(crate) mod json;
pub(crate) mod xml;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::value::Value;

/// A call as a client wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
    pub(crate) dialect: Dialect,
}

/// How the answer must look.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Dialect {
    Xml,
    /// Without a `jsonrpc` member.
    JsonV1 {
        id: String,
    },
    JsonV2 {
        id: String,
    },
}

/// The dash-less form that the API uses everywhere.
pub(crate) fn datetime(seconds: i64) -> String {
    let stamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    stamp.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H:%M:%SZ").to_string()
}

/// Reads the dash-less form, and the dashed one that some clients send.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let plain: String = text.trim().chars().filter(|c| *c != '-').collect();
    let plain = plain.trim_end_matches('Z');
    let whole = plain.split('.').next().unwrap_or(plain);
    let stamp = jiff::civil::DateTime::strptime("%Y%m%dT%H:%M:%S", whole).ok()?;
    Some(stamp.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_have_no_dashes() {
        assert_eq!(datetime(0), "19700101T00:00:00Z");
        assert_eq!(parse_datetime("20260821T12:34:56Z"), Some(1_787_315_696));
        assert_eq!(parse_datetime("2026-08-21T12:34:56Z"), Some(1_787_315_696));
        assert_eq!(datetime(1_787_315_696), "20260821T12:34:56Z");
        assert_eq!(parse_datetime("yesterday"), None);
    }
}
