//! Which setting is at fault, and what was looked for.

use std::fmt;

/// The setting that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The server's name.
    Name,
    /// The OS alias.
    Os,
    /// The template.
    Template,
    /// A pool, by its configured name.
    Pool(String),
    /// The SR.
    Storage,
    /// The network.
    Network,
    /// The MAC address.
    MacAddress,
    /// The host.
    Host,
    /// The labels of pools.
    PoolLabels,
    /// The reservation.
    Reservation,
    /// The memory.
    Memory,
    /// The vCPUs.
    Cpus,
    /// The wait for an address.
    WaitForIp,
    /// The ranges that addresses must be in.
    IpCidrs,
    /// The ports that must answer.
    ReadyPorts,
    /// The ttl.
    Ttl,
    /// How a pool is reached.
    Connection {
        /// The pool's configured name.
        pool: String,
        /// The setting at fault.
        field: ConnectionField,
    },
    /// None of them.
    None,
}

/// A setting of a pool's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionField {
    /// The address.
    Url,
    /// The user.
    Username,
    /// The password.
    Password,
    /// The trust in its certificate.
    Tls,
}

/// The kinds of things that are looked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A template.
    Template,
    /// An SR.
    Storage,
    /// A network.
    Network,
    /// A physical PIF, by its device.
    Interface,
    /// A VM.
    Server,
    /// A host.
    Host,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Template => "template",
            What::Storage => "storage repository",
            What::Network => "network",
            What::Interface => "physical interface",
            What::Server => "server",
            What::Host => "host",
        })
    }
}
