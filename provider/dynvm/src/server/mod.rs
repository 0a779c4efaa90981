//! `dynvm_server`: a throw-away VM.
//!
//! The table says what each attribute is; `plan` adds what needs the provider's settings; `create`, `read`, `update`, `delete` translate between
//! Terraform's values and [`fleet`]'s words and decide nothing else; `place` and `admission` say in the plan what has no place or finds no room; `lost`
//! replaces what an interrupted destroy has left; `list` finds what `import` can take; `rows` are what the history is told of them.

mod admission;
mod create;
mod delete;
#[cfg(test)]
pub(crate) mod drafts;
mod identity;
mod import;
mod lease;
mod list;
mod lost;
mod moved;
pub(crate) mod place;
pub(crate) mod plan;
mod read;
pub(crate) mod request;
mod reshape;
mod rows;
pub(crate) mod schema;
mod state;
mod update;

use async_trait::async_trait;
use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::moved::Mover;
use engine::plan::Draft;
use engine::private::Private;
use engine::schema::Schema;
use history::Entry;
use plugin::provider::{
    Applied, Context, CreateRequest, DeleteRequest, Imported, ReadAnswer, ReadRequest, Resource, Sought, UpdateRequest,
};

pub(crate) use admission::{Admission, Policy};
pub(crate) use list::ServerList;

use crate::diagnose;
use crate::settings::{Lab, Settings, SharedSettings};

/// The resource.
pub(crate) struct ServerResource {
    schema: Schema,
    settings: SharedSettings,
}

impl ServerResource {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        Self {
            schema: schema::table(),
            settings,
        }
    }

    /// A change has come: what was planned is being applied.
    fn applies(&self) {
        if let Settings::Ready(lab) = self.settings.now() {
            lab.admission.apply();
        }
    }
}

#[async_trait]
impl Resource for ServerResource {
    fn type_name(&self) -> &'static str {
        "dynvm_server"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn movers(&self) -> &[Mover] {
        &moved::MOVERS
    }

    async fn plan(&self, draft: &mut Draft<'_>, private: &mut Private, cx: &Context) -> Diagnostics {
        let settings = self.settings.now();
        tokio::select! {
            () = cx.cancel.cancelled() => diagnose::interrupted("planning the server"),
            found = plan::plan(&settings, draft, private) => found,
        }
    }

    async fn create(&self, request: CreateRequest, cx: &Context) -> Applied {
        self.applies();
        create::create(&self.settings, request, cx).await
    }

    async fn read(&self, request: ReadRequest, cx: &Context) -> ReadAnswer {
        read::read(&self.settings, &self.schema, request, cx).await
    }

    async fn update(&self, request: UpdateRequest, cx: &Context) -> Applied {
        self.applies();
        update::update(&self.settings, request, cx).await
    }

    async fn delete(&self, request: DeleteRequest, cx: &Context) -> Applied {
        self.applies();
        delete::delete(&self.settings, request, cx).await
    }

    fn identify(&self, state: &Value, private: &Private) -> Option<Value> {
        identity::kept(state, private)
    }

    async fn import(&self, sought: &Sought, cx: &Context) -> Result<Imported, Diagnostics> {
        import::import(&self.settings, &self.schema, sought, cx).await
    }

    fn importable(&self) -> bool {
        true
    }
}

/// Tells the history of a change that is over. Should the call be cut meanwhile, what the change came to is saved.
async fn chronicled(lab: &Lab, applied: Applied, entries: impl Future<Output = Vec<Entry>>, cx: &Context) -> Applied {
    let Applied {
        state,
        private,
        mut diagnostics,
    } = applied;
    if let Some(state) = &state {
        cx.partial.save(state.clone(), private.clone());
    }
    diagnostics.extend(lab.chronicle.tell(entries, &cx.cancel).await);
    refused(state, private, diagnostics)
}

/// An answer that changes nothing and says why.
fn refused(state: Option<Value>, private: Private, diagnostics: Diagnostics) -> Applied {
    Applied {
        state,
        private,
        diagnostics,
    }
}
