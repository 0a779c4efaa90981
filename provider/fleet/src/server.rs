//! A server as a pool shows it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use crate::address;
use crate::spec::{Family, ServerKey};

/// An object that has both a UUID and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The UUID.
    pub uuid: Uuid,
    /// The name at the time of reading.
    pub name: String,
}

/// What a VM is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerState {
    /// Not running.
    Halted,
    /// Running, and held.
    Paused,
    /// Running.
    Running,
    /// On disk.
    Suspended,
}

/// A server's lease as it stands on the VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    /// When it began, by the coordinator's clock.
    pub started_at: Option<Timestamp>,
    /// How long it was asked to last.
    pub ttl: Option<Duration>,
    /// The effective expiry; `None` when the marks are lost.
    pub expires_at: Option<Timestamp>,
}

/// How long the steps of a create took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Waiting for the SR.
    pub queue: f64,
    /// The clone or copy.
    pub clone: f64,
    /// Marks, name, shape.
    pub configure: f64,
    /// `VM.start`.
    pub start: f64,
    /// Making and writing the config drive; 0 without one.
    pub drive: f64,
    /// From the start to a usable address.
    pub address: f64,
    /// From the address to an answer on all ports that were asked for.
    pub ports: f64,
}

/// What made an address slow to come, where that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSource {
    /// Shown with the first data that the guest agent published.
    FirstReport,
    /// The agent had published before without a usable address; its next report came after its polling interval.
    LaterReport,
}

/// A server. Everything is as the pool said at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The VM's UUID.
    pub id: Uuid,
    /// The pool's name, as configured.
    pub pool: String,
    /// The pool's own UUID.
    pub pool_uuid: Uuid,
    /// The VM's name.
    pub name: String,
    /// The request that made it.
    pub request_id: Option<Ulid>,
    /// The OS alias it was made for.
    pub os: Option<String>,
    /// The template it was cloned from.
    pub template_uuid: Option<Uuid>,
    /// The template's name at that time.
    pub template_name: Option<String>,
    /// vCPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The same in bytes (`VM.memory_static_max`), of which a part of a MiB may be left over.
    pub memory_bytes: u64,
    /// All tags but dynvm's own.
    pub tags: BTreeSet<String>,
    /// What it is doing.
    pub power_state: PowerState,
    /// The network of the primary NIC.
    pub network: Option<Named>,
    /// Where its first disk is.
    pub storage: Option<Named>,
    /// The MAC address of the primary NIC.
    pub mac_address: Option<String>,
    /// The first usable address of the primary NIC, IPv4 before IPv6; only while running.
    pub ip_address: Option<IpAddr>,
    /// The usable addresses of the primary NIC, best first; only while running.
    pub primary_addresses: Vec<IpAddr>,
    /// The usable addresses of all NICs, sorted as text; only while running.
    pub ip_addresses: Vec<IpAddr>,
    /// What the guest agent says it runs; only while running.
    pub os_version: Option<String>,
    /// The name of the host it runs on.
    pub resident_host: Option<String>,
    /// When it was made, by the coordinator's clock.
    pub created_at: Option<Timestamp>,
    /// Its lease.
    pub lease: Lease,
    /// The sum of its own disks' virtual sizes.
    pub disk_bytes: u64,
    /// The sum of the virtual sizes of all disks that are attached to it, those of people included.
    pub attached_bytes: u64,
    /// Says whether it is dynvm's.
    pub managed: bool,
    /// Who asked for it.
    pub owner: Option<String>,
    /// Says whether a person asked to keep it.
    pub keep: bool,
    /// How long its creation took; only from the create itself.
    pub timings: Option<Timings>,
    /// What made its address slow; only from the create itself.
    pub address_source: Option<AddressSource>,
}

impl Timings {
    /// All steps together, in seconds.
    pub fn total(&self) -> f64 {
        let Self {
            queue,
            clone,
            configure,
            drive,
            start,
            address,
            ports,
        } = self;
        queue + clone + configure + drive + start + address + ports
    }
}

impl Server {
    /// What finds this server again.
    pub fn key(&self) -> ServerKey {
        ServerKey {
            pool: self.pool.clone(),
            pool_uuid: self.pool_uuid,
            vm: self.id,
            request_id: self.request_id,
        }
    }

    /// The address to show under a policy: the present one while it is still usable, else the best.
    pub fn address_for(&self, family: Family, cidrs: &[IpNet], present: Option<IpAddr>) -> Option<IpAddr> {
        address::choose(&self.primary_addresses, family, cidrs, present)
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PowerState::Halted => "halted",
            PowerState::Paused => "paused",
            PowerState::Running => "running",
            PowerState::Suspended => "suspended",
        })
    }
}
