//! The attribute table of the resource `dynvm_capacity`.

use std::time::Duration;

use cty::{Type, Value};
use engine::constraint::Constraint;
use engine::equality::Equality;
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use engine::timeouts::Timeouts;

use crate::server::schema::in_whole_seconds;

/// How long each operation may take when the configuration does not say.
pub(crate) const TIMEOUTS: Timeouts = Timeouts::new(&[(
    "create",
    "0s",
    "Waiting for room: it is looked for again whenever something changes; with `0s` what does not fit fails at once",
)]);

/// The table.
pub(crate) fn table() -> Schema {
    Schema::new([reserved(), kind(), observed()].into_iter().flatten().collect())
        .describe(
            "Room that is held for servers which are made later, all or none over all pools. A server draws from it by `capacity_id`. It is held in the pools \
             themselves, and ends when it is destroyed or its time is over: nothing is left to be cleared. In one pool it is for servers of one kind: of the \
             sections of a `config_file` that are members of one pool and put their disks on different storage repositories, it holds room in the one with most.",
        )
        .rule(Constraint::exactly_one_of(&["os", "template"]))
}

fn reserved() -> Vec<Attribute> {
    vec![
        Attribute::string("id").computed().keep().describe("The reservation's identifier, for `capacity_id`."),
        Attribute::integer("servers")
            .required()
            .rule(Rule::between(1, 10_000))
            .describe("For how many servers. Changes in place, all or none; of a reservation that is over, a change makes a new one."),
        Attribute::string("ttl")
            .optional_computed()
            .default("1h")
            .rule(Rule::positive_duration())
            .rule(Rule::custom(in_whole_seconds, "be in whole seconds"))
            .rule(Rule::custom(a_minute_or_more, "be a minute or more"))
            .equality(Equality::Duration)
            .describe(
                "How long it holds, from the moment that it was made. At most the provider's `max_ttl`. Changes in place; of a reservation that is over, a change \
                 makes a new one.",
            ),
        TIMEOUTS.attribute(),
    ]
}

/// Nobody relies on a ticket in its last half minute, so a shorter one would hold nothing.
fn a_minute_or_more(ttl: &Value) -> Result<(), String> {
    let duration = ttl.as_str().and_then(|text| engine::duration::parse(text).ok());
    match duration {
        Some(duration) if duration < Duration::from_secs(60) => Err("must be a minute or more".to_owned()),
        // What is no duration breaks another rule.
        Some(_) | None => Ok(()),
    }
}

fn kind() -> Vec<Attribute> {
    vec![
        Attribute::string("os")
            .optional()
            .rule(Rule::length(1..=255))
            .replaces()
            .describe("What the servers will be: an operating system by its alias."),
        Attribute::string("template")
            .optional()
            .rule(Rule::length(1..=255))
            .replaces()
            .describe("What the servers will be: a template by name or UUID."),
        Attribute::integer("cpus")
            .optional()
            .rule(Rule::between(1, 1024))
            .replaces()
            .describe("Virtual CPUs of each server. Default: the template's."),
        Attribute::integer("memory_mib")
            .optional()
            .rule(Rule::between(16, 16 * 1024 * 1024))
            .replaces()
            .describe("Memory of each server in MiB. Default: the template's."),
        Attribute::string("pool")
            .optional()
            .rule(Rule::length(1..=255))
            .replaces()
            .describe("The pool, by its name in the provider's `pools`. Default: as many as it takes of those that have the template."),
        Attribute::set("pool_labels", Type::String)
            .optional()
            .rule(Rule::no_nulls())
            .rule(Rule::each(Rule::length(1..=255)))
            .replaces()
            .describe("Only pools with one of these labels. Default: only pools without labels."),
    ]
}

fn observed() -> Vec<Attribute> {
    vec![
        Attribute::map("placements", Type::Number)
            .computed()
            .unknown_when_changed(&["servers"])
            .describe("For how many servers each pool holds room, by its name."),
        Attribute::integer("used")
            .computed()
            .keep()
            .describe("How many servers were made in it, or are being made."),
        Attribute::string("expires_at")
            .computed()
            .unknown_when_changed(&["ttl"])
            .describe("When it ends, by the pools' clocks (RFC 3339, UTC)."),
        Attribute::string("status")
            .computed()
            .unknown_when_changed(&["servers", "ttl"])
            .describe(
                "`held`; `used_up` when every place is taken; `expired` when its time is over and it holds nothing.",
            ),
    ]
}
