//! [`ListResource`]: which objects of a resource's kind there are.

use async_trait::async_trait;
use cty::Value;
use engine::{diagnostics::Diagnostics, schema::Schema};

use super::Context;

/// Finds the objects of a resource's kind, in the state or not: what can be imported. The resource has the same name, and an
/// identity.
#[async_trait]
pub trait ListResource: Send + Sync + 'static {
    /// The type's name, which is also the resource's: `dynvm_server`.
    fn type_name(&self) -> &'static str;

    /// The schema of the filters, the same at each call.
    fn schema(&self) -> &Schema;

    /// Checks the filters beyond their table. Values may be unknown, and the provider is not configured.
    async fn validate(&self, config: &Value, cx: &Context) -> Diagnostics {
        let (_, _) = (config, cx);
        Diagnostics::new()
    }

    /// Finds what passes the filters.
    ///
    /// # Errors
    ///
    /// If not all of it can be found: half a list would be taken for the whole.
    async fn list(&self, request: ListRequest, cx: &Context) -> Result<Vec<Listed>, Diagnostics>;
}

/// What is to be found.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The filters; all of them null where the user wrote none.
    pub config: Value,
    /// Whether the states are wanted too.
    pub with_state: bool,
}

/// An object that was found.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What tells it from all others, by the identity of the resource.
    pub identity: Value,
    /// What a person calls it.
    pub display_name: String,
    /// What an import and the read after it would bring into the state, if that is wanted.
    pub state: Option<Value>,
}
