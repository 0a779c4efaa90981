//! [`Resource`]: a kind of object that is created, updated and deleted.

use async_trait::async_trait;
use cty::Value;
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    moved::Mover,
    plan::Draft,
    private::Private,
    schema::Schema,
    upgrade::Upgrader,
};

use super::Context;

/// A kind of object that is created, updated and deleted.
#[async_trait]
pub trait Resource: Send + Sync + 'static {
    /// The type's name, with the provider's prefix: `dynvm_server`.
    fn type_name(&self) -> &'static str;

    /// The schema, the same at each call.
    fn schema(&self) -> &Schema;

    /// The ways from older versions of the schema to the present one.
    fn upgraders(&self) -> &[Upgrader] {
        &[]
    }

    /// The foreign resources whose states can be taken over.
    fn movers(&self) -> &[Mover] {
        &[]
    }

    /// Checks a configuration beyond its table. Values may be unknown, and the provider is not configured.
    async fn validate(&self, config: &Value, cx: &Context) -> Diagnostics {
        let (_, _) = (config, cx);
        Diagnostics::new()
    }

    /// Refines a plan after the table had its say; also called when the plan is to delete. `private` goes on to create,
    /// update or delete.
    async fn plan(&self, draft: &mut Draft<'_>, private: &mut Private, cx: &Context) -> Diagnostics {
        let (_, _, _) = (draft, private, cx);
        Diagnostics::new()
    }

    /// Creates an object.
    async fn create(&self, request: CreateRequest, cx: &Context) -> Applied;

    /// Changes an object in place.
    async fn update(&self, request: UpdateRequest, cx: &Context) -> Applied;

    /// Deletes an object. One that is gone already is a success.
    async fn delete(&self, request: DeleteRequest, cx: &Context) -> Applied;

    /// Reads an object.
    async fn read(&self, request: ReadRequest, cx: &Context) -> ReadAnswer;

    /// What tells this object from all others, by the schema's identity. `None` where that is not known, or there is none: the
    /// host keeps what it knew.
    fn identify(&self, state: &Value, private: &Private) -> Option<Value> {
        let (_, _) = (state, private);
        None
    }

    /// Finds an existing object. The answer may be as little as the identifier: a read follows.
    ///
    /// # Errors
    ///
    /// If the identifier is malformed or the type cannot be imported.
    async fn import(&self, sought: &Sought, cx: &Context) -> Result<Imported, Diagnostics> {
        let (_, _) = (sought, cx);
        let detail = format!(
            "Existing objects cannot be brought under the management of {}.",
            self.type_name()
        );
        Err(Diagnostic::error("Resource cannot be imported", detail).into())
    }

    /// Whether [`Resource::import`] does something, for the reference pages.
    fn importable(&self) -> bool {
        false
    }
}

/// What is to be created.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The configuration; the only place where write-only values stand.
    pub config: Value,
    /// What was planned. Unknown values are to be filled in; known ones must come out the same.
    pub planned: Value,
    /// What the plan left.
    pub private: Private,
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub struct UpdateRequest {
    /// The configuration; the only place where write-only values stand.
    pub config: Value,
    /// What is in state.
    pub prior: Value,
    /// What was planned. Unknown values are to be filled in; known ones must come out the same.
    pub planned: Value,
    /// What the plan left.
    pub private: Private,
}

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// What is in state.
    pub prior: Value,
    /// What is remembered about it.
    pub private: Private,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// What is in state; after an import perhaps only the identifier.
    pub state: Value,
    /// What is remembered about it.
    pub private: Private,
}

/// What exists after a change.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What exists: after a create with an error, whatever came into being; after a delete, what is left. `None` is
    /// nothing, or, for an update or a delete that failed, the prior state.
    pub state: Option<Value>,
    /// What is to be remembered about it.
    pub private: Private,
    /// What the user is told.
    pub diagnostics: Diagnostics,
}

impl Applied {
    /// A change that succeeded.
    #[must_use]
    pub fn done(state: Value, private: Private) -> Applied {
        Applied {
            state: Some(state),
            private,
            diagnostics: Diagnostics::new(),
        }
    }

    /// A deletion that succeeded.
    #[must_use]
    pub fn deleted() -> Applied {
        Applied {
            state: None,
            private: Private::new(),
            diagnostics: Diagnostics::new(),
        }
    }

    /// A change that failed, leaving what was there before: nothing, for a create.
    #[must_use]
    pub fn failed(private: Private, diagnostics: impl Into<Diagnostics>) -> Applied {
        Applied {
            state: None,
            private,
            diagnostics: diagnostics.into(),
        }
    }
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadAnswer {
    /// What exists; `None` takes the object out of the state. With an error the state stays as it was.
    pub state: Option<Value>,
    /// What is to be remembered about it.
    pub private: Private,
    /// What the user is told.
    pub diagnostics: Diagnostics,
}

/// What an import looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// An object by its identifier, which is not empty.
    Id(String),
    /// An object by its identity: known, and with all that an import needs.
    Identity(Value),
}

/// What was found by an import.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What exists; attributes may be missing.
    pub state: Value,
    /// What is to be remembered about it.
    pub private: Private,
}
