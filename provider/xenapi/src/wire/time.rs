//! Times as xapi writes them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

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
