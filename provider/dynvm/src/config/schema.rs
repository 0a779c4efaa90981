//! The attribute table of the provider itself.

use cty::Type;
use engine::constraint::Constraint;
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use fleet::draft::TRANSPORTS;

/// The table.
pub(crate) fn table() -> Schema {
    Schema::new(vec![
        Attribute::object_map("pools", pool()).optional().describe(
            "The pools to use, by a name of your choice. A pool is a XenAPI endpoint: a standalone host, or a resource pool. Two entries that turn \
             out to be the same pool are an error. Without `pools` and `config_file` the environment may name one, called `default`: `DYNVM_URL`, `DYNVM_USERNAME`, \
             `DYNVM_PASSWORD`, `DYNVM_TLS_FINGERPRINT` (several with commas), `DYNVM_TLS_CA_FILE`, `DYNVM_TLS_INSECURE`.",
        ),
        Attribute::string("config_file")
            .optional()
            .rule(Rule::length(1..=4096))
            .describe(
                "The INI file of the older service (`.dynvmservice.ini`), in place of `pools`. Each section `[xenhost<n>]` is a pool of that name, with \
                 `host.name` (without a scheme: https), `host.user`, `host.password`, `host.storage.name`, `host.network.id` (part of the device of a \
                 physical interface, such as `eth0`), `host.vms.max.<os>`, `host.labels` (with commas or spaces between them), \
                 `host.tls.fingerprint`, `<os>.template` and `<os>.template.network` (a network's \
                 name or UUID, or a device; before `host.network.id`). Sections that are members of one XenAPI pool are one pool, whose room is \
                 counted once; each places servers on its own host, with its own settings, and `host.vms.max.<os>` counts those that run there. Which host \
                 a section means its address says, or the host's name. A section that is the only one of its pool is the pool as a whole. From `[common]`, `vm.expiry.minutes` is `default_ttl` and `max_ttl` unless \
                 they are set here, and `vm.network.timeout.secs` is the default of a server's `timeouts.ip`. What is not read warns; what cannot be \
                 honoured is an error.",
            ),
        Attribute::object("tls", tls())
            .optional()
            .rule(at_most_one_trust())
            .describe("How to verify the certificates of pools that have no `tls` of their own."),
        Attribute::string("default_ttl")
            .optional()
            .rule(Rule::positive_duration())
            .describe("The `ttl` of servers that have none. Default `12h`, or `max_ttl` if that is shorter."),
        Attribute::string("max_ttl")
            .optional()
            .rule(Rule::positive_duration())
            .describe("The longest `ttl` a server may ask for; a longer one is an error in the plan. Default `24h`."),
        Attribute::string("admission")
            .optional()
            .rule(Rule::one_of(["warn", "error", "off"]))
            .describe(
                "What a plan gets with more new servers than fit now, counted over all of its resources of this provider: a warning for each server beyond \
                 (`warn`, the default), an error for each (`error`), or nothing (`off`). A server that replaces another counts nothing, and so does one whose \
                 size or image the plan does not know yet. A server that can never fit is an error in any case. In the apply a server that finds no room \
                 fails before it is cloned, whatever the plan said. `terraform destroy` plans before it destroys, and an error there stops it: with `error`, \
                 destroy with `-refresh=false` what was not created as a whole.",
            ),
        Attribute::string("owner")
            .optional()
            .rule(Rule::length(1..=200))
            .describe(
                "Who asks for the servers, as written on each. Default: `DYNVM_OWNER`, else the address of the CI job that the environment names, else \
                 `user@host`.",
            ),
        Attribute::string("history")
            .optional()
            .sensitive()
            .rule(Rule::length(1..=4096))
            .describe(
                "Where the history is kept: which servers there were, for whom, where and for how long. `sqlite:///path`, \
                 `postgres://user:password@host/database` (with libpq's options, such as `?sslmode=verify-full`) or `jsonl:///path`; paths are \
                 absolute. There is a row per server and one per renewal; `dynvm-reaper` can write what it sees into the same history. A history that \
                 is down fails nothing: the apply warns. Default: none is kept.",
            ),
    ])
    .describe(
        "Throw-away VMs on your own XenServer and XCP-ng hosts: cloned from a template, up with an address, marked with an owner and an expiry, and \
         gone for sure afterwards. Configuring the provider contacts no pool; the first call that needs one logs in.",
    )
    .rule(Constraint::conflicts(&["pools", "config_file"]))
}

fn pool() -> Vec<Attribute> {
    let mut rows = connection();
    rows.extend(placement());
    rows
}

fn connection() -> Vec<Attribute> {
    vec![
        Attribute::string("url")
            .optional()
            .rule(Rule::length(1..=2048))
            .describe("The address of the pool, `https://host`; the coordinator is found from any member. Exactly one of `url` and `urls`. `http://` works, with a warning."),
        Attribute::list("urls", Type::String)
            .optional()
            .rule(Rule::length(1..=64))
            .rule(Rule::each(Rule::length(1..=2048)))
            .describe("Addresses of several members, tried in turn."),
        Attribute::string("username").optional().describe("The login name. Default `root`."),
        Attribute::string("password").required().sensitive().describe("The password."),
        Attribute::object("tls", tls())
            .optional()
            .rule(at_most_one_trust())
            .describe("How to verify this pool's certificates. Default: the provider's `tls`, else the system's roots."),
        Attribute::string("transport")
            .optional()
            .rule(Rule::one_of(TRANSPORTS))
            .describe(
                "The protocol to speak. Default: JSON-RPC where the pool offers it, which is from XenServer 7.3 on, else XML-RPC; the login finds out. \
                 XML-RPC is slower, and whoever may write a key of a map on the pool can forge others in its answers.",
            ),
    ]
}

fn placement() -> Vec<Attribute> {
    vec![
        Attribute::map("templates", Type::String)
            .optional()
            .rule(Rule::each(Rule::length(1..=255)))
            .describe("Operating system alias -> template, by name or UUID: what `os` may be on this pool."),
        Attribute::string("storage")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("The storage repository for servers, by name or UUID. Default: where the template's disks are, which makes a fast clone."),
        Attribute::string("network")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("The network of the primary NIC, by name or UUID. Default: the network of the lowest physical interface."),
        Attribute::map("networks", Type::String)
            .optional()
            .rule(Rule::each(Rule::length(1..=255)))
            .describe("Operating system alias -> network, where one differs from `network`."),
        Attribute::integer("max_servers")
            .optional()
            .rule(Rule::at_least(0))
            .describe("How many servers of dynvm this pool may hold, counted by `dynvm_capacity`. Default: as many as fit."),
        Attribute::map("max_servers_by_os", Type::Number)
            .optional()
            .rule(Rule::each(Rule::integer()))
            .rule(Rule::each(Rule::at_least(0)))
            .describe("Operating system alias -> the same for that system only."),
        Attribute::number("cpu_overcommit")
            .optional()
            .rule(Rule::at_least(0))
            .describe("Virtual CPUs to hand out per physical CPU; above 0. Default `1.0`."),
        Attribute::set("labels", Type::String)
            .optional()
            .rule(Rule::no_nulls())
            .rule(Rule::each(Rule::length(1..=255)))
            .describe(
                "Reserves the pool: one with labels takes only servers that ask for one of them with `pool_labels`, one without takes only servers that ask \
                 for none. Servers that are there stay when the labels change.",
            ),
    ]
}

fn tls() -> Vec<Attribute> {
    vec![
        Attribute::string("ca_file")
            .optional()
            .rule(Rule::length(1..=4096))
            .describe("A PEM file of certificate authorities to trust instead of the system's."),
        Attribute::list("fingerprints", Type::String)
            .optional()
            .rule(Rule::length(1..=256))
            .rule(Rule::each(Rule::pattern(
                "^(sha256:)?([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
                "be the SHA-256 of a certificate: `sha256:` and 32 pairs of hexadecimal digits",
            )))
            .describe("SHA-256 fingerprints of the hosts' certificates, `sha256:AB:CD:...`: exactly these are trusted. One for each host."),
        Attribute::boolean("insecure")
            .optional()
            .describe("Trusts any certificate. Passwords are then open to whoever can reroute the connection."),
    ]
}

/// `ca_file`, `fingerprints` and `insecure` exclude each other.
fn at_most_one_trust() -> Rule {
    Rule::custom(
        |tls| {
            let given = ["ca_file", "fingerprints"]
                .iter()
                .filter(|name| !tls.get(name).is_null())
                .count()
                + usize::from(tls.get("insecure").as_bool() == Some(true));
            if given > 1 {
                Err("at most one of `ca_file`, `fingerprints` and `insecure = true` may be set".to_owned())
            } else {
                Ok(())
            }
        },
        "have at most one of `ca_file`, `fingerprints`, `insecure`",
    )
}
