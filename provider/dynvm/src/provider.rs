//! The provider as a whole: its table, its resources and data sources, and how it is configured and ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::schema::Schema;
use plugin::provider::{Context, DataSource, Function, ListResource, Provider, Resource};

use crate::capacity::CapacityResource;
use crate::config;
use crate::data::{CapacityData, ServerData, ServersData};
use crate::functions;
use crate::server::{ServerList, ServerResource};
use crate::settings::{Settings, SharedSettings};

/// How long logging out of all pools and closing the history may take together.
const LEAVING_LIMIT: Duration = Duration::from_millis(1500);

/// The version of this provider.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The provider `dynvm/dynvm`.
pub struct DynvmProvider {
    schema: Schema,
    settings: SharedSettings,
    resources: Vec<Arc<dyn Resource>>,
    data_sources: Vec<Arc<dyn DataSource>>,
    list_resources: Vec<Arc<dyn ListResource>>,
    functions: Vec<Arc<dyn Function>>,
}

impl DynvmProvider {
    /// A provider that is not configured yet.
    #[must_use]
    pub fn new() -> Self {
        let settings = SharedSettings::default();
        Self {
            schema: config::schema::table(),
            resources: vec![
                Arc::new(CapacityResource::new(settings.clone())),
                Arc::new(ServerResource::new(settings.clone())),
            ],
            data_sources: vec![
                Arc::new(CapacityData::new(settings.clone())),
                Arc::new(ServerData::new(settings.clone())),
                Arc::new(ServersData::new(settings.clone())),
            ],
            list_resources: vec![Arc::new(ServerList::new(settings.clone()))],
            functions: functions::all(),
            settings,
        }
    }

    /// Leaves the pools and the history of settings that are no longer in force.
    async fn leave(settings: Settings) {
        let Settings::Ready(lab) = settings else { return };
        let fleet = Arc::clone(&lab.fleet);
        let close = async {
            // A call that is still under way closes it with its own end.
            if let Some(lab) = Arc::into_inner(lab) {
                lab.chronicle.close().await;
            }
        };
        let left = async { tokio::join!(fleet.logout(), close) };
        if tokio::time::timeout(LEAVING_LIMIT, left).await.is_err() {
            tracing::warn!("logging out took too long; the pools end the sessions by themselves");
        }
    }
}

impl Default for DynvmProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for DynvmProvider {
    fn name(&self) -> &'static str {
        "dynvm"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn resources(&self) -> &[Arc<dyn Resource>] {
        &self.resources
    }

    fn data_sources(&self) -> &[Arc<dyn DataSource>] {
        &self.data_sources
    }

    fn list_resources(&self) -> &[Arc<dyn ListResource>] {
        &self.list_resources
    }

    fn functions(&self) -> &[Arc<dyn Function>] {
        &self.functions
    }

    async fn configure(&self, config: &Value, _cx: &Context) -> Diagnostics {
        let (settings, diagnostics) = config::read(config, VERSION);
        Self::leave(self.settings.replace(settings)).await;
        diagnostics
    }

    async fn shutdown(&self) {
        Self::leave(self.settings.replace(Settings::Absent)).await;
    }
}
