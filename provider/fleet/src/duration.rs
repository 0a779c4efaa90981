//! Durations as people write them: `90m`, `1h30m`, `12h`, `2d`. A day has 24 hours; weeks, months and years are refused.

use std::time::Duration;

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use jiff::{Span, SpanRelativeTo, SpanRound, Unit};

/// How a duration is written: `1h30m`.
const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);

/// Says that a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write numbers with the units d, h, m, s or ms, largest first, as in \"1h30m\"")]
pub struct DurationError(String);

/// Reads a duration, which may be 0.
///
/// # Errors
/// The text has not the form of a duration, is negative, too long, or counts weeks, months or years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text).ok_or_else(|| DurationError(text.chars().take(60).collect()))
}

fn read(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    if span.is_negative() || span.get_weeks() != 0 || span.get_months() != 0 || span.get_years() != 0 {
        return None;
    }
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let duration = Duration::try_from(length).ok()?;
    // Several units together can exceed what any one of them can show again.
    in_days_and_less(duration).is_ok().then_some(duration)
}

/// Writes a duration as [`parse`] reads it, in the largest units that fit: `1h30m`, `2d`. What is below a millisecond is
/// dropped.
pub fn format(duration: Duration) -> String {
    // Only what lasts longer than 10 000 years is not to be had as a span, and none such is read.
    in_days_and_less(duration).map_or_else(
        |_| format!("{}s", duration.as_secs()),
        |span| PRINTER.span_to_string(&span),
    )
}

/// The duration as a span, down to its milliseconds.
fn in_days_and_less(duration: Duration) -> Result<Span, jiff::Error> {
    let days_and_less = SpanRound::new()
        .largest(Unit::Day)
        .smallest(Unit::Millisecond)
        .mode(jiff::RoundMode::Trunc)
        .days_are_24_hours();
    Span::try_from(duration)?.round(days_and_less)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match parse(text) {
            Ok(duration) => format(duration),
            Err(error) => error.to_string(),
        };
        assert!(
            shown.starts_with(expect),
            "{text:?} gave {shown:?}, expected {expect:?}"
        );
    }

    #[test]
    fn durations_are_read_and_written() {
        check("90m", "1h30m");
        check("1h30m", "1h30m");
        check("12h", "12h");
        check("2d", "2d");
        check("48h", "2d");
        check("400s", "6m40s");
        check("1.5h", "1h30m");
        check("0s", "0s");
        check("1d2h3m4s5ms", "1d2h3m4s5ms");
        assert_eq!(parse("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(format(Duration::from_nanos(5_999_999)), "5ms");
        assert_eq!(format(Duration::MAX), format!("{}s", u64::MAX));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "h",
            "10",
            "-1h",
            "1h ago",
            "1h1h",
            "5m1h",
            "2w",
            "1mo",
            "1y",
            "1H",
            "999999999999999999d",
            "1655721655057,2s",
            "853371068h6s",
            "10914067114114067ms",
        ] {
            check(text, &format!("{text:?} is not a duration"));
        }
    }
}
