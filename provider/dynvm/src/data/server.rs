//! `dynvm_server` (data source): one server, by UUID or by name.

use async_trait::async_trait;
use cty::Value;
use engine::constraint::Constraint;
use engine::diagnostics::{Diagnostic, Diagnostics};
use engine::rule::Rule;
use engine::schema::{Attribute, Schema};
use fleet::ServerQuery;
use plugin::provider::{Context, DataAnswer, DataSource};

use super::columns;
use crate::diagnose;
use crate::settings::SharedSettings;

/// The data source.
pub(crate) struct ServerData {
    schema: Schema,
    settings: SharedSettings,
}

impl ServerData {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        Self {
            schema: table(),
            settings,
        }
    }

    async fn find(&self, config: &Value) -> Result<Value, Diagnostics> {
        let lab = self.settings.lab()?;
        let server = lab
            .fleet
            .find(&query(config)?)
            .await
            .map_err(|error| diagnose::error(&error))?;
        Ok(columns::row(&server))
    }
}

fn table() -> Schema {
    let mut attributes = vec![
        Attribute::string("id")
            .optional_computed()
            .rule(Rule::pattern(
                "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
                "must be a UUID",
            ))
            .describe("The VM's UUID. Exactly one of `id` and `name`."),
        Attribute::string("name")
            .optional_computed()
            .rule(Rule::length(1..=255))
            .describe("The VM's name. More than one match is an error that lists them."),
        Attribute::string("pool")
            .optional_computed()
            .rule(Rule::length(1..=255))
            .describe("The pool to look in, by its name in the provider's `pools`. Default: all."),
    ];
    let asked: Vec<String> = attributes.iter().map(|attribute| attribute.name.clone()).collect();
    attributes.extend(
        columns::table()
            .into_iter()
            .filter(|column| !asked.contains(&column.name)),
    );
    Schema::new(attributes)
        .describe("One VM, dynvm's or another's, as its pool shows it now. Templates, snapshots and control domains are not VMs here.")
        .rule(Constraint::exactly_one_of(&["id", "name"]))
}

fn query(config: &Value) -> Result<ServerQuery, Diagnostics> {
    let text = |name: &str| config.get(name).as_str().map(str::to_owned);
    let pool = text("pool");
    if let Some(name) = text("name") {
        return Ok(ServerQuery::Name { name, pool });
    }
    match text("id").and_then(|id| id.parse().ok()) {
        Some(id) => Ok(ServerQuery::Id { id, pool }),
        None => Err(Diagnostic::error("Not a UUID", "`id` must be a VM's UUID.")
            .at("id")
            .into()),
    }
}

#[async_trait]
impl DataSource for ServerData {
    fn type_name(&self) -> &'static str {
        "dynvm_server"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: &Value, cx: &Context) -> DataAnswer {
        super::answer(self.find(config), cx).await
    }
}
