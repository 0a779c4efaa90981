//! What is served: the traits a provider, its resources, data sources, list resources and functions fill in.
//!
//! The engine has done its part before a method here is called: values are decoded and have every attribute of the
//! schema, tables are validated, plans are drafted. What a method answers is settled by the engine again before it is
//! sent. Nothing here knows the protocol.

mod context;
mod data_source;
mod function;
mod list_resource;
mod resource;

use std::sync::Arc;

use async_trait::async_trait;
use cty::Value;
use engine::{diagnostics::Diagnostics, schema::Schema};

pub use context::{Context, Partial, Saved};
pub use data_source::{DataAnswer, DataSource};
pub use function::{Function, FunctionError};
pub use list_resource::{ListRequest, ListResource, Listed};
pub use resource::{
    Applied, CreateRequest, DeleteRequest, Imported, ReadAnswer, ReadRequest, Resource, Sought, UpdateRequest,
};

/// Provides resources, data sources, list resources and functions.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The name, which is also the prefix of its types: `dynvm`.
    fn name(&self) -> &'static str;

    /// The version, as `1.2.3`.
    fn version(&self) -> &'static str;

    /// The schema of the provider block.
    fn schema(&self) -> &Schema;

    /// The managed resources.
    fn resources(&self) -> &[Arc<dyn Resource>] {
        &[]
    }

    /// The data sources.
    fn data_sources(&self) -> &[Arc<dyn DataSource>] {
        &[]
    }

    /// The resources whose objects can be listed.
    fn list_resources(&self) -> &[Arc<dyn ListResource>] {
        &[]
    }

    /// The functions.
    fn functions(&self) -> &[Arc<dyn Function>] {
        &[]
    }

    /// Checks the provider block beyond its table. Values may be unknown, and nothing is configured.
    async fn validate(&self, config: &Value, cx: &Context) -> Diagnostics {
        let (_, _) = (config, cx);
        Diagnostics::new()
    }

    /// Takes over the provider block. During a plan values may be unknown, which must not be an error: what needs such
    /// a value says so when it is called. May be called again, with other values, while earlier calls are still in
    /// flight.
    async fn configure(&self, config: &Value, cx: &Context) -> Diagnostics;

    /// Lets go of what the provider holds outside of the process: sessions, connections. It has about one second.
    async fn shutdown(&self) {}
}
