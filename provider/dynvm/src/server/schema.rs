//! The attribute table of `dynvm_server`: what each attribute is, and what a change of it means.

use cty::{Type, Value};
use engine::constraint::Constraint;
use engine::diagnostics::Diagnostics;
use engine::equality::Equality;
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use engine::timeouts::Timeouts;
use fleet::CloudInit;

/// How long each operation may take when the configuration does not say.
pub(crate) const TIMEOUTS: Timeouts = Timeouts::new(&[
    (
        "create",
        "20m",
        "Creating the server: all attempts, and the wait for the storage repository's turn",
    ),
    (
        "ip",
        "400s",
        "Waiting for a usable address and for `ready_ports`, in each attempt",
    ),
    ("read", "1m", "Reading the server"),
    ("update", "15m", "Changing the server in place"),
    ("delete", "10m", "Destroying the server with its disks"),
]);

/// The table.
pub(crate) fn table() -> Schema {
    let attributes = [
        identity(),
        size_and_place(),
        first_boot(),
        lease(),
        waiting(),
        observed(),
    ]
    .into_iter()
    .flatten()
    .collect();
    Schema::new(attributes)
        .describe(
            "A throw-away VM: cloned from a template, started, waited for, and marked with an owner and an expiry. \
             Destroying it removes the VM, its own disks and its snapshots, and nothing else.",
        )
        .identity(super::identity::table())
        .rule(Constraint::exactly_one_of(&["os", "template"]))
        .rule(Constraint::custom(
            ports_need_an_address,
            "`ready_ports` cannot be given with `wait_for_ip = false`.",
        ))
}

/// Ports answer at an address, which is there only if it is waited for.
fn ports_need_an_address(config: &Value) -> Diagnostics {
    let mut found = Diagnostics::new();
    if config.get("ready_ports").is_set() && config.get("wait_for_ip").as_bool() == Some(false) {
        found.error_at(
            "ready_ports",
            "Ports without an address",
            "With `wait_for_ip = false` there is no address at which `ready_ports` could answer. Remove one of them.",
        );
    }
    found
}

fn identity() -> Vec<Attribute> {
    vec![
        Attribute::string("id").computed().keep().describe("The VM's UUID."),
        Attribute::string("name")
            .required()
            .rule(Rule::length(1..=255))
            .rule(Rule::not_prefixed("dynvm-new-"))
            .describe("The VM's name in its pool. Need not be unique. Changes in place."),
        Attribute::string("os")
            .optional()
            .rule(Rule::length(1..=255))
            // An imported VM that dynvm did not make has none before, and is not destroyed for being given one.
            .replaces_if(|change| !change.prior.is_null(), "it changes from one to another")
            .describe(
                "An operating system by the alias that the provider's `templates` give to a template in each pool. An alias that is \
                 pointed at another template later affects new servers only.",
            ),
        Attribute::string("template")
            .optional()
            .rule(Rule::length(1..=255))
            .describe(
                "A template by name or UUID. A new value replaces the server only if it is another template than `template_uuid`.",
            ),
        Attribute::set("tags", Type::String)
            .optional()
            .rule(Rule::each(Rule::length(1..=255)))
            .rule(Rule::each(Rule::not_prefixed("dynvm")))
            .rule(Rule::each(Rule::pattern("^[^<>&\"]*$", "not hold `<`, `>`, `&` or `\"`")))
            .describe("Tags on the VM. Changes in place. Tags that others put there are left alone and are no difference."),
    ]
}

fn size_and_place() -> Vec<Attribute> {
    vec![
        Attribute::integer("cpus")
            .optional_computed()
            .keep()
            .rule(Rule::between(1, 1024))
            .describe("Virtual CPUs. Default: the template's. Changes in place; a server that runs is restarted for it (the plan warns)."),
        Attribute::integer("memory_mib")
            .optional_computed()
            .keep()
            .rule(Rule::between(16, 16 * 1024 * 1024))
            .describe(
                "Memory in MiB. Default: the template's. Changes in place; a server that runs is restarted for it (the plan warns). Another value than the \
                 template's needs the role vm-power-admin.",
            ),
        Attribute::string("pool")
            .optional_computed()
            .keep()
            .rule(Rule::length(1..=255))
            .replaces_if_configured()
            .describe("The pool, by its name in the provider's `pools`. Default: the one with most room among those that have the template."),
        Attribute::set("pool_labels", Type::String)
            .optional()
            .rule(Rule::no_nulls())
            .rule(Rule::each(Rule::length(1..=255)))
            .describe(
                "Labels of pools, as the provider's `pools` have them: only a pool with one of these takes the server. Default: only a pool without labels. \
                 A new value replaces the server only if its pool has none of them.",
            ),
        Attribute::string("host")
            .optional()
            .rule(Rule::length(1..=255))
            .describe(
                "The host to run on, by name or UUID; it is looked for in the pools that may take the server. Default: the least loaded one. Another value \
                 moves a server that runs there, live, if that host sees its storage and networks; one that is off starts there. It is never read back: a \
                 server that was moved by others stays where it is until the value changes. `resident_host` is where it runs. Needs the role vm-power-admin.",
            ),
        Attribute::string("capacity_id")
            .optional()
            .rule(Rule::pattern("^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$", "be the `id` of a `dynvm_capacity`"))
            .describe(
                "A reservation to draw from: the `id` of a `dynvm_capacity` for servers of this kind. Only the creation heeds it; it fails before its clone if the                  reservation is over or used up. Default: the server takes what room there is.",
            ),
        Attribute::string("power_state")
            .optional_computed()
            .default("running")
            .rule(Rule::one_of(["running", "halted", "suspended"]))
            .describe(
                "What the server does: `running`, `halted` or `suspended` (its memory on disk). Default: `running`. Changes in place; a server that is found \
                 in another state is brought to this one by the next apply. A server that is to be halted is stopped by its guest within two minutes, then \
                 hard. A new server can be `running` or `halted`; what is created halted waits for no address.",
            ),
        Attribute::string("storage")
            .optional_computed()
            .keep()
            .rule(Rule::length(1..=255))
            .replaces_if_configured()
            .describe(
                "The storage repository, by name or UUID. Default: the pool's `storage`, else where the template's disks are, which makes a fast \
                 clone; any other means a full copy of every disk, which takes minutes.",
            ),
        Attribute::string("network")
            .optional_computed()
            .keep()
            .rule(Rule::length(1..=255))
            .replaces_if_configured()
            .describe(
                "The network of the primary NIC, by name or UUID. Default: the pool's `networks` for the `os`, else its `network`, else the network of \
                 the lowest physical interface.",
            ),
        Attribute::string("mac_address")
            .optional_computed()
            .keep()
            .rule(Rule::pattern(
                "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$",
                "be six pairs of hexadecimal digits with colons between them, of a unicast address",
            ))
            .equality(Equality::CaseInsensitive)
            .replaces_if_configured()
            .describe("The MAC address of the primary NIC. Default: one that the pool makes."),
    ]
}

fn first_boot() -> Vec<Attribute> {
    // Null before: made without, or imported. What a guest has read at its first boot is not known then, and no reason to destroy it.
    let part = |name: &'static str| {
        Attribute::string(name)
            .optional()
            .sensitive()
            .rule(Rule::custom(fits_on_the_drive, "be at most 1 MiB long"))
            .replaces_if(|change| !change.prior.is_null(), "there was one before")
    };
    vec![
        part("user_data").describe(
            "What cloud-init reads at the first boot, such as a `#cloud-config` document. It comes on a config drive of 4 MiB (NoCloud: a FAT volume \
             `cidata`) beside the server's first disk, which goes with the server; its `meta-data` names the VM's UUID as the instance and the server's \
             name as the host name. The template needs cloud-init. In the state it is stored as it is; on the VM stands its SHA-256.",
        ),
        part("network_config").describe(
            "The network configuration for cloud-init (`network-config` of NoCloud), on the same drive. Without `user_data` that is empty.",
        ),
    ]
}

/// The drive has room for both parts at their longest.
fn fits_on_the_drive(text: &Value) -> Result<(), String> {
    match text.as_str() {
        Some(text) if text.len() > CloudInit::LONGEST => Err("must be at most 1 MiB long".to_owned()),
        Some(_) | None => Ok(()),
    }
}

fn lease() -> Vec<Attribute> {
    vec![
        Attribute::string("ttl")
            .optional_computed()
            .rule(Rule::positive_duration())
            .rule(Rule::custom(in_whole_seconds, "be in whole seconds"))
            .equality(Equality::Duration)
            .describe(
                "How long the server is wanted, from the end of its creation. Default: the provider's \
                 `default_ttl` at each plan. At most the provider's `max_ttl`. Changes in place: the guest is not touched, and the expiry becomes \
                 `lease_started_at` plus the new value. An expiry that would be past is an error.",
            ),
        Attribute::map("renew_triggers", Type::String).optional().describe(
            "Any difference of this map, the first map and its removal included, starts the lease anew when it is applied: `ttl` counts from then, by \
             the pool coordinator's clock, and an extension made elsewhere ends. In place: the guest is not touched. Null and an empty map mean the \
             same. A value that is known only after the apply counts as a difference in the plan, and renews only if it turns out to be one. \
             `{ at = plantimestamp() }` renews with each apply.",
        ),
        Attribute::string("created_at")
            .computed()
            .keep()
            .describe("When the VM was cloned, by the pool coordinator's clock (RFC 3339, UTC)."),
        Attribute::string("lease_started_at")
            .computed()
            .keep()
            .describe("When the lease began, by the pool coordinator's clock (RFC 3339, UTC)."),
        Attribute::string("expires_at").computed().keep().describe(
            "Until when the server is wanted, as read from the VM's marks (RFC 3339, UTC), also when somebody else extended it. Null if the marks \
             are lost; the next apply writes them again, for a lease that starts then.",
        ),
    ]
}

/// Marks carry whole seconds, and an expiry is to be where the ttl says.
pub(crate) fn in_whole_seconds(ttl: &Value) -> Result<(), String> {
    let duration = ttl.as_str().and_then(|text| engine::duration::parse(text).ok());
    match duration {
        Some(duration) if duration.subsec_nanos() > 0 => Err("must be in whole seconds".to_owned()),
        // What is no duration breaks another rule.
        Some(_) | None => Ok(()),
    }
}

fn waiting() -> Vec<Attribute> {
    vec![
        Attribute::boolean("wait_for_ip")
            .optional_computed()
            .default(true)
            .describe("Whether creating the server waits for a usable address."),
        Attribute::string("ip_family")
            .optional_computed()
            .default("ipv4")
            .rule(Rule::one_of(["ipv4", "ipv6", "any"]))
            .describe("Which addresses count."),
        Attribute::list("ip_cidrs", Type::String)
            .optional()
            .rule(Rule::each(Rule::cidr()))
            .describe("Only addresses inside one of these networks count. Default: all that are not link-local, loopback or multicast."),
        Attribute::list("ready_ports", Type::Number)
            .optional()
            .rule(Rule::no_nulls())
            .rule(Rule::each(Rule::integer()))
            .rule(Rule::each(Rule::between(1, 65535)))
            .describe(
                "TCP ports that must answer at the address before creating the server ends, tried from the machine that runs Terraform. They share the time \
                 of `timeouts.ip` with the address.",
            ),
        Attribute::integer("ip_attempts")
            .optional_computed()
            .default(2)
            .rule(Rule::between(1, 10))
            .describe(
                "How often to clone: a clone that shows no usable address in time, or whose `ready_ports` do not answer in time, is destroyed and cloned \
                 again.",
            ),
        Attribute::boolean("keep_on_failure")
            .optional_computed()
            .default(false)
            .describe(
                "Whether a server that failed to come up is kept for inspection, tainted and with its full `ttl`. Otherwise it is removed.",
            ),
        TIMEOUTS.attribute(),
    ]
}

fn observed() -> Vec<Attribute> {
    vec![
        Attribute::string("ip_address")
            .computed()
            .keep()
            .describe("The first usable address of the primary NIC; kept while it is still usable; null unless the server is running."),
        Attribute::list("ip_addresses", Type::String)
            .computed()
            .keep()
            .describe("All usable addresses of all NICs, sorted."),
        Attribute::string("os_version")
            .computed()
            .keep()
            .describe("The operating system as the guest agent names it."),
        Attribute::string("template_uuid")
            .computed()
            .keep()
            .describe("The UUID of the template that the server was cloned from."),
        Attribute::string("resident_host")
            .computed()
            .keep()
            .describe("The name of the host that the server runs on; null unless it is running."),
        Attribute::integer("disk_bytes")
            .computed()
            .keep()
            .describe(
                "The virtual size of the server's own disks together, in bytes. One that is halted and has lost disks, as after a destroy that was interrupted, is \
                 replaced.",
            ),
        Attribute::object(
            "timings",
            vec![
                second("queue", "waiting for room, and for the storage repository, which clones one at a time"),
                second("clone", "cloning the template"),
                second("configure", "on marks, name, size and network"),
                second("drive", "making and writing the config drive; 0 without one"),
                second("start", "starting the VM"),
                second(
                    "address",
                    "from started to a usable address; most of it is the guest's boot and the period of its agent",
                ),
                second("ports", "from the address to an answer on all `ready_ports`; 0 without them"),
            ],
        )
        .computed()
        .keep()
        .describe("Where the time of the creation went, in seconds."),
    ]
}

fn second(name: &'static str, what: &str) -> Attribute {
    Attribute::number(name)
        .computed()
        .keep()
        .describe(format!("Seconds spent {what}."))
}
