//! `dynvm_capacity` (resource): room that is held for servers which are made later.
//!
//! The table says what each attribute is; `plan` adds what needs the provider's settings, or depends on whether the reservation still holds; `request` and
//! `state` translate between Terraform's values and [`fleet`]'s words; `apply` asks for what was planned.
//!
//! ```text
//!   servers, ttl             in place, all or none; of one that is over: a new reservation
//!   what a server would be   a new reservation
//!   expired, unchanged       stays in the state, without a difference
//! ```

mod apply;
mod plan;
mod request;
pub(crate) mod schema;
mod state;

use async_trait::async_trait;
use engine::diagnostics::Diagnostics;
use engine::plan::Draft;
use engine::private::Private;
use engine::schema::Schema;
use plugin::provider::{
    Applied, Context, CreateRequest, DeleteRequest, ReadAnswer, ReadRequest, Resource, UpdateRequest,
};

use crate::settings::{Settings, SharedSettings};

/// The resource.
pub(crate) struct CapacityResource {
    schema: Schema,
    settings: SharedSettings,
}

impl CapacityResource {
    pub(crate) fn new(settings: SharedSettings) -> Self {
        Self {
            schema: schema::table(),
            settings,
        }
    }

    /// Tells admission that this run applies.
    fn applies(&self) {
        if let Settings::Ready(lab) = self.settings.now() {
            lab.admission.apply();
        }
    }
}

#[async_trait]
impl Resource for CapacityResource {
    fn type_name(&self) -> &'static str {
        "dynvm_capacity"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn plan(&self, draft: &mut Draft<'_>, _private: &mut Private, _cx: &Context) -> Diagnostics {
        plan::plan(&self.settings.now(), draft)
    }

    async fn create(&self, request: CreateRequest, cx: &Context) -> Applied {
        self.applies();
        apply::create(&self.settings, request, cx).await
    }

    async fn read(&self, request: ReadRequest, cx: &Context) -> ReadAnswer {
        apply::read(&self.settings, request, cx).await
    }

    async fn update(&self, request: UpdateRequest, cx: &Context) -> Applied {
        self.applies();
        apply::update(&self.settings, request, cx).await
    }

    async fn delete(&self, request: DeleteRequest, cx: &Context) -> Applied {
        self.applies();
        apply::delete(&self.settings, request, cx).await
    }
}
