//! How long operations take: uniform spans in milliseconds, with the values of a small lab as defaults.

use serde::{Deserialize, Serialize};

/// A uniform random span of milliseconds, written `1600`, or `"1600-2000"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "SpanText", into = "String")]
pub struct Span {
    /// Shortest, in milliseconds.
    pub min_ms: u64,
    /// Longest, in milliseconds.
    pub max_ms: u64,
}

impl Span {
    /// A span between two bounds; the smaller one counts as the shortest.
    #[must_use]
    pub const fn new(a: u64, b: u64) -> Self {
        if a <= b {
            Self { min_ms: a, max_ms: b }
        } else {
            Self { min_ms: b, max_ms: a }
        }
    }

    /// Always the same time.
    #[must_use]
    pub const fn fixed(ms: u64) -> Self {
        Self { min_ms: ms, max_ms: ms }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SpanText {
    Number(f64),
    Text(String),
}

impl TryFrom<SpanText> for Span {
    type Error = String;

    fn try_from(value: SpanText) -> Result<Self, Self::Error> {
        match value {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a small, non-negative number"
            )]
            SpanText::Number(n) if (0.0..1e12).contains(&n) => Ok(Self::fixed(n as u64)),
            SpanText::Number(n) => Err(format!("{n} is not a number of milliseconds")),
            SpanText::Text(text) => {
                let (a, b) = text.split_once('-').unwrap_or((&text, &text));
                match (a.trim().parse(), b.trim().parse()) {
                    (Ok(a), Ok(b)) => Ok(Self::new(a, b)),
                    _ => Err(format!("`{text}` is not a span of milliseconds such as \"1600-2000\"")),
                }
            }
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        if span.min_ms == span.max_ms {
            span.min_ms.to_string()
        } else {
            format!("{}-{}", span.min_ms, span.max_ms)
        }
    }
}

macro_rules! latencies {
    ($($(#[$doc:meta])* $name:ident = $min:literal .. $max:literal;)*) => {
        /// Time that each kind of operation takes, before division by the time scale.
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Latencies {
            $($(#[$doc])* pub $name: Span,)*
        }

        impl Default for Latencies {
            fn default() -> Self {
                Self { $($name: Span::new($min, $max),)* }
            }
        }

        impl Latencies {
            /// No latency at all, for tests of rules that time does not matter to.
            #[must_use]
            pub fn zero() -> Self {
                Self { $($name: Span::fixed(0),)* }
            }
        }
    };
}

latencies! {
    /// Network round trip and dispatch of every request.
    request_ms = 1..2;
    /// A login with the right password.
    login_ms = 15..40;
    /// A login with a wrong password.
    bad_login_ms = 5000..5000;
    /// `host.get_servertime`, forwarded to the host.
    get_servertime_ms = 3..10;
    /// The storage backend's part of `VDI.clone`.
    vdi_clone_ms = 1600..2000;
    /// The storage backend's part of `VDI.create`.
    vdi_create_ms = 600..1000;
    /// The storage backend's part of `VDI.destroy`.
    vdi_destroy_ms = 500..900;
    /// The storage backend's part of `VDI.resize`.
    vdi_resize_ms = 500..900;
    /// The storage backend's part of `VDI.snapshot`.
    vdi_snapshot_ms = 1600..2000;
    /// Copying one GiB.
    vdi_copy_ms_per_gib = 4000..6000;
    /// `SR.scan`.
    sr_scan_ms = 700..1500;
    /// From the storage operation to freed space.
    sr_gc_ms = 3000..8000;
    /// Building a domain, from the call to Running.
    vm_start_ms = 2000..3000;
    /// `VM.hard_shutdown`.
    hard_shutdown_ms = 800..1200;
    /// A domain's restart.
    reboot_ms = 1500..2500;
    /// `VM.pause` and `VM.unpause`.
    pause_ms = 50..150;
    /// Writing one GiB of memory image.
    suspend_ms_per_gib = 1500..2500;
    /// Live migration of one GiB of memory.
    migrate_ms_per_gib = 1500..2500;
    /// Hot plug and unplug of a disk or NIC.
    hotplug_ms = 200..500;
    /// Pause between looks of `event.from`.
    event_delay_ms = 50..100;
    /// From the guest agent's write to the database.
    guest_write_ms = 10..60;
    /// A disk write of one GiB through `/import_raw_vdi`.
    import_ms_per_gib = 8000..12000;
    /// `pool.sync_database`.
    sync_database_ms = 500..1500;
    /// Shortest and longest sleep of a call that waits for another operation.
    conflict_retry_ms = 1000..20000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_numbers_and_ranges() {
        let read = |text: &str| serde_json::from_str::<Span>(text);
        assert_eq!(read("7").unwrap(), Span::fixed(7));
        assert_eq!(read("\"5-9\"").unwrap(), Span::new(5, 9));
        assert!(read("\"soon\"").unwrap_err().to_string().contains("soon"));
        assert!(read("-1").is_err());
    }
}
