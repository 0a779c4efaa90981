//! What both server data sources show of a server: one table, one translation.

use cty::{Type, Value};
use engine::schema::Attribute;
use fleet::{Family, Server};
use jiff::Timestamp;

/// The columns, all computed.
pub(super) fn table() -> Vec<Attribute> {
    let text = |name: &str, what: &str| Attribute::string(name).computed().describe(what);
    let number = |name: &str, what: &str| Attribute::integer(name).computed().describe(what);
    vec![
        text("id", "The VM's UUID."),
        text("name", "Its name."),
        text("pool", "The pool, by its name in the provider's `pools`."),
        text(
            "os",
            "The operating system alias it was made for; null for others' VMs.",
        ),
        text(
            "template_uuid",
            "The UUID of the template it was cloned from; null if it is not known.",
        ),
        number("cpus", "Virtual CPUs."),
        number("memory_mib", "Memory in MiB."),
        number(
            "disk_bytes",
            "The virtual size of its own disks together, in bytes; of a VM that is not dynvm's, of all its disks.",
        ),
        text("power_state", "`running`, `halted`, `suspended` or `paused`."),
        Attribute::set("tags", Type::String)
            .computed()
            .describe("Its tags, without dynvm's own marks."),
        text(
            "ip_address",
            "The first usable address of the primary NIC; null unless it is running.",
        ),
        Attribute::list("ip_addresses", Type::String)
            .computed()
            .describe("All usable addresses of all NICs, sorted."),
        text("mac_address", "The MAC address of the primary NIC."),
        text("network", "The network of the primary NIC."),
        text("storage", "The storage repository of its first disk."),
        text("os_version", "The operating system as the guest agent names it."),
        text("resident_host", "The host it runs on; null unless it is running."),
        Attribute::boolean("managed")
            .computed()
            .describe("Whether dynvm made it: whether its marks name this very VM."),
        text("owner", "Who asked for it."),
        Attribute::boolean("keep")
            .computed()
            .describe("Whether a person asked to keep it beyond its expiry (`dynvm:keep`)."),
        text(
            "created_at",
            "When it was cloned (RFC 3339, UTC); null for others' VMs.",
        ),
        text("lease_started_at", "When its lease began (RFC 3339, UTC)."),
        text("expires_at", "When its lease ends (RFC 3339, UTC)."),
    ]
}

/// One server as a value of these columns.
pub(super) fn row(server: &Server) -> Value {
    let instant = |at: Option<Timestamp>| Value::from(at.map(|at| at.to_string()));
    let address = server.address_for(Family::Any, &[], None);
    Value::object([
        ("id", server.id.to_string().into()),
        ("name", server.name.as_str().into()),
        ("pool", server.pool.as_str().into()),
        ("os", server.os.clone().into()),
        (
            "template_uuid",
            server.template_uuid.map(|uuid| uuid.to_string()).into(),
        ),
        ("cpus", server.cpus.into()),
        ("memory_mib", server.memory_mib.into()),
        ("disk_bytes", server.disk_bytes.into()),
        ("power_state", server.power_state.to_string().into()),
        ("tags", Value::set(server.tags.iter().map(String::as_str))),
        ("ip_address", address.map(|address| address.to_string()).into()),
        (
            "ip_addresses",
            Value::list(server.ip_addresses.iter().map(ToString::to_string)),
        ),
        ("mac_address", server.mac_address.clone().into()),
        (
            "network",
            server.network.as_ref().map(|network| network.name.clone()).into(),
        ),
        (
            "storage",
            server.storage.as_ref().map(|storage| storage.name.clone()).into(),
        ),
        ("os_version", server.os_version.clone().into()),
        ("resident_host", server.resident_host.clone().into()),
        ("managed", server.managed.into()),
        ("owner", server.owner.clone().into()),
        ("keep", server.keep.into()),
        ("created_at", instant(server.created_at)),
        ("lease_started_at", instant(server.lease.started_at)),
        ("expires_at", instant(server.lease.expires_at)),
    ])
}
