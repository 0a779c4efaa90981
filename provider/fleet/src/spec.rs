//! What callers ask for: a server, a change of one, a look at some.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use regex::Regex;
use ulid::Ulid;
use xenapi::Uuid;

use crate::cloud_init::CloudInit;
use crate::server::PowerState;

/// What a server is cloned from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Image {
    /// An OS alias, which each pool maps to a template of its own.
    Os(String),
    /// A template's name or UUID.
    Template(String),
}

/// Which family of addresses counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Only IPv4.
    #[default]
    Ipv4,
    /// Only IPv6.
    Ipv6,
    /// IPv4 first, else IPv6.
    Any,
}

/// Whether and how long to wait for a usable address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitPolicy {
    /// Wait at all.
    pub for_ip: bool,
    /// The family that counts.
    pub family: Family,
    /// When not empty, only addresses inside one of these count.
    pub cidrs: Vec<IpNet>,
    /// TCP ports that must answer at the address.
    pub ports: Vec<u16>,
    /// How long after the start address and ports may take.
    pub timeout: Duration,
}

/// A server to create.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Its name.
    pub name: String,
    /// What it is cloned from.
    pub image: Image,
    /// vCPUs; the template's without it.
    pub cpus: Option<u32>,
    /// Memory in MiB; the template's without it.
    pub memory_mib: Option<u64>,
    /// How long it may live.
    pub ttl: Duration,
    /// The pool; any that can take it without one.
    pub pool: Option<String>,
    /// Only pools with one of these labels; without any only pools without labels.
    pub pool_labels: BTreeSet<String>,
    /// Host name or UUID; the least loaded one without it.
    pub host: Option<String>,
    /// The reservation to draw from.
    pub reservation: Option<Ulid>,
    /// SR name or UUID, before the pool's setting.
    pub storage: Option<String>,
    /// Network name or UUID, before the pool's setting.
    pub network: Option<String>,
    /// The MAC address of the primary NIC; the pool's choice without it.
    pub mac_address: Option<String>,
    /// What cloud-init reads at the first boot; without it there is no config drive.
    pub cloud_init: Option<CloudInit>,
    /// The user's tags.
    pub tags: BTreeSet<String>,
    /// Start it; else it stays halted, and no address is waited for.
    pub is_started: bool,
    /// The wait for an address.
    pub wait: WaitPolicy,
    /// How often a clone may be made until one has an address; at least 1.
    pub ip_attempts: u32,
    /// Keep the last attempt, tainted and with its full ttl, when creating fails.
    pub keep_on_failure: bool,
    /// How long all of it may take.
    pub create_timeout: Duration,
    /// Identifies the request.
    pub request_id: Ulid,
}

/// A server that a plan would make, as far as the plan knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it is cloned from.
    pub image: Image,
    /// vCPUs; the template's without it.
    pub cpus: Option<u32>,
    /// Memory in MiB; the template's without it.
    pub memory_mib: Option<u64>,
    /// The pool; any that can take it without one.
    pub pool: Option<String>,
    /// Only pools with one of these labels; without any only pools without labels.
    pub pool_labels: BTreeSet<String>,
    /// Host name or UUID; any without it.
    pub host: Option<String>,
    /// SR name or UUID, before the pool's setting.
    pub storage: Option<String>,
    /// Network name or UUID, before the pool's setting.
    pub network: Option<String>,
}

/// Which server: enough to find it again, and to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerKey {
    /// The pool's name, as configured.
    pub pool: String,
    /// The pool's own UUID, as it was when the server was made.
    pub pool_uuid: Uuid,
    /// The VM.
    pub vm: Uuid,
    /// The request that made it, unless it was imported.
    pub request_id: Option<Ulid>,
}

/// What to change; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new name.
    pub name: Option<String>,
    /// The tags that were dynvm's until now, and those that are from now on. Tags of others stay.
    pub tags: Option<(BTreeSet<String>, BTreeSet<String>)>,
    /// The ttl, counted from the lease's start. On a server without a lease (marks lost, or imported) a lease starts now.
    pub ttl: Option<Duration>,
    /// Start the lease anew, now; with `ttl` or else with the ttl that it has.
    pub renew: bool,
    /// What the caller knows of the server's birth, for a spec that must be written anew.
    pub birth: Option<Birth>,
    /// Its size, what it does, and where.
    pub reshape: Option<Reshape>,
}

/// What a server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Run.
    Running,
    /// Be off.
    Halted,
    /// Be off, its memory on disk.
    Suspended,
}

/// What a server is to be from now on; `None` leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// vCPUs.
    pub cpus: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// What it is to do.
    pub power: Option<Power>,
    /// The only host that it may be put on, by name or UUID.
    pub host: Option<String>,
    /// Says whether it is to move there if it runs elsewhere; else only a start heeds the host.
    pub is_moved: bool,
    /// What to wait for if it is started.
    pub wait: WaitPolicy,
}

/// The facts of a server's birth, as somebody else remembers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// When it was made.
    pub created_at: Timestamp,
    /// The template it was cloned from.
    pub template_uuid: Option<Uuid>,
    /// The template's name at that time.
    pub template_name: String,
    /// The OS alias it was made for.
    pub os: Option<String>,
}

/// Where a VM is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within<'a> {
    /// In all pools.
    AnyPool,
    /// In the pool of this entry.
    Entry(&'a str),
    /// In the pool of this UUID, whatever it is called here.
    Pool(Uuid),
}

/// One server, looked for by UUID or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerQuery {
    /// By the VM's UUID, in one pool or in any.
    Id {
        /// The VM.
        id: Uuid,
        /// The pool's name.
        pool: Option<String>,
    },
    /// By name, in one pool or in any.
    Name {
        /// The VM's name.
        name: String,
        /// The pool's name.
        pool: Option<String>,
    },
}

/// Which servers to list. Each part that is there must hold.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only in this pool.
    pub pool: Option<String>,
    /// Only dynvm's, or only others.
    pub managed: Option<bool>,
    /// Only those made for this OS alias.
    pub os: Option<String>,
    /// Only names that match.
    pub name_regex: Option<Regex>,
    /// Only those with all these tags.
    pub tags: BTreeSet<String>,
    /// Only those in this state.
    pub power_state: Option<PowerState>,
}

/// For which kind of server room is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityQuery {
    /// What it would be cloned from.
    pub image: Image,
    /// vCPUs; the template's without it.
    pub cpus: Option<u32>,
    /// Memory in MiB; the template's without it.
    pub memory_mib: Option<u64>,
    /// Only in this pool.
    pub pool: Option<String>,
    /// Which pools are asked, by their labels.
    pub labels: LabelChoice,
}

/// Which pools are meant, by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChoice {
    /// Those that a server may be placed in that asks for these labels: with any, pools with one of them; with none, pools
    /// without labels.
    AsServer(BTreeSet<String>),
    /// All pools, whatever their labels.
    Any,
}

impl LabelChoice {
    /// Says whether a pool with these labels is meant.
    pub fn allows(&self, labels: &BTreeSet<String>) -> bool {
        match self {
            LabelChoice::Any => true,
            LabelChoice::AsServer(asked) if asked.is_empty() => labels.is_empty(),
            LabelChoice::AsServer(asked) => !asked.is_disjoint(labels),
        }
    }
}

impl Default for LabelChoice {
    fn default() -> Self {
        LabelChoice::AsServer(BTreeSet::new())
    }
}

impl ServerSpec {
    /// What it asks of the pools.
    pub fn wish(&self) -> Wish {
        Wish {
            image: self.image.clone(),
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            pool: self.pool.clone(),
            pool_labels: self.pool_labels.clone(),
            host: self.host.clone(),
            storage: self.storage.clone(),
            network: self.network.clone(),
        }
    }
}

impl Family {
    /// Says whether an address is of this family.
    pub fn holds(self, address: std::net::IpAddr) -> bool {
        match self {
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
            Family::Any => true,
        }
    }
}

impl Image {
    /// The alias, if it is one.
    pub fn os(&self) -> Option<&str> {
        match self {
            Image::Os(alias) => Some(alias),
            Image::Template(_) => None,
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::Os(alias) => write!(f, "os {alias:?}"),
            Image::Template(template) => write!(f, "template {template:?}"),
        }
    }
}
