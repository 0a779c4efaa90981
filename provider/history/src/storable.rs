//! What every sink can keep alike: no NUL in texts, times to the microsecond, durations to the millisecond.
//!
//! Each sink has limits of its own (PostgreSQL refuses NUL, JSON has no infinity, both databases count with a sign). An
//! entry that one of them refused would stop the queue behind it, so entries are brought inside all limits first. What is
//! inside already stays the same.

use jiff::Timestamp;

use crate::row::{Entry, Renewal, ServerRow};

/// The longest duration: some thirty thousand years, and small enough that its milliseconds are exact.
const LONGEST_SECONDS: f64 = 1e12;

/// The year 1: earlier times have another order as text than as times.
const EARLIEST_SECOND: i64 = -62_135_596_800;

/// Brings an entry inside the limits of all sinks.
pub(crate) fn storable(entry: &Entry) -> Entry {
    match entry {
        Entry::Server(row) => Entry::Server(server(row)),
        Entry::Renewed(renewal) => Entry::Renewed(Renewal {
            vm_uuid: renewal.vm_uuid,
            at: time(renewal.at),
            expires_at: time(renewal.expires_at),
            by: renewal.by.as_deref().map(text),
        }),
    }
}

fn server(row: &ServerRow) -> ServerRow {
    let words = |column: &Option<String>| column.as_deref().map(text);
    ServerRow {
        vm_uuid: row.vm_uuid,
        name: words(&row.name),
        owner: words(&row.owner),
        pool: words(&row.pool),
        host: words(&row.host),
        os: words(&row.os),
        template: words(&row.template),
        cpus: row.cpus,
        memory_bytes: row.memory_bytes.map(bytes),
        disk_bytes: row.disk_bytes.map(bytes),
        ip_addresses: row.ip_addresses.clone(),
        created_at: row.created_at.map(time),
        ready_at: row.ready_at.map(time),
        expires_at: row.expires_at.map(time),
        deleted_at: row.deleted_at.map(time),
        create_seconds: row.create_seconds.and_then(seconds),
        live_seconds: row.live_seconds.and_then(seconds),
        delete_seconds: row.delete_seconds.and_then(seconds),
        end_reason: row.end_reason,
    }
}

fn text(text: &str) -> String {
    text.replace('\0', "")
}

fn bytes(bytes: u64) -> u64 {
    bytes.min(i64::MAX.unsigned_abs())
}

/// A time to the microsecond, in the years that sort as text.
pub(crate) fn time(at: Timestamp) -> Timestamp {
    let earliest = Timestamp::from_second(EARLIEST_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let nanoseconds = at.max(earliest).as_nanosecond();
    Timestamp::from_nanosecond(nanoseconds - nanoseconds.rem_euclid(1000)).unwrap_or(at)
}

/// A duration to the millisecond; no duration is below zero, and what is no number is not known.
pub(crate) fn seconds(seconds: f64) -> Option<f64> {
    let whole = (seconds.clamp(0.0, LONGEST_SECONDS) * 1000.0).round() / 1000.0;
    whole.is_finite().then_some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::any_entry;

    proptest! {
        #[test]
        fn what_is_storable_stays_so_and_survives_json(entry in any_entry()) {
            let kept = storable(&entry);
            prop_assert_eq!(&storable(&kept), &kept);
            let text = serde_json::to_string(&kept).unwrap();
            let read: Entry = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(storable(&read), kept);
        }
    }

    #[test]
    fn leaves_the_usual_alone_and_bounds_the_rest() {
        assert_eq!(seconds(12.345), Some(12.345));
        assert_eq!(seconds(f64::NAN), None);
        assert_eq!(seconds(f64::INFINITY), Some(LONGEST_SECONDS));
        assert_eq!(seconds(-3.0), Some(0.0));
        assert_eq!(text("a\0b"), "ab");
        let at: Timestamp = "2026-11-20T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(time(at).to_string(), "2026-11-20T10:00:00.123456Z");
        assert_eq!(time(Timestamp::MAX).to_string(), "9999-12-30T22:00:00.999999Z");
        assert_eq!(time(Timestamp::MIN).to_string(), "0001-01-01T00:00:00Z");
    }
}
