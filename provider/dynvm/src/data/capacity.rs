//! `dynvm_capacity`: how many more servers of one kind fit now, and what is in the way of more.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cty::{Type, Value};
use engine::constraint::Constraint;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use fleet::{CapacityQuery, HostCapacity, Image, LabelChoice, PoolCapacity, StorageCapacity};
use plugin::provider::{Context, DataAnswer, DataSource};

use crate::diagnose;
use crate::settings::{Lab, SharedSettings};

/// The data source.
pub(crate) struct CapacityData {
    schema: Schema,
    settings: SharedSettings,
}

impl CapacityData {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        Self {
            schema: table(),
            settings,
        }
    }

    async fn count(&self, config: &Value) -> Result<Value, Diagnostics> {
        let lab = self.settings.lab()?;
        let capacity = lab
            .fleet
            .capacity(&query(config)?)
            .await
            .map_err(|error| diagnose::error_about(config, &error))?;
        Ok(config
            .clone()
            .with("available", capacity.available)
            .with("pools", Value::list(capacity.pools.iter().map(|pool| row(&lab, pool)))))
    }
}

fn table() -> Schema {
    Schema::new(vec![
        Attribute::string("os")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("An operating system alias. Exactly one of `os` and `template`."),
        Attribute::string("template")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("A template by name or UUID."),
        Attribute::integer("cpus")
            .optional()
            .rule(Rule::between(1, 1024))
            .describe("Virtual CPUs of each server. Default: the template's."),
        Attribute::integer("memory_mib")
            .optional()
            .rule(Rule::between(16, 16 * 1024 * 1024))
            .describe("Memory of each server in MiB. Default: the template's."),
        Attribute::string("pool")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("Only this pool, by its name in the provider's `pools`."),
        Attribute::set("pool_labels", Type::String)
            .optional()
            .rule(Rule::no_nulls())
            .rule(Rule::each(Rule::length(1..=255)))
            .describe("Only pools with one of these labels, as for a server that asks for them. Default: only pools without labels."),
        Attribute::boolean("ignore_labels")
            .optional()
            .describe("`true`: all pools, whatever their labels. Not together with `pool_labels`."),
        Attribute::integer("available")
            .computed()
            .describe("How many more servers of this kind fit, over all pools."),
        Attribute::object_list("pools", pool()).computed().describe(
            "The same for each pool, sorted by name. For each host the smaller of what CPU and memory allow, then capped by each storage \
             repository over all hosts that see it, and by `max_servers`. CPU counts every running guest, others' too, but not the control domain; memory is \
             the pool's own formula. A tenth of each storage repository and one base copy are kept free.",
        ),
    ])
    .describe("How many more servers of one kind fit now, and what is in the way of more. The figures are those of this moment: use them in a precondition, \
               not as an output of what they count.")
    .rule(Constraint::exactly_one_of(&["os", "template"]))
    .rule(Constraint::custom(
        one_choice_of_labels,
        "`ignore_labels = true` and `pool_labels` exclude each other.",
    ))
}

/// Whoever asks for labels cannot mean all pools.
fn one_choice_of_labels(config: &Value) -> Diagnostics {
    let both = config.get("ignore_labels").as_bool() == Some(true) && config.get("pool_labels").is_set();
    let contradiction = || {
        let detail = "`ignore_labels = true` counts all pools, `pool_labels` only those with one of these labels: leave one of them out.";
        Diagnostic::error("Contradicting labels", detail).at("ignore_labels")
    };
    both.then(contradiction).into_iter().collect()
}

fn pool() -> Vec<Attribute> {
    let number = |name: &str, what: &str| Attribute::integer(name).computed().describe(what);
    vec![
        Attribute::string("pool").computed().describe("The pool's name."),
        Attribute::set("labels", Type::String)
            .computed()
            .describe("The pool's labels: it takes only servers that ask for one of them, or if there are none, for none."),
        number("available", "How many more servers fit into this pool."),
        Attribute::string("limited_by").computed().describe(
            "What is in the way of more: `cpu`, `memory`, `storage`, `max_servers`, `template` (the pool does not have it), `network` (no usable host has it) or `host_disabled`.",
        ),
        number("cpus_free", "Virtual CPUs that can still be handed out."),
        number("cpus_total", "Virtual CPUs that can be handed out in all: physical ones times `cpu_overcommit`."),
        number("memory_free_mib", "Free memory in MiB."),
        number("memory_total_mib", "Memory in MiB."),
        number("storage_free_bytes", "Free bytes of the storage repository that limits most."),
        number("storage_total_bytes", "Its size in bytes."),
        number("reserved", "Servers for which reservations hold room; it is not available to others."),
        number("in_progress", "Servers of dynvm that are being created."),
        Attribute::object_list("hosts", host()).computed().describe(
            "The same for each host, sorted by name: how many servers its CPUs and memory take, storage and ceilings aside.",
        ),
        Attribute::object_list("storages", storage()).computed().describe(
            "The same for each storage repository that such a server needs, sorted by name. What thin disks of servers may still grow by counts as used.",
        ),
    ]
}

fn host() -> Vec<Attribute> {
    let number = |name: &str, what: &str| Attribute::integer(name).computed().describe(what);
    vec![
        Attribute::string("host").computed().describe("The host's name."),
        number("available", "How many more servers it takes."),
        Attribute::string("limited_by").computed().describe(
            "What is in the way of more: `cpu`, `memory`, `storage` (it does not see the server's), `network` (it does not have the server's) or `host_disabled`.",
        ),
        number("cpus_free", "Virtual CPUs that can still be handed out."),
        number("memory_free_mib", "Free memory in MiB."),
    ]
}

fn storage() -> Vec<Attribute> {
    let number = |name: &str, what: &str| Attribute::integer(name).computed().describe(what);
    vec![
        Attribute::string("storage")
            .computed()
            .describe("The storage repository's name."),
        number(
            "available",
            "How many more servers it takes; null if it does not know its size and sets no limit.",
        ),
        number("free_bytes", "Free bytes, without those that are kept free."),
        number("total_bytes", "Its size in bytes."),
    ]
}

fn query(config: &Value) -> Result<CapacityQuery, Diagnostics> {
    let text = |name: &str| config.get(name).as_str().map(str::to_owned);
    let image = match (text("os"), text("template")) {
        (Some(os), _) => Image::Os(os),
        (None, Some(template)) => Image::Template(template),
        (None, None) => {
            return Err(
                Diagnostic::error("Nothing to count", "One of `os` and `template` must be known.")
                    .at("os")
                    .into(),
            );
        }
    };
    Ok(CapacityQuery {
        image,
        cpus: config.get("cpus").as_u64().and_then(|cpus| u32::try_from(cpus).ok()),
        memory_mib: config.get("memory_mib").as_u64(),
        pool: text("pool"),
        labels: match config.get("ignore_labels").as_bool() {
            Some(true) => LabelChoice::Any,
            Some(false) | None => LabelChoice::AsServer(labels(config.get("pool_labels"))),
        },
    })
}

fn labels(set: &Value) -> BTreeSet<String> {
    let texts = set.as_list().unwrap_or_default().iter();
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn row(lab: &Lab, pool: &PoolCapacity) -> Value {
    let labels = lab.offers.get(&pool.pool).map(|offer| &offer.labels);
    Value::object([
        ("pool", pool.pool.as_str().into()),
        ("labels", Value::set(labels.into_iter().flatten().map(String::as_str))),
        ("available", pool.available.into()),
        ("limited_by", pool.limited_by.as_str().into()),
        ("cpus_free", pool.cpus_free.into()),
        ("cpus_total", pool.cpus_total.into()),
        ("memory_free_mib", pool.memory_free_mib.into()),
        ("memory_total_mib", pool.memory_total_mib.into()),
        ("storage_free_bytes", pool.storage_free_bytes.into()),
        ("storage_total_bytes", pool.storage_total_bytes.into()),
        ("reserved", pool.reserved.into()),
        ("in_progress", pool.in_progress.into()),
        ("hosts", Value::list(pool.hosts.iter().map(host_row))),
        ("storages", Value::list(pool.storages.iter().map(storage_row))),
    ])
}

fn host_row(host: &HostCapacity) -> Value {
    Value::object([
        ("host", host.host.as_str().into()),
        ("available", host.available.into()),
        ("limited_by", host.limited_by.as_str().into()),
        ("cpus_free", host.cpus_free.into()),
        ("memory_free_mib", host.memory_free_mib.into()),
    ])
}

fn storage_row(storage: &StorageCapacity) -> Value {
    Value::object([
        ("storage", storage.storage.as_str().into()),
        ("available", storage.available.into()),
        ("free_bytes", storage.free_bytes.into()),
        ("total_bytes", storage.total_bytes.into()),
    ])
}

#[async_trait]
impl DataSource for CapacityData {
    fn type_name(&self) -> &'static str {
        "dynvm_capacity"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: &Value, cx: &Context) -> DataAnswer {
        super::answer(self.count(config), cx).await
    }
}
