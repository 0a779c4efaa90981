//! What stands beside the marks in `VM.other_config`: the spec of a server, and the record of each lease.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use xenapi::Uuid;

use super::mark::{format_time, parse_time};

/// The value of an `expires` key: since when, for how long, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// When the lease began, by the coordinator's clock.
    #[serde(with = "time")]
    pub start: Timestamp,
    /// How long it was asked to last, in seconds.
    #[serde(rename = "ttl")]
    pub ttl_seconds: u64,
    /// Who wrote the mark: the program with its version, and the owner it acts for.
    pub by: String,
}

impl LeaseRecord {
    /// How long the lease was asked to last.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds)
    }

    /// Prints the record as the value of its key.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The value of `dynvm:spec`: the facts of a server's birth, written once and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecRecord {
    /// Identifies the request that made the server.
    #[serde(with = "ulid_text")]
    pub request_id: Ulid,
    /// The template it was cloned from; absent when the spec was written again after it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "uuid_text")]
    pub template_uuid: Option<Uuid>,
    /// The template's name at that time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_name: String,
    /// The OS alias that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The section by which it was placed, where its pool is configured by several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The provider's version.
    pub provider: String,
    /// When the clone was made, by the coordinator's clock.
    #[serde(with = "time")]
    pub created_at: Timestamp,
    /// The hash of the user data, when there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The ticket it was made under, which therefore holds no room for it any more; see [`crate::ticket`].
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_ulid_text")]
    pub ticket: Option<Ulid>,
    /// The reservation that it draws from.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_ulid_text")]
    pub reservation: Option<Ulid>,
}

impl SpecRecord {
    /// Prints the spec as the value of its key.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

mod time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_time(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_time(&text).ok_or_else(|| D::Error::custom("not a time of the form 2026-11-21T10:00:00Z"))
    }
}

mod ulid_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(id: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(|_| D::Error::custom("not a ULID"))
    }
}

mod maybe_ulid_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(id: &Option<Ulid>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ulid>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| Ulid::from_string(&text).map_err(|_| D::Error::custom("not a ULID")))
            .transpose()
    }
}

mod uuid_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use xenapi::Uuid;

    pub(super) fn serialize<S: Serializer>(uuid: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
        match uuid {
            Some(uuid) => serializer.collect_str(uuid),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(|_| D::Error::custom("not a UUID")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_record_reads_back() {
        let record = LeaseRecord {
            start: "2026-11-20T10:00:00Z".parse().unwrap(),
            ttl_seconds: 43_200,
            by: "dynvm-provider/0.1.0 ci".into(),
        };
        let json = record.to_json();
        assert_eq!(
            json,
            r#"{"start":"2026-11-20T10:00:00Z","ttl":43200,"by":"dynvm-provider/0.1.0 ci"}"#
        );
        assert_eq!(serde_json::from_str::<LeaseRecord>(&json).unwrap(), record);
    }

    #[test]
    fn a_spec_reads_back_with_and_without_its_options() {
        let mut spec = SpecRecord {
            request_id: Ulid(7),
            template_uuid: Some("0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap()),
            template_name: "tmpl-cnt7.7".into(),
            os: Some("centos7".into()),
            section: Some("xenhost2".into()),
            provider: "0.1.0".into(),
            created_at: "2026-11-20T10:00:00Z".parse().unwrap(),
            user_data: None,
            ticket: Some(Ulid(8)),
            reservation: Some(Ulid(9)),
        };
        assert_eq!(serde_json::from_str::<SpecRecord>(&spec.to_json()).unwrap(), spec);
        spec.template_uuid = None;
        spec.ticket = None;
        spec.reservation = None;
        spec.os = None;
        spec.section = None;
        spec.template_name.clear();
        assert_eq!(serde_json::from_str::<SpecRecord>(&spec.to_json()).unwrap(), spec);
    }

    #[test]
    fn members_of_later_versions_are_no_error() {
        let json = r#"{"request_id":"00000000000000000000000007","provider":"9.0","created_at":"2026-11-20T10:00:00Z","ready_ports":[22]}"#;
        assert_eq!(serde_json::from_str::<SpecRecord>(json).unwrap().request_id, Ulid(7));
    }
}
