//! One mark: parsed strictly, printed in one way only.
//!
//! Whatever begins with `dynvm:` and does not read back as the very same text is unparsable. Nothing is guessed: an
//! unparsable mark makes a VM uncertain, and uncertain VMs are reported, never deleted.

use std::fmt;
use std::str::FromStr as _;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ulid::Ulid;
use xenapi::Uuid;

/// What every mark begins with.
pub const PREFIX: &str = "dynvm:";

/// The characters of an owner that are written as they are: RFC 3986's unreserved ones.
const OWNER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An expiry mark: when, and the identity of the mark, which makes each one its writer's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expires {
    /// When the lease ends, by the coordinator's clock, in whole seconds.
    pub at: Timestamp,
    /// Tells this mark from another with the same time.
    pub id: Ulid,
}

/// What dynvm writes on a VM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The VM's own UUID.
    Vm(Uuid),
    /// The end of the lease.
    Expires(Expires),
    /// The end of the creation lease.
    Creating(Timestamp),
    /// Who asked for the server.
    Owner(String),
    /// A person's wish that nothing reaps this VM.
    Keep,
    /// A reaper's claim.
    Reaping(Ulid),
}

/// A tag, or a key of `other_config`, as it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not dynvm's: it does not begin with the prefix.
    Other,
    /// A mark.
    Mark(Mark),
    /// Begins with the prefix, and is none of the marks in their one spelling.
    Unparsable,
}

impl Expires {
    /// A mark of one's own, made at this moment of the coordinator's clock.
    pub fn minted(at: Timestamp, now: Timestamp) -> Self {
        Self { at, id: mint(now) }
    }

    /// When the mark was made, by the coordinator's clock; to the millisecond.
    pub fn made_at(&self) -> Timestamp {
        let made = i64::try_from(self.id.timestamp_ms()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(made).unwrap_or(Timestamp::MAX)
    }
}

/// Makes an identity for a mark. Its time is the coordinator's like all that is written: the caller's clock may be hours off.
pub fn mint(now: Timestamp) -> Ulid {
    let made = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Ulid::from_parts(made, Ulid::new().random())
}

impl Mark {
    /// Reads a tag or a key.
    pub fn parse(text: &str) -> Parsed {
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Parsed::Other;
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        let mark = match (name, value) {
            ("vm", Some(value)) => Uuid::from_str(value).ok().map(Mark::Vm),
            ("expires", Some(value)) => parse_expires(value).map(Mark::Expires),
            ("creating", Some(value)) => parse_time(value).map(Mark::Creating),
            ("owner", Some(value)) => percent_decode_str(value)
                .decode_utf8()
                .ok()
                .map(|owner| Mark::Owner(owner.into_owned())),
            ("keep", None) => Some(Mark::Keep),
            ("reaping", Some(value)) => parse_ulid(value).map(Mark::Reaping),
            (_, Some(_) | None) => None,
        };
        match mark {
            // A value that has a second spelling (case, fraction, offset) is somebody else's writing.
            Some(mark) if mark.to_string() == text => Parsed::Mark(mark),
            Some(_) | None => Parsed::Unparsable,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Mark::Vm(uuid) => write!(f, "vm={uuid}"),
            Mark::Expires(expires) => write!(f, "expires={}/{}", format_time(expires.at), expires.id),
            Mark::Creating(until) => write!(f, "creating={}", format_time(*until)),
            Mark::Owner(owner) => write!(f, "owner={}", utf8_percent_encode(owner, OWNER)),
            Mark::Keep => f.write_str("keep"),
            Mark::Reaping(claim) => write!(f, "reaping={claim}"),
        }
    }
}

/// Prints a time the way marks carry it: RFC 3339 in UTC, whole seconds.
pub fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads the one spelling that [`format_time`] prints.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    (format_time(at) == text).then_some(at)
}

fn parse_expires(value: &str) -> Option<Expires> {
    let (at, id) = value.split_once('/')?;
    Some(Expires {
        at: parse_time(at)?,
        id: parse_ulid(id)?,
    })
}

fn parse_ulid(text: &str) -> Option<Ulid> {
    Ulid::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Parsed) {
        assert_eq!(Mark::parse(text), expect, "{text}");
    }

    #[test]
    fn reads_each_mark() {
        let id = Ulid::from_string("01JD4Q8QCGTF0000000000000A").unwrap();
        let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        check("dynvm:keep", Parsed::Mark(Mark::Keep));
        check(
            "dynvm:owner=ci%2Fnightly",
            Parsed::Mark(Mark::Owner("ci/nightly".into())),
        );
        check("dynvm:creating=2026-11-21T10:00:00Z", Parsed::Mark(Mark::Creating(at)));
        check(
            "dynvm:expires=2026-11-21T10:00:00Z/01JD4Q8QCGTF0000000000000A",
            Parsed::Mark(Mark::Expires(Expires { at, id })),
        );
        check(
            "dynvm:reaping=01JD4Q8QCGTF0000000000000A",
            Parsed::Mark(Mark::Reaping(id)),
        );
        let uuid = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";
        check(
            &format!("dynvm:vm={uuid}"),
            Parsed::Mark(Mark::Vm(uuid.parse().unwrap())),
        );
    }

    #[test]
    fn refuses_second_spellings() {
        for text in [
            "dynvm:",
            "dynvm:keep=",
            "dynvm:keep=yes",
            "dynvm:Keep",
            "dynvm:vm=",
            "dynvm:vm=0EE5F2A5-9C5C-4DCD-A1F4-9C7D6E1B8A10",
            "dynvm:vm=not-a-uuid",
            "dynvm:expires=2026-11-21T10:00:00Z",
            "dynvm:expires=2026-11-21T10:00:00Z/",
            "dynvm:expires=2026-11-21T10:00:00.5Z/01JD4Q8QCGTF0000000000000A",
            "dynvm:expires=2026-11-21T12:00:00+02:00/01JD4Q8QCGTF0000000000000A",
            "dynvm:expires=2026-11-21 10:00:00Z/01JD4Q8QCGTF0000000000000A",
            "dynvm:expires=2026-11-21T10:00:00Z/01jd4q8qcgtf0000000000000a",
            "dynvm:creating=tomorrow",
            "dynvm:owner=ci/nightly",
            "dynvm:owner=%ff",
            "dynvm:reaping=me",
            "dynvm:spec",
            "dynvm:something=new",
        ] {
            check(text, Parsed::Unparsable);
        }
    }

    #[test]
    fn an_identity_tells_when_it_was_made_and_is_never_the_same() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let (one, other) = (Expires::minted(now, now), Expires::minted(now, now));
        assert_eq!(one.made_at(), now);
        assert_ne!(one.id, other.id);
    }

    #[test]
    fn leaves_the_tags_of_others_alone() {
        for text in ["", "web", "dynvm", "DYNVM:keep", " dynvm:keep", "x-dynvm:keep"] {
            check(text, Parsed::Other);
        }
    }

    fn any_mark() -> impl Strategy<Value = Mark> {
        let time = (0_i64..4_000_000_000).prop_map(|s| Timestamp::from_second(s).unwrap());
        let id = any::<u128>().prop_map(Ulid);
        prop_oneof![
            (time.clone(), id.clone()).prop_map(|(at, id)| Mark::Expires(Expires { at, id })),
            time.prop_map(Mark::Creating),
            any::<String>().prop_map(Mark::Owner),
            Just(Mark::Keep),
            id.prop_map(Mark::Reaping),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(mark in any_mark()) {
            prop_assert_eq!(Mark::parse(&mark.to_string()), Parsed::Mark(mark));
        }

        #[test]
        fn no_mark_holds_what_breaks_xml(mark in any_mark()) {
            let text = mark.to_string();
            prop_assert!(!text.contains(['<', '>', '&', '"']) && !text.contains(' '));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(dynvm:)?(vm|expires|creating|owner|keep|reaping)?=?.*") {
            if let Parsed::Mark(mark) = Mark::parse(&text) {
                prop_assert_eq!(mark.to_string(), text);
            }
        }

        #[test]
        fn earlier_times_sort_first(a in 0_i64..4_000_000_000, b in 0_i64..4_000_000_000, x in any::<u128>(), y in any::<u128>()) {
            let expires = |s, id| Expires { at: Timestamp::from_second(s).unwrap(), id: Ulid(id) };
            prop_assert_eq!(a < b && expires(a, x) > expires(b, y), false);
        }
    }
}
