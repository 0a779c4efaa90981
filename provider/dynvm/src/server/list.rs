//! The list of `dynvm_server`: the VMs of the pools that can be imported, for `terraform query` (Terraform 1.14 and later).
//!
//! It finds what the data source `dynvm_servers` finds, by the same filters; what it tells of each is what an import would bring into the state.

use async_trait::async_trait;
use engine::diagnostics::Diagnostics;
use engine::schema::Schema;
use fleet::Server;
use plugin::provider::{Context, ListRequest, ListResource, Listed};

use super::{identity, import, schema};
use crate::settings::SharedSettings;
use crate::{diagnose, filters};

/// The list.
pub(crate) struct ServerList {
    filters: Schema,
    server: Schema,
    settings: SharedSettings,
}

impl ServerList {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        let filters = Schema::new(filters::table()).describe(
            "The VMs of all pools that can be imported, or those that pass every filter, dynvm's own and others: for `terraform query` (Terraform 1.14 and \
             later). Templates, snapshots and control domains cannot be imported.",
        );
        Self {
            filters,
            server: schema::table(),
            settings,
        }
    }

    fn listed(&self, server: &Server, with_state: bool) -> Listed {
        Listed {
            identity: identity::of(server.pool_uuid, server.id),
            display_name: format!("{} ({})", server.name, server.pool),
            state: with_state.then(|| import::of(&self.server, server).state),
        }
    }
}

#[async_trait]
impl ListResource for ServerList {
    fn type_name(&self) -> &'static str {
        "dynvm_server"
    }

    fn schema(&self) -> &Schema {
        &self.filters
    }

    async fn list(&self, request: ListRequest, cx: &Context) -> Result<Vec<Listed>, Diagnostics> {
        let found = tokio::select! {
            () = cx.cancel.cancelled() => return Err(diagnose::interrupted("listing the servers")),
            found = filters::servers(&self.settings, &request.config) => found?,
        };
        let listed = found.iter().map(|server| self.listed(server, request.with_state));
        Ok(listed.collect())
    }
}
