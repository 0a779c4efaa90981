//! The value of a ticket: compact JSON, as `pool.other_config` travels to everybody who watches the pool.
//!
//! ```text
//! {"kind":"creation","id":"01JD4Q8QCGTF0000000000000A","until":"2026-11-20T10:30:00Z","vcpus":2,"memory":4333764608,
//!  "disk":{"<SR>":21474836480},"os":"centos7","hosts":{"<host>":3},"by":"ci/nightly"}
//! ```
//! `id` and `until` keep their name and form in every version to come, so that any program can clear what is over even where it
//! understands nothing else. Members that it does not know it passes over.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use xenapi::Uuid;

use crate::lease::{format_time, parse_time};

/// How long before its end nobody relies on a ticket any more: more than what any two views of the coordinator's clock are apart,
/// so that it has ended for its holder before it ends for the first of all others.
pub const MARGIN: Duration = Duration::from_secs(30);

/// The most characters of an owner that a ticket carries.
const OWNER: usize = 48;

/// Room that somebody asks for, or holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Tells it from all others; of the same one again after it was lost and taken anew.
    pub id: Ulid,
    /// What for.
    pub kind: Kind,
    /// What one of its servers needs.
    pub each: PerServer,
    /// How many servers on which host, by UUID. The place is chosen when the ticket is taken.
    pub hosts: BTreeMap<Uuid, u32>,
    /// From then on it holds nothing; by the coordinator's clock, in whole seconds.
    pub until: Timestamp,
    /// Who asks; cut off after 48 characters.
    pub by: String,
}

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Room to be drawn from later. The ticket's id is the reservation's.
    Reservation,
    /// Another size or time of a reservation.
    Change {
        /// The reservation.
        of: Ulid,
        /// The number of the ticket that held it until now: one that was admitted.
        replaces: u64,
    },
    /// Servers being created.
    Creation,
    /// Servers being created in the room of a reservation.
    Draw {
        /// The reservation.
        of: Ulid,
    },
}

/// What one server needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerServer {
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in bytes, with the hypervisor's overhead.
    pub memory_bytes: u64,
    /// Bytes on each SR, by UUID.
    pub disk_bytes: BTreeMap<Uuid, u64>,
    /// The OS alias, as there may be a ceiling for it.
    pub os: Option<String>,
}

/// A value as it reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A ticket.
    Ticket(Ticket),
    /// Something that this version does not understand, with the time after which it is over, if it says so.
    Unknown(Option<Timestamp>),
}

#[derive(Serialize, Deserialize)]
struct Text {
    kind: Word,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<u64>,
    until: String,
    vcpus: u32,
    memory: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    disk: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    os: Option<String>,
    hosts: BTreeMap<String, u32>,
    #[serde(default)]
    by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Reservation,
    Creation,
}

#[derive(Deserialize)]
struct Ending {
    until: String,
}

impl Ticket {
    /// How many servers it is for.
    pub fn servers(&self) -> u32 {
        self.hosts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Says whether its holder may still rely on it.
    pub fn is_to_rely_on(&self, now: Timestamp) -> bool {
        now.checked_add(MARGIN).is_ok_and(|soon| self.until > soon)
    }

    /// The reservation that it is a ticket of, if it is one.
    pub fn reservation(&self) -> Option<Ulid> {
        match self.kind {
            Kind::Reservation => Some(self.id),
            Kind::Change { of, .. } => Some(of),
            Kind::Creation | Kind::Draw { .. } => None,
        }
    }

    /// The reservation that it draws from, if it does.
    pub fn draws_from(&self) -> Option<Ulid> {
        match self.kind {
            Kind::Draw { of } => Some(of),
            Kind::Reservation | Kind::Change { .. } | Kind::Creation => None,
        }
    }

    /// The ticket that takes the place of this one of a reservation, which stands under that number: with the same size and time as
    /// long as nobody changes them in it.
    #[must_use]
    pub fn changed(&self, number: u64, id: Ulid) -> Self {
        let of = self.reservation().unwrap_or(self.id);
        let kind = Kind::Change { of, replaces: number };
        Self {
            id,
            kind,
            ..self.clone()
        }
    }

    /// Prints it as the value of its key.
    pub fn to_json(&self) -> String {
        let (kind, of, replaces) = match self.kind {
            Kind::Reservation => (Word::Reservation, None, None),
            Kind::Change { of, replaces } => (Word::Reservation, Some(of), Some(replaces)),
            Kind::Creation => (Word::Creation, None, None),
            Kind::Draw { of } => (Word::Creation, Some(of), None),
        };
        let text = Text {
            kind,
            id: self.id.to_string(),
            of: of.map(|of| of.to_string()),
            replaces,
            until: format_time(self.until),
            vcpus: self.each.vcpus,
            memory: self.each.memory_bytes,
            disk: texts(&self.each.disk_bytes),
            os: self.each.os.clone(),
            hosts: texts(&self.hosts),
            by: cut(&self.by),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

impl Value {
    /// Reads a value.
    pub fn parse(value: &str) -> Self {
        let ticket = serde_json::from_str(value).ok().and_then(read);
        ticket.map_or_else(
            || {
                let ending = serde_json::from_str(value).ok();
                Value::Unknown(ending.and_then(|ending: Ending| parse_time(&ending.until)))
            },
            Value::Ticket,
        )
    }
}

fn cut(by: &str) -> String {
    by.chars().take(OWNER).collect()
}

fn texts<N: Copy>(map: &BTreeMap<Uuid, N>) -> BTreeMap<String, N> {
    map.iter().map(|(uuid, number)| (uuid.to_string(), *number)).collect()
}

fn uuids<N>(map: BTreeMap<String, N>) -> Option<BTreeMap<Uuid, N>> {
    let pairs = map.into_iter().map(|(uuid, number)| Some((uuid.parse().ok()?, number)));
    pairs.collect()
}

fn read(text: Text) -> Option<Ticket> {
    let ulid = |text: String| Ulid::from_string(&text).ok();
    // A reference that does not read makes the whole ticket unknown, rather than one without the reference.
    let of = match text.of {
        Some(of) => Some(ulid(of)?),
        None => None,
    };
    let kind = match (text.kind, of, text.replaces) {
        (Word::Reservation, None, None) => Kind::Reservation,
        (Word::Reservation, Some(of), Some(replaces)) => Kind::Change { of, replaces },
        (Word::Creation, None, None) => Kind::Creation,
        (Word::Creation, Some(of), None) => Kind::Draw { of },
        (Word::Reservation, _, _) | (Word::Creation, _, Some(_)) => return None,
    };
    Some(Ticket {
        id: ulid(text.id)?,
        kind,
        each: PerServer {
            vcpus: text.vcpus,
            memory_bytes: text.memory,
            disk_bytes: uuids(text.disk)?,
            os: text.os,
        },
        hosts: uuids(text.hosts)?,
        until: parse_time(&text.until)?,
        by: cut(&text.by),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        let uuid = |byte| Uuid::from_bytes([byte; 16]);
        Ticket {
            id: Ulid::from_string("01JD4Q8QCGTF0000000000000A").unwrap(),
            kind: Kind::Creation,
            each: PerServer {
                vcpus: 2,
                memory_bytes: 4_333_764_608,
                disk_bytes: BTreeMap::from([(uuid(1), 21_474_836_480)]),
                os: Some("centos7".into()),
            },
            hosts: BTreeMap::from([(uuid(2), 3)]),
            until: "2026-11-20T10:30:00Z".parse().unwrap(),
            by: "ci/nightly".into(),
        }
    }

    #[test]
    fn reads_as_written_and_is_short() {
        let json = ticket().to_json();
        assert_eq!(
            json,
            concat!(
                r#"{"kind":"creation","id":"01JD4Q8QCGTF0000000000000A","until":"2026-11-20T10:30:00Z","vcpus":2,"#,
                r#""memory":4333764608,"disk":{"01010101-0101-0101-0101-010101010101":21474836480},"os":"centos7","#,
                r#""hosts":{"02020202-0202-0202-0202-020202020202":3},"by":"ci/nightly"}"#
            )
        );
        assert!(json.len() < 280, "{}", json.len());
        let long = Ticket {
            by: "ß".repeat(500),
            ..ticket()
        };
        assert!(long.to_json().len() < 370);
    }

    #[test]
    fn members_of_later_versions_are_no_error() {
        let json = ticket().to_json().replacen('{', r#"{"rack":{"a":[1]},"#, 1);
        assert_eq!(Value::parse(&json), Value::Ticket(ticket()));
    }

    #[test]
    fn what_is_not_understood_tells_its_end_if_it_can() {
        let end = "2026-11-20T10:30:00Z";
        let unknown = |at: &str| Value::Unknown(Some(at.parse().unwrap()));
        let json = ticket().to_json();
        for (value, expect) in [
            (String::new(), Value::Unknown(None)),
            ("5".into(), Value::Unknown(None)),
            (format!(r#"{{"until":"{end}"}}"#), unknown(end)),
            (json.replace("creation", "lottery"), unknown(end)),
            (json.replace(r#""vcpus":2"#, r#""vcpus":-2"#), unknown(end)),
            (json.replacen('{', r#"{"of":"nobody","#, 1), unknown(end)),
            (json.replacen('{', r#"{"replaces":1,"#, 1), unknown(end)),
            (json.replace("02020202-", "host-"), unknown(end)),
            (json.replace("10:30:00Z", "10:30"), Value::Unknown(None)),
        ] {
            assert_eq!(Value::parse(&value), expect, "{value}");
        }
    }

    fn any_ticket() -> impl Strategy<Value = Ticket> {
        let ulid = || any::<u128>().prop_map(Ulid);
        let uuid = || any::<[u8; 16]>().prop_map(Uuid::from_bytes);
        let kind = prop_oneof![
            Just(Kind::Reservation),
            Just(Kind::Creation),
            ulid().prop_map(|of| Kind::Draw { of }),
            (ulid(), any::<u64>()).prop_map(|(of, replaces)| Kind::Change { of, replaces }),
        ];
        let disks = prop::collection::btree_map(uuid(), any::<u64>(), 0..3);
        let each = (any::<u32>(), any::<u64>(), disks, any::<Option<String>>());
        let each = each.prop_map(|(vcpus, memory_bytes, disk_bytes, os)| PerServer {
            vcpus,
            memory_bytes,
            disk_bytes,
            os,
        });
        let hosts = prop::collection::btree_map(uuid(), any::<u32>(), 0..3);
        (ulid(), kind, each, hosts, 0_i64..4_000_000_000, ".{0,48}").prop_map(|(id, kind, each, hosts, until, by)| {
            Ticket {
                id,
                kind,
                each,
                hosts,
                until: Timestamp::from_second(until).unwrap(),
                by,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ticket in any_ticket()) {
            prop_assert_eq!(Value::parse(&ticket.to_json()), Value::Ticket(ticket));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            prop_assert_eq!(Value::parse(&text), Value::Unknown(None));
        }

        #[test]
        fn any_damage_is_read_without_panic(ticket in any_ticket(), at in any::<prop::sample::Index>(), with in any::<char>()) {
            let mut chars: Vec<char> = ticket.to_json().chars().collect();
            let at = at.index(chars.len());
            chars[at] = with;
            let text: String = chars.into_iter().collect();
            if let Value::Ticket(ticket) = Value::parse(&text) {
                prop_assert_eq!(Value::parse(&ticket.to_json()), Value::Ticket(ticket));
            }
        }
    }
}
