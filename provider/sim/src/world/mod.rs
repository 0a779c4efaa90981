//! The world that a simulator starts from: pools, hosts, storage, networks, templates and foreign VMs.
//!
//! A world is plain data. It comes from HCL ([`World::from_hcl`]), from the built-in lab ([`World::default_lab`]), or is
//! put together by a test; `build` turns it into database rows.

pub(crate) mod build;
mod build_vm;
mod default_templates;
mod hcl;
mod latency;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use hcl::WorldError;
pub use latency::{Latencies, Span};

/// The lab that `dynvm-sim` starts without a world file, as HCL.
pub const DEFAULT_LAB: &str = include_str!("default_lab.hcl");

/// Everything a simulator starts from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Every latency is divided by this (above 0); the pools' own clocks are not touched.
    pub time_scale: f64,
    /// Seed of every random choice: latencies, references, MAC addresses.
    pub seed: u64,
    /// How long things take in all pools.
    pub latencies: Latencies,
    /// The pools by name.
    #[serde(rename = "pool")]
    pub pools: IndexMap<String, PoolSpec>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            seed: 42,
            latencies: Latencies::default(),
            pools: IndexMap::new(),
        }
    }
}

/// A XenServer pool, or a standalone host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSpec {
    /// The local superuser.
    pub username: String,
    /// The password of the local superuser.
    pub password: String,
    /// Serves HTTPS with a self-signed certificate per host instead of plain HTTP.
    pub tls: bool,
    /// False makes `/jsonrpc` answer `text/xml`, as pools older than 7.3 do.
    pub json_rpc: bool,
    /// Further users with a role less than the superuser's.
    pub users: Vec<UserSpec>,
    /// Tags of the pool object.
    pub tags: Vec<String>,
    /// `other_config` of the pool object.
    pub other_config: IndexMap<String, String>,
    /// Hosts by name; the first one is the coordinator.
    #[serde(rename = "host")]
    pub hosts: IndexMap<String, HostSpec>,
    /// Storage repositories by name.
    #[serde(rename = "sr")]
    pub srs: IndexMap<String, SrSpec>,
    /// Networks by name.
    #[serde(rename = "network")]
    pub networks: IndexMap<String, NetworkSpec>,
    /// Custom templates by name.
    #[serde(rename = "template")]
    pub templates: IndexMap<String, TemplateSpec>,
    /// Foreign VMs by name.
    #[serde(rename = "vm")]
    pub vms: IndexMap<String, VmSpec>,
}

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            username: "root".to_owned(),
            password: "dynvm-sim".to_owned(),
            tls: false,
            json_rpc: true,
            users: Vec::new(),
            tags: Vec::new(),
            other_config: IndexMap::new(),
            hosts: IndexMap::new(),
            srs: IndexMap::new(),
            networks: IndexMap::new(),
            templates: IndexMap::new(),
            vms: IndexMap::new(),
        }
    }
}

/// A user with a role.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: String,
    /// `read-only`, `vm-operator`, `vm-admin`, `vm-power-admin`, `pool-operator` or `pool-admin`.
    pub role: String,
}

/// A physical host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSpec {
    /// Physical CPUs (threads), as in `cpu_info["cpu_count"]`.
    pub cpus: u32,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// False: no VM may start here.
    pub enabled: bool,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            cpus: 16,
            memory_gib: 128,
            enabled: true,
            port: 0,
        }
    }
}

/// A storage repository.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SrSpec {
    /// `ext`, `nfs`, `lvm`, `lvmoiscsi`, `iso` or `udev`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Size in GiB.
    pub size_gib: u64,
    /// Seen by every host.
    pub shared: bool,
    /// The only host that sees it, when not shared; the coordinator without it.
    pub host: Option<String>,
    /// The pool's default SR.
    pub default: bool,
    /// Names of ISO images (type `iso`).
    pub isos: Vec<String>,
    /// Hosts whose PBD is unplugged.
    pub unplugged_on: Vec<String>,
}

impl Default for SrSpec {
    fn default() -> Self {
        Self {
            kind: "ext".to_owned(),
            size_gib: 1000,
            shared: false,
            host: None,
            default: false,
            isos: Vec::new(),
            unplugged_on: Vec::new(),
        }
    }
}

/// A network and the physical interface that carries it on every host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSpec {
    /// Bridge name.
    pub bridge: String,
    /// PIF device such as `eth0`; empty makes an internal network without PIFs.
    pub device: String,
    /// Where guests on this network get their addresses from.
    pub cidr: String,
    /// Hosts that have a PIF for it; empty means all.
    pub hosts: Vec<String>,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            bridge: "xenbr0".to_owned(),
            device: String::new(),
            cidr: "10.1.0.0/16".to_owned(),
            hosts: Vec::new(),
        }
    }
}

/// A custom template: a halted VM with disks, made into a template.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateSpec {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB (all four limits).
    pub memory_mib: u64,
    /// Virtual disk sizes in GiB, first is the boot disk.
    pub disks_gib: Vec<u64>,
    /// Name of the SR that holds the disks; the default SR without it.
    pub sr: Option<String>,
    /// Network names, one NIC each.
    pub networks: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Further `other_config` keys.
    pub other_config: IndexMap<String, String>,
    /// Description.
    pub description: String,
    /// A stale address that the template's `guest_metrics` still shows.
    pub stale_ip: Option<String>,
    /// Boots by UEFI and carries NVRAM.
    pub uefi: bool,
    /// What the guest inside does once it runs.
    pub guest: GuestSpec,
}

impl Default for TemplateSpec {
    fn default() -> Self {
        Self {
            cpus: 2,
            memory_mib: 2048,
            disks_gib: vec![20],
            sr: None,
            networks: Vec::new(),
            tags: Vec::new(),
            other_config: IndexMap::new(),
            description: String::new(),
            stale_ip: None,
            uefi: false,
            guest: GuestSpec::default(),
        }
    }
}

/// What the operating system inside a VM does: when its agent speaks, and which addresses it names in which order.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestSpec {
    /// From Running to a started agent, in seconds.
    pub boot_seconds: f64,
    /// From a started agent to an address from DHCP, in seconds.
    pub dhcp_seconds: f64,
    /// The agent reports only every so many seconds (xe-daemon: 60); 0 with `agent_event` reports at once.
    pub agent_period_seconds: f64,
    /// The agent reports changes at once.
    pub agent_event: bool,
    /// Addresses of the first NIC in the order in which they come: `fe80` (link-local IPv6), `169.254` (link-local IPv4),
    /// `dhcp` (one from the network's CIDR), a CIDR (one from it), or a literal address. Empty means `dhcp`.
    pub addresses: Vec<String>,
    /// Publishes `fe80` alone before the addresses.
    pub link_local_first: bool,
    /// Also has a global IPv6 address from this prefix.
    pub ipv6: Option<String>,
    /// No agent inside: Running, never any guest metrics.
    pub no_agent: bool,
    /// The agent runs but never names an address.
    pub never: bool,
    /// Interface numbers as old agents name them: the first key is `1/ip`.
    pub first_device: u32,
    /// `os_version["name"]`.
    pub os_version: String,
    /// Seconds until a clean shutdown is done; absent: the guest never acknowledges.
    pub shutdown_seconds: Option<f64>,
}

impl Default for GuestSpec {
    fn default() -> Self {
        Self {
            boot_seconds: 8.0,
            dhcp_seconds: 1.0,
            agent_period_seconds: 60.0,
            agent_event: true,
            addresses: Vec::new(),
            link_local_first: false,
            ipv6: None,
            no_agent: false,
            never: false,
            first_device: 0,
            os_version: "Linux".to_owned(),
            shutdown_seconds: Some(5.0),
        }
    }
}

/// VMs that exist already and belong to somebody else.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct VmSpec {
    /// How many; with more than one, names get a number.
    pub count: u32,
    /// Name of the template in the same pool.
    pub template: String,
    /// Running, spread over the hosts.
    pub running: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Further `other_config` keys.
    pub other_config: IndexMap<String, String>,
    /// Snapshots of each.
    pub snapshots: u32,
    /// Overrides the template's memory.
    pub memory_mib: Option<u64>,
    /// Overrides the template's virtual CPUs.
    pub cpus: Option<u32>,
}

impl Default for VmSpec {
    fn default() -> Self {
        Self {
            count: 1,
            template: String::new(),
            running: true,
            tags: Vec::new(),
            other_config: IndexMap::new(),
            snapshots: 0,
            memory_mib: None,
            cpus: None,
        }
    }
}
