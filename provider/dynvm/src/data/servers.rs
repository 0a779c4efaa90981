//! `dynvm_servers`: the VMs of the pools, filtered.

use async_trait::async_trait;
use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::schema::{Attribute, Schema};
use plugin::provider::{Context, DataAnswer, DataSource};

use super::columns;
use crate::filters;
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
        let servers = filters::servers(&self.settings, config).await?;
        Ok(config
            .clone()
            .with("servers", Value::list(servers.iter().map(columns::row))))
    }
}

fn table() -> Schema {
    let found = Attribute::object_list("servers", columns::table())
        .computed()
        .describe("The VMs, sorted by pool, then name, then UUID.");
    let mut attributes = filters::table();
    attributes.push(found);
    Schema::new(attributes)
        .describe("The VMs of all pools, or those that pass every filter. Templates, snapshots and control domains are not VMs here.")
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
