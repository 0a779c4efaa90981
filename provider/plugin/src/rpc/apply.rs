//! `ApplyResourceChange`: create, update or delete, by which of prior and planned state is null.
//!
//! Whatever is answered is saved, with an error too. So a change that failed answers with what is true afterwards, and
//! where nothing better is known, with the state before.

use cty::Value;
use engine::{
    apply,
    diagnostics::{Diagnostic, Diagnostics},
    oracle::Occasion,
    private::Private,
};
use proto::tfplugin6::apply_resource_change;

use super::{check, identity};
use crate::{
    calls::{Call, Subject},
    provider::{Applied, Context, CreateRequest, DeleteRequest, Resource, Saved, UpdateRequest},
    served::{Offered, Served},
    wire,
};

impl Call for apply_resource_change::Request {
    type Answer = apply_resource_change::Response;

    const NAME: &'static str = "ApplyResourceChange";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        match answer(self, served, cx).await {
            Ok(answer) => answer,
            Err(found) => unchanged(self, found),
        }
    }

    fn lost(&self, served: &Served, saved: Option<Saved>, why: Diagnostic) -> Self::Answer {
        rescued(self, served, saved, why.into())
    }
}

/// The state before, which for a create is nothing.
fn unchanged(request: &apply_resource_change::Request, found: Diagnostics) -> apply_resource_change::Response {
    apply_resource_change::Response {
        new_state: request.prior_state.clone(),
        private: request.planned_private.clone(),
        new_identity: request.planned_identity.clone(),
        diagnostics: wire::diagnostics(found),
        ..apply_resource_change::Response::default()
    }
}

/// What was saved on the way, or else the state before.
fn rescued(
    request: &apply_resource_change::Request,
    served: &Served,
    saved: Option<Saved>,
    found: Diagnostics,
) -> apply_resource_change::Response {
    let resource = served.resource(&request.type_name).ok();
    let state = saved.zip(resource).and_then(|(Saved { state, private }, resource)| {
        // Also takes write-only values out: the host would refuse the whole answer for one.
        let planned = wire::decode(request.planned_state.as_ref(), resource.ty()).unwrap_or(Value::Null);
        let (state, _) = wire::without_unknowns(apply::settle(resource.schema(), &planned, state));
        let identity = identity::of_remains(resource, (&state, &private), request.planned_identity.as_ref());
        let state = wire::encode(&state, resource.ty()).ok()?;
        Some((state, identity, private.to_bytes()))
    });
    match state {
        None => unchanged(request, found),
        Some((state, new_identity, private)) => apply_resource_change::Response {
            new_state: Some(state),
            new_identity,
            private,
            ..unchanged(request, found)
        },
    }
}

/// A change, with its values read.
struct Change {
    config: Value,
    prior: Value,
    planned: Value,
    private: Private,
}

impl Change {
    fn read(request: &apply_resource_change::Request, resource: &Offered<dyn Resource>) -> Result<Change, Diagnostic> {
        let ty = resource.ty();
        Ok(Change {
            config: wire::decode(request.config.as_ref(), ty)?,
            prior: wire::decode(request.prior_state.as_ref(), ty)?,
            planned: wire::decode(request.planned_state.as_ref(), ty)?,
            private: wire::private(&request.planned_private)?,
        })
    }

    async fn apply(&self, resource: &dyn Resource, cx: &Context) -> Applied {
        let Change {
            config,
            prior,
            planned,
            private,
        } = self;
        let (config, prior, planned, private) = (config.clone(), prior.clone(), planned.clone(), private.clone());
        match (prior.is_null(), planned.is_null()) {
            (true, _) => {
                resource
                    .create(
                        CreateRequest {
                            config,
                            planned,
                            private,
                        },
                        cx,
                    )
                    .await
            }
            (false, true) => resource.delete(DeleteRequest { prior, private }, cx).await,
            (false, false) => {
                resource
                    .update(
                        UpdateRequest {
                            config,
                            prior,
                            planned,
                            private,
                        },
                        cx,
                    )
                    .await
            }
        }
    }
}

async fn answer(
    request: &apply_resource_change::Request,
    served: &Served,
    cx: &Context,
) -> Result<apply_resource_change::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    let change = Change::read(request, resource)?;
    let Applied {
        state,
        private,
        mut diagnostics,
    } = change.apply(resource.item.as_ref(), cx).await;
    let failed = diagnostics.has_errors();
    let is_deletion = change.planned.is_null();

    let Some(state) = state.filter(|state| !state.is_null()) else {
        return Ok(match (is_deletion, failed) {
            (true, false) => deleted(diagnostics),
            (_, true) => unchanged(request, diagnostics),
            (false, false) => {
                diagnostics.error(
                    "Bug in the provider",
                    "The change was reported as done, but without a state. Please report this.",
                );
                rescued(request, served, cx.partial.saved(), diagnostics)
            }
        });
    };
    if is_deletion && !failed {
        diagnostics.error(
            "Bug in the provider",
            "The deletion was reported as done, but something is left. Please report this.",
        );
    }

    let planned = if is_deletion { &change.prior } else { &change.planned };
    let state = apply::settle(resource.schema(), planned, state);
    let (state, unknown) = wire::without_unknowns(state);
    if !failed {
        for path in unknown {
            let detail =
                format!("{path} is still unknown after the change, and is saved as null. Please report this bug.");
            diagnostics.error_at(path, "Bug in the provider", detail);
        }
        diagnostics.extend(check::apply(resource.schema(), &change.planned, &state));
    }
    let before = request.planned_identity.as_ref();
    let left = (&state, &private);
    let new_identity = if failed {
        identity::of_remains(resource, left, before)
    } else {
        identity::of(resource, left, before, Occasion::Found, &mut diagnostics)
    };
    match wire::encode(&state, resource.ty()) {
        Ok(state) => Ok(apply_resource_change::Response {
            new_state: Some(state),
            new_identity,
            private: private.to_bytes(),
            diagnostics: wire::diagnostics(diagnostics),
            ..apply_resource_change::Response::default()
        }),
        Err(error) => {
            diagnostics.push(error);
            Ok(rescued(request, served, cx.partial.saved(), diagnostics))
        }
    }
}

fn deleted(found: Diagnostics) -> apply_resource_change::Response {
    apply_resource_change::Response {
        diagnostics: wire::diagnostics(found),
        ..apply_resource_change::Response::default()
    }
}
