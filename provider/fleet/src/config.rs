//! What a fleet is told: its pools, whose servers they are, and how long leases may be.
//!
//! Values arrive parsed and validated; nothing here reads the environment or a file.

use std::collections::BTreeMap;
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

/// The settings of one pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The name that users gave the pool.
    pub name: String,
    /// How it is reached.
    pub connection: xenapi::PoolConfig,
    /// SR name or UUID; without it a server's disks stay where its template's are.
    pub storage: Option<String>,
    /// Network name or UUID; without it the network of the lowest physical PIF.
    pub network: Option<String>,
    /// Networks by OS alias; they come before `network`.
    pub networks: BTreeMap<String, String>,
    /// Template name or UUID by OS alias.
    pub templates: BTreeMap<String, String>,
    /// The ceiling of dynvm servers in this pool.
    pub max_servers: Option<u32>,
    /// The ceiling by OS alias.
    pub max_servers_by_os: BTreeMap<String, u32>,
    /// vCPUs handed out per physical CPU.
    pub cpu_overcommit: f64,
}
