//! `dynvm_servers`: the VMs of the pools, filtered.

use async_trait::async_trait;
use cty::{Type, Value};
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use fleet::{ListFilter, PowerState};
use plugin::provider::{Context, DataAnswer, DataSource};
use regex::Regex;

use super::columns;
use crate::diagnose;
use crate::settings::SharedSettings;

/// The data source.
pub(crate) struct ServersData {
    schema: Schema,
    settings: SharedSettings,
}

impl ServersData {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        Self {
            schema: table(),
            settings,
        }
    }

    async fn list(&self, config: &Value) -> Result<Value, Diagnostics> {
        let lab = self.settings.lab()?;
        let servers = lab
            .fleet
            .list(&filter(config)?)
            .await
            .map_err(|error| diagnose::error(&error))?;
        Ok(config
            .clone()
            .with("servers", Value::list(servers.iter().map(columns::row))))
    }
}

fn table() -> Schema {
    Schema::new(vec![
        Attribute::boolean("managed")
            .optional()
            .describe("`true`: only VMs that dynvm made; `false`: only others. Default: all."),
        Attribute::string("pool")
            .optional()
            .rule(Rule::length(1..=255))
            .describe("Only this pool, by its name in the provider's `pools`."),
        Attribute::string("os")
            .optional()
            .describe("Only servers made for this operating system alias."),
        Attribute::string("name_regex")
            .optional()
            .rule(Rule::custom(
                |pattern| match pattern.as_str().map(Regex::new) {
                    Some(Err(error)) => Err(format!("is no regular expression: {error}")),
                    _ => Ok(()),
                },
                "a regular expression",
            ))
            .describe("Only VMs whose name matches this regular expression somewhere (syntax of Rust's `regex`; anchor with `^` and `$`)."),
        Attribute::set("tags", Type::String)
            .optional()
            .describe("Only VMs that have all of these tags."),
        Attribute::string("power_state")
            .optional()
            .rule(Rule::one_of(["running", "halted", "suspended", "paused"]))
            .describe("Only VMs in this power state."),
        Attribute::object_list("servers", columns::table())
            .computed()
            .describe("The VMs, sorted by pool, then name, then UUID."),
    ])
    .describe("The VMs of all pools, or those that pass every filter. Templates, snapshots and control domains are not VMs here.")
}

fn filter(config: &Value) -> Result<ListFilter, Diagnostics> {
    let text = |name: &str| config.get(name).as_str().map(str::to_owned);
    let name_regex = text("name_regex")
        .map(|pattern| Regex::new(&pattern))
        .transpose()
        .map_err(|error| Diagnostic::error("Invalid regular expression", error.to_string()).at("name_regex"))?;
    Ok(ListFilter {
        pool: text("pool"),
        managed: config.get("managed").as_bool(),
        os: text("os"),
        name_regex,
        tags: config
            .get("tags")
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|tag| tag.as_str().map(str::to_owned))
            .collect(),
        power_state: text("power_state").as_deref().and_then(power_state),
    })
}

fn power_state(text: &str) -> Option<PowerState> {
    match text {
        "running" => Some(PowerState::Running),
        "halted" => Some(PowerState::Halted),
        "suspended" => Some(PowerState::Suspended),
        "paused" => Some(PowerState::Paused),
        _ => None,
    }
}

#[async_trait]
impl DataSource for ServersData {
    fn type_name(&self) -> &'static str {
        "dynvm_servers"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: &Value, cx: &Context) -> DataAnswer {
        super::answer(self.list(config), cx).await
    }
}
