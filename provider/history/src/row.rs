//! What is kept of a server, and what its writers say about it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The UUID of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmUuid(Uuid);

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID of a VM")]
pub struct InvalidVmUuid(String);

impl VmUuid {
    pub(crate) fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<[u8; 16]> for VmUuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for VmUuid {
    type Err = InvalidVmUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidVmUuid(text.chars().take(64).collect()))?;
        Ok(Self(uuid))
    }
}

impl fmt::Display for VmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<String> for VmUuid {
    type Error = InvalidVmUuid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VmUuid> for String {
    fn from(vm: VmUuid) -> Self {
        vm.to_string()
    }
}

/// Why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Terraform destroyed it.
    Destroyed,
    /// A reaper deleted it after its lease had ended.
    Expired,
    /// Its creation failed, and what there was of it has been removed.
    Failed,
    /// It was found gone; who deleted it is not known.
    Vanished,
}

/// A text that is none of the reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of destroyed, expired, failed, vanished")]
pub struct InvalidEndReason(String);

impl EndReason {
    /// All reasons, in the order of their names.
    pub const ALL: [Self; 4] = [Self::Destroyed, Self::Expired, Self::Failed, Self::Vanished];

    /// The word that sinks and listings use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destroyed => "destroyed",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Vanished => "vanished",
        }
    }

    /// Says whether the reason only stands in for one that nobody has told yet.
    #[must_use]
    pub fn is_guess(self) -> bool {
        match self {
            Self::Vanished => true,
            Self::Destroyed | Self::Expired | Self::Failed => false,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndReason {
    type Err = InvalidEndReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| InvalidEndReason(text.chars().take(64).collect()))
    }
}

/// One server: a row of the table `servers`, or the part of one that a writer knows. `None` means not known (yet).
///
/// A writer tells each fact when it is settled: what was told first stays (see [`merge`](crate::merge)), so a name or a
/// number of vCPUs that a creation is still about to change would stand for good. Times are kept to the microsecond and
/// measured by the pool coordinator's clock; durations are kept to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerRow {
    /// The VM's UUID: what makes two entries speak of one server.
    pub vm_uuid: VmUuid,
    /// The VM's name after its birth; a later rename leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who asked for the server, as on its `dynvm:owner` mark, decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The pool's name in the writer's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The name of the host it first ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The OS alias it was made for; unknown where a template was named instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The name that its template had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// vCPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory (`VM.memory_static_max`), in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The sum of its own disks' virtual sizes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Every usable address it was seen with; empty while none is known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ip_addresses: BTreeSet<IpAddr>,
    /// When it was cloned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When its creation ended: started, with an address and open ports where those were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// The latest end of its lease that was ever told. A lease that was shortened shows that in its renewals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was gone; for one that vanished, when that was noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// How long its creation took, queues included, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_seconds: Option<f64>,
    /// From `created_at` to `deleted_at`, in seconds; worked out when nobody tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_seconds: Option<f64>,
    /// How long its deletion took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_seconds: Option<f64>,
    /// Why it ended; unknown while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
}

impl ServerRow {
    /// A row of which nothing but the VM is known.
    #[must_use]
    pub fn new(vm_uuid: VmUuid) -> Self {
        Self {
            vm_uuid,
            name: None,
            owner: None,
            pool: None,
            host: None,
            os: None,
            template: None,
            cpus: None,
            memory_bytes: None,
            disk_bytes: None,
            ip_addresses: BTreeSet::new(),
            created_at: None,
            ready_at: None,
            expires_at: None,
            deleted_at: None,
            create_seconds: None,
            live_seconds: None,
            delete_seconds: None,
            end_reason: None,
        }
    }

    /// Says whether no end of the server is known.
    #[must_use]
    pub fn is_living(&self) -> bool {
        self.end_reason.is_none() && self.deleted_at.is_none()
    }
}

/// A new end of a lease: a row of the table `renewals`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Renewal {
    /// The VM whose lease it is.
    pub vm_uuid: VmUuid,
    /// When it was renewed, as its mark says: every writer that sees the mark tells the same time.
    pub at: Timestamp,
    /// When the lease ends now; earlier than before when it was shortened.
    pub expires_at: Timestamp,
    /// Who renewed it, as the lease's record says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a writer tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "most entries are servers, and few are held at once"
)]
pub enum Entry {
    /// Something about a server.
    Server(ServerRow),
    /// The end of a server's lease has moved.
    Renewed(Renewal),
}

impl Entry {
    /// The VM that the entry speaks of.
    #[must_use]
    pub fn vm(&self) -> VmUuid {
        match self {
            Self::Server(row) => row.vm_uuid,
            Self::Renewed(renewal) => renewal.vm_uuid,
        }
    }
}

impl From<ServerRow> for Entry {
    fn from(row: ServerRow) -> Self {
        Self::Server(row)
    }
}

impl From<Renewal> for Entry {
    fn from(renewal: Renewal) -> Self {
        Self::Renewed(renewal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_flat_object() {
        let vm: VmUuid = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10".parse().unwrap();
        let row = ServerRow {
            name: Some("web-1".to_owned()),
            ip_addresses: ["10.0.0.7".parse().unwrap()].into(),
            created_at: Some("2026-11-20T10:00:00Z".parse().unwrap()),
            end_reason: Some(EndReason::Expired),
            ..ServerRow::new(vm)
        };
        let text = concat!(
            r#"{"entry":"server","vm_uuid":"0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10","name":"web-1","#,
            r#""ip_addresses":["10.0.0.7"],"created_at":"2026-11-20T10:00:00Z","end_reason":"expired"}"#
        );
        assert_eq!(serde_json::to_string(&Entry::Server(row.clone())).unwrap(), text);
        assert_eq!(serde_json::from_str::<Entry>(text).unwrap(), Entry::Server(row));
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over() {
        let text = r#"{"entry":"renewed","vm_uuid":"0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10","at":"2026-11-20T10:00:00Z","expires_at":"2026-11-20T12:00:00Z","why":"?"}"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        assert!(matches!(entry, Entry::Renewed(Renewal { by: None, .. })));
    }

    #[test]
    fn reasons_and_uuids_are_read_strictly() {
        for reason in EndReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        assert!("reaped".parse::<EndReason>().is_err());
        assert!("0ee5f2a5".parse::<VmUuid>().is_err());
    }
}
