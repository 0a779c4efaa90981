//! Durations as people write them, for the provider and for the pools' side.

use std::time::Duration;

use crate::lines::text;

pub(crate) fn read(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let provider = engine::duration::parse_or_zero(text);
    let reaper = fleet::duration::parse(text);
    // Each takes some forms that the other refuses, `1.5h30m` or `90 m`; what both take must mean the same to both.
    if let (Ok(provider), Ok(reaper)) = (&provider, &reaper) {
        assert_eq!(provider, reaper, "{text:?}");
    }
    for duration in provider.into_iter().chain(reaper) {
        shown(duration);
    }
}

/// What is shown is read again, but for what is below a millisecond.
fn shown(duration: Duration) {
    let shown = fleet::duration::format(duration);
    let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    assert_eq!(fleet::duration::parse(&shown), Ok(whole), "{shown}");
    if whole < Duration::from_secs(u64::MAX / 1_000_000_000) {
        assert_eq!(engine::duration::parse_or_zero(&shown), Ok(whole), "{shown}");
    }
}
