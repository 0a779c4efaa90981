//! Durations as users write them: `90m`, `1h30m`, `12h`, `2d`.

use std::time::Duration;

/// Units, largest first, with their length in nanoseconds. A day is 24 hours.
const UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Says why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text has not the form of a duration.
    #[error("{0:?} is not a duration: write numbers with the units d, h, m, s or ms, largest first, as in \"1h30m\"")]
    Malformed(String),
    /// Weeks, months and years differ in length or mislead.
    #[error("the unit {0:?} is not supported: the largest unit is d, a day of 24 hours")]
    Unit(String),
    /// Nothing may last nothing.
    #[error("a duration must be longer than 0")]
    Zero,
    /// Beyond what can be counted.
    #[error("{0:?} is too long")]
    TooLong(String),
}

/// Reads a duration longer than 0. Days have 24 hours; months and years are refused.
///
/// # Errors
/// If the text has not the form of a duration, is 0 or too long.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    match parse_or_zero(text)? {
        Duration::ZERO => Err(DurationError::Zero),
        duration => Ok(duration),
    }
}

/// Reads a duration that may be 0.
///
/// # Errors
/// If the text has not the form of a duration or is too long.
pub fn parse_or_zero(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text;
    let mut total = 0_u128;
    let mut last = u128::MAX;
    while !rest.is_empty() {
        let (number, after) = split(rest, |char| char.is_ascii_digit() || char == '.');
        let (unit, after) = split(after, |char| !char.is_ascii_digit() && char != '.');
        let length = unit_length(unit, number).ok_or_else(malformed)??;
        if length >= last {
            return Err(malformed());
        }
        let amount = nanoseconds(number, length).ok_or_else(malformed)?;
        total = total.checked_add(amount.ok_or_else(too_long)?).ok_or_else(too_long)?;
        (last, rest) = (length, after);
    }
    if last == u128::MAX {
        return Err(malformed());
    }
    let nanoseconds = u64::try_from(total).map_err(|_| too_long())?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|char| !belongs(char)).unwrap_or(text.len());
    text.split_at(end)
}

/// The length of a unit; nothing if there is no number or no unit, an error if it is a unit of the calendar.
fn unit_length(unit: &str, number: &str) -> Option<Result<u128, DurationError>> {
    let known = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, length)| *length);
    match known {
        _ if number.is_empty() || unit.is_empty() => None,
        Some(length) => Some(Ok(length)),
        None if unit.chars().all(char::is_alphabetic) => Some(Err(DurationError::Unit(unit.to_owned()))),
        None => None,
    }
}

/// Number times unit, with up to nine digits after the point: nothing if the number is none, nothing inside if too large.
fn nanoseconds(number: &str, length: u128) -> Option<Option<u128>> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || whole.len() > 18 || fraction.contains('.') {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let (whole, fraction) = (whole.parse::<u128>().ok()?, fraction.parse::<u128>().ok()?);
    Some(
        whole
            .checked_mul(length)
            .and_then(|whole| whole.checked_add(fraction * length / scale)),
    )
}

/// Writes a duration as [`parse`] reads it, in the largest units that fit: `1h30m`, `2d`. What is below a millisecond is
/// dropped.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (name, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{name}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let cases = [
            ("90m", 5_400_000, "1h30m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("12h", 43_200_000, "12h"),
            ("2d", 172_800_000, "2d"),
            ("400s", 400_000, "6m40s"),
            ("1.5h", 5_400_000, "1h30m"),
            ("250ms", 250, "250ms"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
        ];
        for (text, milliseconds, written) in cases {
            let duration = parse(text).unwrap();
            assert_eq!(duration.as_millis(), milliseconds, "{text}");
            assert_eq!(format(duration), written);
            assert_eq!(parse(written), Ok(duration));
        }
        assert_eq!(parse_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(format(Duration::ZERO), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "h", "10", "1 h", "-1h", "1h-5m", "1..5h", ".5h", "1h1h", "5m1h", "1h 30m", "1_000s",
        ] {
            assert_eq!(parse(text), Err(DurationError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["1mo", "2w", "3months", "1y", "1H"] {
            assert!(matches!(parse(text), Err(DurationError::Unit(_))), "{text}");
        }
        assert_eq!(parse("0m"), Err(DurationError::Zero));
        for text in ["999999999999999999d", "300000d"] {
            assert_eq!(parse(text), Err(DurationError::TooLong(text.to_owned())), "{text}");
        }
    }
}
