//! The filters of servers, the same for the data source and for the list of the resource.

use cty::{Type, Value};
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::rule::Rule;
use engine::schema::Attribute;
use fleet::{ListFilter, PowerState, Server};
use regex::Regex;

use crate::diagnose;
use crate::settings::SharedSettings;

/// The table.
pub(crate) fn table() -> Vec<Attribute> {
    vec![
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
                "be a regular expression",
            ))
            .describe("Only VMs whose name matches this regular expression somewhere (syntax of Rust's `regex`; anchor with `^` and `$`)."),
        Attribute::set("tags", Type::String)
            .optional()
            .describe("Only VMs that have all of these tags."),
        Attribute::string("power_state")
            .optional()
            .rule(Rule::one_of(["running", "halted", "suspended", "paused"]))
            .describe("Only VMs in this power state."),
    ]
}

/// The servers that a configuration asks for.
///
/// # Errors
/// If a filter is none, or a pool cannot be asked: half a list would be taken for the whole.
pub(crate) async fn servers(settings: &SharedSettings, config: &Value) -> Result<Vec<Server>, Diagnostics> {
    let lab = settings.lab()?;
    let found = lab.fleet.list(&read(config)?).await;
    found.map_err(|error| diagnose::error(&error).into())
}

fn read(config: &Value) -> Result<ListFilter, Diagnostics> {
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
