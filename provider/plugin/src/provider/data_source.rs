//! [`DataSource`]: something that is only read.

use async_trait::async_trait;
use cty::Value;
use engine::{diagnostics::Diagnostics, schema::Schema};

use super::Context;

/// Something that is only read.
#[async_trait]
pub trait DataSource: Send + Sync + 'static {
    /// The type's name, with the provider's prefix: `dynvm_capacity`.
    fn type_name(&self) -> &'static str;

    /// The schema, the same at each call.
    fn schema(&self) -> &Schema;

    /// Checks a configuration beyond its table. Values may be unknown, and the provider is not configured.
    async fn validate(&self, config: &Value, cx: &Context) -> Diagnostics {
        let (_, _) = (config, cx);
        Diagnostics::new()
    }

    /// Reads it. Without an error there must be a state, and everything in it known.
    async fn read(&self, config: &Value, cx: &Context) -> DataAnswer;
}

/// What was read.
#[derive(Clone, Debug)]
pub struct DataAnswer {
    /// The configuration with its computed attributes filled in.
    pub state: Option<Value>,
    /// What the user is told.
    pub diagnostics: Diagnostics,
}

impl DataAnswer {
    /// A read that succeeded.
    #[must_use]
    pub fn found(state: Value) -> DataAnswer {
        DataAnswer {
            state: Some(state),
            diagnostics: Diagnostics::new(),
        }
    }

    /// A read that failed.
    #[must_use]
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> DataAnswer {
        DataAnswer {
            state: None,
            diagnostics: diagnostics.into(),
        }
    }
}
