//! `PlanResourceChange`: the table drafts, the resource refines. The same is asked again during the apply.
//!
//! An identity is never planned: that of an object which exists stays, that of a new one is not known before it exists, and
//! absent.
//!
//! The host's own proposal is not looked at: the engine makes it from configuration and prior state, better for sets.

use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    plan::Draft,
};
use proto::tfplugin6::{ClientCapabilities, plan_resource_change};

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, Saved},
    served::Served,
    wire,
};

impl Call for plan_resource_change::Request {
    type Answer = plan_resource_change::Response;

    const NAME: &'static str = "PlanResourceChange";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    fn client(&self) -> Option<&ClientCapabilities> {
        self.client_capabilities.as_ref()
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        answer(self, served, cx)
            .await
            .unwrap_or_else(|found| no_plan(self, found))
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        no_plan(self, why.into())
    }
}

/// No plan: what is there stays.
fn no_plan(request: &plan_resource_change::Request, found: Diagnostics) -> plan_resource_change::Response {
    plan_resource_change::Response {
        planned_state: request.prior_state.clone(),
        planned_private: request.prior_private.clone(),
        planned_identity: request.prior_identity.clone(),
        diagnostics: wire::diagnostics(found),
        ..plan_resource_change::Response::default()
    }
}

async fn answer(
    request: &plan_resource_change::Request,
    served: &Served,
    cx: &Context,
) -> Result<plan_resource_change::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    let (schema, ty) = (resource.schema(), resource.ty());
    let config = wire::decode(request.config.as_ref(), ty)?;
    let prior = wire::decode(request.prior_state.as_ref(), ty)?;
    let mut private = wire::private(&request.prior_private)?;

    let mut draft = Draft::new(schema, config.clone(), prior.clone());
    let mut diagnostics = resource.item.plan(&mut draft, &mut private, cx).await;
    let plan = draft.finish();
    diagnostics.extend(plan.diagnostics.clone());
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    diagnostics.extend(check::plan(schema, &prior, &config, &plan));
    Ok(plan_resource_change::Response {
        planned_state: Some(wire::encode(&plan.planned, ty)?),
        requires_replace: plan.requires_replace.iter().map(wire::path).collect(),
        planned_private: private.to_bytes(),
        planned_identity: request.prior_identity.clone().filter(|_| !prior.is_null()),
        diagnostics: wire::diagnostics(diagnostics),
        ..plan_resource_change::Response::default()
    })
}
