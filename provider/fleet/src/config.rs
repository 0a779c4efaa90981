//! What a fleet is told: its pools, whose servers they are, and how long leases may be.
//!
//! Values arrive parsed and validated; nothing here reads the environment or a file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The settings of a [`Fleet`](crate::Fleet).
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The pools, each with a name of its own.
    pub pools: Vec<PoolSettings>,
    /// The ttl of a server that asks for none.
    pub default_ttl: Duration,
    /// The longest ttl.
    pub max_ttl: Duration,
    /// Who asks for the servers; stands on each VM.
    pub owner: String,
    /// The version of the provider; stands in each VM's spec.
    pub version: String,
}

/// The settings of one entry: a pool, or a host of one.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The name that users gave it.
    pub name: String,
    /// How it is reached.
    pub connection: xenapi::PoolConfig,
    /// SR name or UUID; without it a server's disks stay where its template's are.
    pub storage: Option<String>,
    /// The network; without it that of the lowest physical PIF.
    pub network: Option<NetworkChoice>,
    /// Networks by OS alias; they come before `network`.
    pub networks: BTreeMap<String, NetworkChoice>,
    /// Template name or UUID by OS alias.
    pub templates: BTreeMap<String, String>,
    /// The ceiling of dynvm servers in this pool, or on this host of it.
    pub max_servers: Option<u32>,
    /// The ceiling by OS alias.
    pub max_servers_by_os: BTreeMap<String, u32>,
    /// vCPUs handed out per physical CPU.
    pub cpu_overcommit: f64,
    /// A pool with labels takes only servers that ask for one of them.
    pub labels: BTreeSet<String>,
    /// What it means when another entry leads to the same pool.
    pub duplicates: Duplicates,
}

/// How a network is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChoice {
    /// By its name or UUID.
    Named(String),
    /// By a physical PIF on it: the PIF's device is this text, or else the only one that contains it.
    Device(String),
    /// By its name or UUID if there is one, else by device: what the source does not tell apart.
    NamedOrDevice(String),
}

/// What it means when several entries turn out to be one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// A mistake: an error.
    #[default]
    Error,
    /// Each entry names a host. Those of one pool are one pool, and each places servers on its own host, with its own settings.
    OneHostEach,
}

impl PoolSettings {
    /// A pool with nothing configured but how it is reached.
    pub fn new(connection: xenapi::PoolConfig) -> Self {
        Self {
            name: connection.name.clone(),
            connection,
            storage: None,
            network: None,
            networks: BTreeMap::new(),
            templates: BTreeMap::new(),
            max_servers: None,
            max_servers_by_os: BTreeMap::new(),
            cpu_overcommit: 1.0,
            labels: BTreeSet::new(),
            duplicates: Duplicates::default(),
        }
    }
}
